"""One account of how sure a mean is, from which its interval, its tests and its power all come.

A block of clustered samples is read as so many independent ones (``_counted``), and these go where counts of
independent samples would: into Wilson's interval for one block, into Price and Bonett's or Bonett and Price's for
several blocks or for differences, with quantiles of Student's t for the normal ones. For independent samples with
values 0 and 1 nothing changes, and the intervals are those of ``means``. So a test rejects exactly where the interval
excludes, and the interval of clusters that all answered alike has a width. Measured coverage: docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.analysis.stats.clusters import CELLS, Block, Layout, blocks, is_clustered, joined
from maestro_eval.analysis.stats.estimates import Estimate, Sampled, differences
from maestro_eval.analysis.stats.means import normal_quantile, score_ends, t_quantile, t_tail

# Where the two readings of a block part is decided for 95 %, so that it does not depend on the level asked for.
_USUAL = 0.975
# Below this share of the other side's discordance, one side is rare.
_ONE_SIDED = 0.1
# Sums of weights and of values in [0, 1] end this far beyond the bounds by rounding.
_ROUNDING = 1e-9


class Pivot(Struct, frozen=True):
    """``(centre − θ) / error`` follows Student's t with ``freedom`` degrees of freedom, θ being the true mean.

    ``value`` is the mean seen; ``centre`` is it or, where counts were adjusted, somewhat nearer to the middle. With
    ``score_n`` the error is that of the θ asked about, √(θ(1−θ)/score_n). All of it lies within ``least`` and ``most``.
    An ``error`` of infinity says that the data tell nothing.
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

    def interval(self, level: float) -> Estimate:
        """The two-sided interval at ``level``; it holds ``value``."""
        quantile = t_quantile((1 + level) / 2, self.freedom)
        if self.score_n is not None:
            low, high = score_ends(self.value, self.score_n, quantile)
        else:
            low, high = self.centre - quantile * self.error, self.centre + quantile * self.error
        low, high = min(self.value, max(self.least, low)), max(self.value, min(self.most, high))
        return Estimate(self.value, low, high, self.n, self.method)

    def p_equal(self, bound: float) -> float:
        """The two-sided p-value of θ = ``bound``."""
        error, gap = self.error, abs(self.centre - bound)
        if self.score_n is not None:
            error = math.sqrt(max(0.0, bound * (1 - bound)) / self.score_n)
        # A true mean of exactly 0 or 1 leaves no room for chance, nor does one beyond what values can be.
        if error == 0 or not self.least <= bound <= self.most:
            return 0.0 if gap else 1.0
        return min(1.0, 2 * t_tail(gap / error, self.freedom))


class _Counted(Struct, frozen=True):
    """A block read as ``n`` independent samples, whose mean is known with ``freedom`` degrees of freedom."""

    block: Block
    n: float
    freedom: float


def pivot(strata: Sequence[Sampled]) -> Pivot:
    """The pivot of Σ wₛ × (mean of stratum s). ValueError for values beyond [0, 1], or [−1, 1] where signed."""
    signed = any(each.signed or each.weight < 0 for each in strata)
    least = -1 if signed else 0
    if any(each.values.min() < least - _ROUNDING or each.values.max() > 1 + _ROUNDING for each in strata):
        raise ValueError(f"values lie in [{least}, 1]")
    return _of_differences(blocks(strata)) if signed else _of_shares(blocks(strata))


def pair_pivots(systems: Sequence[Sequence[Sampled]], pairs: Sequence[tuple[int, int]]) -> Iterator[Pivot]:
    """``pivot(differences(a, b))`` for each pair of systems, by number; all hold the same samples and weights."""
    layout, values = Layout(systems[0]), side_by_side(systems)
    step = max(1, CELLS // values.shape[1])
    for start in range(0, len(pairs), step):
        first, second = np.array(pairs[start : start + step]).T
        for found in layout.blocks(values[first] - values[second]):
            yield _of_differences(found)


def side_by_side(systems: Sequence[Sequence[Sampled]]) -> NDArray[np.float64]:
    """The values of each system in a row. ValueError unless they hold the same samples and weights."""
    for other in systems[1:]:
        differences(systems[0], other)
    return np.stack([joined(each) for each in systems])


def _of_shares(found: Sequence[Block]) -> Pivot:
    total = sum(block.weight for block in found)
    counted = [_cautious(block, _spread_of_share(min(1.0, max(0.0, block.value)))) for block in found]
    if len(counted) == 1 and abs(total - 1) < _ROUNDING:
        return _score(counted[0])
    # Price and Bonett (2004), see means.stratified_mean: 2/m successes and 4/m samples more in each of m blocks.
    extra = 2 / len(counted)
    parts = [(each.block.value * each.n + extra) / (each.n + 2 * extra) for each in counted]
    centres = [each.block.weight * p for each, p in zip(counted, parts, strict=True)]
    variances = [
        each.block.weight**2 * p * (1 - p) / (each.n + 2 * extra) for each, p in zip(counted, parts, strict=True)
    ]
    return _adjusted(counted, centres, variances, (0.0, total), "price-bonett")


def _of_differences(found: Sequence[Block]) -> Pivot:
    total = sum(block.weight for block in found)
    counted = [_counted(block) for block in found]
    # Bonett and Price (2012), see means.stratified_difference: 1/m gains and 1/m losses more in each of m blocks.
    extra = 1 / len(counted)
    centres, variances = [], []
    for each in counted:
        n = each.n + 2 * extra
        gains, losses = (each.block.gains * each.n + extra) / n, (each.block.losses * each.n + extra) / n
        centres.append(each.block.weight * (gains - losses))
        variances.append(each.block.weight**2 * _spread_of_difference(gains, losses) / n)
    name = "bonett-price" if len(counted) == 1 else "stratified bonett-price"
    return _adjusted(counted, centres, variances, (-total, total), name)


def _counted(block: Block) -> _Counted:
    """A block of differences as n independent pairs: n = b / v, with b the most that a pair of its kind can vary.

    v is the cluster-robust variance, with Bell and McCaffrey's degrees of freedom. Where the rarer side has less than
    a tenth of the other's discordance (``_ONE_SIDED``), ``_cautious`` counts: losses that are not in the sample show
    in no variance (measured: 77 to 91 % instead of 95 % for few clusters).
    """
    bound = _spread_of_difference(block.gains, block.losses)
    rarer, other = sorted((block.gains, block.losses))
    if rarer < _ONE_SIDED * other or not block.variance:
        return _cautious(block, bound)
    return _at_least_the_fewest(block, bound / block.variance, block.freedom)


def _cautious(block: Block, bound: float) -> _Counted:
    """``block`` as n independent samples: n = ``bound`` / v, with ``bound`` the most that one sample can vary.

    v is the cluster-robust variance, drawn towards the most it can be, bound / K with K = ``block.fewest``:

        v = v_CR + (bound/K − v_CR) exp(−(½ + 4/G) E)

    by how few of the G clusters it rests on, E = ``block.support``. Where most clusters are all right and few that
    are mostly wrong happen to be in the sample, v_CR alone is far too small and nothing in it says so (measured: a
    nominal 95 % is then 82 to 90 %). The drawing is ours and its constants were chosen by simulation; with ten
    clusters that contribute, of 30, it adds a six-hundredth of the gap.

    The effective n is L. Kish's, with t for the normal quantile as in E. L. Korn and B. I. Graubard, "Confidence
    intervals for proportions with small expected number of positive counts estimated from survey data", Survey
    Methodology 24 (1998), and a Wilson interval on it performs best among their kind: C. Franco, R. J. A. Little,
    T. A. Louis and E. V. Slud, J. Surv. Stat. Methodol. 7 (2019).

    """
    most = bound / block.fewest
    if not block.support or most <= 0:
        return _Counted(block, block.fewest, math.inf)
    drawn = math.exp(-(0.5 + 4 / block.clusters) * block.support)
    n = bound / (block.variance + max(0.0, most - block.variance) * drawn)
    return _at_least_the_fewest(block, n, block.freedom_alike)


def _at_least_the_fewest(block: Block, n: float, freedom: float) -> _Counted:
    """``n`` samples, or the K that are there even if all of a cluster answer alike, where these say more."""
    shrink = (normal_quantile(_USUAL) / t_quantile(_USUAL, freedom)) ** 2
    enough = n * shrink > block.fewest * (1 + _ROUNDING)
    return _Counted(block, n, freedom) if enough else _Counted(block, block.fewest, math.inf)


def _score(counted: _Counted) -> Pivot:
    value = min(1.0, max(0.0, counted.block.value))
    error = math.sqrt(value * (1 - value) / counted.n)
    method = "wilson" + _manner([counted])
    return Pivot(value, value, error, counted.freedom, 0.0, 1.0, counted.block.n, method, counted.n)


def _adjusted(
    counted: Sequence[_Counted],
    centres: Sequence[float],
    variances: Sequence[float],
    bounds: tuple[float, float],
    name: str,
) -> Pivot:
    return Pivot(
        math.fsum(each.block.weight * each.block.value for each in counted),
        math.fsum(centres),
        math.sqrt(math.fsum(variances)),
        _satterthwaite(variances, [each.freedom for each in counted]),
        bounds[0],
        bounds[1],
        sum(each.block.n for each in counted),
        name + _manner(counted),
    )


def _satterthwaite(variances: Sequence[float], freedoms: Sequence[float]) -> float:
    """(Σ v)² / Σ v²/f. F. E. Satterthwaite, Biometrics Bulletin 2 (1946)."""
    whole = math.fsum(variances)
    parts = math.fsum(v * v / f for v, f in zip(variances, freedoms, strict=True))
    return whole * whole / parts if parts > 0 else math.inf


def _manner(counted: Sequence[_Counted]) -> str:
    found = [each.block for each in counted]
    if is_clustered(found):
        groups = sum(block.clusters for block in found)
        return f", {groups} cluster{'s' if groups > 1 else ''}"
    plain = all(abs(each.n - each.block.n) < _ROUNDING * each.n for each in counted)
    return "" if plain else ", effective n"


def _spread_of_share(p: float) -> float:
    """The most that values in [0, 1] of mean p can vary."""
    return p * (1 - p)


def _spread_of_difference(gains: float, losses: float) -> float:
    """The most that values in [−1, 1] can vary whose positive and negative parts have these means."""
    return gains + losses - (gains - losses) ** 2
