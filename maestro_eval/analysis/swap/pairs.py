"""The two runs' rollouts side by side: k-th repeat with k-th repeat, touched apart from untouched.

A rollout's stratum is that of the augmented run's; the base run's rollout of the same sample and repeat goes where
its partner goes. So with several repeats a sample may be in both strata, each time with the repeats that are there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from msgspec import Struct

from maestro_eval.analysis.sample_scores import Outcomes, read_scores
from maestro_eval.analysis.swap.uses import Uses
from maestro_eval.records import RolloutKey, Score, TaskRecord
from maestro_eval.scoring import RunScores


class PairedTask(Struct, frozen=True):
    """A task's samples that both runs have, each side's repeats averaged.

    ``rollouts`` counts the pairs of rollouts of each sample.
    """

    record: TaskRecord
    augmented: Outcomes
    base: Outcomes
    rollouts: dict[str, int]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(sorted(self.rollouts))

    @property
    def pairs(self) -> int:
        """How many pairs of rollouts there are."""
        return sum(self.rollouts.values())


class SplitTask(Struct, frozen=True):
    """A task's pairs, all of them and by stratum; ``unplaced`` counts those whose augmented rollout never ran."""

    whole: PairedTask
    touched: PairedTask
    untouched: PairedTask
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
    nothing = {name: PairedTask(record, {}, {}, {}) for name, record in records.items()}
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


def _paired(base: RunScores, augmented: RunScores, chosen: Callable[[RolloutKey], bool]) -> dict[str, PairedTask]:
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
        name: PairedTask(records[name], ours[name].samples, theirs[name].samples, dict(counts[name]))
        for name in records
        if name in ours and name in theirs
    }
