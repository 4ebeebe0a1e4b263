"""Intervals of a mean, of a paired difference, and of a difference of differences; standard errors, rerun noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

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


class RerunNoise(Struct, frozen=True):
    """Standard deviations of the mean of ``n`` samples that are each asked once.

    ``rerun``: how far it moves when the same samples are asked again, and nothing else changes. ``sampling``: how far
    it would move with other samples of their kind, were each asked endlessly often. The squares add up to the
    variance of the mean of one run; averaging k repeats divides the square of ``rerun`` by k and leaves ``sampling``.
    """

    rerun: float
    sampling: float
    n: int
    k: int


def rerun_noise(values: NDArray[np.float64], clusters: NDArray[np.int64] | None = None) -> RerunNoise:
    """The noise seen in ``values``, n samples × k ≥ 2 repeats, by one-way analysis of variance.

    With s²ᵢ the variance of sample i's repeats, rerun² = mean(s²ᵢ) / n, and sampling² = V − mean(s²ᵢ) / (n k), at
    least 0, where V is the (cluster-robust) variance of the mean of the samples' means. S. R. Searle, G. Casella and
    C. E. McCulloch, "Variance components" (1992); for evaluations E. Miller, "Adding error bars to evals" (2024).
    Repeats are taken as independent of each other given the sample. One cluster alone tells nothing of sampling:
    V is then what values in [0, 1] can vary at most.
    """
    if values.ndim != 2 or values.shape[1] < 2 or not values.shape[0]:
        raise ValueError(f"rerun noise needs two repeats of each sample, not values of shape {values.shape}")
    n, k = values.shape
    within = float(values.var(axis=1, ddof=1).mean())
    means = values.mean(axis=1)
    codes = np.arange(n, dtype=np.int64) if clusters is None else clusters
    block = blocks([Sampled(means, codes)])[0]
    whole = block.variance if block.clusters > 1 else max(0.0, block.value * (1 - block.value))
    return RerunNoise(math.sqrt(within / n), math.sqrt(max(0.0, whole - within / (n * k))), n, k)
