"""Intervals for means and for their differences where samples are independent of each other.

All values lie in [0, 1], one for each sample: repeats are averaged within a sample before they come here. Every
function returns an ``Estimate`` that names its method. Where several questions share one image these intervals are
too narrow: ``intervals`` is for those. Intervals are two-sided at ``level``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance

from msgspec import Struct

from maestro_eval.analysis.stats.distributions import normal_quantile, t_quantile
from maestro_eval.analysis.stats.estimates import Estimate

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


def mean_of(values: Sequence[float], level: float = 0.95) -> Estimate:
    """The mean of values in [0, 1]: Wilson where all are 0 or 1, else Student's t, mean ± t s/√n, within [0, 1].

    One value, or values without spread, tell t nothing; they get Wilson's interval on their (fractional) sum.
    """
    if _binary(values) or len(values) < 2 or variance(values) < _NO_SPREAD:
        # fsum of n values ≤ 1 may end a rounding error above n.
        return wilson(min(math.fsum(values), len(values)), len(values), level)
    mean, reach = _t_reach(values, level)
    return Estimate(mean, max(0.0, mean - reach), min(1.0, mean + reach), len(values), "t")


def t_mean(values: Sequence[float], level: float = 0.95) -> tuple[float, float | None]:
    """The mean of any finite values and the reach of its t interval; no reach without a spread to tell it from."""
    if len(values) < 2 or variance(values) < _NO_SPREAD:
        return fmean(values), None
    return _t_reach(values, level)


def paired_difference(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Estimate:
    """The mean of a − b over samples that both judged, ``a[i]`` and ``b[i]`` being of the same sample.

    Where all values are 0 or 1: the adjusted Wald interval on the discordant pairs. With n₁₀ samples that only
    a has right and n₀₁ that only b has right, p₁ = (n₁₀+1)/(n+2), p₀ = (n₀₁+1)/(n+2):

        p₁ − p₀ ± z √((p₁ + p₀ − (p₁ − p₀)²) / (n + 2))

    D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval for a difference of binomial proportions
    based on paired data", J. Educ. Behav. Stat. 37 (2012). The value reported is (n₁₀ − n₀₁) / n, unadjusted.
    Otherwise the paired t interval of the differences. Where t has no spread to work with, the formula above
    with the summed gains and losses for n₁₀ and n₀₁, whose variance is never too small. All within [−1, 1].
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"pairs are needed: {len(a)} and {len(b)} values")
    differences = [x - y for x, y in zip(a, b, strict=True)]
    n = len(differences)
    if not (_binary(a) and _binary(b)) and n > 1 and variance(differences) >= _NO_SPREAD:
        mean, reach = _t_reach(differences, level)
        return Estimate(mean, max(-1.0, mean - reach), min(1.0, mean + reach), n, "paired t")
    return _adjusted_wald([_discordant(a, b)], [1.0], level)


def stratified_difference(
    pairs: Sequence[tuple[Sequence[float], Sequence[float]]], weights: Sequence[float], level: float = 0.95
) -> Estimate:
    """Σ wᵢ × (mean of a − b in stratum i), the strata being independent and the positive weights adding up to 1.

    One stratum: as ``paired_difference``. Where all values are 0 or 1, its formula carried over to m strata as
    Price and Bonett carry theirs over (see ``stratified_mean``): each stratum's discordant counts are raised by
    1/m instead of 1, and the weighted centres and variances are summed. This is ours, and rests on the coverage
    that the tests measure: MOVER over m full adjustments is up to twice as wide as it need be. Otherwise
    ``combine`` of the strata's own intervals.
    """
    if len(pairs) == 1 or not all(_binary(a) and _binary(b) for a, b in pairs):
        return combine([paired_difference(a, b, level) for a, b in pairs], weights)
    if len(pairs) != len(weights) or not all(len(a) == len(b) > 0 for a, b in pairs):
        raise ValueError("each stratum needs pairs and one weight")
    return _adjusted_wald([_discordant(a, b) for a, b in pairs], weights, level)


def combine(parts: Sequence[Estimate], weights: Sequence[float]) -> Estimate:
    """The weighted sum Σ wᵢ θᵢ of independent estimates whose intervals may be lopsided, by MOVER.

        low  = Σ wᵢ θᵢ − √Σ wᵢ² (θᵢ − lᵢ)²        high = Σ wᵢ θᵢ + √Σ wᵢ² (uᵢ − θᵢ)²

    with lᵢ and uᵢ changing places where wᵢ < 0. G. Y. Zou and A. Donner, "Construction of confidence limits
    about effect measures: a general approach", Statistics in Medicine 27 (2008). The parts must be intervals of
    the same level. Weights 1/k give the mean of k tasks or categories; 1 and −1 the difference of two estimates.
    """
    if len(parts) != len(weights) or not parts:
        raise ValueError(f"each part needs one weight: {len(parts)} parts, {len(weights)} weights")
    if len(parts) == 1 and weights[0] == 1:
        return parts[0]
    pairs = list(zip(parts, weights, strict=True))
    value = math.fsum(w * part.value for part, w in pairs)
    below = math.fsum((w * (part.value - (part.low if w > 0 else part.high))) ** 2 for part, w in pairs)
    above = math.fsum((w * ((part.high if w > 0 else part.low) - part.value)) ** 2 for part, w in pairs)
    kinds = sorted({part.method for part in parts})
    return Estimate(
        value,
        value - math.sqrt(below),
        value + math.sqrt(above),
        sum(part.n for part in parts),
        f"mover({', '.join(kinds)})",
    )


def stratified_mean(strata: Sequence[Sequence[float]], weights: Sequence[float], level: float = 0.95) -> Estimate:
    """Σ wᵢ × (mean of stratum i), the strata being independent and the positive weights adding up to 1.

    One stratum: as ``mean_of``. Where all values are 0 or 1, with m strata of nᵢ values and xᵢ successes:

        p̃ᵢ = (xᵢ + 2/m) / (nᵢ + 4/m),    Σ wᵢ p̃ᵢ ± z √(Σ wᵢ² p̃ᵢ(1−p̃ᵢ) / (nᵢ + 4/m))

    within [0, 1]. R. M. Price and D. G. Bonett, "An improved confidence interval for a linear function of
    binomial proportions", Comput. Stat. Data Anal. 45 (2004). It is used because MOVER on Wilson intervals
    covers only some 89 % where all accuracies are near 0 or 1 (measured; see docs/statistics.md). The value
    reported is Σ wᵢ xᵢ/nᵢ, unadjusted. Otherwise ``combine`` of the strata's own intervals.
    """
    if len(strata) == 1 or not all(_binary(values) for values in strata):
        return combine([mean_of(values, level) for values in strata], weights)
    if len(strata) != len(weights) or not all(strata):
        raise ValueError("each stratum needs values and one weight")
    extra = 2 / len(strata)
    value = centre = spread = 0.0
    for values, weight in zip(strata, weights, strict=True):
        n, successes = len(values), math.fsum(values)
        value += weight * successes / n
        p = (successes + extra) / (n + 2 * extra)
        centre += weight * p
        spread += weight * weight * p * (1 - p) / (n + 2 * extra)
    reach = normal_quantile((1 + level) / 2) * math.sqrt(spread)
    return Estimate(
        value,
        min(value, max(0.0, centre - reach)),
        max(value, min(1.0, centre + reach)),
        sum(map(len, strata)),
        "price-bonett",
    )


class _Discordant(Struct, frozen=True):
    """How much a stratum's n pairs were won and lost; counts where all values are 0 or 1."""

    gains: float
    losses: float
    n: int


def _discordant(a: Sequence[float], b: Sequence[float]) -> _Discordant:
    differences = [x - y for x, y in zip(a, b, strict=True)]
    return _Discordant(
        math.fsum(d for d in differences if d > 0), math.fsum(-d for d in differences if d < 0), len(differences)
    )


def _adjusted_wald(strata: Sequence[_Discordant], weights: Sequence[float], level: float) -> Estimate:
    extra = 1 / len(strata)
    value = centre = spread = 0.0
    for stratum, weight in zip(strata, weights, strict=True):
        n = stratum.n + 2 * extra
        p1, p0 = (stratum.gains + extra) / n, (stratum.losses + extra) / n
        value += weight * (stratum.gains - stratum.losses) / stratum.n
        centre += weight * (p1 - p0)
        spread += weight * weight * (p1 + p0 - (p1 - p0) ** 2) / n
    reach = normal_quantile((1 + level) / 2) * math.sqrt(spread)
    return Estimate(
        value,
        min(value, max(-1.0, centre - reach)),
        max(value, min(1.0, centre + reach)),
        sum(stratum.n for stratum in strata),
        "bonett-price" if len(strata) == 1 else "stratified bonett-price",
    )


def _binary(values: Sequence[float]) -> bool:
    return all(value in (0, 1) for value in values)


def _t_reach(values: Sequence[float], level: float) -> tuple[float, float]:
    n = len(values)
    return fmean(values), t_quantile((1 + level) / 2, n - 1) * math.sqrt(variance(values) / n)
