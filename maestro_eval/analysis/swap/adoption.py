"""How far new entries were taken up, what became of those samples, and which entries that is to be put down to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from maestro_eval.analysis.explored import Explored, ExploredTask, pair_of
from maestro_eval.analysis.sample_scores import read_scores, same_content
from maestro_eval.analysis.swap.pairs import PairedRollouts, SplitTask, Use, Uses, key_of
from maestro_eval.analysis.swap.records import Adoption, Choices, Credit, Domain, Interference, LostSample
from maestro_eval.records import RolloutKey, UserError
from maestro_eval.scoring import RunScores

MOST_LISTED = 50
"""Lost samples that are listed by id."""

_NO_USE = Use()


def adoptions(
    tasks: Mapping[str, SplitTask],
    domains: Mapping[str, Domain],
    uses: Uses,
    new: Sequence[str],
    explored: Explored | None = None,
) -> tuple[Adoption, ...]:
    """The uptake of the entries ``new`` on each task; with ``explored`` also whether they were the better choice."""
    calls, new_calls = Counter[str](), Counter[str]()
    for key, use in uses.items():
        calls[key.task] += use.calls
        new_calls[key.task] += use.new_calls
    found = []
    for name, task in tasks.items():
        moved = Counter(moves(task.touched).values())
        there = explored.tasks.get(name) if explored else None
        found.append(
            Adoption(
                task=name,
                domain=domains[name],
                calls=calls[name],
                new_calls=new_calls[name],
                touched=len(task.touched.rollouts),
                gained=moved[1],
                lost=moved[-1],
                same=moved[0],
                failed=moved[None],
                choices=_choices(task, there, explored, new) if explored and there else None,
            )
        )
    return tuple(found)


def interference(tasks: Mapping[str, SplitTask], domains: Mapping[str, Domain], uses: Uses) -> Interference | None:
    """What new entries cost in-domain; ``None`` without in-domain tasks."""
    inside = {name: task for name, task in tasks.items() if domains[name] == "in"}
    if not inside:
        return None
    touched = {name: moves(task.touched) for name, task in inside.items()}
    apart = Counter(each for task in inside.values() for each in moves(task.untouched).values())
    total = Counter(each for found in touched.values() for each in found.values())
    lost = [(name, i) for name, found in touched.items() for i, move in found.items() if move == -1]
    return Interference(
        lost=len(lost),
        gained=total[1],
        lost_untouched=apart[-1],
        gained_untouched=apart[1],
        samples=tuple(_lost(inside[name].touched, i, uses) for name, i in lost[:MOST_LISTED]),
    )


def moves(task: PairedRollouts) -> dict[str, int | None]:
    """What became of each sample: 1 scores higher than in the base run, −1 lower, 0 the same, None cannot be told."""
    return {i: _move(task, i) for i in task.ids}


def credits(base: RunScores, augmented: RunScores, uses: Uses, new: Sequence[str]) -> tuple[Credit, ...]:
    """Each new entry's calls, and the gains and losses that are put down to it; last, what is put down to none.

    A rollout that scores otherwise than its partner is put down, in equal parts, to the new entries that its last
    call named: what was said last is taken to have given the answer. A sample's rollouts share it equally. Pairs with
    a failed rollout are put down to nobody.
    """
    before = {key_of(score): score.value for score in base.scores}
    rollouts = Counter((key.task, key.sample_id) for score in augmented.scores if (key := key_of(score)) in before)
    gains, losses = dict.fromkeys((*new, ""), 0.0), dict.fromkeys((*new, ""), 0.0)
    for score in augmented.scores:
        key = key_of(score)
        was, now = before.get(key), score.value
        if was is None or now is None or was == now:
            continue
        entries = uses.get(key, _NO_USE).last or ("",)
        share = abs(now - was) / len(entries) / rollouts[key.task, key.sample_id]
        for entry in entries:
            (gains if now > was else losses)[entry] += share
    calls = Counter[str]()
    for use in uses.values():
        calls.update(dict(use.by_entry))
    others = sum(use.calls - use.new_calls for use in uses.values())
    return (
        *(Credit(entry, calls[entry], gains[entry], losses[entry]) for entry in new),
        Credit("", others, gains[""], losses[""]),
    )


def explored_of(explored: Explored, augmented: RunScores) -> Explored:
    """The part of an explore run that is about the augmented registry; UserError where it is of another one."""
    within = explored.within(augmented.manifest.registry)
    if within is None:
        raise UserError(
            f"--explore {explored.manifest.system}: did not ask all that {augmented.manifest.system} could call; "
            f"explore with the registry {augmented.manifest.registry.name}"
        )
    if within.protocol != augmented.protocol:
        raise UserError(f"--explore: was scored by {within.protocol!r}; score both by {augmented.protocol!r}")
    return within


def _move(task: PairedRollouts, sample_id: str) -> int | None:
    ours, theirs = task.ours[sample_id], task.theirs[sample_id]
    if ours.failed or theirs.failed:
        return None
    return int(np.sign(ours.wrong - theirs.wrong))


def _lost(task: PairedRollouts, sample_id: str, uses: Uses) -> LostSample:
    return LostSample(
        task.record.name,
        sample_id,
        task.theirs[sample_id].wrong,
        task.ours[sample_id].wrong,
        tuple(dict.fromkeys(_last_entries(task.record.name, sample_id, uses))),
    )


def _last_entries(task: str, sample_id: str, uses: Uses) -> Iterator[str]:
    repeat = 0
    while (use := uses.get(RolloutKey(task, sample_id, repeat))) is not None:
        yield from use.last
        repeat += 1


def _choices(task: SplitTask, there: ExploredTask, explored: Explored, new: Sequence[str]) -> Choices:
    """Every paired sample that was explored, by whether the best new pair or the best old one scores higher."""
    name = task.whole.record.name
    places = read_scores(there.places)[name].samples
    shared = set(same_content(name, task.whole.ours, places, ("the augmented run", "the explore run")))
    fresh = np.array([_is_new(explored, number, new) for number in explored.pairs], dtype=np.bool_)
    if fresh.all() or not fresh.any():
        return Choices(0, 0, 0, 0.0, 0.0, 0.0)
    wrong, right = (np.nan_to_num(there.values[:, explored.pairs], nan=failed) for failed in (0.0, 1.0))
    hidden = 0
    counts = dict.fromkeys((-1, 0, 1), 0)
    adopted = dict.fromkeys((-1, 0, 1), 0.0)
    for place, low, high in zip(there.places, wrong, right, strict=True):
        i = place.sample_id
        if i not in shared or i not in task.whole.rollouts:
            continue
        better = int(np.sign(low[fresh].max() - high[~fresh].max()))
        if better != np.sign(high[fresh].max() - low[~fresh].max()):
            hidden += 1
            continue
        counts[better] += 1
        adopted[better] += task.touched.rollouts.get(i, 0) / task.whole.rollouts[i]
    return Choices(counts[1], counts[0], counts[-1], adopted[1], adopted[0], adopted[-1], hidden)


def _is_new(explored: Explored, number: int, new: Sequence[str]) -> bool:
    """Whether every way of naming the arm's pair names a new entry."""
    arm = explored.arms[number]
    pairs = [pair_of(policy) for policy in (arm.policy, *arm.alike)]
    return all(f"experts.{expert}" in new or f"skills.{skill}" in new for expert, skill in pairs)
