"""The results of a task besides its accuracy: categories, further measures, and measures of k repeats.

A category's accuracy uses the task's own average: HRBench's single-instance questions over their rotations. A further
measure (SLAKE's token recall, TallyQA's squared error) is a plain mean over the samples that have it; it never replaces
an accuracy, and systems are not compared by it. pass@j and majority@k use the task's average and its intervals; a
failed repeat counts as wrong, and the interval extends to the value with it right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import pvariance

import numpy as np
from msgspec import Struct, field

from maestro_eval.analysis.sample_scores import (
    Bounds,
    Draws,
    Outcomes,
    SampleOutcome,
    TaskOutcomes,
    accuracy,
    parts_of,
    pass_at,
    sampled,
)
from maestro_eval.analysis.stats.estimates import Estimate, count_failed, independent, t_mean
from maestro_eval.analysis.stats.intervals import mean_interval, rerun_error
from maestro_eval.records import TaskRecord

MOST_CATEGORIES = 64
"""A column with more values than these identifies samples and is no category."""

_ROOTED = {"squared_error": "rmse"}
_FRACTIONS = frozenset({"token_recall"})


class Accuracy(Struct, frozen=True):
    """An accuracy on some samples, of which ``n_failed`` have a rollout that failed or never ran.

    ``n_lacking`` rollouts completed without evidence that a service failed to deliver.
    """

    accuracy: Estimate
    n_failed: int = 0
    n_lacking: int = 0


class Measure(Struct, frozen=True):
    """The mean of a further measure over the ``n`` samples that have it; no interval if the values do not vary."""

    value: float
    low: float | None
    high: float | None
    n: int
    method: str


def by_category(task: TaskRecord, outcomes: Outcomes) -> dict[str, Accuracy]:
    """Return the accuracy of each category; empty unless there are 2 to ``MOST_CATEGORIES`` categories.

    Samples whose category is unknown because they never ran are in none of them.
    """
    names = category_names(outcomes)
    if not 1 < len(names) <= MOST_CATEGORIES:
        return {}
    parts: dict[str, dict[str, SampleOutcome]] = {name: {} for name in names}
    for sample_id, outcome in outcomes.items():
        if outcome.category:
            parts[outcome.category][sample_id] = outcome
    strata = {name: sampled([(task, part)]) for name, part in parts.items()}
    return {name: Accuracy(mean_interval(each), count_failed(each)) for name, each in strata.items()}


def category_names(outcomes: Outcomes) -> tuple[str, ...]:
    return tuple(sorted({outcome.category for outcome in outcomes.values()} - {""}))


def further_measures(others: Mapping[str, Sequence[float]]) -> dict[str, Measure]:
    """Return the means of ``others``, the values of each measure, by displayed name.

    ``rmse`` and the ends of its interval are the square roots of those of the mean ``squared_error``.
    """
    return {_ROOTED.get(name, name): _measure(name, values) for name, values in sorted(others.items())}


def _measure(name: str, values: Sequence[float]) -> Measure:
    # lmms-eval does not say which of its numbers are shares; values within [0, 1] are assumed to be.
    if name in _FRACTIONS or (name not in _ROOTED and all(0 <= value <= 1 for value in values)):
        share = mean_interval(independent([values]))
        return Measure(share.value, share.low, share.high, share.n, share.method)
    mean, reach = t_mean(values)
    low, high = (None, None) if reach is None else (mean - reach, mean + reach)
    if name not in _ROOTED:
        return Measure(mean, low, high, len(values), "t")
    low, high = (end if end is None else math.sqrt(max(0.0, end)) for end in (low, high))
    return Measure(math.sqrt(mean), low, high, len(values), "root of t")


_Reader = Callable[[Draws], float]


class RepeatMeasures(Struct, frozen=True, omit_defaults=True):
    """The measures of ``k`` repeats. ``average`` is avg@k, the task's accuracy; ``pass_at`` is by j: 1, 2, 4, … and k.

    ``pass_at`` is empty if a value is neither 0 nor 1, since such an answer is neither right nor wrong. ``rerun`` is
    the standard deviation of one pass's accuracy when the same system is asked again; that of avg@k is √k times
    smaller. Failed answers count as wrong in it; if any failed, ``rerun_bounds`` are its smallest and largest values.
    """

    k: int
    average: Estimate = field(name="avg")
    pass_at: dict[int, Estimate]
    majority: Estimate
    rerun: float = field(name="rerun_sd")
    rerun_bounds: Bounds | None = field(name="rerun_sd_bounds", default=None)


def repeat_measures(tasks: Sequence[TaskOutcomes]) -> RepeatMeasures | None:
    """Return the macro means over ``tasks``; None unless all samples have the same number of repeats, at least 2."""
    draws = [outcome.draws for _, outcomes in tasks for outcome in outcomes.values()]
    numbers = {each.n if each else 1 for each in draws}
    if len(numbers) != 1 or numbers == {1}:
        return None
    k = numbers.pop()
    whole = all(each and each.right is not None for each in draws)

    def estimate(*readers: _Reader) -> Estimate:
        """Return the estimate of a value, given with failures wrong, then at its smallest and at its largest."""
        value, low, high = (lambda outcome, read=read: read(_draws(outcome)) for read in readers)
        return mean_interval(sampled(tasks, value, low=low, high=high))

    def pass_estimate(j: int) -> Estimate:
        wrong = partial(_pass_at, j=j)
        return estimate(wrong, wrong, partial(wrong, failed_right=True))

    failed = count_failed(sampled(tasks))
    return RepeatMeasures(
        k,
        accuracy(tasks),
        {j: pass_estimate(j) for j in ladder(k)} if whole else {},
        estimate(lambda each: each.majority.value, lambda each: each.majority.low, lambda each: each.majority.high),
        _deviation(tasks, lambda outcome: outcome.runs),
        Bounds(_deviation(tasks, _least_varied), _deviation(tasks, _most_varied)) if failed else None,
    )


def _deviation(tasks: Sequence[TaskOutcomes], runs: Callable[[SampleOutcome], Sequence[float]]) -> float:
    """Return the standard deviation that rerunning alone gives the macro mean of one pass over ``tasks``.

    It is √Σ wₛ² σₛ²/nₛ over strata; σₛ² is the mean within-sample variance of stratum s (``rerun_error``).
    """
    parts = [
        (part.weight, np.array([runs(outcomes[i]) for i in part.ids], dtype=np.float64))
        for part, outcomes in parts_of(tasks)
    ]
    return math.sqrt(math.fsum((weight * rerun_error(values)) ** 2 for weight, values in parts))


def _least_varied(outcome: SampleOutcome) -> Sequence[float]:
    """Return the repeats with each failed one set to the others' mean, which makes their variance smallest."""
    completed = outcome.completed
    kept = sorted(outcome.runs)[_draws(outcome).failed :]
    return [*kept, *[completed or 0.0] * (len(outcome.runs) - len(kept))]


def _most_varied(outcome: SampleOutcome) -> Sequence[float]:
    """Return the repeats with each failed one set to 0 or 1 so that their variance is largest."""
    failed = _draws(outcome).failed
    kept = sorted(outcome.runs)[failed:]
    readings = [[*kept, *[1.0] * right, *[0.0] * (failed - right)] for right in range(failed + 1)]
    return max(readings, key=lambda runs: pvariance(runs))


def ladder(k: int) -> list[int]:
    return [*(1 << power for power in range((k - 1).bit_length())), k]


def _pass_at(draws: Draws, *, j: int, failed_right: bool = False) -> float:
    return pass_at(draws.n, (draws.right or 0) + draws.failed * failed_right, j)


def _draws(outcome: SampleOutcome) -> Draws:
    if outcome.draws is None:
        raise ValueError("a sample that was drawn once has no repeats")
    return outcome.draws
