"""Which rank a system has among others, and which systems the samples do not tell apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.analysis.stats.clusters import by_cluster, influences
from maestro_eval.analysis.stats.estimates import Sampled


class RankInterval(Struct, frozen=True):
    """A system's rank (1 is best, equal means share the better rank), its interval, and its group of ties.

    Systems with the same ``tie_group`` (numbered from 1, the best) are not told apart from the group's best.
    """

    rank: int
    low: int
    high: int
    tie_group: int


def rank_intervals(
    systems: Sequence[Sequence[Sampled]], *, level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> list[RankInterval]:
    """The ranks of ``systems`` by their means, in their order; all hold the same samples, clusters and weights."""
    data = [by_cluster(each) for each in systems]
    means = np.array([each.value for each in data])
    parts = np.stack([influences(each) for each in data])
    drawn = means[:, None] + _resampled(parts, draws, seed)
    ranks = 1 + (drawn[None, :, :] > drawn[:, None, :]).sum(axis=1)
    low, high = np.quantile(ranks, [(1 - level) / 2, (1 + level) / 2], axis=1, method="nearest").astype(int)
    own = 1 + (means[None, :] > means[:, None]).sum(axis=1)
    groups = np.ones(len(means), dtype=int)
    best, group = None, 0
    for i in np.argsort(-means, kind="stable"):
        if best is None or np.quantile(drawn[best] - drawn[i], (1 - level) / 2) > 0:
            best, group = i, group + 1
        groups[i] = group
    return [
        RankInterval(int(r), min(int(x), int(r)), max(int(y), int(r)), int(g))
        for r, x, y, g in zip(own, low, high, groups, strict=True)
    ]


def _resampled(parts: NDArray[np.float64], draws: int, seed: int) -> NDArray[np.float64]:
    groups = parts.shape[1]
    generator = np.random.default_rng(seed)
    block = max(1, 2_000_000 // groups)
    return np.concatenate(
        [
            parts @ generator.multinomial(groups, np.full(groups, 1 / groups), min(block, draws - start)).T
            for start in range(0, draws, block)
        ],
        axis=1,
    )
