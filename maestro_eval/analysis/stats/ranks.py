"""Which rank a system has among others, and which systems the samples do not tell apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.analysis.stats.bootstrap import DRAWS, deviations
from maestro_eval.analysis.stats.clusters import blocks
from maestro_eval.analysis.stats.distributions import normal_quantile, t_quantile
from maestro_eval.analysis.stats.estimates import Sampled, differences
from maestro_eval.analysis.stats.pivots import pivot

_Floats = NDArray[np.float64]


class RankInterval(Struct, frozen=True):
    """A system's rank (1 is best, equal means share the better rank), its interval, and its group of ties.

    Systems with one ``tie_group`` (1 is the best) are not told apart from the best of their group.
    """

    rank: int
    low: int
    high: int
    tie_group: int


def rank_intervals(
    systems: Sequence[Sequence[Sampled]], *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> list[RankInterval]:
    """The ranks of ``systems`` by their means, in their order; all hold the same samples, clusters and weights.

    System i's interval counts the systems that are surely better and those that are surely worse: j is where
    (θⱼ − θᵢ) / sᵢⱼ exceeds c, the ``level`` quantile over bootstrap draws of the largest |(θⱼ − θᵢ)* − (θⱼ − θᵢ)| / sᵢⱼ
    over all j. It then holds the true rank with chance ``level``, however many systems there are: M. Mogstad, J. P.
    Romano, A. M. Shaikh and D. Wilhelm, "Inference for ranks with applications to mobility across neighbourhoods and
    academic achievement across countries", Rev. Econ. Stud. 91 (2024). Clusters are drawn whole and for all systems
    at once; sᵢⱼ is the error of the paired interval, never 0, and c is widened as t is against the normal.

    Tie groups: from the best down, a system joins the group unless it is surely worse than the group's best, by the
    largest over all pairs.
    """
    if len(systems) < 2:
        return [RankInterval(1, 1, 1, 1) for _ in systems]
    means = np.array([sum(block.weight * block.value for block in blocks(each)) for each in systems])
    errors, widening = _errors(systems)
    moved = deviations([blocks(each) for each in systems], draws, seed)
    largest = np.zeros((len(systems), draws))
    for i in range(len(systems)):
        largest[i] = (np.abs(moved - moved[i]) / errors[i][:, None]).max(axis=0)
    # Means that differ by rounding only are equal.
    gaps = np.where(np.abs(means[None, :] - means[:, None]) < 1e-12, 0.0, means[None, :] - means[:, None])
    lead = gaps / errors
    critical = np.quantile(largest, level, axis=1) * widening
    groups = _groups(means, lead, float(np.quantile(largest.max(axis=0), level)) * widening)
    return [
        RankInterval(
            rank=1 + int((gaps[i] > 0).sum()),
            low=1 + int((lead[i] > critical[i]).sum()),
            high=len(means) - int((-lead[i] > critical[i]).sum()),
            tie_group=groups[i],
        )
        for i in range(len(means))
    ]


def _errors(systems: Sequence[Sequence[Sampled]]) -> tuple[_Floats, float]:
    """The error of each paired difference, infinite on the diagonal, and how much wider t is than the normal."""
    errors = np.full((len(systems), len(systems)), np.inf)
    freedom = np.inf
    for i, ours in enumerate(systems):
        for j in range(i):
            found = pivot(differences(ours, systems[j]))
            errors[i, j] = errors[j, i] = found.error
            freedom = min(freedom, found.freedom)
    return errors, t_quantile(0.975, freedom) / normal_quantile(0.975)


def _groups(means: _Floats, lead: _Floats, critical: float) -> list[int]:
    groups = [0] * len(means)
    best, group = -1, 0
    for i in np.argsort(-means, kind="stable").tolist():
        if best < 0 or lead[i, best] > critical:
            best, group = i, group + 1
        groups[i] = group
    return groups
