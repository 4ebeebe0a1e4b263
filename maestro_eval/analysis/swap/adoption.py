"""Adoption of new registry entries: their share of the calls, the samples gained and lost, and credit by entry.

The two runs' rollouts of one sample and repeat are a pair, which is touched if the augmented run's rollout called a new
entry. With several repeats a sample may be in both strata, in each with a part of its repeats.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.analysis.contrasts import PairedTask, difference_of, paired_strata, sides_of
from maestro_eval.analysis.sample_scores import read_scores, same_content
from maestro_eval.analysis.scored_run import Explored, ExploredTask, pair_of
from maestro_eval.analysis.stats.estimates import Estimate
from maestro_eval.analysis.stats.intervals import difference_in_differences
from maestro_eval.analysis.swap.settings import file_name
from maestro_eval.journal import Journal
from maestro_eval.records import RegistryRecord, Rollout, RolloutKey, Search, UserError
from maestro_eval.scoring import RunScores


class Use(Struct, frozen=True, gc=False):
    """A rollout's calls that reached an expert: all, those with a new entry, and the number by new entry.

    ``last`` are the new entries of its last call, to which a changed score is attributed.
    """

    calls: int = 0
    new_calls: int = 0
    by_entry: tuple[tuple[str, int], ...] = ()
    last: tuple[str, ...] = ()

    @property
    def touched(self) -> bool:
        return self.new_calls > 0


Uses = Mapping[RolloutKey, Use]
"""The calls of every rollout in a journal."""


def read_uses(folder: Path, registry: RegistryRecord, entries: Collection[str]) -> dict[RolloutKey, Use]:
    with Journal.open(folder, read_only=True) as journal:
        return dict(uses_of((rollout for rollout, _ in journal.rollouts()), registry, entries))


def uses_of(
    rollouts: Iterable[Rollout], registry: RegistryRecord, entries: Collection[str]
) -> Iterator[tuple[RolloutKey, Use]]:
    """Yield each rollout's key and calls; equal records share one object, to save memory."""
    wanted = frozenset(entries)
    shared: dict[Use, Use] = {}
    for rollout in rollouts:
        use = _use(rollout, registry, wanted)
        yield rollout.key, shared.setdefault(use, use)


def _use(rollout: Rollout, registry: RegistryRecord, wanted: frozenset[str]) -> Use:
    named = [tuple(sorted(_named(search, registry) & wanted)) for search in rollout.searches]
    counts = Counter(entry for each in named for entry in each)
    return Use(
        calls=len(named),
        new_calls=sum(map(bool, named)),
        by_entry=tuple(sorted(counts.items())),
        last=named[-1] if named else (),
    )


def _named(search: Search, registry: RegistryRecord) -> set[str]:
    services = {f"services.{call.name}" for call in search.turn.calls if call.kind == "service"}
    return {f"experts.{file_name(registry, search.expert)}", f"skills.{search.skill}", *services}


class PairedRollouts(PairedTask, frozen=True):
    """A task's samples that both runs have, the augmented run's first, repeats averaged.

    ``rollouts`` is the number of rollout pairs of each sample.
    """

    rollouts: dict[str, int]

    @property
    def pairs(self) -> int:
        return sum(self.rollouts.values())


class SplitTask(Struct, frozen=True):
    """A task's pairs, whole and by stratum; pairs whose augmented rollout never ran are in neither stratum."""

    whole: PairedRollouts
    touched: PairedRollouts
    untouched: PairedRollouts


class StratumEffect(Struct, frozen=True):
    """The rollouts of a scope that called a new entry, or those that did not.

    ``rollouts`` is their number, ``share`` their share of the scope's rollouts, ``difference`` the mean difference over
    their samples, None if there are none.
    """

    rollouts: int
    share: float
    difference: Estimate | None


def split(base: RunScores, augmented: RunScores, uses: Uses) -> dict[str, SplitTask]:
    """Pair two runs' scores and split them by what the augmented run's rollouts called; tasks in the base run's order.

    Each run's scores are read four times and not stored. ``compare`` has already checked that contents are equal.
    """
    shared = {score.key for score in base.scores} & {score.key for score in augmented.scores}
    touched = {key for key in shared if key in uses and uses[key].touched}
    untouched = {key for key in shared if key in uses and not uses[key].touched}
    found = [_paired(base, augmented, keys) for keys in (shared, touched, untouched)]
    return {
        task.name: SplitTask(*(part[task.name] for part in found))
        for task in base.manifest.tasks
        if task.name in found[0] and found[0][task.name].ids
    }


def _paired(base: RunScores, augmented: RunScores, keys: Set[RolloutKey]) -> dict[str, PairedRollouts]:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for key in keys:
        counts[key.task][key.sample_id] += 1
    ours, theirs = (read_scores(score for score in run.scores if score.key in keys) for run in (augmented, base))
    return {
        task.name: PairedRollouts(
            task,
            (ours[task.name].samples, theirs[task.name].samples) if task.name in counts else ({}, {}),
            tuple(sorted(counts[task.name])),
            counts[task.name],
        )
        for task in augmented.manifest.tasks
    }


def stratum_effect(tasks: Sequence[SplitTask], *, touched: bool) -> StratumEffect:
    """Return the effect in one stratum: the plain mean over a task's samples with such pairs.

    Over several tasks it is the unweighted mean of the tasks with such pairs.
    """
    chosen = [task.touched if touched else task.untouched for task in tasks]
    there = [replace(task, record=replace(task.record, aggregation="mean")) for task in chosen if task.rollouts]
    rollouts, all_rollouts = sum(task.pairs for task in chosen), sum(task.whole.pairs for task in tasks)
    return StratumEffect(rollouts, rollouts / all_rollouts, difference_of(there) if there else None)


def domain_difference(out: Sequence[PairedRollouts], inside: Sequence[PairedRollouts]) -> Estimate:
    """Return (mean difference over ``out``) − (mean difference over ``inside``)."""
    treated, control = paired_strata(out), paired_strata(inside)
    # Both domains are in one call, since a cluster (an image) may be in benchmarks of either.
    ours, theirs = sides_of([*treated, *control])
    cut = len(treated)
    return difference_in_differences((ours[:cut], theirs[:cut]), (ours[cut:], theirs[cut:]))


Domain = Literal["in", "out", ""]
"""``in`` if the base registry was made for the benchmark, else ``out``; "" if the tags do not decide."""
_NO_USE = Use()


class Choices(Struct, frozen=True):
    """The numbers of explored samples on which the best new pair scores higher, equal or lower than the best old one.

    A pair is an expert and a skill; it is new if either is. ``open`` samples are undecided because of failures.
    ``adopted_…`` count the touched ones of these samples (with repeats, the sum of the shares of touched rollouts).
    """

    new_better: int
    equal: int
    old_better: int
    adopted_new_better: float
    adopted_equal: float
    adopted_old_better: float
    open: int = 0


class Adoption(Struct, frozen=True):
    """The use of new entries in a task's rollouts, and the changed scores of the samples that called them.

    ``calls`` reached an expert, ``new_calls`` of them with a new entry. Of the ``touched`` samples ``gained`` score
    higher than in the base run, ``lost`` lower, ``same`` the same, and ``failed`` have a failed rollout on a side.
    ``gained_untouched`` and ``lost_untouched`` change without a call of a new entry: by chance or the longer prompt.
    """

    task: str
    domain: Domain
    calls: int
    new_calls: int
    touched: int
    gained: int
    lost: int
    same: int
    failed: int
    gained_untouched: int
    lost_untouched: int
    choices: Choices | None = None

    @property
    def share(self) -> float | None:
        return self.new_calls / self.calls if self.calls else None


class Credit(Struct, frozen=True):
    """The ``calls`` that named an entry, and the samples gained and lost whose last call named it.

    ``entry`` is empty for the calls and samples without a new entry.
    """

    entry: str
    calls: int
    gains: float
    losses: float

    @property
    def net(self) -> float:
        return self.gains - self.losses


def adoptions(
    tasks: Mapping[str, SplitTask],
    domains: Mapping[str, Domain],
    uses: Uses,
    new: Sequence[str],
    explored: Explored | None = None,
) -> tuple[Adoption, ...]:
    """Return the adoption of the entries ``new`` on each task; ``explored`` adds whether they are the better choice."""
    calls, new_calls = Counter[str](), Counter[str]()
    for key, use in uses.items():
        calls[key.task] += use.calls
        new_calls[key.task] += use.new_calls
    found = []
    for name, task in tasks.items():
        moved, moved_untouched = (_moves(side) for side in (task.touched, task.untouched))
        explored_task = explored.tasks.get(name) if explored else None
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
                gained_untouched=moved_untouched[1],
                lost_untouched=moved_untouched[-1],
                choices=_choices(task, explored_task, explored, new) if explored and explored_task else None,
            )
        )
    return tuple(found)


def _moves(task: PairedRollouts) -> Counter[int | None]:
    """Count the samples that score higher than in the base run (1), lower (−1) and the same, None if a side failed."""
    ours, theirs = task.sides
    return Counter(None if task.failed(i) else int(np.sign(ours[i].wrong - theirs[i].wrong)) for i in task.ids)


def credits(base: RunScores, augmented: RunScores, uses: Uses, new: Sequence[str]) -> tuple[Credit, ...]:
    """Return each new entry's calls with the gains and losses attributed to it; last, those attributed to none.

    The score difference of a rollout to its base rollout is divided equally among the new entries that its last call
    named, since the last call most likely gave the answer. A sample's rollouts share its weight equally. Pairs with a
    failed rollout are not attributed.
    """
    before = {score.key: score.value for score in base.scores}
    rollouts = Counter((key.task, key.sample_id) for score in augmented.scores if (key := score.key) in before)
    gains, losses = dict.fromkeys((*new, ""), 0.0), dict.fromkeys((*new, ""), 0.0)
    for score in augmented.scores:
        key = score.key
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
    """Return the part of an explore run for the augmented registry. UserError if it did not explore all of that."""
    within = explored.within(augmented.manifest.registry)
    if within is None:
        raise UserError(
            f"--explore {explored.manifest.system}: did not ask all that {augmented.manifest.system} could call; "
            f"explore with the registry {augmented.manifest.registry.name}"
        )
    if within.protocol != augmented.protocol:
        raise UserError(f"--explore: was scored by {within.protocol!r}; score both by {augmented.protocol!r}")
    return within


def _choices(task: SplitTask, explored_task: ExploredTask, explored: Explored, new: Sequence[str]) -> Choices:
    name = task.whole.record.name
    places = read_scores(explored_task.places)[name].samples
    shared = set(same_content(name, task.whole.sides[0], places, ("the augmented run", "the explore run")))
    fresh = np.array([_is_new(explored, number, new) for number in explored.pairs], dtype=np.bool_)
    if fresh.all() or not fresh.any():
        return Choices(0, 0, 0, 0.0, 0.0, 0.0)
    wrong, right = (np.nan_to_num(explored_task.values[:, explored.pairs], nan=failed) for failed in (0.0, 1.0))
    hidden = 0
    counts = dict.fromkeys((-1, 0, 1), 0)
    adopted = dict.fromkeys((-1, 0, 1), 0.0)
    for place, low, high in zip(explored_task.places, wrong, right, strict=True):
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
    """Return whether each of the candidate's equal pairs has a new entry."""
    candidate = explored.candidates[number]
    pairs = [pair_of(policy) for policy in (candidate.policy, *candidate.alike)]
    return all(f"experts.{expert}" in new or f"skills.{skill}" in new for expert, skill in pairs)
