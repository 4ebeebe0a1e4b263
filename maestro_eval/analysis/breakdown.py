"""The results of a task beside its accuracy: categories, further measures, and k answers to a sample.

A category's accuracy is averaged as the task's is: HRBench's single-instance questions over their rotations. A
further measure (SLAKE's token recall, TallyQA's squared error) is a plain mean over the samples that have it; it
never stands in an accuracy's place, and is compared with nothing. pass@j and majority@k are averaged as the accuracy
is, with the same intervals; a failed repeat counts as wrong while the interval reaches to where it was right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import pvariance

import numpy as np
from msgspec import Struct

from maestro_eval.analysis.pass_at_k import Draws, pass_at
from maestro_eval.analysis.sample_scores import (
    Bounds,
    Outcomes,
    SampleOutcome,
    TaskOutcomes,
    accuracy,
    count_failed,
    macro_mean,
    parts_of,
    widened,
)
from maestro_eval.analysis.stats import Estimate, independent, mean_interval, rerun_noise, t_mean
from maestro_eval.records import TaskRecord

MOST_CATEGORIES = 64
"""More than these are a column that identifies samples, not one that sorts them."""

_ROOTED = {"squared_error": "rmse"}
_FRACTIONS = frozenset({"token_recall"})


class CategoryAccuracy(Struct, frozen=True):
    """A task's accuracy on one category. ``n_failed`` samples had a rollout that failed or never ran."""

    accuracy: Estimate
    n_failed: int


class Measure(Struct, frozen=True):
    """The mean of a further measure over the ``n`` samples that have it; no ends where their spread tells nothing.

    Named as it is shown: ``rmse`` is the root of the mean of ``squared_error``, its ends the roots of that mean's.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    method: str


def by_category(task: TaskRecord, outcomes: Outcomes) -> dict[str, CategoryAccuracy]:
    """The accuracies of the task's categories by name; none where it has one, or more than can be told apart.

    Samples that never ran and whose category is unknown are in none of them.
    """
    names = category_names(outcomes)
    if not 1 < len(names) <= MOST_CATEGORIES:
        return {}
    parts: dict[str, dict[str, SampleOutcome]] = {name: {} for name in names}
    for sample_id, outcome in outcomes.items():
        if outcome.category:
            parts[outcome.category][sample_id] = outcome
    return {
        name: CategoryAccuracy(accuracy([(task, part)]), count_failed(part.values())) for name, part in parts.items()
    }


def category_names(outcomes: Outcomes) -> tuple[str, ...]:
    """The known categories, sorted."""
    return tuple(sorted({outcome.category for outcome in outcomes.values()} - {""}))


def further_measures(others: Mapping[str, Sequence[float]]) -> dict[str, Measure]:
    """The means of ``others``, each a number for every sample that has it, by the name under which they are shown."""
    measures = [_measure(name, values) for name, values in sorted(others.items())]
    return {measure.name: measure for measure in measures}


def _measure(name: str, values: Sequence[float]) -> Measure:
    # A number that lmms-eval keeps of each sample is a share as far as can be seen: its interval ends at 0 and 1.
    if name in _FRACTIONS or (name not in _ROOTED and all(0 <= value <= 1 for value in values)):
        share = mean_interval(independent([values]))
        return Measure(name, share.value, share.low, share.high, share.n, share.method)
    mean, reach = t_mean(values)
    low, high = (None, None) if reach is None else (mean - reach, mean + reach)
    if name not in _ROOTED:
        return Measure(name, mean, low, high, len(values), "t")
    return Measure(_ROOTED[name], math.sqrt(mean), _root(low), _root(high), len(values), "root of t")


def _root(end: float | None) -> float | None:
    return None if end is None else math.sqrt(max(0.0, end))


_Reader = Callable[[Draws], float]


class RepeatMeasures(Struct, frozen=True):
    """``average`` is avg@k, the task's accuracy. ``pass_at`` is by j: 1, 2, 4, … and k.

    ``pass_at`` is empty where a value is neither 0 nor 1: there is then no telling a right draw from a wrong one.
    ``rerun`` is the standard deviation of the accuracy of one pass over the samples that comes from asking the same
    system again; of avg@k it is √k times smaller. A failed answer counts as wrong in it; ``rerun_bounds`` are the least
    and the most that it may be, where something failed.
    """

    k: int
    average: Estimate
    pass_at: dict[int, Estimate]
    majority: Estimate
    rerun: float
    rerun_bounds: Bounds | None = None


def repeat_measures(tasks: Sequence[TaskOutcomes]) -> RepeatMeasures | None:
    """The macro means over ``tasks``; None unless all samples were drawn the same number of times, and several."""
    draws = [outcome.draws for _, outcomes in tasks for outcome in outcomes.values()]
    numbers = {each.n if each else 1 for each in draws}
    if len(numbers) != 1 or numbers == {1}:
        return None
    k = numbers.pop()
    whole = all(each and each.right is not None for each in draws)

    failed = any(outcome.failed for _, outcomes in tasks for outcome in outcomes.values())

    def mean(read: _Reader) -> Estimate:
        return macro_mean(tasks, lambda outcome: read(_draws(outcome)))

    def estimate(value: _Reader, low: _Reader, high: _Reader) -> Estimate:
        if not failed:
            return mean(value)
        return widened(mean(value), low=mean(low), high=mean(high))

    def pass_estimate(j: int) -> Estimate:
        wrong = partial(_pass_at, j=j, hidden=False)
        return estimate(wrong, wrong, partial(_pass_at, j=j, hidden=True))

    return RepeatMeasures(
        k,
        accuracy(tasks),
        {j: pass_estimate(j) for j in ladder(k)} if whole else {},
        estimate(lambda each: each.majority.value, lambda each: each.majority.low, lambda each: each.majority.high),
        _deviation(tasks, lambda outcome: outcome.runs),
        Bounds(_deviation(tasks, _steadiest), _deviation(tasks, _most_varied)) if failed else None,
    )


def _deviation(tasks: Sequence[TaskOutcomes], runs: Callable[[SampleOutcome], Sequence[float]]) -> float:
    """The standard deviation, by rerunning alone, of one pass's macro mean over ``tasks``.

    √Σ wₛ² σₛ²/nₛ over strata, σₛ² being the mean within-sample variance of stratum s (``RerunNoise.rerun``).
    """
    parts = [
        (part.weight, np.array([runs(outcomes[i]) for i in part.ids], dtype=np.float64))
        for part, outcomes in parts_of(tasks)
    ]
    return math.sqrt(math.fsum((weight * rerun_noise(values).rerun) ** 2 for weight, values in parts))


def _steadiest(outcome: SampleOutcome) -> Sequence[float]:
    """The repeats with each failed one read as the others' mean: they cannot vary less."""
    completed = outcome.completed
    kept = sorted(outcome.runs)[_draws(outcome).failed :]
    return [*kept, *[completed or 0.0] * (len(outcome.runs) - len(kept))]


def _most_varied(outcome: SampleOutcome) -> Sequence[float]:
    """The repeats with the failed ones read as right or wrong so that they vary the most."""
    failed = _draws(outcome).failed
    kept = sorted(outcome.runs)[failed:]
    readings = [[*kept, *[1.0] * right, *[0.0] * (failed - right)] for right in range(failed + 1)]
    return max(readings, key=lambda runs: pvariance(runs))


def ladder(k: int) -> Iterator[int]:
    """1, 2, 4, … below k, and k."""
    j = 1
    while j < k:
        yield j
        j *= 2
    yield k


def _pass_at(draws: Draws, *, j: int, hidden: bool) -> float:
    """pass@j with the failed draws read as wrong, or as right where what they hide is asked for."""
    return pass_at(draws.n, (draws.right or 0) + (draws.failed if hidden else 0), j)


def _draws(outcome: SampleOutcome) -> Draws:
    if outcome.draws is None:
        raise ValueError("a sample that was drawn once has no repeats")
    return outcome.draws
