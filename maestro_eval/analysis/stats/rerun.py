"""How much a mean moves when the same system answers the same samples again."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray


class RerunNoise(Struct, frozen=True):
    """Standard deviations of the mean of ``n`` samples, each asked once: by rerunning alone, by sampling alone.

    ``rerun`` is how far a second run of the same samples strays; ``sampling`` how far one of other samples would,
    were every answer averaged over endless repeats. Their squares add up to the variance of the mean of one run.
    ``k`` repeats divide the square of ``rerun`` by k.
    """

    rerun: float
    sampling: float
    n: int
    k: int


def rerun_noise(values: NDArray[np.float64], clusters: NDArray[np.int64] | None = None) -> RerunNoise:
    """The noise seen in ``values``, n samples × k ≥ 2 repeats."""
    n, k = values.shape
    within = values.var(axis=1, ddof=1).mean()
    between = max(0.0, values.mean(axis=1).var(ddof=1) - within / k)
    return RerunNoise(float(np.sqrt(within / n)), float(np.sqrt(between / n)), n, k)
