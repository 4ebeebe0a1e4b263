"""Tests of differences and of a mean against a published number, adjustment for multiple tests, and ranks.

All p-values are two-sided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.analysis.stats.clusters import CELLS, Block, Layout, blocks
from maestro_eval.analysis.stats.estimates import (
    PValue,
    Sampled,
    binomial_tails,
    differences,
    highest,
    t_tail,
    t_widening,
    weighted_mean,
)
from maestro_eval.analysis.stats.intervals import pair_pivots, pivot, side_by_side

_Floats = NDArray[np.float64]

DRAWS = 10_000


# Up to this many sign patterns are enumerated; otherwise patterns are drawn at random.
_MOST_EXACT = 2**17
# The number of random category permutations, and of pooled-variance clusters that are added to each category.
_DEALS = 1_999
_ADDED = 2.0
# Equal sums may differ by rounding; within this tolerance a draw is as extreme as the observed value.
_ROUNDING = 1e-10


def difference_p(a: Sequence[Sampled], b: Sequence[Sampled], *, seed: int = 0) -> PValue:
    """Test whether the mean of a − b is 0: ``mcnemar`` for one stratum of independent 0s and 1s, else ``sign_flip``.

    ``a`` and ``b`` have the same samples, clusters and weights in the same order.
    """
    paired = differences(a, b)
    if _counted(a) and _counted(b):
        return mcnemar(int((paired[0].values > 0).sum()), int((paired[0].values < 0).sum()))
    return sign_flip(paired, seed=seed)


def difference_ps(systems: Sequence[Sequence[Sampled]], pairs: Sequence[tuple[int, int]]) -> list[PValue]:
    """Return ``difference_p`` of each pair (a, b) of system indices; all pairs use the same random signs.

    The signed sum of a difference is the difference of the systems' signed sums, which are computed once per system.
    ``mcnemar`` needs no signs.
    """
    counted = [_counted(each) for each in systems]
    layout = Layout(systems[0])
    share = np.concatenate([np.full(each.values.size, each.weight / each.values.size) for each in systems[0]])
    adds: _Floats = np.stack(
        [np.bincount(layout.row, share * row, layout.clusters).astype(np.float64) for row in side_by_side(systems)]
    )
    drawn = np.zeros((len(systems), 0)) if all(counted) else _signed_sums(adds)
    return [
        difference_p(systems[a], systems[b])
        if counted[a] and counted[b]
        else _flipped(adds[a] - adds[b], drawn[a] - drawn[b])
        for a, b in pairs
    ]


def mcnemar(gains: int, losses: int) -> PValue:
    """Test whether a discordant pair is as often a gain as a loss: the mid-p form of McNemar's exact test.

    p = 2 P(X ≤ k) − P(X = k), where k is the smaller count and X is binomial with chance ½; p = 1 if no pair is
    discordant. M. W. Fagerland, S. Lydersen and P. Laake, "The McNemar test for binary matched-pairs data: mid-p and
    asymptotic are better than exact conditional", BMC Med. Res. Methodol. 13 (2013).
    """
    k, n = min(gains, losses), gains + losses
    below = binomial_tails(k - 1, n, 0.5)[0] if k else 0.0
    return PValue(min(1.0, binomial_tails(k, n, 0.5)[0] + below) if n else 1.0, "mid-p mcnemar")


def sign_flip(paired: Sequence[Sampled], *, seed: int = 0) -> PValue:
    """Test whether a mean of differences is 0, by random sign flips of whole clusters.

    Each cluster adds c_g = Σₛ wₛ/nₛ Σ_{i in g and s} dᵢ to the mean. If the two systems are interchangeable, c_g and
    −c_g are equally likely, so p is the share of sign patterns whose |Σ ± c_g| is at least the observed one: R. A.
    Fisher, "The design of experiments" (1935). It is exact for all sizes and any dependence within clusters. Clusters
    with equal |c_g| are counted together, and all patterns are enumerated if they have at most 131,072 sums; otherwise
    10,000 are drawn, and p = (hits + 1) / (draws + 1), which is never too small (B. Phipson and G. K. Smyth, Stat.
    Appl. Genet. Mol. Biol. 9, 2010). If no draw is as large as the observed sum, p is t's tail beyond
    |Σ c_g| / √Σ c_g² if that is smaller: draws alone limit p from below, too much for adjustment over many tests.
    """
    _, row = np.unique(np.concatenate([each.clusters for each in paired]), return_inverse=True)
    added = np.concatenate([each.weight / each.values.size * each.values for each in paired])
    return _flipped(np.bincount(row, added).astype(np.float64), seed=seed)


def _flipped(added: _Floats, drawn: _Floats | None = None, *, seed: int = 0) -> PValue:
    """Return ``sign_flip``'s p from each cluster's c_g; ``drawn`` are the sums under given random signs, if any."""
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
    """Test whether the mean is the published ``reference``, which counts as a fixed number without error.

    For one stratum of independent zeros and ones this is the exact binomial test, twice the smaller tail. Otherwise it
    uses the pivot of ``mean_interval``, so that p < 0.05 exactly if that interval excludes the reference. If the
    reference was itself measured on few samples, p is too small.
    """
    only = strata[0]
    if _counted(strata) and not only.signed and 0 <= reference <= 1:
        low, high = binomial_tails(int(only.values.sum()), only.values.size, reference)
        return PValue(min(1.0, 2 * min(low, high)), "exact binomial")
    found = pivot(strata)
    return PValue(found.p_equal(reference), f"one-sample {found.method}")


def heterogeneity_p(parts: Sequence[Sampled], *, seed: int = 0) -> PValue:
    """Test whether the means of ``parts`` are equal: the categories of a task, each with its paired differences.

    If differences do not depend on the category, categories are exchangeable: clusters within one category exchange
    theirs as a whole, and samples of a cluster with several categories exchange theirs within it. p is the share of
    1,999 random permutations whose Q is at least the observed one, with Q = Σ w_c (d_c − d̄)² and w_c = 1 / v_c, the
    statistic of B. L. Welch (Biometrika 38, 1951). v_c is cluster-robust; two clusters of pooled variance are added to
    each category, so that one without discordant pairs does not dominate. The test is exact if the categories have
    equal distributions. Since Q is studentised, the size also holds for different sizes and variances: E. Y. Chung and
    J. P. Romano, "Exact and asymptotically robust permutation tests", Ann. Stat. 41 (2013). Measured:
    docs/statistics.md.
    """
    label = np.repeat(np.arange(len(parts)), [part.values.size for part in parts])
    values = np.concatenate([part.values for part in parts])
    _, cluster = np.unique(np.concatenate([part.clusters for part in parts]), return_inverse=True)
    categories = np.bincount(np.unique(cluster * len(parts) + label) // len(parts))
    # The units to permute: whole clusters among each other (place 0), and the samples within each mixed cluster.
    mixed = categories[cluster] > 1
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
    """Return Q for each row of ``label``, the categories of the units; ``total`` is the sum of a unit's samples."""
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


def _exact(sizes: _Floats, counts: NDArray[np.int64], least: float) -> float:
    """Return P(|Σ| ≥ ``least``) over all signs, with ``counts[k]`` clusters that add ``sizes[k]`` each."""
    sums, chances = np.zeros(1), np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        sums = (sums[:, None] + size * (2 * np.arange(count + 1) - count)).ravel()
        chances = (chances[:, None] * _fair_coin(count)).ravel()
    return min(1.0, float(chances[np.abs(sums) >= least].sum()))


def _fair_coin(tosses: int) -> _Floats:
    """Return the chances of 0, 1, … heads, by recursion from the middle outwards, which cannot overflow."""
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


def _signed_sums(adds: _Floats) -> _Floats:
    """Return Σ ± c_g for each system and draw, without clusters that are equal in all systems and so cancel."""
    adds = adds[:, (adds != adds[0]).any(axis=0)]
    generator = np.random.default_rng(0)
    found, rows = np.zeros((len(adds), DRAWS)), max(1, CELLS // max(1, adds.shape[1]))
    for start in range(0, DRAWS, rows):
        size = min(rows, DRAWS - start)
        signs = generator.integers(0, 2, (size, adds.shape[1]), dtype=np.int8).astype(np.float64)
        found[:, start : start + size] = adds @ (2 * signs - 1).T
    return found


def _counted(system: Sequence[Sampled]) -> bool:
    """Return whether ``system`` is one stratum of independent 0s and 1s, for which exact tests of counts exist."""
    first = system[0]
    binary = bool(((first.values == 0) | (first.values == 1)).all())
    return len(system) == 1 and binary and len(np.unique(first.clusters)) == first.values.size


def holm(p: Sequence[float]) -> list[float]:
    """Return ``p`` adjusted so that the chance of any false rejection in the family is at most α.

    With m p-values in rising order, p̃₍ᵢ₎ = max over j ≤ i of min(1, (m − j + 1) p₍ⱼ₎). S. Holm, "A simple
    sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979); valid under any dependence.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    steps = np.arange(len(values), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps * values[order])) if len(values) else []
    return [float(each) for each in adjusted]


class RankInterval(Struct, frozen=True):
    """A system's rank (1 is best, equal means share the better rank) and its interval."""

    rank: int
    low: int
    high: int


def rank_intervals(systems: Sequence[Sequence[Sampled]], *, draws: int = DRAWS, seed: int = 0) -> list[RankInterval]:
    """Return the ranks of ``systems`` by their means, in order; all have the same samples, clusters and weights.

    System i's interval counts the systems that are surely better and those that are surely worse: j is better if
    (θⱼ − θᵢ) / sᵢⱼ exceeds c, the 95 % quantile over bootstrap draws of the largest |(θⱼ − θᵢ)* − (θⱼ − θᵢ)| / sᵢⱼ
    over all j. It contains the true rank with a chance of 95 % for any number of systems: M. Mogstad, J. P. Romano, A.
    M. Shaikh and D. Wilhelm, "Inference for ranks with applications to mobility across neighbourhoods and academic
    achievement across countries", Rev. Econ. Stud. 91 (2024). A draw resamples whole clusters, the same for all
    systems; sᵢⱼ is the error of the paired interval, never 0, and c is scaled by the ratio of t to normal quantiles.

    A system is surely better or worse only if no reading of failures reverses it.
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
    unknown = np.array([weighted_mean(highest(each)) - weighted_mean(each) for each in systems])
    above, below = (gaps - unknown[:, None]) / errors, (-gaps - unknown[None, :]) / errors
    critical = np.quantile(largest, 0.95, axis=1) * widening
    return [
        RankInterval(
            rank=1 + int((gaps[i] > 0).sum()),
            low=1 + int((above[i] > critical[i]).sum()),
            high=len(means) - int((below[i] > critical[i]).sum()),
        )
        for i in range(len(means))
    ]


def _errors(systems: Sequence[Sequence[Sampled]]) -> tuple[_Floats, float]:
    errors = np.full((len(systems), len(systems)), np.inf)
    freedom = np.inf
    pairs = list(combinations(range(len(systems)), 2))
    for (i, j), found in zip(pairs, pair_pivots(systems, pairs), strict=True):
        errors[i, j] = errors[j, i] = found.error
        freedom = min(freedom, found.freedom)
    return errors, t_widening(freedom)


def deviations(systems: Sequence[Sequence[Block]], draws: int, seed: int) -> _Floats:
    """Return bootstrap deviations of the means, systems × draws; a draw has the same clusters for all systems.

    Above 2,000 clusters the draws come from the normal distribution with the clusters' covariance, to which the
    bootstrap has converged by then.
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
        groups = u.shape[1]
        rows = max(1, CELLS // groups)
        for start in range(0, draws, rows):
            size = min(rows, draws - start)
            drawn = generator.integers(0, groups, (size, groups)) + groups * np.arange(size)[:, None]
            times = np.bincount(drawn.ravel(), minlength=groups * size).reshape(size, groups)
            moved[:, start : start + size] += u @ times.T.astype(np.float64)
    return moved
