"""A value for each sample of a run, with failures read as wrong and as right, and means over these values.

A failed or never-run rollout has no value: one reading counts it as wrong (0), the other as right (1). Each reading
averages the repeats of a sample.

Scores are read in one pass and not stored: a sample needs some 260 bytes (measured), so that several runs of a
benchmark with a hundred thousand samples fit into memory.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import groupby
from operator import attrgetter
from statistics import fmean
from typing import Any, TypeVar

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace
from numpy.typing import NDArray

from maestro_eval.analysis.stats.estimates import Estimate, Sampled, count_failed, highest, weighted_mean
from maestro_eval.analysis.stats.intervals import mean_interval
from maestro_eval.records import Score, TaskRecord, UserError


class Vote(Struct, frozen=True):
    """One repeat: its answer as the protocol extracts it, and its value; None if it failed or never ran."""

    answer: str
    value: float | None


class Majority(Struct, frozen=True, gc=False):
    """The value of the most frequent answer, and its bounds over all votes that the failed repeats could have cast."""

    value: float
    low: float
    high: float


class Draws(Struct, frozen=True, gc=False):
    """``n`` repeats of which ``failed`` failed. ``right`` is None if a value is neither 0 nor 1."""

    n: int
    right: int | None
    failed: int
    majority: Majority


def draws_of(votes: Sequence[Vote]) -> Draws:
    values = [vote.value for vote in votes if vote.value is not None]
    whole = all(value in (0, 1) for value in values)
    return Draws(len(votes), round(sum(values)) if whole else None, len(votes) - len(values), majority(votes))


def pass_at(n: int, right: int, j: int) -> float:
    """Return the chance that ``j`` of ``n`` draws, without replacement, contain one of the ``right`` right ones.

    It is 1 − C(n − right, j) / C(n, j), an unbiased estimate of the chance that one of j new draws is right:
    M. Chen et al., "Evaluating large language models trained on code" (2021). j = 1 gives right / n.
    """
    if not (0 <= right <= n and 1 <= j <= n):
        raise ValueError(f"no pass@{j} of {n} draws of which {right} are right")
    ways = math.comb(n, j)
    return (ways - math.comb(n - right, j)) / ways


def majority(votes: Sequence[Vote]) -> Majority:
    """Return the mean value of the repeats with the most frequent answer; for a tie, the mean over the tied answers.

    That mean is the expectation of a random tie-break. An empty answer wins only if no repeat gave another; failed
    repeats do not vote, and if all failed the value is 0. The bounds cover every vote of the failed repeats. Their
    extremes occur when all of these give one answer, an existing or a new one, so only such votes are tried.
    """
    given = [vote for vote in votes if vote.value is not None]
    named = [vote for vote in given if vote.answer]
    value, failed = _winner(given), len(votes) - len(given)
    if not failed:
        return Majority(value, value, value)
    answers = {vote.answer: _winner([other for other in named if other.answer == vote.answer]) for vote in named}
    unheard = "".join(answers) + "!"
    outcomes = [_winner([*named, *[Vote(answer, each)] * failed]) for answer, each in answers.items()]
    outcomes += [_winner([*named, *[Vote(unheard, each)] * failed]) for each in (0.0, 1.0)]
    return Majority(value, min(value, *outcomes), max(value, *outcomes))


def _winner(votes: Sequence[Vote]) -> float:
    answers: dict[str, list[float]] = {}
    for vote in votes:
        answers.setdefault(vote.answer, []).append(vote.value or 0.0)
    if len(answers) > 1:
        answers.pop("", None)
    most = max(map(len, answers.values()), default=0)
    return fmean(fmean(values) for values in answers.values() if len(values) == most) if most else 0.0


_T = TypeVar("_T")

# Limit on values that are stored once and shared: most metrics give few different ones.
_MOST_SHARED = 4096
_DIGEST_BYTES = 16
# The square of a larger number may overflow; infinities and NaN cannot be averaged.
_LARGEST = 1e100
_NOTHING = 1e-9


class SampleOutcome(Struct, frozen=True, gc=False):
    """A sample's value under both readings; they differ exactly if a rollout of it failed.

    ``content`` is a digest of the score's content hash, or empty. ``cluster`` is the ``cluster_number`` of the score's
    cluster, 0 for a sample in no cluster. If the sample has several repeats, ``draws`` summarises them and ``runs`` are
    their values, 0 for a failed one.
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
        return self.wrong != self.right

    @property
    def placed(self) -> bool:
        """Return whether the sample's category or stratum is known; it may not be if the sample never ran."""
        return bool(self.category or self.stratum)

    @property
    def completed(self) -> float | None:
        """The mean of the rollouts that did not fail; None if all did."""
        share = 1 - (self.right - self.wrong)
        # The share of completed rollouts is 0 or at least 1/k, up to rounding.
        return min(1.0, self.wrong / share) if share > _NOTHING else None


Outcomes = Mapping[str, SampleOutcome]
"""A task's samples by id."""

TaskOutcomes = tuple[TaskRecord, Outcomes]
"""A task and a run's samples of it."""


class Readings(Struct, frozen=True):
    """A mean without the failures, with all of them wrong (the primary number), and with all right.

    ``completed`` is None if a task or category has no completed rollout.
    """

    completed: Estimate | None
    worst: float
    best: float


class Bounds(Struct, frozen=True):
    """The smallest and the largest value of a number over all readings of its failures."""

    low: float
    high: float


class TaskScores(Struct, frozen=True):
    """A task's samples by id, and the values of its further measures, by measure."""

    samples: dict[str, SampleOutcome] = field(default_factory=dict)
    others: dict[str, array[float]] = field(default_factory=dict)


class Stratum(Struct, frozen=True):
    """Samples that are averaged together, and the weight of their mean.

    ``unknown`` marks the stratum of samples that never ran and whose own stratum is unknown.
    """

    weight: float
    ids: tuple[str, ...]
    unknown: bool = False


def read_scores(scores: Iterable[Score]) -> dict[str, TaskScores]:
    """Return the samples of every task in ``scores``, which are in key order: repeats of a sample are adjacent."""
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
    """Return the task's strata: one, or one of equal weight for each category or stratum that the task averages over.

    Samples that never ran may have neither. They form a stratum whose weight is its share of the samples, so that they
    count, but not as a whole category.
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
    """Return the macro mean over ``tasks`` (of one task: its accuracy), each by its own aggregation.

    The value and the low end count failures as wrong, the high end as right.
    """
    return mean_interval(sampled(tasks))


def readings(tasks: Sequence[TaskOutcomes]) -> Readings | None:
    """Return the macro mean of ``tasks`` under each reading of failures; None if nothing failed."""
    strata = sampled(tasks)
    if not count_failed(strata):
        return None
    return Readings(_completed_mean(tasks), worst=weighted_mean(strata), best=weighted_mean(highest(strata)))


def _completed_mean(tasks: Sequence[TaskOutcomes]) -> Estimate | None:
    """Return the macro mean over the rollouts that did not fail; None if a task or category has none.

    It is biased upward if harder samples fail more often, so it is never shown alone.
    """
    strata = [(strata_of(*each), each[1]) for each in tasks]
    parts = narrowed(strata, lambda outcomes, i: outcomes[i].completed is not None)
    if parts is None:
        return None
    return mean_interval(_sampled(parts, lambda outcome: outcome.completed or 0.0, high=None))


def narrowed(
    tasks: Sequence[tuple[Sequence[Stratum], _T]], kept: Callable[[_T, str], bool]
) -> list[tuple[Stratum, _T]] | None:
    """Return the strata of all ``tasks`` with only the samples ``kept``; None if a known stratum has none left.

    The weight of samples that never ran goes to the others of their task.
    """
    found = []
    for strata, owner in tasks:
        left = [replace(part, ids=tuple(i for i in part.ids if kept(owner, i))) for part in strata]
        if any(not part.ids and not part.unknown for part in left):
            return None
        total = sum(part.weight for part in left if part.ids) * len(tasks)
        found += [(replace(part, weight=part.weight / total), owner) for part in left if part.ids]
    return found


Value = Callable[[SampleOutcome], float]


def sampled(
    tasks: Sequence[TaskOutcomes],
    value: Value = attrgetter("wrong"),
    *,
    low: Value | None = None,
    high: Value | None = attrgetter("right"),
) -> list[Sampled]:
    """Return the strata of ``tasks`` with the ``value`` (in [0, 1]) and the cluster of each sample.

    ``low`` (default ``value``) and ``high`` are the smallest and largest value of a sample with failures.
    """
    return _sampled(parts_of(tasks), value, low=low, high=high)


def parts_of(tasks: Sequence[TaskOutcomes]) -> list[tuple[Stratum, Outcomes]]:
    """Return the strata of all ``tasks``, whose weights add up to 1, each with its task's samples."""
    return [
        (replace(part, weight=part.weight / len(tasks)), outcomes)
        for task, outcomes in tasks
        for part in strata_of(task, outcomes)
    ]


def _sampled(
    parts: Sequence[tuple[Stratum, Outcomes]], value: Value, *, low: Value | None = None, high: Value | None
) -> list[Sampled]:
    chosen = [[outcomes[i] for i in part.ids] for part, outcomes in parts]
    clusters = [[outcome.cluster for outcome in each] for each in chosen]
    return as_strata([part for part, _ in parts], clusters, chosen, value, low=low, high=high)


def as_strata(
    parts: Sequence[Stratum],
    clusters: Sequence[Sequence[int]],
    chosen: Sequence[Sequence[SampleOutcome]],
    value: Value = attrgetter("wrong"),
    *,
    low: Value | None = None,
    high: Value | None = attrgetter("right"),
) -> list[Sampled]:
    """Return the strata of ``parts`` with the cluster and the value of each sample; the rest as in ``sampled``."""
    found = []
    for part, codes, outcomes in zip(parts, cluster_codes(clusters), chosen, strict=True):
        bounds = (low or value, high) if high and any(outcome.failed for outcome in outcomes) else ()
        read = [np.array([each(one) for one in outcomes], dtype=np.float64) for each in (value, *bounds)]
        found.append(Sampled(read[0], codes, part.weight, False, *read[1:]))
    return found


def cluster_codes(strata: Sequence[Sequence[int]]) -> list[NDArray[np.int64]]:
    """Return the clusters of ``strata``, with a unique code for each sample that has none."""
    codes, alone = [], 0
    for clusters in strata:
        part = np.array(clusters, dtype=np.int64)
        own = part == 0
        count = int(own.sum())
        # Cluster numbers are positive, so these codes are unused.
        part[own] = -1 - np.arange(alone, alone + count)
        alone += count
        codes.append(part)
    return codes


def same_content(task: str, a: Outcomes, b: Outcomes, systems: tuple[str, str]) -> tuple[str, ...]:
    """Return the shared ids, sorted. UserError if the contents of one id differ."""
    shared = tuple(sorted(a.keys() & b.keys()))
    for sample_id in shared:
        ours, theirs = a[sample_id].content, b[sample_id].content
        # A sample that never ran has no hash, so that only its id pairs it.
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
        # A repeat that never ran may have no category; another repeat has.
        category=sys.intern(next((score.category for score in repeats if score.category), "")),
        stratum=sys.intern(next((score.stratum for score in repeats if score.stratum), "")),
        content=content_digest(hashes.pop()) if hashes else b"",
        draws=_share(shared, draws),
        cluster=cluster_number(next((score.cluster for score in repeats if score.cluster), "")),
        runs=_share(shared, tuple(score.value or 0.0 for score in repeats)) if len(repeats) > 1 else (),
    )


def content_digest(content_hash: str) -> bytes:
    return blake2b(content_hash.encode(), digest_size=_DIGEST_BYTES).digest()


def cluster_number(text: str) -> int:
    """Return a positive number for a cluster, the same in every run and task; 0 for none.

    Clusters are mostly hashes of images, so that an image in two benchmarks is one cluster in their mean. The number
    has 62 bits: two of a million clusters collide with a chance of 1 in 10 million.
    """
    if not text:
        return 0
    return (int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 2) + 1


def _share(shared: dict[Any, _T], value: _T) -> _T:
    """Return the stored value equal to ``value``, so that samples share one object and need less memory."""
    if len(shared) < _MOST_SHARED:
        return shared.setdefault(value, value)
    return shared.get(value, value)
