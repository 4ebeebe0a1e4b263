"""Whether a mean is close enough to a given number to be called the same."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from maestro_eval.analysis.stats.clusters import by_cluster, spread
from maestro_eval.analysis.stats.distributions import t_quantile, t_tail
from maestro_eval.analysis.stats.estimates import Sampled


class Equivalence(Struct, frozen=True):
    """``low`` to ``high`` is the 1 − 2α interval; ``equivalent`` exactly where it lies within the margin."""

    value: float
    low: float
    high: float
    reference: float
    margin: float
    p: float
    equivalent: bool
    n: int
    method: str


def equivalence(strata: Sequence[Sampled], reference: float, margin: float, *, alpha: float = 0.05) -> Equivalence:
    """Two one-sided tests that the mean lies within ``margin`` of ``reference``, which is taken as a fixed number.

    For a paired difference, pass ``differences(a, b)`` and a reference of 0.
    """
    if margin <= 0:
        raise ValueError(f"an equivalence margin is above 0, not {margin}")
    data = by_cluster(strata)
    found = spread(data)
    gap = data.value - reference
    if not found.error:
        return Equivalence(data.value, -math.inf, math.inf, reference, margin, 1.0, False, data.n, "no spread")
    p = max(t_tail((gap + margin) / found.error, found.freedom), t_tail((margin - gap) / found.error, found.freedom))
    reach = t_quantile(1 - alpha, found.freedom) * found.error
    low, high = data.value - reach, data.value + reach
    return Equivalence(data.value, low, high, reference, margin, p, p <= alpha, data.n, "tost, cluster t")
