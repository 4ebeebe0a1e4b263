"""Intervals of a mean, of a paired difference, and of a difference of differences; standard errors, rerun noise.

A block of clustered samples is replaced by an effective number of independent ones (``_effective``). This number enters
Wilson's interval for one block, Price and Bonett's for several, and Bonett and Price's for differences, with quantiles
of Student's t in place of the normal ones. For independent values of 0 and 1 these are the usual intervals. A ``Pivot``
is the common basis of an interval and its test: the test rejects exactly if the interval excludes, and the interval of
clusters with equal values is not empty. Measured coverage: docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from maestro_eval.analysis.stats.clusters import CELLS, Block, Layout, blocks, is_clustered, joined
from maestro_eval.analysis.stats.estimates import (
    Estimate,
    Sampled,
    count_failed,
    differences,
    highest,
    lowest,
    score_ends,
    t_quantile,
    t_tail,
    t_widening,
)

# Below this share of the other side's discordance, one side is rare.
_ONE_SIDED = 0.1
# Rounding may move sums of weights and of values in [0, 1] this far beyond the bounds.
_ROUNDING = 1e-9


class Pivot(Struct, frozen=True):
    """``(centre − θ) / error`` follows Student's t with ``freedom`` degrees of freedom, θ being the true mean.

    ``value`` is the observed mean; ``centre`` equals it or, for adjusted counts, is nearer to the middle. With
    ``score_n`` the error depends on θ: √(θ(1−θ)/score_n). θ is between ``least`` and ``most``. An infinite ``error``
    means that the data contain no information.
    """

    value: float
    centre: float
    error: float
    freedom: float
    least: float
    most: float
    n: int
    method: str
    score_n: float | None = None

    def interval(self) -> Estimate:
        """Return the two-sided interval at 95 %, which contains ``value``."""
        quantile = t_quantile(self.freedom)
        if self.score_n is not None:
            low, high = score_ends(self.value, self.score_n, quantile)
        else:
            low, high = self.centre - quantile * self.error, self.centre + quantile * self.error
        low, high = min(self.value, max(self.least, low)), max(self.value, min(self.most, high))
        return Estimate(self.value, low, high, self.n, self.method)

    def p_equal(self, bound: float) -> float:
        """Return the two-sided p-value of θ = ``bound``."""
        error, gap = self.error, abs(self.centre - bound)
        if self.score_n is not None:
            error = math.sqrt(max(0.0, bound * (1 - bound)) / self.score_n)
        # A true mean at or beyond the bounds of the values leaves no variance.
        if error == 0 or not self.least <= bound <= self.most:
            return 0.0 if gap else 1.0
        return min(1.0, 2 * t_tail(gap / error, self.freedom))


def pivot(strata: Sequence[Sampled]) -> Pivot:
    """Return the pivot of Σ wₛ × (mean of stratum s). ValueError for values outside [0, 1], or [−1, 1] if signed."""
    signed = any(each.signed or each.weight < 0 for each in strata)
    least = -1 if signed else 0
    if any(each.values.min() < least - _ROUNDING or each.values.max() > 1 + _ROUNDING for each in strata):
        raise ValueError(f"values lie in [{least}, 1]")
    return pivot_of(blocks(strata), signed=signed)


def pair_pivots(systems: Sequence[Sequence[Sampled]], pairs: Sequence[tuple[int, int]]) -> Iterator[Pivot]:
    """Yield ``pivot(differences(a, b))`` for each pair of system indices; all have the same samples and weights."""
    layout, values = Layout(systems[0]), side_by_side(systems)
    step = max(1, CELLS // values.shape[1])
    for start in range(0, len(pairs), step):
        first, second = np.array(pairs[start : start + step]).T
        for found in layout.blocks(values[first] - values[second]):
            yield pivot_of(found, signed=True)


def side_by_side(systems: Sequence[Sequence[Sampled]]) -> NDArray[np.float64]:
    """Return the values with one row per system. ValueError unless samples and weights are the same."""
    for other in systems[1:]:
        differences(systems[0], other)
    return np.stack([joined(each) for each in systems])


def pivot_of(found: Sequence[Block], *, signed: bool) -> Pivot:
    """Return the pivot of the blocks' weighted mean. Shares are like differences without losses (``signed`` is false).

    Each of m blocks gets 1/m gains and losses for a difference, 2/m successes and failures for a share: R. M. Price and
    D. G. Bonett, "An improved confidence interval for a linear function of binomial proportions", Comput. Stat. Data
    Anal. 45 (2004); D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data", J. Educ. Behav. Stat. 37 (2012). A share of one block has Wilson's pivot.
    """
    total, n = math.fsum(block.weight for block in found), sum(block.n for block in found)
    value = math.fsum(block.weight * block.value for block in found)
    effective = [_effective(block, signed=signed) for block in found]
    suffix = _method_suffix(found, [size for size, _ in effective])
    if len(found) == 1 and not signed and abs(total - 1) < _ROUNDING:
        (size, freedom), value = effective[0], min(1.0, max(0.0, found[0].value))
        error = math.sqrt(_largest_variance(value, 0.0) / size)
        return Pivot(value, value, error, freedom, 0.0, 1.0, n, f"wilson{suffix}", size)
    extra = (1 if signed else 2) / len(found)
    centre = variance = parts = 0.0
    for block, (size, freedom) in zip(found, effective, strict=True):
        padded = size + 2 * extra
        gains = (block.gains * size + extra) / padded
        losses = (block.losses * size + extra) / padded if signed else 0.0
        own = block.weight**2 * _largest_variance(gains, losses) / padded
        centre += block.weight * (gains - losses)
        variance += own
        parts += own * own / freedom
    # F. E. Satterthwaite, Biometrics Bulletin 2 (1946).
    freedom = variance * variance / parts if parts > 0 else math.inf
    name = "price-bonett" if not signed else "bonett-price" if len(found) == 1 else "stratified bonett-price"
    least = -total if signed else 0.0
    return Pivot(value, centre, math.sqrt(variance), freedom, least, total, n, name + suffix)


def _effective(block: Block, *, signed: bool) -> tuple[float, float]:
    """Return a block as n = b / v independent samples, and the degrees of freedom of v.

    b is the largest variance of one sample, and v the cluster-robust variance. For differences the degrees of freedom
    are Bell and McCaffrey's. For shares, and if a difference's rarer side has less than a tenth of the other's
    discordance (``_ONE_SIDED``), v is shrunk towards its maximum, b / K with K = ``block.fewest``:

        v = v_CR + (b/K − v_CR) exp(−(½ + 4/G) E)

    where E = ``block.support`` is the effective number of the G clusters in v_CR. If most clusters are all right and
    the sample has few of those that are mostly wrong, v_CR alone is far too small (measured: a nominal 95 % is then 82
    to 90 % for shares, 77 to 91 % for differences of few clusters). This shrinkage is our own, with constants chosen by
    simulation; if ten of 30 clusters contribute, it adds a six-hundredth of the gap.

    The effective n is L. Kish's, with t for the normal quantile as in E. L. Korn and B. I. Graubard, "Confidence
    intervals for proportions with small expected number of positive counts estimated from survey data", Survey
    Methodology 24 (1998), and a Wilson interval on it performs best among their kind: C. Franco, R. J. A. Little,
    T. A. Louis and E. V. Slud, J. Surv. Stat. Methodol. 7 (2019). K samples with normal quantiles replace n with t
    quantiles if they give the narrower interval.
    """
    bound = _largest_variance(block.gains, block.losses)
    rarer, other = sorted((block.gains, block.losses))
    n, freedom, most = 0.0, math.inf, bound / block.fewest
    if signed and block.variance and rarer >= _ONE_SIDED * other:
        n, freedom = bound / block.variance, block.freedom
    elif block.support and most > 0:
        shrinkage = math.exp(-(0.5 + 4 / block.clusters) * block.support)
        n = bound / (block.variance + max(0.0, most - block.variance) * shrinkage)
        freedom = block.freedom_alike
    return (n, freedom) if n / t_widening(freedom) ** 2 > block.fewest * (1 + _ROUNDING) else (block.fewest, math.inf)


def _method_suffix(found: Sequence[Block], sizes: Sequence[float]) -> str:
    if is_clustered(found):
        groups = sum(block.clusters for block in found)
        return f", {groups} cluster{'s' if groups > 1 else ''}"
    plain = all(abs(size - block.n) < _ROUNDING * size for block, size in zip(found, sizes, strict=True))
    return "" if plain else ", effective n"


def _largest_variance(gains: float, losses: float) -> float:
    """Return the largest variance of values in [−1, 1] whose positive and negative parts have these means."""
    return gains + losses - (gains - losses) ** 2


Strata = Sequence[Sampled]


class StandardError(Struct, frozen=True):
    """The cluster-robust standard error of a mean, and its degrees of freedom (G − 1 for clusters of equal size)."""

    error: float
    freedom: float
    clusters: int


def mean_interval(strata: Strata) -> Estimate:
    """Return Σ wₛ × (mean of stratum s) for values in [0, 1], with its 95 % interval.

    For independent values of 0 and 1 this is Wilson's interval for one stratum, Price and Bonett's for several. For
    clustered or fractional values it is the same with effective counts and t quantiles (``pivot_of``). Strata that
    share clusters count as one. The interval covers all readings of failures.
    """
    found = pivot(strata).interval()
    if all(each.least is None for each in strata):
        return found
    return _widened(found, pivot(lowest(strata)).interval(), pivot(highest(strata)).interval())


def _widened(found: Estimate, low: Estimate, high: Estimate) -> Estimate:
    methods = " / ".join(dict.fromkeys((low.method, high.method)))
    return Estimate(found.value, low.low, high.high, found.n, f"{methods}; failures as bounds")


def difference_interval(a: Strata, b: Strata) -> Estimate:
    """Return Σ wₛ × (mean of a − b in stratum s); ``a`` and ``b`` have the same samples, clusters and weights in order.

    The interval is Bonett and Price's on discordant pairs, with effective counts for clustered or fractional samples.
    """
    return mean_interval(differences(a, b))


def difference_intervals(systems: Sequence[Strata], pairs: Sequence[tuple[int, int]]) -> list[Estimate]:
    """Return ``difference_interval`` of each pair (a, b) of system indices, with the work per system done once."""
    found = [each.interval() for each in pair_pivots(systems, pairs)]
    if all(each.least is None for system in systems for each in system):
        return found
    # The system with the number n + i is the i-th with its failures read as high as possible.
    n, read = len(systems), [*map(lowest, systems), *map(highest, systems)]
    low, high = pair_pivots(read, [(a, n + b) for a, b in pairs]), pair_pivots(read, [(n + a, b) for a, b in pairs])
    return [
        _widened(one, least.interval(), most.interval()) if count_failed(differences(systems[a], systems[b])) else one
        for one, least, most, (a, b) in zip(found, low, high, pairs, strict=True)
    ]


def difference_in_differences(treated: tuple[Strata, Strata], control: tuple[Strata, Strata]) -> Estimate:
    """Return (mean of a − b over ``treated``) − (mean of a − b over ``control``); each is a pair (a, b) of sides.

    The weights of each pair add up to 1. The strata of ``control`` have negated weights in one difference of all
    strata, so that clusters in both count as dependent; without such clusters the variances add up.
    """
    others = [replace(each, weight=-each.weight, least=each.most, most=each.least) for each in differences(*control)]
    return mean_interval([*differences(*treated), *others])


def standard_error(strata: Strata) -> StandardError:
    """Return the standard error of Σ wₛ × (mean of stratum s); ``mean_interval`` does not follow from it alone.

    It is √Σ u_g² over clusters, bias-reduced (see ``clusters.Block``). The variances of independent blocks add up, and
    their degrees of freedom combine by Satterthwaite's formula.
    """
    found = blocks(strata)
    variances = [block.weight**2 * block.variance for block in found]
    whole = sum(variances)
    parts = sum(v * v / block.freedom for v, block in zip(variances, found, strict=True))
    groups = sum(block.clusters for block in found)
    return StandardError(whole**0.5, whole * whole / parts if parts else max(1.0, groups - 1.0), groups)


def rerun_error(values: NDArray[np.float64]) -> float:
    """Return the standard deviation of the mean of n samples between passes that ask the same samples once.

    It is √(mean(s²ᵢ) / n), where s²ᵢ is the variance of sample i's repeats in ``values``, n samples × k ≥ 2 repeats;
    for the mean of k repeats it is √k times smaller. S. R. Searle, G. Casella and C. E. McCulloch, "Variance
    components" (1992); for evaluations E. Miller, "Adding error bars to evals" (2024). Repeats are assumed independent
    given the sample.
    """
    if values.ndim != 2 or values.shape[1] < 2 or not values.shape[0]:
        raise ValueError(f"rerun noise needs two repeats of each sample, not values of shape {values.shape}")
    return math.sqrt(float(values.var(axis=1, ddof=1).mean()) / len(values))
