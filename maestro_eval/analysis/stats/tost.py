"""Whether a mean is close enough to a given number to be called the same."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from maestro_eval.analysis.stats.estimates import Sampled
from maestro_eval.analysis.stats.pivots import pivot


class Equivalence(Struct, frozen=True):
    """What ``equivalence`` found. ``low`` to ``high`` is the 1 − 2α interval of the mean.

    ``equivalent``, that is p ≤ α, exactly where this interval lies within ``margin`` of ``reference``.
    """

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
    """Two one-sided tests that the true mean lies within ``margin`` of ``reference``, taken as a fixed number.

    p is the larger of the p-values of θ ≤ reference − margin and θ ≥ reference + margin. D. J. Schuirmann, "A
    comparison of the two one-sided tests procedure and the power approach", J. Pharmacokinet. Biopharm. 15 (1987).
    Both are those of the interval of ``mean_interval``: clustered error, G − 1 degrees of freedom. For a paired
    difference, pass ``differences(a, b)`` and a reference of 0. Not to find equivalence is not to find a difference.
    """
    if not margin > 0:
        raise ValueError(f"an equivalence margin is above 0, not {margin}")
    found = pivot(strata)
    p = max(found.p_above(reference - margin), found.p_below(reference + margin))
    ends = found.interval(1 - 2 * alpha)
    return Equivalence(
        found.value, ends.low, ends.high, reference, margin, p, p <= alpha, found.n, f"tost, {found.method}"
    )
