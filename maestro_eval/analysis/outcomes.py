"""What a run's scores say of one task: a value for each sample, and what its failures leave open.

A failed or never-run rollout has no value. It is read twice: as wrong (0) and as right (1). Repeats are averaged
within a sample under either reading, so that a sample is one number, whatever its repeats.

Scores are read in one pass and not kept: what remains of a sample is some 220 bytes (measured), so that a
benchmark of a hundred thousand samples, in several runs, fits beside the rest.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import groupby
from statistics import fmean
from typing import Any, Literal, TypeVar

from msgspec import Struct, field

from maestro_eval.analysis.draws import Draws, Vote, draws_of
from maestro_eval.analysis.stats import Estimate, stratified_mean
from maestro_eval.types import Score, TaskRecord, UserError

_T = TypeVar("_T")

Reading = Literal["wrong", "right"]
"""How a rollout without a value counts."""

# Different values that are kept once: repeats and partial credit make few, and a metric that makes many is
# not worth a table of them.
_MOST_SHARED = 4096
_DIGEST_BYTES = 16
# The square of a larger number may overflow, and infinities and NaN are no numbers to average.
_LARGEST = 1e100


class SampleOutcome(Struct, frozen=True, gc=False):
    """A sample's value under both readings; they differ exactly where a rollout of it failed.

    ``content`` is a digest of the score's content hash, empty where that is. ``draws`` are its repeats, where it
    has several.
    """

    wrong: float
    right: float
    category: str
    stratum: str
    content: bytes
    draws: Draws | None = None

    @property
    def failed(self) -> bool:
        """Whether a rollout of the sample failed or never ran."""
        return self.wrong != self.right

    @property
    def placed(self) -> bool:
        """Whether it is known what the sample belongs to: one that never ran may not know."""
        return bool(self.category or self.stratum)

    def value(self, reading: Reading) -> float:
        return self.wrong if reading == "wrong" else self.right


Outcomes = Mapping[str, SampleOutcome]
"""A task's samples by id."""


class TaskScores(Struct, frozen=True):
    """A task's samples by id, and its further measures: a number for each sample that has one, by measure."""

    samples: dict[str, SampleOutcome] = field(default_factory=dict)
    others: dict[str, array[float]] = field(default_factory=dict)


class Stratum(Struct, frozen=True):
    """Samples that are averaged together, and the weight of their mean in the whole."""

    weight: float
    ids: tuple[str, ...]


def read_scores(scores: Iterable[Score]) -> dict[str, TaskScores]:
    """What every task in ``scores`` comes to. The scores are in key order: a sample's repeats follow each other."""
    tasks: defaultdict[str, TaskScores] = defaultdict(TaskScores)
    shared: dict[Any, Any] = {}
    for (task, sample_id), group in groupby(scores, key=lambda score: (score.task, score.sample_id)):
        repeats = list(group)
        found = tasks[task]
        if sample_id in found.samples:
            raise ValueError(f"scores are not in key order: task {task}, sample {sample_id!r} comes twice")
        found.samples[sample_id] = _outcome(repeats, shared)
        for name in dict.fromkeys(name for score in repeats for name in score.others):
            values = [score.others[name] for score in repeats if abs(score.others.get(name, math.inf)) <= _LARGEST]
            if values:
                found.others.setdefault(name, array("d")).append(fmean(values))
    return dict(tasks)


def strata_of(task: TaskRecord, outcomes: Outcomes) -> tuple[Stratum, ...]:
    """The task's strata: one, or one of equal weight for each category or stratum that the task averages over.

    A sample that never ran may have neither. Such samples make a stratum of their own that weighs as much as
    its share of the samples, so that they neither vanish nor count as a whole category.
    """
    chosen = sorted(outcomes)
    if task.aggregation == "mean":
        return (Stratum(1.0, tuple(chosen)),)
    by_rotation = task.aggregation == "stratum_mean"
    parts: defaultdict[str, list[str]] = defaultdict(list)
    for sample_id in chosen:
        outcome = outcomes[sample_id]
        parts[(by_rotation and outcome.stratum) or outcome.category].append(sample_id)
    unknown = parts.pop("", []) if len(parts) > 1 else []
    known = 1 - len(unknown) / len(chosen)
    strata = [Stratum(known / len(parts), tuple(parts[name])) for name in sorted(parts)]
    return (*strata, Stratum(1 - known, tuple(unknown))) if unknown else tuple(strata)


def accuracy(tasks: Sequence[tuple[TaskRecord, Outcomes]]) -> Estimate:
    """The macro mean over ``tasks`` (of one task: its accuracy), failures counted as wrong.

    Its low end is that of failures read as wrong, its high end that of failures read as right.
    """
    failed = any(outcome.failed for _, outcomes in tasks for outcome in outcomes.values())
    wrong = macro_mean(tasks, lambda outcome: outcome.wrong)
    return widened(wrong, low=wrong, high=macro_mean(tasks, lambda outcome: outcome.right)) if failed else wrong


def macro_mean(tasks: Sequence[tuple[TaskRecord, Outcomes]], value: Callable[[SampleOutcome], float]) -> Estimate:
    """The mean over ``tasks``, each by its own aggregation, of what ``value`` (in [0, 1]) reads from a sample."""
    strata = [(part, outcomes) for task, outcomes in tasks for part in strata_of(task, outcomes)]
    return stratified_mean(
        [[value(outcomes[i]) for i in part.ids] for part, outcomes in strata],
        [part.weight / len(tasks) for part, _ in strata],
    )


def count_failed(outcomes: Iterable[SampleOutcome]) -> int:
    """How many samples have a rollout that failed or never ran."""
    return sum(outcome.failed for outcome in outcomes)


def widened(primary: Estimate, *, low: Estimate, high: Estimate) -> Estimate:
    """``primary`` with the interval that reaches from the pessimistic reading to the optimistic one."""
    methods = " / ".join(dict.fromkeys((low.method, high.method)))
    return Estimate(primary.value, low.low, high.high, primary.n, f"{methods}; failures as bounds")


def same_content(task: str, a: Outcomes, b: Outcomes, systems: tuple[str, str]) -> tuple[str, ...]:
    """The ids that both have, in order. UserError where one id stands for two different contents."""
    shared = tuple(sorted(a.keys() & b.keys()))
    for sample_id in shared:
        ours, theirs = a[sample_id].content, b[sample_id].content
        # A sample that never ran has no hash; its id is then all there is to pair by.
        if ours and theirs and ours != theirs:
            raise UserError(
                f"task {task}, sample {sample_id!r}: content_hash differs between {systems[0]} and {systems[1]}; "
                "the samples are not the same: run both systems on the same data"
            )
    return shared


def _outcome(repeats: Sequence[Score], shared: dict[Any, Any]) -> SampleOutcome:
    first = repeats[0]
    hashes = {score.content_hash for score in repeats if score.content_hash}
    if len(hashes) > 1:
        raise UserError(
            f"task {first.task}, sample {first.sample_id!r}: content_hash differs between repeats; "
            "the data changed during the run: run it again into a new folder"
        )
    draws = draws_of([Vote(score.extracted, score.value) for score in repeats]) if len(repeats) > 1 else None
    return SampleOutcome(
        wrong=_share(shared, fmean(0.0 if score.value is None else score.value for score in repeats)),
        right=_share(shared, fmean(1.0 if score.value is None else score.value for score in repeats)),
        # A sample that never ran may not know where it belongs; another repeat of it does.
        category=sys.intern(next((score.category for score in repeats if score.category), "")),
        stratum=sys.intern(next((score.stratum for score in repeats if score.stratum), "")),
        content=blake2b(hashes.pop().encode(), digest_size=_DIGEST_BYTES).digest() if hashes else b"",
        draws=_share(shared, draws),
    )


def _share(shared: dict[Any, _T], value: _T) -> _T:
    """The equal value that is already held, so that a hundred thousand samples do not hold as many zeros."""
    if len(shared) < _MOST_SHARED:
        return shared.setdefault(value, value)
    return shared.get(value, value)
