"""The interval of a mean, of a paired difference, and of a difference of differences: the method chosen by the data."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.analysis.stats.clusters import blocks
from maestro_eval.analysis.stats.estimates import Estimate, Sampled, differences
from maestro_eval.analysis.stats.pivots import pivot

Strata = Sequence[Sampled]


class StandardError(Struct, frozen=True):
    """The cluster-robust standard error of a mean, and its degrees of freedom (G − 1 for clusters of one size).

    ``error`` is 0 where the values have no spread.
    """

    error: float
    freedom: float
    clusters: int


def mean_interval(strata: Strata, *, level: float = 0.95) -> Estimate:
    """Σ wₛ × (mean of stratum s), of values in [0, 1].

    Independent samples, all 0 or 1: Wilson's interval for one stratum, Price and Bonett's for several. Clustered or
    fractional ones: the same on effective counts, with t for the normal quantile (``pivots``). Strata that share
    clusters are taken together.
    """
    return pivot(strata).interval(level)


def difference_interval(a: Strata, b: Strata, *, level: float = 0.95) -> Estimate:
    """Σ wₛ × (mean of a − b in stratum s); ``a`` and ``b`` hold the same samples, clusters and weights in order.

    Bonett and Price's interval on discordant pairs, on effective counts where samples are clustered or fractional.
    """
    return mean_interval(differences(a, b), level=level)


def difference_in_differences(
    treated: tuple[Strata, Strata], control: tuple[Strata, Strata], *, level: float = 0.95
) -> Estimate:
    """(mean of a − b over ``treated``) − (mean of a − b over ``control``); each is a pair (a, b) of paired sides.

    The weights of each pair add up to 1. A stratum of ``control`` counts with its weight negated in one difference of
    all strata, so that clusters that the two have in common are taken as dependent; where they have none, the
    variances add up.
    """
    others = [replace(each, weight=-each.weight) for each in differences(*control)]
    return mean_interval([*differences(*treated), *others], level=level)


def standard_error(strata: Strata) -> StandardError:
    """The standard error of Σ wₛ × (mean of stratum s), for those who publish one; intervals do not rest on it alone.

    √Σ u_g² over clusters, bias-reduced (see ``clusters.Block``); the squares of independent blocks add up, and their
    degrees of freedom by Satterthwaite's formula.
    """
    found = blocks(strata)
    variances = [block.weight**2 * block.variance for block in found]
    whole = sum(variances)
    parts = sum(v * v / block.freedom for v, block in zip(variances, found, strict=True))
    groups = sum(block.clusters for block in found)
    return StandardError(whole**0.5, whole * whole / parts if parts else max(1.0, groups - 1.0), groups)
