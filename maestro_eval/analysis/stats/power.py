"""What a design can detect, and how many samples it needs: planned with the error that this many samples showed.

The error falls with the square root of the number of samples, the design staying the same: as many samples in each
cluster, as large a share of each stratum. Its degrees of freedom grow with the number of clusters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from msgspec import Struct

from maestro_eval.analysis.stats.distributions import noncentral_t_tail, t_quantile
from maestro_eval.analysis.stats.estimates import Sampled, differences
from maestro_eval.analysis.stats.pivots import pivot

# A search that has come to more samples than this is for an effect that nobody will look for.
_MOST_SAMPLES = 10**12


class _Design(Struct, frozen=True):
    """The error of the mean of ``n`` samples and its degrees of freedom."""

    error: float
    freedom: float
    n: int

    def of(self, n: int) -> _Design:
        """The same with ``n`` samples."""
        share = n / self.n
        return _Design(self.error / math.sqrt(share), max(1.0, (self.freedom + 1) * share - 1), n)

    def power(self, effect: float, alpha: float) -> float:
        """The chance that a two-sided t test at ``alpha`` rejects."""
        quantile, shift = t_quantile(1 - alpha / 2, self.freedom), effect / self.error
        return noncentral_t_tail(quantile, self.freedom, shift) + noncentral_t_tail(quantile, self.freedom, -shift)

    def equivalence_power(self, margin: float, shift: float, alpha: float) -> float:
        """The chance that both one-sided tests reject where the true gap is ``shift``."""
        quantile = t_quantile(1 - alpha, self.freedom)
        above = noncentral_t_tail(quantile, self.freedom, (margin + shift) / self.error)
        below = noncentral_t_tail(quantile, self.freedom, (margin - shift) / self.error)
        return max(0.0, above + below - 1)


def detectable(
    a: Sequence[Sampled], b: Sequence[Sampled] | None = None, *, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The smallest true effect that a two-sided test at ``alpha`` finds with chance ``power`` in this design.

    The effect is a departure of the mean of ``a`` from a fixed number; with ``b``, of the paired mean of a − b from 0.
    With noncentral t: the δ for which P(|T(f, δ/error)| > t(1 − α/2, f)) = power; about (1.96 + 0.84) × error. J.
    Cohen, "Statistical power analysis for the behavioral sciences" (1988). The error is that of the interval, so that
    data without any spread have one; infinite only for values without bounds that have no spread.
    """
    design = _design(a, b)
    if math.isinf(design.error):
        return math.inf
    low, high = 0.0, design.error
    while design.power(high, alpha) < power:
        low, high = high, 2 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if design.power(middle, alpha) < power else (low, middle)
    return high


def needed_samples(
    a: Sequence[Sampled],
    b: Sequence[Sampled] | None = None,
    *,
    effect: float,
    power: float = 0.8,
    alpha: float = 0.05,
) -> int:
    """How many samples in all a design like this one needs to find ``effect`` with chance ``power``.

    ValueError for an effect of 0, and where the values have neither bounds nor spread.
    """
    if not abs(effect) > 0:
        raise ValueError("no number of samples finds an effect of 0")
    design = _design(a, b)
    return _fewest(design, lambda larger: larger.power(abs(effect), alpha) >= power)


def needed_for_equivalence(
    strata: Sequence[Sampled], margin: float, *, shift: float = 0.0, power: float = 0.8, alpha: float = 0.05
) -> int:
    """How many samples in all ``equivalence`` needs to succeed with chance ``power``, the true gap being ``shift``.

    P(T(f, (Δ+s)/error) > t) + P(T(f, (Δ−s)/error) > t) − 1 ≥ power. S.-C. Chow, J. Shao and H. Wang, "Sample size
    calculations in clinical research" (2008), with noncentral t. ValueError unless |shift| < margin.
    """
    if not abs(shift) < margin:
        raise ValueError(f"no number of samples shows a gap of {shift} to be within {margin}")
    design = _design(strata, None)
    return _fewest(design, lambda larger: larger.equivalence_power(margin, shift, alpha) >= power)


def _design(a: Sequence[Sampled], b: Sequence[Sampled] | None) -> _Design:
    found = pivot(a if b is None else differences(a, b))
    if found.score_n is None:
        return _Design(found.error, found.freedom, found.n)
    # As Agresti and Coull: two successes and two failures more, so that a perfect score has an error too.
    share = (found.value * found.score_n + 2) / (found.score_n + 4)
    return _Design(math.sqrt(share * (1 - share) / (found.score_n + 4)), found.freedom, found.n)


def _fewest(design: _Design, enough: Callable[[_Design], bool]) -> int:
    if math.isinf(design.error):
        raise ValueError("values without bounds and without spread tell nothing of how many are needed")
    low, high = 1, 2
    while not enough(design.of(high)):
        low, high = high, 2 * high
        if high > _MOST_SAMPLES:
            raise ValueError(f"more than {_MOST_SAMPLES:.0e} samples are needed")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(design.of(middle)) else (middle, high)
    return high
