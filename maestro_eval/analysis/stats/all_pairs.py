"""Intervals and tests of the differences between many systems at once: what belongs to one system is computed once.

The systems hold the same samples, clusters and weights. Pairs are named by the systems' numbers, (a, b) for a − b.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maestro_eval.analysis.stats.clusters import CELLS, Layout
from maestro_eval.analysis.stats.estimates import Estimate, PValue, Sampled
from maestro_eval.analysis.stats.pivots import pair_pivots, side_by_side
from maestro_eval.analysis.stats.ranks import DRAWS
from maestro_eval.analysis.stats.significance import counts_pairs, difference_p, flipped

_Floats = NDArray[np.float64]
_Pairs = Sequence[tuple[int, int]]


def difference_intervals(systems: Sequence[Sequence[Sampled]], pairs: _Pairs, *, level: float = 0.95) -> list[Estimate]:
    """``difference_interval`` of each pair."""
    return [each.interval(level) for each in pair_pivots(systems, pairs)]


def difference_ps(systems: Sequence[Sequence[Sampled]], pairs: _Pairs, *, seed: int = 0) -> list[PValue]:
    """``difference_p`` of each pair; where signs are drawn, the same ones for all pairs.

    The signed sum of a difference is the difference of the systems' signed sums, so that each system is gone through
    once. Where ``mcnemar`` serves there is nothing to draw.
    """
    counted = [counts_pairs(each) for each in systems]
    layout = Layout(systems[0])
    share = np.concatenate([np.full(each.values.size, each.weight / each.values.size) for each in systems[0]])
    adds: _Floats = np.stack(
        [np.bincount(layout.row, share * row, layout.clusters).astype(np.float64) for row in side_by_side(systems)]
    )
    drawn = np.zeros((len(systems), 0)) if all(counted) else _signed_sums(adds, seed)
    return [
        difference_p(systems[a], systems[b])
        if counted[a] and counted[b]
        else flipped(adds[a] - adds[b], drawn[a] - drawn[b])
        for a, b in pairs
    ]


def _signed_sums(adds: _Floats, seed: int) -> _Floats:
    """Σ ± c_g for each system and draw. A cluster to which all systems add the same is in no difference."""
    adds = adds[:, (adds != adds[0]).any(axis=0)]
    generator = np.random.default_rng(seed)
    found, rows = np.zeros((len(adds), DRAWS)), max(1, CELLS // max(1, adds.shape[1]))
    for start in range(0, DRAWS, rows):
        size = min(rows, DRAWS - start)
        signs = generator.integers(0, 2, (size, adds.shape[1]), dtype=np.int8).astype(np.float64)
        found[:, start : start + size] = adds @ (2 * signs - 1).T
    return found
