"""How much a mean moves when the same system answers the same samples again."""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.analysis.stats.clusters import blocks
from maestro_eval.analysis.stats.estimates import Sampled


class RerunNoise(Struct, frozen=True):
    """Standard deviations of the mean of ``n`` samples that are each asked once.

    ``rerun``: how far it moves when the same samples are asked again, and nothing else changes. ``sampling``: how far
    it would move with other samples of their kind, were each asked endlessly often. The squares add up to the
    variance of the mean of one run; averaging k repeats divides the square of ``rerun`` by k and leaves ``sampling``.
    """

    rerun: float
    sampling: float
    n: int
    k: int


def rerun_noise(values: NDArray[np.float64], clusters: NDArray[np.int64] | None = None) -> RerunNoise:
    """The noise seen in ``values``, n samples × k ≥ 2 repeats, by one-way analysis of variance.

    With s²ᵢ the variance of sample i's repeats, rerun² = mean(s²ᵢ) / n, and sampling² = V − mean(s²ᵢ) / (n k), at
    least 0, where V is the (cluster-robust) variance of the mean of the samples' means. S. R. Searle, G. Casella and
    C. E. McCulloch, "Variance components" (1992); for evaluations E. Miller, "Adding error bars to evals" (2024).
    Repeats are taken as independent of each other given the sample. One cluster alone tells nothing of sampling:
    V is then what values in [0, 1] can vary at most.
    """
    if values.ndim != 2 or values.shape[1] < 2 or not values.shape[0]:
        raise ValueError(f"rerun noise needs two repeats of each sample, not values of shape {values.shape}")
    n, k = values.shape
    within = float(values.var(axis=1, ddof=1).mean())
    means = values.mean(axis=1)
    codes = np.arange(n, dtype=np.int64) if clusters is None else clusters
    block = blocks([Sampled(means, codes)])[0]
    whole = block.variance if block.clusters > 1 else max(0.0, block.value * (1 - block.value))
    return RerunNoise(math.sqrt(within / n), math.sqrt(max(0.0, whole - within / (n * k))), n, k)
