"""Tests of a paired difference and of a mean against a published number, and their adjustment for how many there are.

All p-values are two-sided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maestro_eval.analysis.stats.clusters import CELLS
from maestro_eval.analysis.stats.estimates import PValue, Sampled, differences
from maestro_eval.analysis.stats.means import binomial_tails, fair_coin_tail, t_tail
from maestro_eval.analysis.stats.pivots import pivot
from maestro_eval.analysis.stats.ranks import DRAWS

_Floats = NDArray[np.float64]

# So many ways to flip the signs are gone through one by one; more are drawn at random.
_MOST_EXACT = 2**17
# Deals of categories, and the clusters of pooled spread that each category is given besides its own.
_DEALS = 1_999
_ADDED = 2.0
# Sums that should be equal differ by rounding; such a draw is as extreme as what was seen.
_ROUNDING = 1e-10


def difference_p(a: Sequence[Sampled], b: Sequence[Sampled], *, seed: int = 0) -> PValue:
    """Test whether the mean of a − b is 0: ``mcnemar`` for one stratum of independent 0s and 1s, else ``sign_flip``.

    ``a`` and ``b`` hold the same samples, clusters and weights in the same order.
    """
    paired = differences(a, b)
    if counts_pairs(a) and counts_pairs(b):
        return mcnemar(int((paired[0].values > 0).sum()), int((paired[0].values < 0).sum()))
    return sign_flip(paired, seed=seed)


def mcnemar(gains: int, losses: int) -> PValue:
    """Test whether a discordant pair is as often a gain as a loss: the mid-p form of McNemar's exact test.

    p = 2 P(X ≤ k) − P(X = k), where k is the smaller count and X is binomial with chance ½; 1 where no pair is
    discordant. M. W. Fagerland, S. Lydersen and P. Laake, "The McNemar test for binary matched-pairs data: mid-p and
    asymptotic are better than exact conditional", BMC Med. Res. Methodol. 13 (2013).
    """
    k, n = min(gains, losses), gains + losses
    below = fair_coin_tail(k - 1, n) if k else 0.0
    return PValue(min(1.0, fair_coin_tail(k, n) + below) if n else 1.0, "mid-p mcnemar")


def sign_flip(paired: Sequence[Sampled], *, seed: int = 0) -> PValue:
    """Test whether a mean of differences is 0, by flipping the signs of whole clusters at random.

    Each cluster adds c_g = Σₛ wₛ/nₛ Σ_{i in g and s} dᵢ to the mean. Were the two systems interchangeable, c_g would
    be as likely −c_g, so that p is the share of sign patterns whose |Σ ± c_g| reaches what was seen. R. A. Fisher, "The
    design of experiments" (1935). Exact whatever the sizes and the dependence within clusters. Clusters that add
    equally much are counted, not listed: all patterns are gone through where their sums number at most 131,072; else
    10,000 are drawn, and p = (hits + 1) / (draws + 1), which is never too small (B. Phipson and G. K. Smyth, Stat.
    Appl. Genet. Mol. Biol. 9, 2010). Where no draw reaches what was seen, p is t's tail beyond |Σ c_g| / √Σ c_g² if
    that is smaller: the draws alone would put a floor under p, and many adjusted floors decide nothing.
    """
    return flipped(_contributions(paired), seed=seed)


def flipped(added: _Floats, drawn: _Floats | None = None, *, seed: int = 0) -> PValue:
    """``sign_flip`` of clusters that add so much each; ``drawn`` are their sums with signs that were drawn before."""
    parts, observed = np.abs(added), abs(math.fsum(added))
    largest = float(parts.max())
    if not largest:
        return PValue(1.0, "exact sign flip")
    sizes, counts = np.unique(np.round(parts[parts > _ROUNDING * largest] / largest, 12), return_counts=True)
    least = observed / largest * (1 - _ROUNDING) - _ROUNDING
    if math.prod((counts + 1).tolist()) <= _MOST_EXACT:
        return PValue(_exact(sizes, counts, least), "exact sign flip")
    hits = _hits(sizes, counts, least, seed) if drawn is None else int((np.abs(drawn) >= least * largest).sum())
    if hits:
        return PValue((hits + 1) / (DRAWS + 1), f"sign flip, {DRAWS:,} draws")
    standardised = observed / largest / math.sqrt(float(counts @ sizes**2))
    tail = 2 * t_tail(standardised, float(counts.sum()) - 1)
    return PValue(min(1 / (DRAWS + 1), tail), f"sign flip, t beyond {DRAWS:,} draws")


def reference_p(strata: Sequence[Sampled], reference: float) -> PValue:
    """Test whether the mean is the published ``reference``, which is taken as a fixed number without error of its own.

    One stratum of independent zeros and ones: the exact binomial test, twice the smaller tail. Else small exactly
    where the interval of ``mean_interval`` excludes the reference: the same pivot, with its cluster-robust error.
    A number that was itself measured on few samples has an error too, and p is then too small.
    """
    only = strata[0]
    if len(strata) == 1 and not only.signed and _all_apart(only) and _binary(only.values) and 0 <= reference <= 1:
        low, high = binomial_tails(int(only.values.sum()), only.values.size, reference)
        return PValue(min(1.0, 2 * min(low, high)), "exact binomial")
    found = pivot(strata)
    return PValue(found.p_equal(reference), f"one-sample {found.method}")


def heterogeneity_p(parts: Sequence[Sampled], *, seed: int = 0) -> PValue:
    """Test whether the means of ``parts`` are equal: the categories of a task, each with its paired differences.

    Were a difference independent of its category, the categories could be dealt anew: among clusters that lie within
    one, cluster by cluster, and within a cluster that has several, sample by sample. p is the share of 1,999 such deals
    whose Q reaches what was seen, Q = Σ w_c (d_c − d̄)² with w_c = 1 / v_c, the statistic of B. L. Welch (Biometrika 38,
    1951). v_c is cluster-robust, and two clusters of pooled spread are added to each category, without which one that
    has no discordant pair would decide all. Exact where categories are alike in all but name; as Q is studentised, the
    size also holds where they differ in numbers and spread: E. Y. Chung and J. P. Romano, "Exact and asymptotically
    robust permutation tests", Ann. Stat. 41 (2013). Measured: docs/statistics.md.
    """
    label = np.repeat(np.arange(len(parts)), [part.values.size for part in parts])
    values = np.concatenate([part.values for part in parts])
    _, cluster = np.unique(np.concatenate([part.clusters for part in parts]), return_inverse=True)
    first = np.full(cluster.max() + 1, len(parts))
    np.minimum.at(first, cluster, label)
    last = np.zeros_like(first)
    np.maximum.at(last, cluster, label)
    # Units that change places: whole clusters with each other (place 0), samples of a mixed cluster with each other.
    mixed = (first != last)[cluster]
    unit = np.where(mixed, cluster.max() + 1 + np.arange(values.size), cluster)
    _, chosen, row = np.unique(unit, return_index=True, return_inverse=True)
    count: _Floats = np.bincount(row).astype(np.float64)
    total: _Floats = np.bincount(row, values).astype(np.float64)
    label, place = label[chosen], np.where(mixed, 1 + cluster, 0)[chosen]
    order = np.argsort(place, kind="stable")
    count, total, label, place = count[order], total[order], label[order], place[order]
    residuals = total - count * (total.sum() / count.sum())
    spread = float(residuals @ residuals) / len(count)
    method = f"permuted categories, {_DEALS:,} draws"
    if spread < _ROUNDING or len(parts) < 2:
        return PValue(1.0, method)
    seen = _welch(label[None, :], count, total, spread, len(parts))[0] * (1 - _ROUNDING)
    generator = np.random.default_rng(seed)
    hits, rows = 0, max(1, CELLS // len(count))
    for start in range(0, _DEALS, rows):
        dealt = np.tile(label, (min(rows, _DEALS - start), 1))
        if place[-1]:
            dealt = np.take_along_axis(dealt, np.argsort(place + generator.random(dealt.shape), axis=1), axis=1)
        else:
            dealt = generator.permuted(dealt, axis=1)
        hits += int((_welch(dealt, count, total, spread, len(parts)) >= seen).sum())
    return PValue((hits + 1) / (_DEALS + 1), method)


def _welch(label: NDArray[np.int64], count: _Floats, total: _Floats, spread: float, parts: int) -> _Floats:
    """Q for each row of ``label``, which gives the category of each unit; ``total`` is the sum of its ``count``."""
    places = (label + parts * np.arange(len(label))[:, None]).ravel()

    def sums(of_unit: _Floats) -> _Floats:
        added = np.bincount(places, np.broadcast_to(of_unit, label.shape).ravel(), parts * len(label))
        return added.reshape(-1, parts).astype(np.float64)

    units, n = sums(np.ones_like(count)), np.maximum(sums(count), 1.0)
    mean = sums(total) / n
    squares = np.maximum(0.0, sums(total**2) - 2 * mean * sums(total * count) + mean**2 * sums(count**2))
    within = squares * np.where(units > 1, units / np.maximum(units - 1, 1), 1.0)
    weight = np.where(units, n**2 * (units + _ADDED) / (np.maximum(units, 1) * (within + _ADDED * spread)), 0.0)
    centre = (weight * mean).sum(axis=1) / weight.sum(axis=1)
    found: _Floats = (weight * (mean - centre[:, None]) ** 2).sum(axis=1)
    return found


def _contributions(paired: Sequence[Sampled]) -> _Floats:
    _, row = np.unique(np.concatenate([each.clusters for each in paired]), return_inverse=True)
    added = np.concatenate([each.weight / each.values.size * each.values for each in paired])
    return np.bincount(row, added).astype(np.float64)


def _exact(sizes: _Floats, counts: NDArray[np.int64], least: float) -> float:
    """P(|Σ| ≥ ``least``) over all signs, of ``counts`` clusters that each add one of ``sizes``."""
    sums, chances = np.zeros(1), np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        sums = (sums[:, None] + size * (2 * np.arange(count + 1) - count)).ravel()
        chances = (chances[:, None] * _fair_coin(count)).ravel()
    return min(1.0, float(chances[np.abs(sums) >= least].sum()))


def _fair_coin(tosses: int) -> _Floats:
    """The chances of 0, 1, … heads: from the middle outwards, each from its neighbour, so that none overflows."""
    middle = (tosses + 1) // 2
    heads = np.arange(middle, tosses)
    above = np.cumprod(np.concatenate([[1.0], (tosses - heads) / (heads + 1)]))
    chances: _Floats = np.concatenate([above[::-1], above[1:] if tosses % 2 == 0 else above])
    chances /= chances.sum()
    return chances


def _hits(sizes: _Floats, counts: NDArray[np.int64], least: float, seed: int) -> int:
    generator = np.random.default_rng(seed)
    single = counts == 1
    hits, rows = 0, max(1, CELLS // len(sizes))
    for start in range(0, DRAWS, rows):
        size = min(rows, DRAWS - start)
        ups = generator.integers(0, 2, (size, int(single.sum())), dtype=np.int8) @ sizes[single]
        ups += generator.binomial(counts[~single], 0.5, (size, int((~single).sum()))) @ sizes[~single]
        hits += int((np.abs(2 * ups - counts @ sizes) >= least).sum())
    return hits


def counts_pairs(system: Sequence[Sampled]) -> bool:
    """Whether ``mcnemar`` serves: one stratum of independent 0s and 1s."""
    return len(system) == 1 and _binary(system[0].values) and _all_apart(system[0])


def _all_apart(stratum: Sampled) -> bool:
    return len(np.unique(stratum.clusters)) == stratum.clusters.size


def _binary(values: _Floats) -> bool:
    return bool(((values == 0) | (values == 1)).all())


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted so that the chance of any false rejection in the family is at most α; valid under any dependence.

    With m p-values in rising order, p̃₍ᵢ₎ = max over j ≤ i of min(1, (m − j + 1) p₍ⱼ₎). S. Holm, "A simple
    sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979). In the order of ``p``.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    steps = np.arange(len(values), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps * values[order])) if len(values) else []
    return [float(each) for each in adjusted]


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted so that the expected share of false ones among the rejections is at most α; for exploring only.

    p̃₍ᵢ₎ = min over j ≥ i of min(1, m p₍ⱼ₎ / j). Y. Benjamini and Y. Hochberg, "Controlling the false discovery
    rate", J. R. Statist. Soc. B 57 (1995); valid for independent and positively dependent tests.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    adjusted = np.empty_like(values)
    ranks = np.arange(len(values), 0, -1)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(len(values) / ranks * values[order])) if len(values) else []
    return [float(each) for each in adjusted]
