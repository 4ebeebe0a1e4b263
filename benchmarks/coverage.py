"""Measures by seeded simulation how often intervals contain the true value and how often tests reject it.

Data with known true means and correlated clusters (ICC: the share of the variance that is between clusters) are drawn
and given to the functions of ``maestro_eval.analysis.stats`` as an evaluation does. Each line is ``--trials`` draws;
with 10,000, a coverage of 95 % has an error of ±0.4 points. ``naive`` treats all samples as independent; ``t`` is the
plain mean ± t × cluster-robust error with Bell and McCaffrey's degrees of freedom; ``exact`` is McNemar's exact
conditional test.

    python benchmarks/coverage.py [--trials 10000] [--only proportions,differences,…] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maestro_eval.analysis.stats.estimates import (
    Estimate,
    Sampled,
    binomial_tails,
    differences,
    independent,
    normal_quantile,
    t_quantile,
    wilson,
)
from maestro_eval.analysis.stats.intervals import (
    difference_in_differences,
    difference_interval,
    mean_interval,
    standard_error,
)
from maestro_eval.analysis.stats.significance import difference_p, heterogeneity_p, holm, rank_intervals, reference_p

Generator = np.random.Generator
Floats = NDArray[np.float64]
Trial = Callable[[Generator], Mapping[str, float]]
"""Makes one draw; returns per method: interval contains the truth, test rejects it, or a width."""

SIZES = (12, 14, 16, 18, 20, 24)


class Scenario(Struct, frozen=True):
    """A line of a table: ``share`` of the requested trials are run; ``tells`` names what the percentages count."""

    table: str
    name: str
    trial: Trial
    share: float = 1.0
    tells: str = "covers"


class Line(Struct, frozen=True):
    """The percentages of a scenario by method."""

    table: str
    name: str
    tells: str
    trials: int
    percent: dict[str, float]


# ---- data ------------------------------------------------------------------------------------------------------------


def cluster_sizes(groups: int, mean: int, unequal: bool) -> NDArray[np.int64]:
    """Return sizes with mean ``mean``; unequal ones follow a log-normal curve (σ = 0.8), the same in every trial."""
    if not unequal:
        return np.full(groups, mean)
    ranks = (np.arange(groups) + 0.5) / groups
    spread = np.array([normal_quantile(float(rank)) for rank in ranks])
    return np.maximum(1, np.round(mean * np.exp(0.8 * spread - 0.32))).astype(np.int64)


def clustered_chances(generator: Generator, p: float, icc: float, groups: int) -> Floats:
    """Return each cluster's own accuracy: beta with mean ``p`` and variance icc × p (1 − p)."""
    if icc in (0, 1):
        return np.full(groups, p) if icc == 0 else (generator.random(groups) < p).astype(float)
    scale = (1 - icc) / icc
    return generator.beta(p * scale, (1 - p) * scale, groups)


def binary(generator: Generator, p: float, icc: float, sizes: NDArray[np.int64]) -> Sampled:
    codes = np.repeat(np.arange(len(sizes)), sizes)
    chances = clustered_chances(generator, p, icc, len(sizes))[codes]
    return Sampled((generator.random(len(codes)) < chances).astype(float), codes)


def pairs(
    generator: Generator, gain: float, loss: float, icc: float, sizes: NDArray[np.int64]
) -> tuple[Sampled, Sampled]:
    """Draw pairs whose clusters have their own shares of gains and losses: Dirichlet around the given ones."""
    codes = np.repeat(np.arange(len(sizes)), sizes)
    shares = np.array([gain, loss, 1 - gain - loss])
    if icc:
        shares = generator.dirichlet(np.maximum(shares, 1e-9) * (1 - icc) / icc, len(sizes))[codes]
    draws = generator.random(len(codes))
    kinds = (draws[:, None] > np.cumsum(np.atleast_2d(shares), axis=1)[:, :2]).sum(axis=1)
    both = (generator.random(len(codes)) < 0.7).astype(float)
    a, b = np.where(kinds == 2, both, kinds == 0), np.where(kinds == 2, both, kinds == 1)
    return Sampled(a.astype(float), codes), Sampled(b.astype(float), codes)


def fractions(generator: Generator, kind: str, n: int) -> Floats:
    if kind == "mean of 4 repeats":
        return generator.binomial(4, generator.beta(0.5, 0.5, n)) / 4
    if kind == "mean of 4 repeats, easy":
        return generator.binomial(4, generator.beta(0.9, 0.1, n)) / 4
    if kind == "beta(5, 1)":
        return generator.beta(5, 1, n)
    return generator.choice([0.0, 0.5, 1.0], n, p=[0.05, 0.05, 0.9])


FRACTIONS = {"mean of 4 repeats": 0.5, "mean of 4 repeats, easy": 0.9, "beta(5, 1)": 5 / 6, "0, ½ or 1, easy": 0.925}


# ---- trials ----------------------------------------------------------------------------------------------------------


def holds(found: Estimate, truth: float) -> bool:
    return found.low - 1e-12 <= truth <= found.high + 1e-12


def plain_t(strata: Sequence[Sampled], value: float, truth: float) -> bool:
    spread = standard_error(strata)
    return abs(value - truth) <= t_quantile(spread.freedom) * spread.error + 1e-12


def one_mean(generator: Generator, draw: Callable[[Generator], list[Sampled]], truth: float) -> dict[str, bool]:
    strata = draw(generator)
    found = mean_interval(strata)
    return {"ours": holds(found, truth), "t": plain_t(strata, found.value, truth)}


def one_proportion(generator: Generator, p: float, icc: float, sizes: NDArray[np.int64]) -> dict[str, bool]:
    stratum = binary(generator, p, icc, sizes)
    naive = holds(wilson(float(stratum.values.sum()), stratum.values.size), p)
    return one_mean(generator, lambda _: [stratum], p) | {"naive": naive}


def one_difference(
    generator: Generator, draw: Callable[[Generator], tuple[list[Sampled], list[Sampled]]], truth: float
) -> dict[str, bool]:
    a, b = draw(generator)
    return {"ours": holds(difference_interval(a, b), truth)}


def one_clustered_pair(
    generator: Generator, gain: float, loss: float, icc: float, sizes: NDArray[np.int64]
) -> dict[str, bool]:
    a, b = pairs(generator, gain, loss, icc, sizes)
    found = difference_interval([a], [b])
    apart = difference_interval(independent([a.values]), independent([b.values]))
    return {"ours": holds(found, gain - loss), "naive": holds(apart, gain - loss)}


def rotations(generator: Generator, groups: int, p: float, icc: float) -> list[Sampled]:
    """Draw HRBench: each question is in four rotations, which are the strata and share its cluster."""
    chances = clustered_chances(generator, p, icc, groups)
    return [Sampled((generator.random(groups) < chances).astype(float), np.arange(groups), 0.25) for _ in range(4)]


def paired_rotations(
    generator: Generator, groups: int, gain: float, loss: float
) -> tuple[list[Sampled], list[Sampled]]:
    a, b = pairs(generator, gain, loss, 0.3, np.full(groups, 4))
    return tuple([Sampled(side.values[i::4], side.clusters[i::4], 0.25) for i in range(4)] for side in (a, b))


def six_tasks(generator: Generator, accuracies: Sequence[float]) -> list[Sampled]:
    return independent([(generator.random(n) < p).astype(float) for n, p in zip(SIZES, accuracies, strict=True)])


def mixed_tasks(generator: Generator, p: float) -> list[Sampled]:
    """Draw three tasks of equal weight: one of independent samples, one of 15 images, one of fractions."""
    alone = (generator.random(60) < p).astype(float)
    images = binary(generator, p, 0.3, np.full(15, 6))
    parts = generator.binomial(4, clustered_chances(generator, p, 0.4, 40)) / 4
    return [
        Sampled(alone, np.arange(60), 1 / 3),
        Sampled(images.values, images.clusters + 1000, 1 / 3),
        Sampled(parts, np.arange(40) + 2000, 1 / 3),
    ]


def many_pairs(
    generator: Generator, gain: float, loss: float, sizes: Sequence[int], weights: Sequence[float]
) -> tuple[list[Sampled], list[Sampled]]:
    sides = [pairs(generator, gain, loss, 0, np.ones(n, dtype=np.int64)) for n in sizes]
    return (
        independent([a.values for a, _ in sides], weights),
        independent([b.values for _, b in sides], weights),
    )


def repeated_pairs(generator: Generator, n: int, gain: float) -> tuple[list[Sampled], list[Sampled]]:
    """Draw means of 4 repeats of two systems that share a sample's difficulty; the second is better by ``gain``."""
    chances = generator.beta(0.7, 0.7, n) * (1 - gain)
    return (
        independent([generator.binomial(4, chances + gain) / 4]),
        independent([generator.binomial(4, chances) / 4]),
    )


def two_effects(generator: Generator, effect: float, groups: int) -> dict[str, bool]:
    treated = pairs(generator, 0.15 + effect, 0.15, 0.2, np.full(groups, 4))
    control = pairs(generator, 0.1, 0.1, 0.2, np.full(groups, 4))
    apart = [Sampled(side.values, side.clusters + groups) for side in control]
    found = difference_in_differences(([treated[0]], [treated[1]]), ([apart[0]], [apart[1]]))
    return {"ours": holds(found, effect)}


def one_design(generator: Generator, gain: float, loss: float, icc: float, sizes: NDArray[np.int64]) -> dict[str, bool]:
    a, b = pairs(generator, gain, loss, icc, sizes)
    found, strata = difference_interval([a], [b]), differences([a], [b])
    return {"ours": holds(found, gain - loss), "t": plain_t(strata, found.value, gain - loss)}


def design_widths(
    generator: Generator, gain: float, loss: float, icc: float, sizes: NDArray[np.int64]
) -> dict[str, float]:
    a, b = pairs(generator, gain, loss, icc, sizes)
    found, spread = difference_interval([a], [b]), standard_error(differences([a], [b]))
    return {"ours": found.high - found.low, "t": 2 * t_quantile(spread.freedom) * spread.error}


def null_or_effect(generator: Generator, n: int, gain: float, loss: float) -> dict[str, bool]:
    """Run the mid-p test and the exact one on the same pairs."""
    a, b = pairs(generator, gain, loss, 0.0, np.ones(n, dtype=np.int64))
    gains, losses = int((a.values > b.values).sum()), int((a.values < b.values).sum())
    exact = 2 * binomial_tails(min(gains, losses), gains + losses, 0.5)[0]
    return {"ours": difference_p([a], [b]).value <= 0.05, "exact": exact <= 0.05}


def null_test(generator: Generator, share: float, icc: float, sizes: NDArray[np.int64]) -> dict[str, bool]:
    a, b = pairs(generator, share, share, icc, sizes)
    p = difference_p([a], [b], seed=int(generator.integers(2**31))).value
    apart = difference_p(independent([a.values]), independent([b.values])).value
    return {"ours": p <= 0.05, "naive McNemar": apart <= 0.05}


def null_family(generator: Generator) -> dict[str, bool]:
    """Test five systems as good as the baseline, over the same clusters; any rejection is false."""
    family = []
    for _ in range(5):
        a, b = pairs(generator, 0.15, 0.15, 0.3, np.full(40, 3))
        family.append(difference_p([a], [b], seed=3).value)
    return {"holm": min(holm(family)) <= 0.05, "unadjusted": min(family) <= 0.05}


def null_reference(generator: Generator, p: float, icc: float, sizes: NDArray[np.int64]) -> dict[str, bool]:
    return {"ours": reference_p([binary(generator, p, icc, sizes)], p).value <= 0.05}


SPREAD = [(0.325, 0.275), (0.225, 0.175), (0.125, 0.075), (0.05, 0.0)]


def equal_categories(
    generator: Generator, sizes: Sequence[int], shares: Sequence[tuple[float, float]], cluster: int
) -> dict[str, bool]:
    """Test categories of ``sizes`` clusters each, with their own shares of gains and losses."""
    found, start = [], 0
    for size, (gain, loss) in zip(sizes, shares, strict=True):
        a, b = pairs(generator, gain, loss, 0.3 if cluster > 1 else 0, np.full(size, cluster))
        found.append(Sampled(a.values - b.values, a.clusters + start, 1 / len(sizes), signed=True))
        start += size
    return _category_tests(generator, found)


def mixed_categories(generator: Generator, groups: int, categories: int) -> dict[str, bool]:
    a, b = pairs(generator, 0.2, 0.1, 0.3, np.full(groups, categories))
    difference, kind = a.values - b.values, np.tile(np.arange(categories), groups)
    chosen = [kind == each for each in range(categories)]
    parts = [Sampled(difference[one], a.clusters[one], 1 / categories, signed=True) for one in chosen]
    return _category_tests(generator, parts)


def _category_tests(generator: Generator, parts: Sequence[Sampled]) -> dict[str, bool]:
    """Run our test and ``plain``: Cochran's Q of category means with cluster-robust errors, against χ²."""
    from scipy.special import chdtrc

    spreads = [standard_error([Sampled(part.values, part.clusters, signed=True)]).error for part in parts]
    means, weights = np.array([part.values.mean() for part in parts]), 1 / np.maximum(spreads, 1e-6) ** 2
    q = float(weights @ (means - weights @ means / weights.sum()) ** 2)
    ours = heterogeneity_p(parts, seed=int(generator.integers(2**31))).value
    return {"ours": ours <= 0.05, "plain": bool(chdtrc(len(parts) - 1, q) <= 0.05)}


def ranks(generator: Generator, accuracies: Sequence[float], groups: int) -> dict[str, bool]:
    """Rank systems over the same clusters with half of the difficulty shared; return if true ranks are covered."""
    hard = np.repeat(generator.random(groups), 3)
    systems = []
    for p in accuracies:
        mixed = np.where(generator.random(groups * 3) < 0.5, hard, generator.random(groups * 3))
        systems.append([Sampled((mixed < p).astype(float), np.repeat(np.arange(groups), 3))])
    found = rank_intervals(systems, draws=1000, seed=int(generator.integers(2**31)))
    order = np.array(accuracies)
    # Equal systems share all ranks from the best to the worst of them.
    best = 1 + (order[None, :] > order[:, None]).sum(axis=1)
    worst = (order[None, :] >= order[:, None]).sum(axis=1)
    inside = [r.low <= b and w <= r.high for r, b, w in zip(found, best, worst, strict=True)]
    return {"best system": inside[0], "worst system": inside[-1]}


# ---- tables ----------------------------------------------------------------------------------------------------------


def proportions() -> Iterator[Scenario]:
    equal = [(groups, p, icc) for groups in (8, 12, 20, 30, 60, 200) for p in (0.5, 0.8, 0.95) for icc in (0.0, 0.3)]
    for groups, p, icc in [*equal, (20, 0.95, 0.6), (60, 0.95, 0.6)]:
        trial = partial(one_proportion, p=p, icc=icc, sizes=cluster_sizes(groups, 10, unequal=False))
        yield Scenario("proportions", f"{groups} clusters of 10, p {p}, ICC {icc}", trial)
    for groups in (12, 30, 60):
        for p in (0.8, 0.95):
            trial = partial(one_proportion, p=p, icc=0.3, sizes=cluster_sizes(groups, 10, unequal=True))
            yield Scenario("proportions", f"{groups} clusters of about 10, p {p}, ICC 0.3", trial)


def fractional() -> Iterator[Scenario]:
    for kind, truth in FRACTIONS.items():
        for n in (12, 50, 200):

            def draw(generator: Generator, kind: str = kind, n: int = n) -> list[Sampled]:
                return independent([fractions(generator, kind, n)])

            yield Scenario("fractional", f"{kind}, n {n}", partial(one_mean, draw=draw, truth=truth))


def macro() -> Iterator[Scenario]:
    for accuracies in ([0.5] * 6, [0.2, 0.35, 0.5, 0.6, 0.75, 0.9], [0.9] * 6, [0.05] * 6):
        name = f"six tasks of 12 to 24, {', '.join(map(str, dict.fromkeys(accuracies)))}"
        draw = partial(six_tasks, accuracies=accuracies)
        yield Scenario("macro means", name, partial(one_mean, draw=draw, truth=float(np.mean(accuracies))))
    for groups in (12, 50, 200):
        for p, icc in ((0.5, 0.5), (0.8, 0.5), (0.95, 0.3)):
            draw = partial(rotations, groups=groups, p=p, icc=icc)
            name = f"four rotations of {groups} questions, p {p}, ICC {icc}"
            yield Scenario("macro means", name, partial(one_mean, draw=draw, truth=p))
    for p in (0.5, 0.8, 0.9):
        name = f"independent, clustered and fractional task, p {p}"
        yield Scenario("macro means", name, partial(one_mean, draw=partial(mixed_tasks, p=p), truth=p))


def paired() -> Iterator[Scenario]:
    for groups in (8, 12, 20, 30, 60, 200):
        for gain, loss in ((0.3, 0.1), (0.05, 0.02)):
            for icc in (0.0, 0.3):
                trial = partial(one_clustered_pair, gain=gain, loss=loss, icc=icc, sizes=np.full(groups, 10))
                yield Scenario("differences", f"{groups} clusters of 10, {gain} / {loss}, ICC {icc}", trial)
    small = ([3] * 7 + [20], [1 / 14] * 7 + [0.5])
    for gain, loss in ((0.2, 0.2), (0.3, 0.1), (0.5, 0.05), (0.05, 0.05)):
        for name, sizes, weights in (("six tasks of 12 to 24", SIZES, [1 / 6] * 6), ("small categories", *small)):
            draw = partial(many_pairs, gain=gain, loss=loss, sizes=sizes, weights=weights)
            trial = partial(one_difference, draw=draw, truth=gain - loss)
            yield Scenario("differences", f"{name}, {gain} / {loss}", trial)
    for groups in (12, 50, 200):
        draw = partial(paired_rotations, groups=groups, gain=0.2, loss=0.1)
        yield Scenario(
            "differences",
            f"four rotations of {groups} questions, 0.2 / 0.1",
            partial(one_difference, draw=draw, truth=0.1),
        )
    for n in (12, 50, 200):
        draw = partial(repeated_pairs, n=n, gain=0.1)
        yield Scenario("differences", f"means of 4 repeats, n {n}", partial(one_difference, draw=draw, truth=0.1))
    for groups in (15, 40):
        for effect in (0.0, 0.2):
            name = f"difference in differences, 2 × {groups} clusters of 4, effect {effect}"
            yield Scenario("differences", name, partial(two_effects, effect=effect, groups=groups))


def errors() -> Iterator[Scenario]:
    rejects = partial(Scenario, tells="rejects a truth")
    for groups in (8, 12, 30, 60):
        for share, icc in ((0.2, 0.3), (0.05, 0.3), (0.2, 0.0)):
            trial = partial(null_test, share=share, icc=icc, sizes=cluster_sizes(groups, 5, True))
            yield rejects(
                "false rejections", f"difference, {groups} clusters of about 5, {share} / {share}, ICC {icc}", trial
            )
    yield rejects("false rejections", "five differences, 40 clusters of 3, any", null_family, share=0.5)
    for groups, size, p, icc in (
        (20, 1, 0.5, 0.0),
        (50, 1, 0.9, 0.0),
        (12, 5, 0.5, 0.3),
        (30, 5, 0.8, 0.3),
        (60, 5, 0.9, 0.3),
        (200, 5, 0.95, 0.3),
    ):
        name = f"published number, {groups} clusters of {size}, p {p}, ICC {icc}"
        yield rejects("false rejections", name, partial(null_reference, p=p, icc=icc, sizes=np.full(groups, size)))


def heterogeneity() -> Iterator[Scenario]:
    """Yield tests of equal differences by category: their error rates, and the power of the last."""
    for name, sizes, shares, cluster in (
        ("6 categories of 30, 20 / 10", [30] * 6, [(0.2, 0.1)] * 6, 1),
        ("6 categories of 30, 5 / 0", [30] * 6, [(0.05, 0.0)] * 6, 1),
        ("6 categories of 8 to 300, 15 / 5", [8, 12, 20, 40, 100, 300], [(0.15, 0.05)] * 6, 1),
        ("20 categories of 15, 20 / 10", [15] * 20, [(0.2, 0.1)] * 20, 1),
        ("5 categories of 15 clusters of 6, 20 / 10", [15] * 5, [(0.2, 0.1)] * 5, 6),
        ("5 categories of 6 clusters of 10, 20 / 10", [6] * 5, [(0.2, 0.1)] * 5, 10),
        ("20, 40, 100, 300 with discordance 60, 40, 20, 5", [20, 40, 100, 300], SPREAD, 1),
        ("20, 40, 100, 300 with discordance 5, 20, 40, 60", [20, 40, 100, 300], SPREAD[::-1], 1),
    ):
        trial = partial(equal_categories, sizes=sizes, shares=shares, cluster=cluster)
        yield Scenario("heterogeneity", name, trial, 0.05, "rejects a truth")
    for groups, categories in ((40, 4), (15, 8)):
        name = f"{categories} categories within each of {groups} pictures, 20 / 10"
        trial = partial(mixed_categories, groups=groups, categories=categories)
        yield Scenario("heterogeneity", name, trial, 0.05, "rejects a truth")
    unequal = [(0.225, 0.075), (0.075, 0.225)] * 2
    trial = partial(equal_categories, sizes=[60] * 4, shares=unequal, cluster=1)
    yield Scenario("heterogeneity", "4 categories of 60, +15 and −15 points", trial, 0.05, "finds the effect")


def rank_scenarios() -> Iterator[Scenario]:
    for groups in (20, 60):
        for accuracies in ((0.7, 0.7, 0.7, 0.7), (0.8, 0.75, 0.7, 0.4), (0.9, 0.9, 0.5, 0.3)):
            name = f"{groups} clusters of 3, accuracies {', '.join(map(str, accuracies))}"
            yield Scenario("ranks", name, partial(ranks, accuracies=accuracies, groups=groups), share=0.2)


def designs() -> Iterator[Scenario]:
    """Yield 108 clustered differences: few and many clusters, equal and unequal, rare and one-sided discordance."""
    for trial, tells, share in ((one_design, "covers", 0.1), (design_widths, "points wide", 0.02)):
        for groups, unequal, icc in product((10, 30, 100), (False, True), (0.0, 0.3, 0.8)):
            for gain, loss in ((0.2, 0.2), (0.3, 0.1), (0.5, 0.05), (0.05, 0.05), (0.1, 0.0), (0.02, 0.0)):
                name = f"{groups} clusters of {'about ' if unequal else ''}4, {gain} / {loss}, ICC {icc}"
                sizes = cluster_sizes(groups, 4, unequal)
                drawn: Trial = partial(trial, gain=gain, loss=loss, icc=icc, sizes=sizes)
                yield Scenario("designs", name, drawn, share, tells)


def power() -> Iterator[Scenario]:
    for n, gain, loss in ((100, 0.2, 0.08), (191, 0.12, 0.05), (400, 0.06, 0.02)):
        for tells, rates in (("finds the effect", (gain, loss)), ("rejects a truth", (loss, loss))):
            name = f"{n} independent pairs, {rates[0]} / {rates[1]}"
            yield Scenario("power", name, partial(null_or_effect, n=n, gain=rates[0], loss=rates[1]), tells=tells)


TABLES: dict[str, Callable[[], Iterator[Scenario]]] = {
    "proportions": proportions,
    "fractional": fractional,
    "macro": macro,
    "differences": paired,
    "designs": designs,
    "errors": errors,
    "heterogeneity": heterogeneity,
    "ranks": rank_scenarios,
    "power": power,
}


def measure(scenario: Scenario, trials: int, seed: int = 20) -> Line:
    """Run ``scenario`` from ``seed`` and return its percentages."""
    generator = np.random.default_rng(seed)
    number = max(1, round(trials * scenario.share))
    outcomes = [scenario.trial(generator) for _ in range(number)]
    percent = {name: 100 * sum(each[name] for each in outcomes) / number for name in outcomes[0]}
    return Line(scenario.table, scenario.name, scenario.tells, number, percent)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure coverage and error rates of maestro_eval.analysis.stats.")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--only", default=",".join(TABLES), help=f"tables, by comma: {', '.join(TABLES)}")
    parser.add_argument("--json", type=Path, help="write the lines here as JSON too")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",")
    if unknown := set(chosen) - TABLES.keys():
        parser.error(f"no table {', '.join(sorted(unknown))}; there are {', '.join(TABLES)}")
    lines, started, heading = [], time.process_time(), ""
    for scenario in (each for name in chosen for each in TABLES[name]()):
        line = measure(scenario, arguments.trials)
        lines.append(line)
        if heading != (heading := f"{line.table}, in % {line.tells}"):
            print(f"\n{heading}")
        shares = "  ".join(f"{name} {value:.1f}" for name, value in line.percent.items())
        print(f"  {line.name:<72} {shares}  ({line.trials})", flush=True)
    print(f"\n{time.process_time() - started:.0f} s of processor time")
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(lines), indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
