"""What clustered samples come to: means, their cluster-robust variance, and how far that variance can be trusted.

Everything here works on one number for each cluster within each stratum, so that a benchmark of a hundred thousand
samples costs one pass over them. Strata that share clusters form a ``Block``; blocks are independent of each other.
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
"""Numbers held at a time: 32 MB."""

# A variance below this is what rounding leaves of values that are all equal.
_NO_VARIANCE = 1e-18


class Block(Struct, frozen=True, eq=False):
    """Strata that share clusters, their weights scaled to add up to 1; ``weight`` is what they add up to before.

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

    ``freedom_alike`` is G* − 1. G* = (Σ λ_g)² / Σ λ_g² with λ_g the variance that cluster g adds where the correlation
    within clusters is what ``variance`` shows it to be; it is G for clusters of one size and fewer for others: A. V.
    Carter, K. T. Schnepel and D. G. Steigerwald, "Asymptotic behavior of a t-test robust to cluster heterogeneity",
    Rev. Econ. Stat. 99 (2017).

    ``fewest`` is 1 / Σ_g (Σₛ ωₛ m_gs/nₛ)²: what the samples count for where all of a cluster answer alike (L. Kish,
    "Survey Sampling", 1965). ``support`` is (Σ u_g²)² / Σ u_g⁴: how many clusters the variance rests on, 0 where it
    is 0.
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
    """What a block is whatever its values: its ``cells``, one for each cluster and stratum that share samples.

    ``row`` numbers the cells' clusters, ``count`` their samples; ``per_sample`` is the part of one of a cell's samples
    in the block's mean, and ``shares`` those of the strata.
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
    """Strata without their values: which samples share a cluster and how they weigh. Many values may have one."""

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
        self._parts = [
            _part(np.flatnonzero(chosen), cluster, stratum, count, weights)
            for chosen in _chosen(_linked(cluster, stratum, len(strata)), stratum)
        ]
        self.clusters, self.row = len(codes), row
        """How many clusters there are, and the number of each sample's."""

    def blocks(self, values: _Floats) -> list[list[Block]]:
        """The blocks of each row of ``values``, which holds the values of all strata one after the other."""
        spreads = np.stack([values[:, a:b].var(axis=1) for a, b in pairwise(self._edges.tolist())], axis=1)
        signed, size = self._signs * values, int(self._cell.max()) + 1
        total = _sums(self._cell, signed, size)
        gains = _sums(self._cell, np.maximum(signed, 0.0), size)
        losses = _sums(self._cell, np.maximum(-signed, 0.0), size)
        sums = (total, gains, losses)
        parts = [_blocks(part, [np.take(each, part.cells, axis=1) for each in sums], spreads) for part in self._parts]
        return [list(row) for row in zip(*parts, strict=True)]


def blocks(strata: Sequence[Sampled]) -> list[Block]:
    """``strata`` as independent blocks, in the order of their first strata."""
    return Layout(strata).blocks(joined(strata)[None, :])[0]


def joined(strata: Sequence[Sampled]) -> _Floats:
    """The values of all strata, one after the other."""
    return np.concatenate([each.values for each in strata]) if strata else np.zeros(0)


def is_clustered(found: Sequence[Block]) -> bool:
    """Whether any two samples share a cluster."""
    return any(block.clusters < block.n for block in found)


def _sums(index: _Codes, numbers: _Floats, size: int) -> _Floats:
    """For each row of ``numbers`` their sums by ``index``, of which there are ``size``."""
    places = index + size * np.arange(len(numbers))[:, None]
    return np.bincount(places.ravel(), numbers.ravel(), size * len(numbers)).reshape(-1, size).astype(np.float64)


def _chosen(label: _Codes, stratum: _Codes) -> list[NDArray[np.bool_]]:
    """The cells of each block, by the label of their strata."""
    return [label[stratum] == first for first in dict.fromkeys(label.tolist())]


def _part(chosen: _Codes, cluster: _Codes, stratum: _Codes, count: _Floats, weights: _Floats) -> _Part:
    stratum, count = stratum[chosen], count[chosen]
    _, row = np.unique(cluster[chosen], return_inverse=True)
    sizes = np.bincount(stratum, count, len(weights)).astype(np.float64)
    absolute = np.where(sizes, np.abs(weights), 0.0)
    weight = float(absolute.sum())
    per_sample = absolute[stratum] / weight / sizes[stratum]
    return _Part(weight, chosen, stratum, row, count, per_sample, sizes, absolute / weight)


def _linked(cluster: _Codes, stratum: _Codes, strata: int) -> _Codes:
    """For each stratum the first one that it hangs together with by shared clusters."""
    label = list(range(strata))

    def root(stratum: int) -> int:
        while label[stratum] != stratum:
            stratum = label[stratum]
        return stratum

    # Cells are sorted by cluster, then stratum: neighbours in one cluster link their strata.
    same = cluster[1:] == cluster[:-1]
    for pair in np.unique(stratum[:-1][same] * strata + stratum[1:][same]).tolist():
        first, second = sorted(map(root, divmod(pair, strata)))
        label[second] = first
    return np.array([root(stratum) for stratum in range(strata)])


def _blocks(part: _Part, sums: Sequence[_Floats], spreads: _Floats) -> list[Block]:
    """A block for each row: ``sums`` are the total, the gains and the losses by cell, ``spreads`` are by stratum."""
    total, gains, losses = sums
    means = _sums(part.stratum, total, len(part.sizes)) / np.where(part.sizes, part.sizes, 1.0)
    # A cluster that is all of a stratum says nothing of how that stratum would vary; its sum of residuals is 0.
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
    """``freedom`` and ``freedom_alike``, neither below 1: ``support`` says that of one cluster nothing is known."""
    deviation = np.where(deviation.any(axis=1, keepdims=True), deviation, 1.0)
    independent = _sums(part.row, (part.per_sample * deviation) ** 2 * part.count, part.clusters)
    alike = _sums(part.row, part.per_sample * deviation * part.count, part.clusters) ** 2
    whole = independent.sum(axis=1)
    parts = independent / whole[:, None]
    pulls = parts**2 / np.maximum(1 - parts, 1e-6)
    # The second term is 0 for a single cluster, and then all rounding.
    among = np.maximum(0.0, pulls.sum(axis=1) ** 2 - (pulls * pulls).sum(axis=1))
    bell = 1 / ((parts * parts).sum(axis=1) + among)
    gap = alike.sum(axis=1) - whole
    share = np.where(gap > _NO_VARIANCE, (variance - whole) / np.where(gap > _NO_VARIANCE, gap, 1.0), 0.0)
    added = independent + np.clip(share, 0.0, 1.0)[:, None] * (alike - independent)
    carter = added.sum(axis=1) ** 2 / (added * added).sum(axis=1) - 1
    return np.maximum(1.0, bell), np.maximum(1.0, carter)
