"""Means of several systems drawn anew together: whole clusters, the same for all, from a given seed.

Only the influences of the clusters are resampled (one number each, see ``clusters.Block``), in pieces of bounded
memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from maestro_eval.analysis.stats.clusters import Block

_Floats = NDArray[np.float64]

DRAWS = 10_000
# Clusters drawn that are held at a time: 32 MB.
_CELLS = 4_000_000


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
