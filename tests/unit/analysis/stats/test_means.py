from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from maestro_eval.analysis.stats import (
    Estimate,
    combine,
    mean_of,
    paired_difference,
    stratified_difference,
    stratified_mean,
    wilson,
)

SIZES = (12, 14, 16, 18, 20, 24)
TRIALS = 1500

binary_lists = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=40)
unit_lists = st.lists(st.floats(0, 1), min_size=1, max_size=40)
unit_pairs = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40)
binary_pairs = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=30)


def columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [a for a, _ in pairs], [b for _, b in pairs]


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


class TestMean:
    def test_values_between_zero_and_one_get_students_t(self) -> None:
        values = [0.2, 0.5, 0.9, 0.4, 0.6]
        expected = stats.t.interval(0.95, 4, loc=0.52, scale=stats.sem(values))
        found = mean_of(values)
        assert found.method == "t"
        assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)

    @pytest.mark.parametrize("values", [[0.5], [0.7, 0.7, 0.7]])
    def test_values_without_spread_do_not_get_an_interval_without_width(self, values: list[float]) -> None:
        found = mean_of(values)
        assert found.high - found.low > 0.3

    @given(unit_lists)
    def test_the_interval_holds_the_value_and_stays_within_zero_and_one(self, values: list[float]) -> None:
        found = mean_of(values)
        assert 0 <= found.low <= found.value + 1e-12
        assert found.value - 1e-12 <= found.high <= 1
        assert found.n == len(values)


class TestPairedDifference:
    def test_follows_bonett_and_price_on_a_worked_table(self) -> None:
        # 20 pairs: 8 gains, 2 losses. p1 = 9/22, p0 = 3/22.
        found = paired_difference([1] * 8 + [0] * 2 + [1] * 10, [0] * 8 + [1] * 2 + [1] * 10)
        reach = 1.959964 * math.sqrt((12 / 22 - (6 / 22) ** 2) / 22)
        assert found.value == pytest.approx(0.3)
        assert (found.low, found.high) == pytest.approx((6 / 22 - reach, 6 / 22 + reach), abs=1e-6)

    def test_other_values_get_the_paired_t_interval(self) -> None:
        a, b = [0.9, 0.5, 0.7, 0.3], [0.4, 0.5, 0.2, 0.4]
        expected = stats.ttest_rel(a, b).confidence_interval(0.95)
        found = paired_difference(a, b)
        assert found.method == "paired t"
        assert (found.low, found.high) == pytest.approx((expected.low, min(1, expected.high)), abs=1e-9)

    def test_equal_systems_are_not_known_to_be_equal(self) -> None:
        found = paired_difference([0.5, 0.5, 1.0], [0.5, 0.5, 1.0])
        assert found.low < 0 < found.high

    def test_pairs_of_unequal_length_are_refused(self) -> None:
        with pytest.raises(ValueError, match="pairs are needed"):
            paired_difference([1, 0], [1])

    @given(unit_pairs)
    def test_swapping_the_systems_mirrors_the_interval(self, pairs: list[tuple[float, float]]) -> None:
        a, b = columns(pairs)
        forth, back = paired_difference(a, b), paired_difference(b, a)
        assert (forth.value, forth.low, forth.high) == pytest.approx((-back.value, -back.high, -back.low), abs=1e-9)
        assert -1 <= forth.low <= forth.value + 1e-12
        assert forth.value - 1e-12 <= forth.high <= 1


class TestCombine:
    def test_follows_zou_and_donner_on_a_worked_difference(self) -> None:
        # Newcombe's hybrid score interval for 56/70 − 48/80 (Statistics in Medicine 1998, method 10).
        found = combine([wilson(56, 70), wilson(48, 80)], [1, -1])
        assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)
        assert found.method == "mover(wilson)"

    def test_lopsided_parts_stay_lopsided(self) -> None:
        found = combine([Estimate(0.9, 0.5, 1.0, 10, "t"), Estimate(0.9, 0.5, 1.0, 10, "t")], [0.5, 0.5])
        assert found.value - found.low > 3 * (found.high - found.value)

    def test_a_single_part_of_weight_one_is_itself(self) -> None:
        part = wilson(3, 7)
        assert combine([part], [1]) == part

    def test_parts_without_weights_are_refused(self) -> None:
        with pytest.raises(ValueError, match="one weight"):
            combine([wilson(1, 2)], [])


class TestStrata:
    @given(st.lists(binary_lists, min_size=2, max_size=8))
    def test_the_mean_of_binary_strata_lies_in_its_interval(self, strata: list[list[float]]) -> None:
        found = stratified_mean(strata, [1 / len(strata)] * len(strata))
        assert found.method == "price-bonett"
        assert 0 <= found.low <= found.value <= found.high <= 1 + 1e-12
        assert found.value == pytest.approx(sum(sum(values) / len(values) for values in strata) / len(strata))

    def test_one_stratum_is_the_plain_estimate(self) -> None:
        assert stratified_mean([[1, 0, 1]], [1.0]) == wilson(2, 3)
        assert stratified_difference([([1, 0], [0, 0])], [1.0]) == paired_difference([1, 0], [0, 0])

    def test_strata_that_are_not_all_binary_are_combined_by_mover(self) -> None:
        assert stratified_mean([[1, 0, 1], [0.2, 0.4]], [0.5, 0.5]).method == "mover(t, wilson)"
        parts = [([1.0, 0.0], [0.0, 0.0]), ([0.2, 0.4], [0.3, 0.1])]
        assert stratified_difference(parts, [0.5, 0.5]).method == "mover(bonett-price, paired t)"

    @given(st.lists(binary_pairs, min_size=2, max_size=8))
    def test_the_difference_of_strata_lies_in_its_interval(self, strata: list[list[tuple[float, float]]]) -> None:
        found = stratified_difference([columns(pairs) for pairs in strata], [1 / len(strata)] * len(strata))
        assert found.low <= found.value <= found.high
        assert found.n == sum(map(len, strata))

    @pytest.mark.parametrize("strata", [[[1, 0], []], [[1, 0]] * 3])
    def test_a_stratum_without_values_or_weight_is_refused(self, strata: list[list[float]]) -> None:
        with pytest.raises(ValueError, match="stratum needs"):
            stratified_mean(strata, [0.5, 0.5])


class TestCoverage:
    """How often the 95 % interval of a macro mean holds the truth, by seeded simulation at quickstart's sizes."""

    @pytest.mark.parametrize(
        "accuracies",
        [[0.5] * 6, [0.2, 0.35, 0.5, 0.6, 0.75, 0.9], [0.9] * 6, [0.05] * 6, [0.98, 0.9, 0.8, 0.95, 0.85, 0.99]],
    )
    def test_of_a_mean_of_six_tasks(self, accuracies: list[float]) -> None:
        weights = [1 / 6] * 6

        def draw(source: random.Random) -> Estimate:
            strata = [[float(source.random() < p) for _ in range(n)] for p, n in zip(accuracies, SIZES, strict=True)]
            return stratified_mean(strata, weights)

        assert 0.93 <= coverage(draw, sum(accuracies) / 6) <= 0.985

    @pytest.mark.parametrize(("gain", "loss"), [(0.2, 0.2), (0.3, 0.1), (0.5, 0.05), (0.8, 0.0)])
    def test_of_a_difference_of_means_of_six_tasks(self, gain: float, loss: float) -> None:
        def draw(source: random.Random) -> Estimate:
            return stratified_difference([columns(draw_pairs(source, gain, loss, n)) for n in SIZES], [1 / 6] * 6)

        assert 0.93 <= coverage(draw, gain - loss) <= 0.985

    def test_of_a_mean_of_seven_categories_of_three_samples_and_another_task(self) -> None:
        weights = [1 / 14] * 7 + [0.5]

        def draw(source: random.Random) -> Estimate:
            return stratified_difference([columns(draw_pairs(source, 0.3, 0.1, n)) for n in [3] * 7 + [20]], weights)

        assert 0.92 <= coverage(draw, 0.2) <= 0.985

    def test_two_equal_systems_are_seldom_called_different(self) -> None:
        def draw(source: random.Random) -> Estimate:
            return stratified_difference([columns(draw_pairs(source, 0.05, 0.05, n)) for n in SIZES], [1 / 6] * 6)

        assert coverage(draw, 0.0) >= 0.945


def coverage(draw: Callable[[random.Random], Estimate], truth: float) -> float:
    source = random.Random(20)
    estimates = [draw(source) for _ in range(TRIALS)]
    # A truth that is a sum of fractions may miss a bound that equals it by rounding.
    return sum(e.low - 1e-12 <= truth <= e.high + 1e-12 for e in estimates) / TRIALS


def draw_pairs(source: random.Random, gain: float, loss: float, n: int) -> list[tuple[float, float]]:
    draws = [source.random() for _ in range(n)]
    return [(1.0, 0.0) if u < gain else (0.0, 1.0) if u < gain + loss else (1.0, 1.0) for u in draws]
