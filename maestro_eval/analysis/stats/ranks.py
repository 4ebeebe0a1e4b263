"""The rank of a system among others, with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.analysis.stats.clusters import CELLS, Block, blocks
from maestro_eval.analysis.stats.estimates import Sampled
from maestro_eval.analysis.stats.means import normal_quantile, t_quantile
from maestro_eval.analysis.stats.pivots import pair_pivots

_Floats = NDArray[np.float64]

DRAWS = 10_000


class RankInterval(Struct, frozen=True):
    """A system's rank (1 is best, equal means share the better rank) and its interval."""

    rank: int
    low: int
    high: int


def rank_intervals(
    systems: Sequence[Sequence[Sampled]],
    hidden: Sequence[float] = (),
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[RankInterval]:
    """The ranks of ``systems`` by their means, in their order; all hold the same samples, clusters and weights.

    System i's interval counts the systems that are surely better and those that are surely worse: j is where
    (θⱼ − θᵢ) / sᵢⱼ exceeds c, the ``level`` quantile over bootstrap draws of the largest |(θⱼ − θᵢ)* − (θⱼ − θᵢ)| / sᵢⱼ
    over all j. It then holds the true rank with chance ``level``, however many systems there are: M. Mogstad, J. P.
    Romano, A. M. Shaikh and D. Wilhelm, "Inference for ranks with applications to mobility across neighbourhoods and
    academic achievement across countries", Rev. Econ. Stud. 91 (2024). Clusters are drawn whole and for all systems
    at once; sᵢⱼ is the error of the paired interval, never 0, and c is widened as t is against the normal.

    ``hidden`` is by how much each system's mean may be higher than its samples say (what failed may have been right):
    no system is surely better or worse while that could undo it.
    """
    if len(systems) < 2:
        return [RankInterval(1, 1, 1) for _ in systems]
    found = [blocks(each) for each in systems]
    means = np.array([sum(block.weight * block.value for block in each) for each in found])
    errors, widening = _errors(systems)
    moved = deviations(found, draws, seed)
    largest = np.zeros((len(systems), draws))
    for i in range(len(systems)):
        largest[i] = (np.abs(moved - moved[i]) / errors[i][:, None]).max(axis=0)
    # Means that differ by rounding only are equal.
    gaps = np.where(np.abs(means[None, :] - means[:, None]) < 1e-12, 0.0, means[None, :] - means[:, None])
    unknown = np.array(hidden) if hidden else np.zeros(len(systems))
    above, below = (gaps - unknown[:, None]) / errors, (-gaps - unknown[None, :]) / errors
    critical = np.quantile(largest, level, axis=1) * widening
    return [
        RankInterval(
            rank=1 + int((gaps[i] > 0).sum()),
            low=1 + int((above[i] > critical[i]).sum()),
            high=len(means) - int((below[i] > critical[i]).sum()),
        )
        for i in range(len(means))
    ]


def _errors(systems: Sequence[Sequence[Sampled]]) -> tuple[_Floats, float]:
    """The error of each paired difference, infinite on the diagonal, and how much wider t is than the normal."""
    errors = np.full((len(systems), len(systems)), np.inf)
    freedom = np.inf
    pairs = list(combinations(range(len(systems)), 2))
    for (i, j), found in zip(pairs, pair_pivots(systems, pairs), strict=True):
        errors[i, j] = errors[j, i] = found.error
        freedom = min(freedom, found.freedom)
    return errors, t_quantile(0.975, freedom) / normal_quantile(0.975)


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
            groups, rows = u.shape[1], len(drawn)
            times = np.bincount((drawn + groups * np.arange(rows)[:, None]).ravel(), minlength=groups * rows)
            moved[:, piece] += u @ times.reshape(rows, groups).T.astype(np.float64)
    return moved


def _drawn(block: Block, draws: int, generator: np.random.Generator) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """The clusters drawn, with putting back, for a piece of the draws at a time."""
    groups = block.clusters
    rows = max(1, CELLS // groups)
    for start in range(0, draws, rows):
        piece = slice(start, min(draws, start + rows))
        yield piece, generator.integers(0, groups, (piece.stop - start, groups))
