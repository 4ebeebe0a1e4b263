"""What asking each sample k times tells beyond the accuracy: pass@j and majority@k of a task.

All three are averaged over samples as the task's accuracy is (its categories or strata included), with the same
intervals, and a failed repeat counts as wrong while the interval reaches to where it was right: see
docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from msgspec import Struct

from maestro_eval.analysis.pass_at_k import Draws, pass_at
from maestro_eval.analysis.sample_scores import (
    SampleOutcome,
    TaskOutcomes,
    accuracy,
    macro_mean,
    parts_of,
    widened,
)
from maestro_eval.analysis.stats import Estimate, rerun_noise

_Reader = Callable[[Draws], float]


class RepeatMeasures(Struct, frozen=True):
    """``average`` is avg@k, the task's accuracy. ``pass_at`` is by j: 1, 2, 4, … and k.

    ``pass_at`` is empty where a value is neither 0 nor 1: there is then no telling a right draw from a wrong one.
    ``rerun`` is the standard deviation of the accuracy of one pass over the samples that comes from asking the same
    system again; of avg@k it is √k times smaller. A failed answer counts as wrong in it.
    """

    k: int
    average: Estimate
    pass_at: dict[int, Estimate]
    majority: Estimate
    rerun: float


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
        rerun_deviation(tasks) or 0.0,
    )


def rerun_deviation(tasks: Sequence[TaskOutcomes]) -> float | None:
    """The standard deviation, by rerunning alone, of one pass's macro mean over ``tasks``.

    √Σ wₛ² σₛ²/nₛ over strata, σₛ² being the mean within-sample variance of stratum s (``RerunNoise.rerun``). ``None``
    unless every task had all its samples asked the same number of times, and several.
    """
    for _, outcomes in tasks:
        numbers = {len(outcome.runs) for outcome in outcomes.values()}
        if len(numbers) != 1 or numbers == {0}:
            return None
    parts = [
        (part.weight, np.array([outcomes[i].runs for i in part.ids], dtype=np.float64))
        for part, outcomes in parts_of(tasks)
    ]
    return math.sqrt(math.fsum((weight * rerun_noise(values).rerun) ** 2 for weight, values in parts))


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
