from __future__ import annotations

import math

import numpy as np
import pytest
from analysis_designs import sides, strata
from hypothesis import given, settings
from statsmodels.stats.power import TTestPower

from maestro_eval.analysis.stats import (
    Sampled,
    detectable,
    differences,
    equivalence,
    independent,
    needed_for_equivalence,
    needed_samples,
)


def normal(n: int, seed: int = 1) -> list[Sampled]:
    return independent([np.random.default_rng(seed).normal(20, 4, n)])


class TestDetectable:
    @pytest.mark.parametrize(("n", "power", "alpha"), [(12, 0.8, 0.05), (40, 0.9, 0.05), (200, 0.8, 0.01)])
    def test_agrees_with_statsmodels(self, n: int, power: float, alpha: float) -> None:
        found = detectable(normal(n), power=power, alpha=alpha)
        effect = TTestPower().solve_power(nobs=n, alpha=alpha, power=power)
        spread = normal(n)[0].values.std(ddof=1)
        assert found == pytest.approx(float(effect) * float(spread), rel=1e-4)

    def test_is_about_two_point_eight_errors_for_many_samples(self) -> None:
        found = detectable(independent([[1.0, 0.0] * 1000]))
        assert found == pytest.approx(2.8016 * 0.5 / math.sqrt(2000), rel=2e-3)

    def test_pairs_that_agree_more_detect_less_of_a_difference(self) -> None:
        a = independent([[1.0, 1, 0, 0] * 50])
        near, far = independent([[1.0, 1, 0, 1] * 50]), independent([[0.0, 1, 1, 1] * 50])
        assert detectable(a, near) < 0.75 * detectable(a, far)
        assert detectable(a, near) == detectable(differences(a, near))

    def test_clusters_that_agree_need_a_larger_effect(self) -> None:
        values = np.repeat([1.0, 0.0] * 15, 10)
        assert detectable([Sampled(values, np.repeat(np.arange(30), 10))]) > 2.9 * detectable(independent([values]))

    @settings(max_examples=60)
    @given(sides(most=2))
    def test_no_design_detects_everything_or_is_without_a_number(
        self, both: tuple[list[Sampled], list[Sampled]]
    ) -> None:
        assert 0 < detectable(*both) < math.inf
        assert 0 < detectable(both[0]) < math.inf

    def test_values_without_bounds_and_spread_detect_nothing(self) -> None:
        assert detectable(independent([[7.0, 7.0]])) == math.inf


class TestNeededSamples:
    @pytest.mark.parametrize(("effect", "power"), [(1.0, 0.8), (2.0, 0.9), (0.3, 0.8)])
    def test_agrees_with_statsmodels(self, effect: float, power: float) -> None:
        strata = normal(50)
        spread = float(strata[0].values.std(ddof=1))
        expected = TTestPower().solve_power(effect_size=effect / spread, alpha=0.05, power=power)
        assert needed_samples(strata, effect=effect, power=power) == math.ceil(float(expected))

    def test_the_design_itself_is_needed_for_what_it_detects(self) -> None:
        values = np.random.default_rng(3).binomial(1, 0.6, 240).astype(float)
        design = [Sampled(values, np.arange(240) // 4)]
        assert needed_samples(design, effect=detectable(design)) in (240, 241)

    def test_half_the_effect_takes_four_times_the_samples(self) -> None:
        design = independent([[1.0, 0.0] * 500])
        many, few = needed_samples(design, effect=0.02), needed_samples(design, effect=0.04)
        assert many / few == pytest.approx(4, rel=0.01)

    def test_an_effect_of_nothing_is_refused(self) -> None:
        with pytest.raises(ValueError, match="effect of 0"):
            needed_samples(normal(10), effect=0.0)

    def test_values_that_tell_nothing_are_refused(self) -> None:
        with pytest.raises(ValueError, match="tell nothing"):
            needed_samples(independent([[7.0, 7.0]]), effect=1.0)


class TestNeededForEquivalence:
    def test_as_many_samples_succeed_about_as_often_as_asked_for(self) -> None:
        design = independent([[1.0, 1.0, 0.0, 1.0, 0.0] * 40])
        n = needed_for_equivalence(design, 0.05, power=0.8)
        generator = np.random.default_rng(4)
        trials = [equivalence(independent([generator.binomial(1, 0.6, n)]), 0.6, 0.05) for _ in range(400)]
        assert sum(each.equivalent for each in trials) / 400 == pytest.approx(0.8, abs=0.06)

    def test_a_true_gap_takes_more_samples(self) -> None:
        design = independent([[1.0, 0.0] * 50])
        assert needed_for_equivalence(design, 0.05, shift=0.02) > 1.5 * needed_for_equivalence(design, 0.05)

    @pytest.mark.parametrize("shift", [0.05, -0.07])
    def test_a_gap_as_large_as_the_margin_is_refused(self, shift: float) -> None:
        with pytest.raises(ValueError, match="no number of samples"):
            needed_for_equivalence(normal(10), 0.05, shift=shift)

    @settings(max_examples=30)
    @given(strata(most=2))
    def test_every_design_has_a_number(self, parts: list[Sampled]) -> None:
        assert needed_for_equivalence(parts, 0.1) >= 2
