from __future__ import annotations

import math

import numpy as np
import pytest
from analysis_designs import sides, strata
from hypothesis import given

from maestro_eval.analysis.stats.estimates import Estimate, Sampled, differences, independent, wilson
from maestro_eval.analysis.stats.intervals import difference_in_differences, difference_interval, mean_interval


def ends(found: Estimate) -> tuple[float, float, float]:
    return found.value, found.low, found.high


def clustered(seed: int, groups: int, size: int, p: float = 0.7) -> Sampled:
    generator = np.random.default_rng(seed)
    chances = generator.beta(2 * p, 2 * (1 - p), groups)
    codes = np.repeat(np.arange(groups), size)
    return Sampled((generator.random(groups * size) < chances[codes]).astype(float), codes)


class TestIndependentSamples:
    @pytest.mark.parametrize(("right", "n"), [(0, 12), (5, 12), (12, 12), (480, 1000), (1, 1)])
    def test_of_zeros_and_ones_get_wilsons_interval(self, right: int, n: int) -> None:
        from statsmodels.stats.proportion import proportion_confint

        found = mean_interval(independent([[1.0] * right + [0.0] * (n - right)]))
        assert found.method == "wilson"
        assert (found.low, found.high) == pytest.approx(proportion_confint(right, n, method="wilson"), abs=1e-12)

    def test_many_fractions_get_nearly_students_t(self) -> None:
        from statsmodels.stats.weightstats import DescrStatsW

        values = np.random.default_rng(1).beta(2, 2, 2000)
        expected = DescrStatsW(values).tconfint_mean()
        found = mean_interval(independent([values]))
        assert found.method == "wilson, effective n"
        assert (found.low, found.high) == pytest.approx(expected, abs=2e-4)

    def test_fractions_get_a_narrower_interval_than_as_many_zeros_and_ones(self) -> None:
        found = mean_interval(independent([[0.4, 0.5, 0.6, 0.5, 0.45, 0.55] * 4]))
        even = wilson(12, 24)
        assert found.high - found.low < 0.25 * (even.high - even.low)


class TestClusteredSamples:
    def test_many_clusters_get_nearly_the_cluster_robust_t_interval(self) -> None:
        from statsmodels.stats.weightstats import DescrStatsW

        one = clustered(2, 400, 5)
        shares = one.values.reshape(400, 5).mean(axis=1)
        found = mean_interval([one])
        assert found.method == "wilson, 400 clusters"
        assert (found.low, found.high) == pytest.approx(DescrStatsW(shares).tconfint_mean(), abs=2e-3)

    def test_clusters_that_agree_count_as_so_many_samples(self) -> None:
        one = Sampled(np.repeat([1.0, 0, 1, 1, 0, 1, 1, 1], 10), np.repeat(np.arange(8), 10))
        assert ends(mean_interval([one])) == pytest.approx(ends(wilson(6, 8)), abs=1e-9)

    def test_clusters_that_are_all_right_count_as_so_many_samples(self) -> None:
        one = Sampled(np.ones(40), np.repeat(np.arange(8), 5))
        assert ends(mean_interval([one])) == pytest.approx(ends(wilson(8, 8)), abs=1e-9)

    def test_one_cluster_counts_as_one_sample(self) -> None:
        found = mean_interval([Sampled(np.ones(50), np.zeros(50, dtype=np.int64))])
        assert (found.method, found.n) == ("wilson, 1 cluster", 50)
        assert (found.low, found.high) == pytest.approx((wilson(1, 1).low, 1.0))

    def test_rotations_of_one_question_are_not_four_questions(self) -> None:
        answers = (np.random.default_rng(3).random(60) < 0.7).astype(float)
        joint = mean_interval([Sampled(answers, np.arange(60), 0.25) for _ in range(4)])
        alone = mean_interval(independent([answers]))
        assert ends(joint) == pytest.approx(ends(alone), abs=1e-9)
        assert joint.n == 240

    def test_differences_between_clustered_pairs_are_wider_than_between_independent_ones(self) -> None:
        a, b = clustered(4, 20, 8, 0.7), clustered(5, 20, 8, 0.6)
        joint = difference_interval([a], [b])
        apart = difference_interval(independent([a.values]), independent([b.values]))
        assert joint.value == pytest.approx(apart.value)
        assert joint.high - joint.low > 1.3 * (apart.high - apart.low)

    def test_equal_systems_are_not_known_to_be_equal(self) -> None:
        one = clustered(6, 12, 5)
        found = difference_interval([one], [one])
        assert found.low < -0.1 < 0.1 < found.high

    @given(strata())
    def test_every_mean_has_a_finite_interval_with_a_width(self, parts: list[Sampled]) -> None:
        found = mean_interval(parts)
        assert 0 <= found.low <= found.value <= found.high <= 1 + 1e-9
        assert found.high > found.low

    @given(sides())
    def test_every_difference_has_one_too_and_swapping_mirrors_it(
        self, both: tuple[list[Sampled], list[Sampled]]
    ) -> None:
        a, b = both
        forth, back = difference_interval(a, b), difference_interval(b, a)
        assert -1 - 1e-9 <= forth.low <= forth.value <= forth.high <= 1 + 1e-9
        assert forth.high > forth.low
        assert ends(forth) == pytest.approx((-back.value, -back.high, -back.low), abs=1e-9)

    @given(strata(binary=True))
    def test_right_and_wrong_mirror_each_other(self, parts: list[Sampled]) -> None:
        wrong = [Sampled(1 - each.values, each.clusters, each.weight) for each in parts]
        forth, back = mean_interval(parts), mean_interval(wrong)
        assert ends(forth) == pytest.approx((1 - back.value, 1 - back.high, 1 - back.low), abs=1e-9)


@pytest.mark.parametrize("values", [[0.2, 1.5], [-0.1, 0.5]])
def test_values_that_are_no_shares_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"values lie in \[0, 1\]"):
        mean_interval(independent([values]))


class TestDifferenceInDifferences:
    def test_is_the_difference_of_two_independent_paired_differences(self) -> None:
        a, b, c, d = (clustered(seed, 30, 4) for seed in (12, 13, 14, 15))
        apart = [Sampled(each.values, each.clusters + 100) for each in (c, d)]
        found = difference_in_differences(([a], [b]), ([apart[0]], [apart[1]]))
        parts = [difference_interval([a], [b]), difference_interval([apart[0]], [apart[1]])]
        assert found.value == pytest.approx(parts[0].value - parts[1].value)
        widths = [(part.high - part.low) / 2 for part in parts]
        assert (found.high - found.low) / 2 == pytest.approx(math.hypot(*widths), rel=0.06)

    def test_a_change_that_both_strata_share_cancels_out(self) -> None:
        a, b = clustered(16, 40, 4, 0.8), clustered(17, 40, 4, 0.5)
        found = difference_in_differences(([a], [b]), ([a], [b]))
        assert found.value == pytest.approx(0)
        assert not found.excludes_zero

    def test_swapping_treated_and_control_mirrors_it(self) -> None:
        a, b, c, d = (clustered(seed, 10, 4) for seed in (18, 19, 20, 21))
        forth = difference_in_differences(([a], [b]), ([c], [d]))
        back = difference_in_differences(([c], [d]), ([a], [b]))
        assert ends(forth) == pytest.approx((-back.value, -back.high, -back.low), abs=1e-9)


def test_signed_values_are_not_read_as_shares() -> None:
    # One gain and no loss in 50 pairs: read as a share, the interval could never reach 0.
    a, b = [1.0] * 50, [1.0] * 49 + [0.0]
    found = mean_interval(differences(independent([a]), independent([b])))
    assert found.low < 0 < found.high
