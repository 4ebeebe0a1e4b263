"""The interval of a mean, of a paired difference, and of a difference of differences: the method chosen by the data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from maestro_eval.analysis.stats.clusters import by_cluster, spread
from maestro_eval.analysis.stats.distributions import t_quantile
from maestro_eval.analysis.stats.estimates import Estimate, Sampled, differences
from maestro_eval.analysis.stats.means import stratified_difference, stratified_mean

Strata = Sequence[Sampled]


def mean_interval(strata: Strata, *, level: float = 0.95, seed: int = 0) -> Estimate:
    """Σ wₛ × (mean of stratum s), of values in [0, 1]."""
    if not by_cluster(strata).is_clustered:
        return stratified_mean([each.values.tolist() for each in strata], [each.weight for each in strata], level)
    return _t_interval(strata, level, (0.0, 1.0))


def difference_interval(a: Strata, b: Strata, *, level: float = 0.95, seed: int = 0) -> Estimate:
    """Σ wₛ × (mean of a − b in stratum s); ``a`` and ``b`` hold the same samples, clusters and weights in order."""
    paired = differences(a, b)
    if not by_cluster(paired).is_clustered:
        pairs = [(x.values.tolist(), y.values.tolist()) for x, y in zip(a, b, strict=True)]
        return stratified_difference(pairs, [each.weight for each in a], level)
    return _t_interval(paired, level, (-1.0, 1.0))


def difference_in_differences(
    treated: tuple[Strata, Strata], control: tuple[Strata, Strata], *, level: float = 0.95, seed: int = 0
) -> Estimate:
    """(mean of a − b over ``treated``) − (mean of a − b over ``control``); each is a pair (a, b) of paired sides.

    The weights of each pair add up to 1. Clusters that the two have in common are taken as dependent.
    """
    others = [replace(each, weight=-each.weight) for each in differences(*control)]
    return _t_interval([*differences(*treated), *others], level, (-2.0, 2.0))


def _t_interval(strata: Strata, level: float, bounds: tuple[float, float]) -> Estimate:
    data = by_cluster(strata)
    found = spread(data)
    reach = t_quantile((1 + level) / 2, found.freedom) * found.error
    low, high = np.clip([data.value - reach, data.value + reach], *bounds)
    return Estimate(data.value, float(low), float(high), data.n, f"cluster t({found.freedom:.0f})")
