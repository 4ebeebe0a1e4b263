"""The two runs' rollouts side by side: k-th repeat with k-th repeat, touched apart from untouched; their differences.

A rollout's stratum is that of the augmented run's; the base run's rollout of the same sample and repeat goes where
its partner goes. So with several repeats a sample may be in both strata, each time with the repeats that are there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.analysis.contrasts import PairedTask, difference_of, paired_parts, sides
from maestro_eval.analysis.sample_scores import Bounds, Reading, over_failures, read_scores, strata_of
from maestro_eval.analysis.scored_rollouts import Search, searches
from maestro_eval.analysis.stats import Estimate, difference_in_differences
from maestro_eval.analysis.swap.records import StratumEffect
from maestro_eval.analysis.swap.settings import file_name
from maestro_eval.journal import Journal
from maestro_eval.records import RegistryRecord, Rollout, RolloutKey, Score
from maestro_eval.scoring import RunScores


class Use(Struct, frozen=True, gc=False):
    """A rollout's calls: how many reached an expert, how many with a new entry, how many with each.

    ``last`` are the new entries of its last call, which is taken to have given the answer.
    """

    calls: int = 0
    new_calls: int = 0
    by_entry: tuple[tuple[str, int], ...] = ()
    last: tuple[str, ...] = ()

    @property
    def touched(self) -> bool:
        return self.new_calls > 0


Uses = Mapping[RolloutKey, Use]
"""The calls of every rollout that stands in a journal."""


def read_uses(folder: Path, registry: RegistryRecord, entries: Collection[str]) -> dict[RolloutKey, Use]:
    """The calls of a run folder's rollouts, ``entries`` being those to look for."""
    with Journal.open(folder, read_only=True) as journal:
        return dict(uses_of((rollout for rollout, _ in journal.rollouts()), registry, entries))


def uses_of(
    rollouts: Iterable[Rollout], registry: RegistryRecord, entries: Collection[str]
) -> Iterator[tuple[RolloutKey, Use]]:
    """Each rollout's key and calls. Most calls are alike, and are one record in memory."""
    wanted = frozenset(entries)
    shared: dict[Use, Use] = {}
    for rollout in rollouts:
        use = _use(rollout, registry, wanted)
        yield rollout.key, shared.setdefault(use, use)


def _use(rollout: Rollout, registry: RegistryRecord, wanted: frozenset[str]) -> Use:
    named = [tuple(sorted(_named(search, registry) & wanted)) for search in searches(rollout)]
    counts = Counter(entry for each in named for entry in each)
    return Use(
        calls=len(named),
        new_calls=sum(map(bool, named)),
        by_entry=tuple(sorted(counts.items())),
        last=named[-1] if named else (),
    )


def _named(search: Search, registry: RegistryRecord) -> set[str]:
    """The entries of a call: its expert, its skill, and the services that were asked for evidence."""
    services = {f"services.{call.name}" for call in search.turn.calls if call.kind == "service"}
    return {f"experts.{file_name(registry, search.expert)}", f"skills.{search.skill}", *services}


class PairedRollouts(PairedTask, frozen=True):
    """A task's samples that both runs have, the augmented run's (``ours``) and the base run's (``theirs``).

    Repeats are averaged; ``rollouts`` counts the pairs of rollouts of each sample.
    """

    rollouts: dict[str, int]

    @property
    def pairs(self) -> int:
        """How many pairs of rollouts there are."""
        return sum(self.rollouts.values())


class SplitTask(Struct, frozen=True):
    """A task's pairs, all of them and by stratum; ``unplaced`` counts those whose augmented rollout never ran."""

    whole: PairedRollouts
    touched: PairedRollouts
    untouched: PairedRollouts
    unplaced: int


def split(base: RunScores, augmented: RunScores, uses: Uses) -> dict[str, SplitTask]:
    """Pair two runs' scores and split them by what the augmented run's rollouts called; tasks in the base run's order.

    Each run's scores are read four times and not held. Contents are not compared here: ``compare`` has done so.
    """
    shared = _keys(base.scores) & _keys(augmented.scores)
    whole = _paired(base, augmented, shared.__contains__)
    touched = _paired(base, augmented, lambda key: key in shared and key in uses and uses[key].touched)
    untouched = _paired(base, augmented, lambda key: key in shared and key in uses and not uses[key].touched)
    unplaced = Counter(key.task for key in shared if key not in uses)
    records = {task.name: task for task in augmented.manifest.tasks}
    nothing = {name: PairedRollouts(record, {}, {}, (), {}) for name, record in records.items()}
    return {
        task.name: SplitTask(
            whole[task.name],
            touched.get(task.name, nothing[task.name]),
            untouched.get(task.name, nothing[task.name]),
            unplaced[task.name],
        )
        for task in base.manifest.tasks
        if task.name in whole
    }


def _keys(scores: Iterable[Score]) -> set[RolloutKey]:
    return {key_of(score) for score in scores}


def key_of(score: Score) -> RolloutKey:
    """Which rollout a score is of."""
    return RolloutKey(score.task, score.sample_id, score.repeat)


def _paired(base: RunScores, augmented: RunScores, chosen: Callable[[RolloutKey], bool]) -> dict[str, PairedRollouts]:
    counts: dict[str, Counter[str]] = {}

    def kept(scores: Iterable[Score], *, count: bool) -> Iterable[Score]:
        for score in scores:
            if chosen(key_of(score)):
                if count:
                    counts.setdefault(score.task, Counter())[score.sample_id] += 1
                yield score

    ours = read_scores(kept(augmented.scores, count=True))
    theirs = read_scores(kept(base.scores, count=False))
    records = {task.name: task for task in augmented.manifest.tasks}
    return {
        name: PairedRollouts(
            records[name], ours[name].samples, theirs[name].samples, tuple(sorted(counts[name])), dict(counts[name])
        )
        for name in records
        if name in ours and name in theirs
    }


def stratum_effect(tasks: Sequence[SplitTask], *, touched: bool) -> StratumEffect:
    """The pairs of one stratum. Within a task it is the plain mean over the samples that have any.

    A mean over several tasks weighs those equally that have any. ``part`` is with the weights of the whole difference:
    the parts of both strata add up to it.
    """
    chosen = [task.touched if touched else task.untouched for task in tasks]
    there = [replace(task, record=replace(task.record, aggregation="mean")) for task in chosen if task.rollouts]
    parts = np.mean([_contribution(task, each) for task, each in zip(tasks, chosen, strict=True)], axis=0).tolist()
    rollouts, all_rollouts = sum(task.pairs for task in chosen), sum(task.whole.pairs for task in tasks)
    return StratumEffect(
        rollouts,
        rollouts / all_rollouts,
        difference_of(there) if there else None,
        parts[0],
        Bounds(parts[1], parts[2]) if parts[1] < parts[2] else None,
    )


def domain_difference(out: Sequence[PairedRollouts], inside: Sequence[PairedRollouts]) -> Estimate:
    """(mean difference over ``out``) − (mean difference over ``inside``): by how much more the swap moved the former.

    The bounds of failures take those of ``out`` for the one reading and those of ``inside`` for the other.
    """
    treated, control = paired_parts(out), paired_parts(inside)
    both, cut = [*treated, *control], len(treated)

    def found(ours: Reading, theirs: Reading) -> Estimate:
        # One call over both domains: a picture may stand in a benchmark of either.
        here, there = sides(both, ours, theirs), sides(both, theirs, ours)
        return difference_in_differences((here[0][:cut], here[1][:cut]), (there[0][cut:], there[1][cut:]))

    return over_failures(found, failed=any(stratum.failed for stratum in both))


def _contribution(task: SplitTask, stratum: PairedRollouts) -> tuple[float, float, float]:
    """What the stratum's pairs add to the task's whole difference: failures as wrong, and the least and the most.

    A rollout that never ran is in neither stratum, and might have been in either.
    """
    whole, found = task.whole, [0.0, 0.0, 0.0]
    for part in strata_of(whole.record, whole.placed()):
        for i in part.ids:
            weight = part.weight / len(part.ids) / whole.rollouts[i]
            if pairs := stratum.rollouts.get(i, 0):
                ours, theirs = stratum.ours[i], stratum.theirs[i]
                ends = (ours.wrong - theirs.wrong, ours.wrong - theirs.right, ours.right - theirs.wrong)
                found = [so_far + weight * pairs * end for so_far, end in zip(found, ends, strict=True)]
            lost = whole.rollouts[i] - task.touched.rollouts.get(i, 0) - task.untouched.rollouts.get(i, 0)
            found[1] -= weight * lost
            found[2] += weight * lost
    return found[0], found[1], found[2]
