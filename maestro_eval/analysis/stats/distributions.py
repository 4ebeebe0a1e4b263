"""Quantiles and tails of the few distributions that the statistics need, from ``scipy.special``.

It is imported at the first call: loading it takes longer than most commands that need none of it, and ``scipy.stats``
three times as long again.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

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
