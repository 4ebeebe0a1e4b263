"""What a task tells beside its accuracy: the accuracy of each category, and its further measures.

A category's accuracy is averaged as the task's is: HRBench's single-instance questions over their rotations. A
further measure (SLAKE's token recall, TallyQA's squared error) is a plain mean over the samples that have it; it
never stands in an accuracy's place, and is compared with nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

from maestro_eval.analysis.sample_scores import Outcomes, SampleOutcome, accuracy, count_failed
from maestro_eval.analysis.stats import Estimate, independent, mean_interval, t_mean
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
