"""Quantiles and tails of the few distributions that the statistics need, from ``scipy.special``.

It is imported at the first call: loading it takes longer than most commands that need none of it, and ``scipy.stats``
three times as long again.
"""

from __future__ import annotations

from functools import cache


@cache
def normal_quantile(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))


@cache
def t_quantile(probability: float, freedom: float) -> float:
    """The x with P(T ≤ x) = ``probability`` for Student's t with ``freedom`` > 0 degrees of freedom."""
    from scipy.special import stdtrit

    if not 0 < probability < 1 or freedom <= 0:
        raise ValueError(f"no t quantile for probability {probability} and {freedom} degrees of freedom")
    return float(stdtrit(freedom, probability))


def t_tail(x: float, freedom: float) -> float:
    """P(T ≥ x), accurate where it is small."""
    from scipy.special import stdtr

    return float(stdtr(freedom, -x))


def fair_coin_tail(heads: int, tosses: int) -> float:
    """P(X ≤ ``heads``) for the heads of ``tosses`` fair coins."""
    from scipy.special import bdtr

    return float(bdtr(heads, tosses, 0.5))


def noncentral_t_tail(x: float, freedom: float, shift: float) -> float:
    """P(T ≥ x) for the noncentral t of noncentrality ``shift``."""
    from scipy.special import nctdtr

    return 1 - float(nctdtr(freedom, shift, x))
