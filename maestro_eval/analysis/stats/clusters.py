"""What clustered samples come to: a weighted mean of stratum means, its standard error, its degrees of freedom.

Everything that needs the uncertainty of a mean of dependent samples starts here. Work is done on one number for each
cluster and stratum, so that a hundred thousand samples cost no more than their clusters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.analysis.stats.estimates import Sampled


class Clustered(Struct, frozen=True, eq=False):
    """``strata`` summed up by cluster: rows are clusters, columns strata.

    ``sums`` are the sums of the values, ``counts`` the numbers of samples; ``weights`` one for each stratum.
    """

    sums: NDArray[np.float64]
    counts: NDArray[np.float64]
    weights: NDArray[np.float64]

    @property
    def n(self) -> int:
        return int(self.counts.sum())

    @property
    def groups(self) -> int:
        """G, the number of clusters."""
        return len(self.sums)

    @property
    def means(self) -> NDArray[np.float64]:
        """The mean of each stratum."""
        means: NDArray[np.float64] = self.sums.sum(axis=0) / self.counts.sum(axis=0)
        return means

    @property
    def value(self) -> float:
        """Σ wₛ x̄ₛ."""
        return float(self.means @ self.weights)

    @property
    def is_clustered(self) -> bool:
        """Whether any two samples share a cluster."""
        return self.groups < self.n


class Spread(Struct, frozen=True):
    """A standard error and the degrees of freedom of its t distribution; ``error`` 0 where the data have no spread."""

    error: float
    freedom: float


def by_cluster(strata: Sequence[Sampled]) -> Clustered:
    """Sum up ``strata``."""
    if not strata:
        raise ValueError("a mean needs strata")
    codes, rows = np.unique(np.concatenate([each.clusters for each in strata]), return_inverse=True)
    columns = np.repeat(np.arange(len(strata)), [each.values.size for each in strata])
    cells = rows * len(strata) + columns
    size, shape = len(codes) * len(strata), (len(codes), len(strata))
    sums = np.bincount(cells, np.concatenate([each.values for each in strata]), size).astype(np.float64).reshape(shape)
    counts = np.bincount(cells, minlength=size).astype(np.float64).reshape(shape)
    return Clustered(sums, counts, np.array([each.weight for each in strata]))


def influences(data: Clustered) -> NDArray[np.float64]:
    """Each cluster's part in the error of the mean: u_g = Σₛ wₛ/nₛ Σ_{i in g and s} (xᵢ − x̄ₛ). They add up to 0."""
    parts: NDArray[np.float64] = (data.sums - data.counts * data.means) @ (data.weights / data.counts.sum(axis=0))
    return parts


def spread(data: Clustered) -> Spread:
    """The cluster-robust standard error of ``data.value``: √(G/(G−1) Σ u_g²), with G − 1 degrees of freedom."""
    if data.groups < 2:
        return Spread(0.0, 1.0)
    u = influences(data)
    return Spread(float(np.sqrt(data.groups / (data.groups - 1) * (u @ u))), data.groups - 1.0)
