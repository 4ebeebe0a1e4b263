"""What goes into the statistics and what comes out: samples with their clusters, estimates, p-values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray


class Sampled(Struct, frozen=True, eq=False):
    """One stratum: a number for each sample, the cluster that it belongs to, and the weight of the stratum's mean.

    ``values`` are averaged over repeats. Equal codes in ``clusters`` mean samples that are not independent of each
    other (questions about one image, rotations of one question), within a stratum and across the strata of a call.
    The weights of a call add up to 1. Values lie in [0, 1], those of a ``signed`` stratum (differences) in [−1, 1].
    """

    values: NDArray[np.float64]
    clusters: NDArray[np.int64]
    weight: float = 1.0
    signed: bool = False

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or self.values.shape != self.clusters.shape or not self.values.size:
            raise ValueError(f"a stratum needs values and as many clusters: {self.values.shape}, {self.clusters.shape}")
        if not np.isfinite(self.values).all():
            raise ValueError("a stratum needs finite values")


class Estimate(Struct, frozen=True):
    """A number with its interval. ``n`` counts the samples (pairs, for a difference) that it rests on."""

    value: float
    low: float
    high: float
    n: int
    method: str

    @property
    def negated(self) -> Estimate:
        """That of the difference taken the other way round."""
        return Estimate(-self.value, -self.high, -self.low, self.n, self.method)

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


class PValue(Struct, frozen=True):
    """A two-sided p-value and the test that it comes from."""

    value: float
    method: str


def independent(strata: Sequence[ArrayLike], weights: Sequence[float] | None = None) -> list[Sampled]:
    """Strata in which every sample is a cluster of its own; weighted equally unless ``weights`` are given."""
    values = [np.asarray(each, dtype=np.float64) for each in strata]
    starts = np.cumsum([0, *(each.size for each in values)])
    return [
        Sampled(each, np.arange(start, start + each.size, dtype=np.int64), 1 / len(values) if weights is None else w)
        for each, start, w in zip(values, starts, weights or [0.0] * len(values), strict=False)
    ]


def differences(a: Sequence[Sampled], b: Sequence[Sampled]) -> list[Sampled]:
    """a − b sample by sample, with their clusters and weights: ``signed`` strata, for whatever takes strata.

    ValueError unless both sides have the same strata, clusters and weights.
    """
    if len(a) != len(b):
        raise ValueError(f"pairs need the same strata: {len(a)} and {len(b)}")
    for ours, theirs in zip(a, b, strict=True):
        if not np.array_equal(ours.clusters, theirs.clusters) or ours.weight != theirs.weight:
            raise ValueError("pairs need the same samples: clusters or weights differ")
    return [Sampled(x.values - y.values, x.clusters, x.weight, signed=True) for x, y in zip(a, b, strict=True)]
