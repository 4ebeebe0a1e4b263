"""What a run's scores say of one task: a value for each sample, and what its failures leave open.

A failed or never-run rollout has no value. It is read twice: as wrong (0) and as right (1). Repeats are averaged
within a sample under either reading, so that a sample is one number, whatever its repeats.

Scores are read in one pass and not kept: what remains of a sample is some 260 bytes (measured), so that a
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

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace
from numpy.typing import NDArray

from maestro_eval.analysis.pass_at_k import Draws, Vote, draws_of
from maestro_eval.analysis.stats import Estimate, Sampled, mean_interval
from maestro_eval.records import Score, TaskRecord, UserError

_T = TypeVar("_T")

Reading = Literal["wrong", "right"]
"""How a rollout without a value counts."""

# Different values that are kept once: repeats and partial credit make few, and a metric that makes many is
# not worth a table of them.
_MOST_SHARED = 4096
_DIGEST_BYTES = 16
# The square of a larger number may overflow, and infinities and NaN are no numbers to average.
_LARGEST = 1e100
_NOTHING = 1e-9


class SampleOutcome(Struct, frozen=True, gc=False):
    """A sample's value under both readings; they differ exactly where a rollout of it failed.

    ``content`` is a digest of the score's content hash, empty where that is. ``cluster`` is a number for the score's
    cluster, the same for the same text wherever it stands, and 0 for a sample that is its own. ``draws`` are its
    repeats and ``runs`` their values (a failed one's is 0), where it has several.
    """

    wrong: float
    right: float
    category: str
    stratum: str
    content: bytes
    draws: Draws | None = None
    cluster: int = 0
    runs: tuple[float, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether a rollout of the sample failed or never ran."""
        return self.wrong != self.right

    @property
    def placed(self) -> bool:
        """Whether it is known what the sample belongs to: one that never ran may not know."""
        return bool(self.category or self.stratum)

    @property
    def completed(self) -> float | None:
        """The mean of the rollouts that did not fail; ``None`` where all did."""
        share = 1 - (self.right - self.wrong)
        # A share of 1/k or more, but for rounding.
        return min(1.0, self.wrong / share) if share > _NOTHING else None

    def value(self, reading: Reading) -> float:
        return self.wrong if reading == "wrong" else self.right


Outcomes = Mapping[str, SampleOutcome]
"""A task's samples by id."""

TaskOutcomes = tuple[TaskRecord, Outcomes]
"""A task with what a run has of it."""


class Readings(Struct, frozen=True):
    """A mean as its failures would have it: without them, with all of them wrong (the primary number), all right.

    ``completed`` is missing where a task or a category is left without a rollout that completed.
    """

    completed: Estimate | None
    worst: float
    best: float


class Bounds(Struct, frozen=True):
    """The least and the most that a number may be, whatever its failures hide."""

    low: float
    high: float


class TaskScores(Struct, frozen=True):
    """A task's samples by id, and its further measures: a number for each sample that has one, by measure."""

    samples: dict[str, SampleOutcome] = field(default_factory=dict)
    others: dict[str, array[float]] = field(default_factory=dict)


class Stratum(Struct, frozen=True):
    """Samples that are averaged together, and the weight of their mean in the whole.

    ``unknown`` says that they are those that never ran, of which it is not known where they belong.
    """

    weight: float
    ids: tuple[str, ...]
    unknown: bool = False


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
    return (*strata, Stratum(1 - known, tuple(unknown), unknown=True)) if unknown else tuple(strata)


def accuracy(tasks: Sequence[TaskOutcomes]) -> Estimate:
    """The macro mean over ``tasks`` (of one task: its accuracy), failures counted as wrong.

    Its low end is that of failures read as wrong, its high end that of failures read as right.
    """
    failed = any(outcome.failed for _, outcomes in tasks for outcome in outcomes.values())
    wrong = macro_mean(tasks, lambda outcome: outcome.wrong)
    return widened(wrong, low=wrong, high=macro_mean(tasks, lambda outcome: outcome.right)) if failed else wrong


def readings(tasks: Sequence[TaskOutcomes]) -> Readings | None:
    """What the failures of ``tasks`` leave open; ``None`` where nothing failed."""
    if not any(outcome.failed for _, outcomes in tasks for outcome in outcomes.values()):
        return None
    return Readings(
        completed_mean(tasks),
        worst=weighted_mean(sampled(tasks, lambda outcome: outcome.wrong)),
        best=weighted_mean(sampled(tasks, lambda outcome: outcome.right)),
    )


def completed_mean(tasks: Sequence[TaskOutcomes]) -> Estimate | None:
    """The macro mean over the rollouts that did not fail; ``None`` where a task or category is left without any.

    It is the mean of easier samples if the harder ones fail more often, and so is never shown alone.
    """
    parts = []
    for task, outcomes in tasks:
        left = [
            (part, [i for i in part.ids if outcomes[i].completed is not None]) for part in strata_of(task, outcomes)
        ]
        if any(not ids and not part.unknown for part, ids in left):
            return None
        total = sum(part.weight for part, ids in left if ids)
        parts += [(Stratum(part.weight / total / len(tasks), tuple(ids)), outcomes) for part, ids in left if ids]
    return mean_interval(_sampled(parts, lambda outcome: outcome.completed or 0.0))


def macro_mean(tasks: Sequence[TaskOutcomes], value: Callable[[SampleOutcome], float]) -> Estimate:
    """The mean over ``tasks``, each by its own aggregation, of what ``value`` (in [0, 1]) reads from a sample."""
    return mean_interval(sampled(tasks, value))


def sampled(tasks: Sequence[TaskOutcomes], value: Callable[[SampleOutcome], float]) -> list[Sampled]:
    """The strata of ``tasks``, as statistics take them: what ``value`` reads from each sample, and its cluster."""
    return _sampled(parts_of(tasks), value)


def parts_of(tasks: Sequence[TaskOutcomes]) -> list[tuple[Stratum, Outcomes]]:
    """The strata of all ``tasks``, their weights adding up to 1, each with the samples that it is of."""
    return [
        (replace(part, weight=part.weight / len(tasks)), outcomes)
        for task, outcomes in tasks
        for part in strata_of(task, outcomes)
    ]


def weighted_mean(strata: Sequence[Sampled]) -> float:
    """The mean of ``strata`` by their weights."""
    return math.fsum(stratum.weight * float(stratum.values.mean()) for stratum in strata)


def _sampled(parts: Sequence[tuple[Stratum, Outcomes]], value: Callable[[SampleOutcome], float]) -> list[Sampled]:
    codes = cluster_codes([[outcomes[i].cluster for i in part.ids] for part, outcomes in parts])
    return [
        Sampled(np.array([value(outcomes[i]) for i in part.ids], dtype=np.float64), clusters, part.weight)
        for (part, outcomes), clusters in zip(parts, codes, strict=True)
    ]


def cluster_codes(strata: Sequence[Sequence[int]]) -> list[NDArray[np.int64]]:
    """The clusters of ``strata`` with a code of its own for each sample that has none."""
    codes, alone = [], 0
    for clusters in strata:
        part = np.array(clusters, dtype=np.int64)
        own = part == 0
        count = int(own.sum())
        # A cluster's number is positive, so that these are nobody's.
        part[own] = -1 - np.arange(alone, alone + count)
        alone += count
        codes.append(part)
    return codes


def count_failed(outcomes: Iterable[SampleOutcome]) -> int:
    """How many samples have a rollout that failed or never ran."""
    return sum(outcome.failed for outcome in outcomes)


def widened(primary: Estimate, *, low: Estimate, high: Estimate) -> Estimate:
    """``primary`` with the interval that reaches from the pessimistic reading to the optimistic one."""
    methods = " / ".join(dict.fromkeys((low.method, high.method)))
    return Estimate(primary.value, low.low, high.high, primary.n, f"{methods}; failures as bounds")


def over_failures(found: Callable[[Reading, Reading], Estimate], *, failed: bool) -> Estimate:
    """A difference with failures wrong on both sides; its interval reaches over the other readings of both."""
    primary = found("wrong", "wrong")
    return widened(primary, low=found("wrong", "right"), high=found("right", "wrong")) if failed else primary


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
        content=content_digest(hashes.pop()) if hashes else b"",
        draws=_share(shared, draws),
        cluster=cluster_number(next((score.cluster for score in repeats if score.cluster), "")),
        runs=_share(shared, tuple(score.value or 0.0 for score in repeats)) if len(repeats) > 1 else (),
    )


def content_digest(content_hash: str) -> bytes:
    """What a ``SampleOutcome`` keeps of a content hash."""
    return blake2b(content_hash.encode(), digest_size=_DIGEST_BYTES).digest()


def cluster_number(text: str) -> int:
    """A positive number for a cluster, the same in every run and task; 0 for none.

    Clusters are mostly hashes of images, so that a picture that stands in two benchmarks is one cluster in their
    mean. 62 bits: among a million clusters two share a number with a chance of 1 in 10 million.
    """
    if not text:
        return 0
    return (int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 2) + 1


def _share(shared: dict[Any, _T], value: _T) -> _T:
    """The equal value that is already held, so that a hundred thousand samples do not hold as many zeros."""
    if len(shared) < _MOST_SHARED:
        return shared.setdefault(value, value)
    return shared.get(value, value)
