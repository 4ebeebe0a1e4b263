"""What clustered samples come to: means, their cluster-robust variance, and how far that variance can be trusted.

Everything here works on one number for each cluster within each stratum, so that a benchmark of a hundred thousand
samples costs one pass over them. Strata that share clusters form a ``Block``; blocks are independent of each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.analysis.stats.estimates import Sampled

_Floats = NDArray[np.float64]
_Codes = NDArray[np.int64]

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


class _Cells(Struct, frozen=True, eq=False):
    """The samples by cluster and stratum: one row for each pair that has any."""

    cluster: _Codes
    stratum: _Codes
    count: _Floats
    total: _Floats
    gains: _Floats
    losses: _Floats


def blocks(strata: Sequence[Sampled]) -> list[Block]:
    """``strata`` as independent blocks, in the order of their first strata."""
    if not strata:
        raise ValueError("a mean needs strata")
    cells = _cells(strata)
    spreads = np.array([each.values.var() for each in strata])
    weights = np.array([each.weight for each in strata])
    if not weights.all() or not np.isfinite(weights).all():
        raise ValueError(f"weights are finite and not 0: {weights.tolist()}")
    label = _linked(cells, len(strata))
    found = []
    for first in dict.fromkeys(label.tolist()):
        chosen = label[cells.stratum] == first
        found.append(_block(cells, chosen, np.where(label == first, np.abs(weights), 0.0), spreads))
    return found


def is_clustered(found: Sequence[Block]) -> bool:
    """Whether any two samples share a cluster."""
    return any(block.clusters < block.n for block in found)


def _cells(strata: Sequence[Sampled]) -> _Cells:
    values = np.concatenate([np.sign(each.weight) * each.values for each in strata])
    column = np.repeat(np.arange(len(strata)), [each.values.size for each in strata])
    _, row = np.unique(np.concatenate([each.clusters for each in strata]), return_inverse=True)
    codes, cell = np.unique(row * len(strata) + column, return_inverse=True)
    size = len(codes)

    def sums(numbers: _Floats | None = None) -> _Floats:
        return np.bincount(cell, numbers, size).astype(np.float64)

    return _Cells(
        codes // len(strata),
        codes % len(strata),
        sums(),
        sums(values),
        sums(np.maximum(values, 0.0)),
        sums(np.maximum(-values, 0.0)),
    )


def _linked(cells: _Cells, strata: int) -> _Codes:
    """For each stratum the first one that it hangs together with by shared clusters."""
    label = list(range(strata))

    def root(stratum: int) -> int:
        while label[stratum] != stratum:
            stratum = label[stratum]
        return stratum

    # Cells are sorted by cluster, then stratum: neighbours in one cluster link their strata.
    same = cells.cluster[1:] == cells.cluster[:-1]
    for pair in np.unique(cells.stratum[:-1][same] * strata + cells.stratum[1:][same]).tolist():
        first, second = sorted(map(root, divmod(pair, strata)))
        label[second] = first
    return np.array([root(stratum) for stratum in range(strata)])


def _block(cells: _Cells, chosen: NDArray[np.bool_], weights: _Floats, spreads: _Floats) -> Block:
    stratum, count = cells.stratum[chosen], cells.count[chosen]
    _, row = np.unique(cells.cluster[chosen], return_inverse=True)
    sizes = np.bincount(stratum, count, len(weights))
    weight = float(weights.sum())
    # The part of one sample of each cell in the block's mean.
    per_sample = weights[stratum] / weight / sizes[stratum]
    means = np.bincount(stratum, cells.total[chosen], len(weights)) / np.where(sizes, sizes, 1.0)
    # A cluster that is all of a stratum says nothing of how that stratum would vary; its sum of residuals is 0.
    left = np.maximum(1 - count / sizes[stratum], 1e-9)
    residuals = cells.total[chosen] - count * means[stratum]
    influences = np.bincount(row, per_sample / np.sqrt(left) * residuals).astype(np.float64)
    squares = influences * influences
    variance = float(squares.sum())
    if variance < _NO_VARIANCE:
        variance, support = 0.0, 0.0
    else:
        support = variance**2 / float((squares * squares).sum())
    alike = np.bincount(row, per_sample * count) ** 2
    return Block(
        weight=weight,
        value=float(weights / weight @ means),
        gains=float(per_sample @ cells.gains[chosen]),
        losses=float(per_sample @ cells.losses[chosen]),
        variance=variance,
        **_freedoms(variance, row, per_sample, count, np.sqrt(spreads[stratum])),
        fewest=float(1 / alike.sum()),
        support=support,
        n=int(count.sum()),
        influences=influences,
    )


def _freedoms(
    variance: float, row: _Codes, per_sample: _Floats, count: _Floats, deviation: _Floats
) -> dict[str, float]:
    """``freedom`` and ``freedom_alike``, neither below 1: ``support`` says that of one cluster nothing is known."""
    if not deviation.any():
        deviation = np.ones_like(deviation)
    independent = np.bincount(row, (per_sample * deviation) ** 2 * count)
    alike = np.bincount(row, per_sample * deviation * count) ** 2
    parts = independent / independent.sum()
    pulls = parts**2 / np.maximum(1 - parts, 1e-6)
    # The second term is 0 for a single cluster, and then all rounding.
    bell = 1 / float(parts @ parts + max(0.0, pulls.sum() ** 2 - pulls @ pulls))
    gap = float(alike.sum() - independent.sum())
    share = (variance - float(independent.sum())) / gap if gap > _NO_VARIANCE else 0.0
    added = independent + min(1.0, max(0.0, share)) * (alike - independent)
    return {"freedom": max(1.0, bell), "freedom_alike": max(1.0, float(added.sum() ** 2 / (added @ added)) - 1)}
