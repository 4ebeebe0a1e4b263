from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats

from maestro_eval.analysis.stats.clusters import Layout
from maestro_eval.analysis.stats.estimates import Estimate, independent, wilson
from maestro_eval.analysis.stats.intervals import difference_interval, difference_intervals, mean_interval, pivot_of

SIZES = (12, 14, 16, 18, 20, 24)
TRIALS = 1500


def paired(strata: Sequence[Sequence[tuple[float, float]]], weights: Sequence[float]) -> Estimate:
    sides = ([[pair[side] for pair in pairs] for pairs in strata] for side in (0, 1))
    return difference_interval(*(independent(side, weights) for side in sides))


class TestWilson:
    @pytest.mark.parametrize(("successes", "n"), [(0, 12), (5, 12), (12, 12), (1, 1), (480, 1000)])
    def test_agrees_with_scipy(self, successes: int, n: int) -> None:
        expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
        found = wilson(successes, n)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)

    def test_a_perfect_score_still_has_a_lower_bound_below_one(self) -> None:
        assert wilson(12, 12).low == pytest.approx(0.757, abs=1e-3)

    @pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 4)])
    def test_an_impossible_proportion_is_refused(self, successes: int, n: int) -> None:
        with pytest.raises(ValueError, match="no proportion"):
            wilson(successes, n)


class TestWorkedTables:
    def test_of_a_difference_follow_bonett_and_price(self) -> None:
        # 20 pairs: 8 gains, 2 losses. p1 = 9/22, p0 = 3/22.
        found = paired([[(1, 0)] * 8 + [(0, 1)] * 2 + [(1, 1)] * 10], [1.0])
        reach = 1.959964 * math.sqrt((9 / 22 + 3 / 22 - (6 / 22) ** 2) / 22)
        assert (found.value, found.method) == (pytest.approx(0.3), "bonett-price")
        assert (found.low, found.high) == pytest.approx((6 / 22 - reach, 6 / 22 + reach), abs=1e-6)

    def test_of_a_mean_of_strata_follow_price_and_bonett(self) -> None:
        # Two strata: 3 of 4 and 1 of 3, each raised by one success and two samples.
        found = mean_interval(independent([[1.0, 0, 1, 1], [0.0, 0, 1]], [0.6, 0.4]))
        first, second = 4 / 6, 2 / 5
        centre = 0.6 * first + 0.4 * second
        spread = 0.36 * first * (1 - first) / 6 + 0.16 * second * (1 - second) / 5
        reach = 1.959964 * math.sqrt(spread)
        assert (found.value, found.method) == (pytest.approx(0.6 * 0.75 + 0.4 / 3), "price-bonett")
        assert (found.low, found.high) == pytest.approx((centre - reach, min(1, centre + reach)), abs=1e-6)

    def test_of_a_difference_of_strata_share_the_adjustment_out(self) -> None:
        found = paired([[(1, 0), (1, 1), (0, 0)], [(0, 1), (1, 1)]], [0.6, 0.4])
        gain, loss = (1.5 / 4, 0.5 / 4), (0.5 / 3, 1.5 / 3)
        centre = 0.6 * (gain[0] - gain[1]) + 0.4 * (loss[0] - loss[1])
        spread = 0.36 * (sum(gain) - (gain[0] - gain[1]) ** 2) / 4 + 0.16 * (sum(loss) - (loss[0] - loss[1]) ** 2) / 3
        reach = 1.959964 * math.sqrt(spread)
        assert found.method == "stratified bonett-price"
        assert (found.low, found.high) == pytest.approx((centre - reach, centre + reach), abs=1e-6)


class TestCoverage:
    """How often the 95 % interval of a macro mean holds the truth, by seeded simulation at quickstart's sizes."""

    @pytest.mark.parametrize(
        "accuracies",
        [[0.5] * 6, [0.2, 0.35, 0.5, 0.6, 0.75, 0.9], [0.9] * 6, [0.05] * 6, [0.98, 0.9, 0.8, 0.95, 0.85, 0.99]],
    )
    def test_of_a_mean_of_six_tasks(self, accuracies: list[float]) -> None:
        generator = np.random.default_rng(20)
        chances = np.repeat(accuracies, SIZES)
        values = (generator.random((TRIALS, len(chances))) < chances).astype(np.float64)
        # As ``mean_interval`` of each trial, all at once.
        layout = Layout(independent([[0.0] * n for n in SIZES]))
        found = [pivot_of(blocks, signed=False).interval() for blocks in layout.blocks(values)]
        assert 0.93 <= held(found, sum(accuracies) / 6) <= 0.985

    @pytest.mark.parametrize(("gain", "loss"), [(0.2, 0.2), (0.3, 0.1), (0.5, 0.05), (0.8, 0.0)])
    def test_of_a_difference_of_means_of_six_tasks(self, gain: float, loss: float) -> None:
        found = paired_intervals(lambda source: [draw_pairs(source, gain, loss, n) for n in SIZES], [1 / 6] * 6)
        assert 0.93 <= held(found, gain - loss) <= 0.985

    def test_of_a_mean_of_seven_categories_of_three_samples_and_another_task(self) -> None:
        sizes, weights = [3] * 7 + [20], [1 / 14] * 7 + [0.5]
        found = paired_intervals(lambda source: [draw_pairs(source, 0.3, 0.1, n) for n in sizes], weights)
        assert 0.92 <= held(found, 0.2) <= 0.985

    def test_two_equal_systems_are_seldom_called_different(self) -> None:
        found = paired_intervals(lambda source: [draw_pairs(source, 0.05, 0.05, n) for n in SIZES], [1 / 6] * 6)
        assert held(found, 0.0) >= 0.945


def paired_intervals(
    draw: Callable[[random.Random], Sequence[Sequence[tuple[float, float]]]], weights: Sequence[float]
) -> list[Estimate]:
    """The interval of each trial's difference, all at once."""
    source = random.Random(20)
    trials = [draw(source) for _ in range(TRIALS)]
    sides = [
        independent([[pair[side] for pair in of] for of in strata], weights) for strata in trials for side in (0, 1)
    ]
    return difference_intervals(sides, [(2 * trial, 2 * trial + 1) for trial in range(TRIALS)])


def held(estimates: Sequence[Estimate], truth: float) -> float:
    # A truth that is a sum of fractions may miss a bound that equals it by rounding.
    return sum(e.low - 1e-12 <= truth <= e.high + 1e-12 for e in estimates) / len(estimates)


def draw_pairs(source: random.Random, gain: float, loss: float, n: int) -> list[tuple[float, float]]:
    draws = [source.random() for _ in range(n)]
    return [(1.0, 0.0) if u < gain else (0.0, 1.0) if u < gain + loss else (1.0, 1.0) for u in draws]
