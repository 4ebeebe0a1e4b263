"""What a design can detect, and how many samples it needs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from maestro_eval.analysis.stats.clusters import Spread, by_cluster, spread
from maestro_eval.analysis.stats.distributions import noncentral_t_tail, t_quantile
from maestro_eval.analysis.stats.estimates import Sampled, differences


def detectable(
    a: Sequence[Sampled], b: Sequence[Sampled] | None = None, *, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The smallest true effect that a test at ``alpha``, two-sided, finds with chance ``power`` in this design.

    The effect is a departure of the mean of ``a`` from a fixed number; with ``b``, of the paired mean of a − b from 0.
    """
    found = spread(by_cluster(differences(a, b) if b is not None else a))
    low, high = 0.0, 1.0
    while _power(high, found, alpha) < power:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _power(middle, found, alpha) < power else (low, middle)
    return high


def needed_samples(
    a: Sequence[Sampled],
    b: Sequence[Sampled] | None = None,
    *,
    effect: float,
    power: float = 0.8,
    alpha: float = 0.05,
) -> int:
    """How many samples a design like this one needs in all, so that ``detectable`` comes down to ``effect``."""
    strata = differences(a, b) if b is not None else a
    return math.ceil(by_cluster(strata).n * (detectable(strata, power=power, alpha=alpha) / effect) ** 2)


def needed_for_equivalence(
    strata: Sequence[Sampled], margin: float, *, shift: float = 0.0, power: float = 0.8, alpha: float = 0.05
) -> int:
    """How many samples ``equivalence`` needs in all to succeed with chance ``power``, the true gap being ``shift``."""
    data = by_cluster(strata)
    found = spread(data)
    reach = t_quantile(1 - alpha, found.freedom) + t_quantile((1 + power) / 2, found.freedom)
    return math.ceil(data.n * (reach * found.error / (margin - abs(shift))) ** 2)


def _power(effect: float, found: Spread, alpha: float) -> float:
    return noncentral_t_tail(t_quantile(1 - alpha / 2, found.freedom), found.freedom, effect / found.error)
