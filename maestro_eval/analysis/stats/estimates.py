"""The records of the statistics, quantiles and tails, and Wilson's and Student's intervals for independent samples.

For clustered samples these intervals are too narrow; use ``intervals``. ``scipy.special`` is imported at the first
call, because its import is slower than most commands that do not need it; ``scipy.stats`` is three times slower still.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import fmean, variance

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray


class Sampled(Struct, frozen=True, eq=False):
    """One stratum: a number for each sample, the cluster that it belongs to, and the weight of the stratum's mean.

    ``values`` are averaged over repeats. Equal codes in ``clusters`` mean samples that are not independent of each
    other (questions about one image, rotations of one question), within a stratum and across the strata of a call.
    The weights of a call add up to 1. Values lie in [0, 1], those of a ``signed`` stratum (differences) in [−1, 1].
    They count failures as wrong. If any failed, ``least`` and ``most`` are the values with the failures of both sides
    read so that the mean is smallest and largest; None otherwise.
    """

    values: NDArray[np.float64]
    clusters: NDArray[np.int64]
    weight: float = 1.0
    signed: bool = False
    least: NDArray[np.float64] | None = None
    most: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or self.values.shape != self.clusters.shape or not self.values.size:
            raise ValueError(f"a stratum needs values and as many clusters: {self.values.shape}, {self.clusters.shape}")
        if not np.isfinite(self.values).all():
            raise ValueError("a stratum needs finite values")

    @property
    def lowest(self) -> NDArray[np.float64]:
        return self.values if self.least is None else self.least

    @property
    def highest(self) -> NDArray[np.float64]:
        return self.values if self.most is None else self.most

    def read(self, values: NDArray[np.float64]) -> Sampled:
        """Return the stratum with these values, under one reading of failures."""
        return Sampled(values, self.clusters, self.weight, self.signed)


class Estimate(Struct, frozen=True):
    """A number with its interval. ``n`` counts its samples (pairs, for a difference)."""

    value: float
    low: float
    high: float
    n: int
    method: str

    @property
    def negated(self) -> Estimate:
        """The estimate of the negated difference."""
        return Estimate(-self.value, -self.high, -self.low, self.n, self.method)

    def minus(self, number: float) -> Estimate:
        """Return the estimate of the difference from a fixed ``number``."""
        return Estimate(self.value - number, self.low - number, self.high - number, self.n, self.method)

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


class PValue(Struct, frozen=True):
    """A two-sided p-value and the name of its test."""

    value: float
    method: str


def independent(strata: Sequence[ArrayLike], weights: Sequence[float] | None = None) -> list[Sampled]:
    """Return strata in which every sample is its own cluster; equal weights unless ``weights`` are given."""
    values = [np.asarray(each, dtype=np.float64) for each in strata]
    starts = np.cumsum([0, *(each.size for each in values)])
    return [
        Sampled(each, np.arange(start, start + each.size, dtype=np.int64), 1 / len(values) if weights is None else w)
        for each, start, w in zip(values, starts, weights or [0.0] * len(values), strict=False)
    ]


def differences(a: Sequence[Sampled], b: Sequence[Sampled]) -> list[Sampled]:
    """Return a − b sample by sample as ``signed`` strata.

    ValueError unless both sides have the same strata, clusters and weights.
    """
    if len(a) != len(b):
        raise ValueError(f"pairs need the same strata: {len(a)} and {len(b)}")
    for ours, theirs in zip(a, b, strict=True):
        if not np.array_equal(ours.clusters, theirs.clusters) or ours.weight != theirs.weight:
            raise ValueError("pairs need the same samples: clusters or weights differ")
    return [_difference(x, y) for x, y in zip(a, b, strict=True)]


def _difference(x: Sampled, y: Sampled) -> Sampled:
    failed = x.least is not None or y.least is not None
    bounds = (x.lowest - y.highest, x.highest - y.lowest) if failed else (None, None)
    return Sampled(x.values - y.values, x.clusters, x.weight, True, *bounds)


def lowest(strata: Sequence[Sampled]) -> list[Sampled]:
    return [each.read(each.lowest) for each in strata]


def highest(strata: Sequence[Sampled]) -> list[Sampled]:
    return [each.read(each.highest) for each in strata]


def count_failed(strata: Sequence[Sampled]) -> int:
    """Return the number of samples whose value depends on the reading of failures."""
    return sum(int((each.lowest != each.highest).sum()) for each in strata)


def weighted_mean(strata: Sequence[Sampled]) -> float:
    return math.fsum(stratum.weight * float(stratum.values.mean()) for stratum in strata)


# Above this, t equals the normal to all relevant digits, and scipy's t functions lose precision.
_NORMAL = 1e7


@cache
def normal_quantile(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))


def normal_cdf(x: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.special import ndtr

    found: NDArray[np.float64] = ndtr(x)
    return found


@cache
def t_quantile(freedom: float) -> float:
    """Return the x with P(|T| ≤ x) = 95 % for Student's t; ``freedom`` > 0 may be infinite."""
    from scipy.special import stdtrit

    return normal_quantile(0.975) if freedom > _NORMAL else float(stdtrit(freedom, 0.975))


def t_widening(freedom: float) -> float:
    """Return the ratio of t's quantile to the normal one: how much wider few degrees of freedom make an interval."""
    return t_quantile(freedom) / normal_quantile(0.975)


def t_tail(x: float, freedom: float) -> float:
    from scipy.special import ndtr, stdtr

    return float(ndtr(-x)) if freedom > _NORMAL else float(stdtr(freedom, -x))


def binomial_tails(successes: int, n: int, chance: float) -> tuple[float, float]:
    """Return P(X ≤ ``successes``) and P(X ≥ ``successes``) for X successes of ``n`` trials with ``chance``."""
    from scipy.special import bdtr, bdtrc

    high = 1.0 if successes == 0 else float(bdtrc(successes - 1, n, chance))
    return float(bdtr(successes, n, chance)), high


# A variance below this is rounding error of equal values.
_NO_SPREAD = 1e-18


def wilson(successes: float, n: int) -> Estimate:
    """Return the Wilson score interval of a proportion at 95 %: for p = successes / n and the normal quantile z,

        (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    Its coverage oscillates around the level: at 95 % and n of 12 to 24 it is 91 % to 98 % for p from 0.05 to 0.95,
    and down to 84 % nearer to 0 and 1. Fractional ``successes`` are allowed: values in [0, 1] have a variance of at
    most p(1−p), so that the interval is rather too wide.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"no proportion: {successes} successes of {n}")
    p = successes / n
    low, high = score_ends(p, n, normal_quantile(0.975))
    return Estimate(p, low, high, n, "wilson")


def score_ends(p: float, n: float, quantile: float) -> tuple[float, float]:
    """Return the ends of Wilson's interval for the share ``p`` of ``n`` samples; ``n`` may be an effective size."""
    z = quantile
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    reach = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    # At p = 0 and p = 1 the bound equals p in exact arithmetic; rounding must not move it beyond.
    return min(p, max(0.0, centre - reach)), max(p, min(1.0, centre + reach))


def t_mean(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the half-width of its t interval; the latter is None if the values do not vary."""
    if len(values) < 2 or (spread := variance(values)) < _NO_SPREAD:
        return fmean(values), None
    n = len(values)
    return fmean(values), t_quantile(n - 1) * math.sqrt(spread / n)
