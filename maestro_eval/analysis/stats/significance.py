"""Tests of a difference and of a mean against a given number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maestro_eval.analysis.stats.clusters import by_cluster, spread
from maestro_eval.analysis.stats.distributions import fair_coin_tail, t_tail
from maestro_eval.analysis.stats.estimates import PValue, Sampled, differences

DRAWS = 10_000
_MOST_EXACT = 13


def difference_p(a: Sequence[Sampled], b: Sequence[Sampled], *, seed: int = 0) -> PValue:
    """Whether the mean of a − b is 0: exact McNemar for one unclustered binary stratum, else ``sign_flip``."""
    paired = differences(a, b)
    one = len(paired) == 1 and not by_cluster(paired).is_clustered
    if one and np.isin(a[0].values, (0, 1)).all() and np.isin(b[0].values, (0, 1)).all():
        return mcnemar(int((paired[0].values > 0).sum()), int((paired[0].values < 0).sum()))
    return sign_flip(paired, seed=seed)


def mcnemar(gains: int, losses: int) -> PValue:
    """Whether a discordant pair is as often a gain as a loss: twice the smaller tail of the binomial.

    Q. McNemar, Psychometrika 12 (1947), in its exact binomial form. 1 where no pair is discordant.
    """
    return PValue(min(1.0, 2 * fair_coin_tail(min(gains, losses), gains + losses)), "exact mcnemar")


def sign_flip(paired: Sequence[Sampled], *, seed: int = 0) -> PValue:
    """Whether a mean of differences is 0, by flipping the signs of whole clusters."""
    data = by_cluster(paired)
    parts = data.sums @ (data.weights / data.counts.sum(axis=0))
    parts = parts[parts != 0]
    observed = abs(parts.sum()) * (1 - 1e-12)
    if len(parts) <= _MOST_EXACT:
        signs = 1 - 2 * ((np.arange(2 ** len(parts))[:, None] >> np.arange(len(parts))) & 1)
        return PValue(float(np.mean(np.abs(signs @ parts) >= observed)), "exact sign flip")
    generator = np.random.default_rng(seed)
    hits = sum(
        int((np.abs((generator.integers(0, 2, (1000, len(parts))) * 2 - 1) @ parts) >= observed).sum())
        for _ in range(DRAWS // 1000)
    )
    return PValue((hits + 1) / (DRAWS + 1), f"sign flip ({DRAWS} draws)")


def reference_p(strata: Sequence[Sampled], reference: float) -> PValue:
    """Whether a mean is the published ``reference``, taken as a fixed number: t with the clustered standard error."""
    data = by_cluster(strata)
    found = spread(data)
    gap = abs(data.value - reference)
    if not found.error:
        return PValue(1.0, "no spread")
    return PValue(min(1.0, 2 * t_tail(gap / found.error, found.freedom)), "one-sample cluster t")
