"""Wilson's interval of a proportion and Student's of a mean, for independent samples; their quantiles and tails.

Where several questions share one image these intervals are too narrow: ``intervals`` is for those. ``scipy.special`` is
imported at the first call: loading it takes longer than most commands that need none of it, and ``scipy.stats`` three
times as long again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import fmean, variance

import numpy as np
from numpy.typing import NDArray

from maestro_eval.analysis.stats.estimates import Estimate

# From here on t is normal to every digit that matters, and its own functions lose theirs.
_NORMAL = 1e7


@cache
def normal_quantile(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))


def normal_cdf(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(Z ≤ x), accurate where it is small."""
    from scipy.special import ndtr

    found: NDArray[np.float64] = ndtr(x)
    return found


@cache
def t_quantile(probability: float, freedom: float) -> float:
    """The x with P(T ≤ x) = ``probability`` for Student's t; ``freedom`` > 0 may be infinite."""
    from scipy.special import stdtrit

    if freedom > _NORMAL:
        return normal_quantile(probability)

    if not 0 < probability < 1 or freedom <= 0:
        raise ValueError(f"no t quantile for probability {probability} and {freedom} degrees of freedom")
    return float(stdtrit(freedom, probability))


def t_tail(x: float, freedom: float) -> float:
    """P(T ≥ x), accurate where it is small."""
    from scipy.special import ndtr, stdtr

    return float(ndtr(-x)) if freedom > _NORMAL else float(stdtr(freedom, -x))


def fair_coin_tail(heads: int, tosses: int) -> float:
    """P(X ≤ ``heads``) for the heads of ``tosses`` fair coins."""
    from scipy.special import bdtr

    return float(bdtr(heads, tosses, 0.5))


def binomial_tails(successes: int, n: int, chance: float) -> tuple[float, float]:
    """P(X ≤ ``successes``) and P(X ≥ ``successes``) for the successes of ``n`` tries of the given ``chance``."""
    from scipy.special import bdtr, bdtrc

    high = 1.0 if successes == 0 else float(bdtrc(successes - 1, n, chance))
    return float(bdtr(successes, n, chance)), high


# Below this spread, values that should be equal differ only by rounding, and t has no spread to work with.
_NO_SPREAD = 1e-18


def wilson(successes: float, n: int, level: float = 0.95) -> Estimate:
    """The Wilson score interval of a proportion: for p = successes / n and the normal quantile z,

        (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    Its coverage wavers about the level: at 95 % and n of 12 to 24 it is 91 % to 98 % for p from 0.05 to 0.95,
    and down to 84 % nearer to 0 and 1.
    Fractional ``successes`` are allowed: no mean of values in [0, 1] has a variance beyond p(1−p), so the
    interval is then too wide rather than too narrow.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"no proportion: {successes} successes of {n}")
    p = successes / n
    low, high = score_ends(p, n, normal_quantile((1 + level) / 2))
    return Estimate(p, low, high, n, "wilson")


def score_ends(p: float, n: float, quantile: float) -> tuple[float, float]:
    """Wilson's ends for the share ``p`` of ``n`` samples, which may be an effective number of them."""
    z = quantile
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    reach = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    # At p = 0 and p = 1 the bound equals p in exact arithmetic; rounding must not push it past.
    return min(p, max(0.0, centre - reach)), max(p, min(1.0, centre + reach))


def t_mean(values: Sequence[float], level: float = 0.95) -> tuple[float, float | None]:
    """The mean of any finite values and the reach of its t interval; no reach without a spread to tell it from."""
    if len(values) < 2 or variance(values) < _NO_SPREAD:
        return fmean(values), None
    return _t_reach(values, level)


def _t_reach(values: Sequence[float], level: float) -> tuple[float, float]:
    n = len(values)
    return fmean(values), t_quantile((1 + level) / 2, n - 1) * math.sqrt(variance(values) / n)
