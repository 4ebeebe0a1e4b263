"""Means of clustered samples, their cluster-robust variance, and its degrees of freedom.

All computations use sums per cluster and stratum, so that a benchmark of a hundred thousand samples needs one pass.
Strata that share clusters form a ``Block``; blocks are independent of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.analysis.stats.estimates import Sampled

_Floats = NDArray[np.float64]
_Codes = NDArray[np.int64]

CELLS = 4_000_000
"""The largest number of array elements to allocate at a time: 32 MB."""

# A variance below this is rounding error of equal values.
_NO_VARIANCE = 1e-18


class Block(Struct, frozen=True, eq=False):
    """Strata that share clusters, with weights ωₛ scaled to add up to 1; ``weight`` is their sum before.

    ``value`` is the mean θ = Σ ωₛ x̄ₛ, ``gains`` and ``losses`` those of the positive and the negative parts of the
    values. A negative weight counts as a positive one of the negated values. ``influences`` has one number for each
    cluster:

        u_g = Σₛ ωₛ/nₛ (1 − m_gs/nₛ)^(−½) Σ_{i in g and s} (xᵢ − x̄ₛ)

    with m_gs of the nₛ samples of stratum s in cluster g, and ``variance`` is Σ u_g²: the bias-reduced ("CR2")
    sandwich of R. M. Bell and D. F. McCaffrey, "Bias reduction in standard errors for linear regression with
    multi-stage samples", Survey Methodology 28 (2002), of which this is the closed form for stratum means. With
    clusters of one size it is G/(G−1) times the plain sandwich; the factor also serves clusters of unequal sizes and
    strata that share only some.

    ``freedom`` are Bell and McCaffrey's degrees of freedom of ``variance`` under independent samples: with p_g the
    part of cluster g in that variance and q_g = p_g²/(1 − p_g), 1 / (Σ p_g² + (Σ q_g)² − Σ q_g²). It is G − 1 for
    clusters of one size; exact for one stratum, and for several as if they were one.

    ``freedom_alike`` is G* − 1. G* = (Σ λ_g)² / Σ λ_g² with λ_g the variance that cluster g adds under the correlation
    within clusters that ``variance`` implies; it is G for clusters of one size and fewer for others: A. V.
    Carter, K. T. Schnepel and D. G. Steigerwald, "Asymptotic behavior of a t-test robust to cluster heterogeneity",
    Rev. Econ. Stat. 99 (2017).

    ``fewest`` is 1 / Σ_g (Σₛ ωₛ m_gs/nₛ)²: the effective sample size if all samples of a cluster have equal values (L.
    Kish, "Survey Sampling", 1965). ``support`` is (Σ u_g²)² / Σ u_g⁴: the effective number of clusters in the variance,
    0 if the variance is 0.
    """

    weight: float
    value: float
    gains: float
    losses: float
    variance: float
    freedom: float
    freedom_alike: float
    fewest: float
    support: float
    n: int
    influences: _Floats

    @property
    def clusters(self) -> int:
        """G, the number of clusters."""
        return len(self.influences)


class _Part(Struct, frozen=True, eq=False):
    """A block without its values: its ``cells``, one for each cluster and stratum that share samples.

    By cell, ``row`` is the index of its cluster, ``count`` its number of samples, and ``per_sample`` the weight of one
    of its samples in the block's mean. By stratum, ``sizes`` and ``shares`` are its samples and its weight.
    """

    weight: float
    cells: _Codes
    stratum: _Codes
    row: _Codes
    count: _Floats
    per_sample: _Floats
    sizes: _Floats
    shares: _Floats

    @property
    def clusters(self) -> int:
        return int(self.row[-1]) + 1


class Layout:
    """Strata without their values: the clusters and weights of samples, reusable for many sets of values."""

    def __init__(self, strata: Sequence[Sampled]) -> None:
        if not strata:
            raise ValueError("a mean needs strata")
        weights = np.array([each.weight for each in strata])
        if not weights.all() or not np.isfinite(weights).all():
            raise ValueError(f"weights are finite and not 0: {weights.tolist()}")
        sizes = [each.values.size for each in strata]
        column = np.repeat(np.arange(len(strata)), sizes)
        codes, row = np.unique(np.concatenate([each.clusters for each in strata]), return_inverse=True)
        keys, self._cell = np.unique(row * len(strata) + column, return_inverse=True)
        cluster, stratum = np.divmod(keys, len(strata))
        count = np.bincount(self._cell, minlength=len(keys)).astype(np.float64)
        self._signs = np.sign(weights)[column]
        self._edges = np.cumsum([0, *sizes])
        label = _linked(cluster, stratum, len(strata))
        self._parts = [
            _part(np.flatnonzero(label[stratum] == first), cluster, stratum, count, weights)
            for first in np.unique(label)
        ]
        self.clusters, self.row = len(codes), row
        """The number of clusters, and the index of each sample's cluster."""

    def blocks(self, values: _Floats) -> list[list[Block]]:
        """Return the blocks of each row of ``values``; a row is the concatenated values of all strata."""
        spreads = np.stack([values[:, a:b].var(axis=1) for a, b in pairwise(self._edges.tolist())], axis=1)
        signed, size = self._signs * values, int(self._cell.max()) + 1
        total = _sums(self._cell, signed, size)
        gains = _sums(self._cell, np.maximum(signed, 0.0), size)
        losses = _sums(self._cell, np.maximum(-signed, 0.0), size)
        sums = (total, gains, losses)
        parts = [_blocks(part, [np.take(each, part.cells, axis=1) for each in sums], spreads) for part in self._parts]
        return [list(row) for row in zip(*parts, strict=True)]


def blocks(strata: Sequence[Sampled]) -> list[Block]:
    """Return ``strata`` as independent blocks, in the order of their first strata."""
    return Layout(strata).blocks(joined(strata)[None, :])[0]


def joined(strata: Sequence[Sampled]) -> _Floats:
    return np.concatenate([each.values for each in strata]) if strata else np.zeros(0)


def is_clustered(found: Sequence[Block]) -> bool:
    return any(block.clusters < block.n for block in found)


def _sums(index: _Codes, numbers: _Floats, size: int) -> _Floats:
    places = index + size * np.arange(len(numbers))[:, None]
    return np.bincount(places.ravel(), numbers.ravel(), size * len(numbers)).reshape(-1, size).astype(np.float64)


def _part(chosen: _Codes, cluster: _Codes, stratum: _Codes, count: _Floats, weights: _Floats) -> _Part:
    stratum, count = stratum[chosen], count[chosen]
    _, row = np.unique(cluster[chosen], return_inverse=True)
    sizes = np.bincount(stratum, count, len(weights)).astype(np.float64)
    absolute = np.where(sizes, np.abs(weights), 0.0)
    weight = float(absolute.sum())
    per_sample = absolute[stratum] / weight / sizes[stratum]
    return _Part(weight, chosen, stratum, row, count, per_sample, sizes, absolute / weight)


def _linked(cluster: _Codes, stratum: _Codes, strata: int) -> _Codes:
    """Return for each stratum the first one that shared clusters connect it with."""
    label = np.arange(strata)
    while True:
        first = np.full(cluster.max() + 1, strata)
        np.minimum.at(first, cluster, label[stratum])
        linked = label.copy()
        np.minimum.at(linked, stratum, first[cluster])
        if np.array_equal(linked, label):
            return label
        label = linked


def _blocks(part: _Part, sums: Sequence[_Floats], spreads: _Floats) -> list[Block]:
    """Return a block for each row: ``sums`` are total, gains and losses by cell, ``spreads`` variances by stratum."""
    total, gains, losses = sums
    means = _sums(part.stratum, total, len(part.sizes)) / np.where(part.sizes, part.sizes, 1.0)
    # If a cluster is a whole stratum, its residuals add up to 0, and the floor avoids a division by 0.
    left = np.maximum(1 - part.count / part.sizes[part.stratum], 1e-9)
    residuals = total - part.count * np.take(means, part.stratum, axis=1)
    influences = _sums(part.row, part.per_sample / np.sqrt(left) * residuals, part.clusters)
    squares = influences * influences
    variance = squares.sum(axis=1)
    variance[variance < _NO_VARIANCE] = 0.0
    fourth = np.where(variance, (squares * squares).sum(axis=1), 1.0)
    alike = np.bincount(part.row, part.per_sample * part.count) ** 2
    bell, carter = _freedoms(part, variance, np.sqrt(np.take(spreads, part.stratum, axis=1)))
    by_row = zip(
        # Summed row by row, not by BLAS, so that a row's last digit does not depend on the other rows.
        (means * part.shares).sum(axis=1).tolist(),
        (gains * part.per_sample).sum(axis=1).tolist(),
        (losses * part.per_sample).sum(axis=1).tolist(),
        variance.tolist(),
        bell.tolist(),
        carter.tolist(),
        (variance**2 / fourth).tolist(),
        influences,
        strict=True,
    )
    fewest, n = float(1 / alike.sum()), int(part.count.sum())
    return [
        Block(part.weight, value, gained, lost, spread, freedom, freedom_alike, fewest, support, n, pulls)
        for value, gained, lost, spread, freedom, freedom_alike, support, pulls in by_row
    ]


def _freedoms(part: _Part, variance: _Floats, deviation: _Floats) -> tuple[_Floats, _Floats]:
    deviation = np.where(variance[:, None] > 0, deviation, 1.0)
    independent = _sums(part.row, (part.per_sample * deviation) ** 2 * part.count, part.clusters)
    alike = _sums(part.row, part.per_sample * deviation * part.count, part.clusters) ** 2
    whole = independent.sum(axis=1)
    parts = independent / whole[:, None]
    pulls = parts**2 / np.maximum(1 - parts, 1e-6)
    # For a single cluster the exact value is 0, and rounding may make it negative.
    among = np.maximum(0.0, pulls.sum(axis=1) ** 2 - (pulls * pulls).sum(axis=1))
    bell = 1 / ((parts * parts).sum(axis=1) + among)
    gap = alike.sum(axis=1) - whole
    share = np.where(gap > _NO_VARIANCE, (variance - whole) / np.where(gap > _NO_VARIANCE, gap, 1.0), 0.0)
    added = independent + np.clip(share, 0.0, 1.0)[:, None] * (alike - independent)
    carter = added.sum(axis=1) ** 2 / (added * added).sum(axis=1) - 1
    return np.maximum(1.0, bell), np.maximum(1.0, carter)
