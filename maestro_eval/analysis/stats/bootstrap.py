"""The cluster bootstrap: whole clusters drawn anew, 10,000 times, from a given seed.

Only the influences of the clusters are resampled (one number each, see ``clusters.Block``), in pieces of bounded
memory. For means of values in [0, 1] the intervals of ``pivots`` cover better, see docs/statistics.md; the bootstrap is
for values without bounds and for ranks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from maestro_eval.analysis.stats.clusters import Block, blocks
from maestro_eval.analysis.stats.distributions import t_quantile
from maestro_eval.analysis.stats.estimates import Estimate, Sampled

_Floats = NDArray[np.float64]

DRAWS = 10_000
# Clusters drawn that are held at a time: 32 MB.
_CELLS = 4_000_000


def cluster_bootstrap(
    strata: Sequence[Sampled],
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
    studentised: bool = True,
) -> Estimate:
    """The bootstrap interval of Σ wₛ × (mean of stratum s); clusters that span strata are drawn jointly.

    Studentised and symmetric: θ ± q s with q the ``level`` quantile of |θ* − θ| / s* over the draws, not below that
    of t. P. Hall, "On symmetric bootstrap confidence intervals", J. R. Statist. Soc. B 50 (1988); clusters: A. C.
    Cameron, J. B. Gelbach and D. L. Miller, Rev. Econ. Stat. 90 (2008). Draws of one cluster only have no s*, and
    are left out. Otherwise the percentiles of θ*, which cover too little for few clusters. Where a block has no
    spread nothing is known, and the ends are infinite.
    """
    found = blocks(strata)
    value = math.fsum(block.weight * block.value for block in found)
    n, groups = sum(block.n for block in found), sum(block.clusters for block in found)
    method = f"{'studentised' if studentised else 'percentile'} cluster bootstrap, {groups} clusters"
    if not all(block.support for block in found):
        return Estimate(value, -math.inf, math.inf, n, method)
    generator = np.random.default_rng(seed)
    moved, squares = np.zeros(draws), np.zeros(draws)
    for block in found:
        u = block.weight * block.influences
        for piece, drawn in _drawn(block, draws, generator):
            shift = u[drawn].sum(axis=1)
            moved[piece] += shift
            squares[piece] += np.maximum(0.0, (u * u)[drawn].sum(axis=1) - shift * shift / len(u))
    if not studentised:
        low, high = np.quantile(value + moved, [(1 - level) / 2, (1 + level) / 2])
        return Estimate(value, float(min(low, value)), float(max(high, value)), n, method)
    error = math.sqrt(math.fsum(block.weight**2 * block.variance for block in found))
    usable = squares > (1e-9 * error) ** 2
    ratios = np.abs(moved[usable]) / np.sqrt(squares[usable])
    quantile = t_quantile((1 + level) / 2, min(block.freedom for block in found))
    reach = max(quantile, float(np.quantile(ratios, level)) if ratios.size else 0.0) * error
    return Estimate(value, value - reach, value + reach, n, method)


def deviations(systems: Sequence[Sequence[Block]], draws: int, seed: int) -> _Floats:
    """How far the means of ``systems`` stray together: systems × draws, the same clusters drawn for all.

    Beyond some thousand clusters the draws come from the normal distribution with the clusters' covariance, to which
    the bootstrap has then converged.
    """
    generator = np.random.default_rng(seed)
    moved = np.zeros((len(systems), draws))
    for parts in zip(*systems, strict=True):
        u = np.stack([block.weight * block.influences for block in parts])
        if u.shape[1] > 2_000:
            values, vectors = np.linalg.eigh(u @ u.T)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            moved += root @ generator.standard_normal((len(u), draws))
            continue
        for piece, drawn in _drawn(parts[0], draws, generator):
            for i, influences in enumerate(u):
                moved[i, piece] += influences[drawn].sum(axis=1)
    return moved


def _drawn(block: Block, draws: int, generator: np.random.Generator) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """The clusters drawn, with putting back, for a piece of the draws at a time."""
    groups = block.clusters
    rows = max(1, _CELLS // groups)
    for start in range(0, draws, rows):
        piece = slice(start, min(draws, start + rows))
        yield piece, generator.integers(0, groups, (piece.stop - start, groups))
