from __future__ import annotations

import numpy as np
import pytest
from analysis_designs import strata
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW, ttost_paired

from maestro_eval.analysis.stats import Sampled, differences, equivalence, independent, mean_interval


class TestEquivalence:
    @pytest.mark.parametrize("reference", [49.0, 50.0, 52.5])
    def test_agrees_with_statsmodels(self, reference: float) -> None:
        values = np.random.default_rng(1).normal(50, 6, 80)
        p, _, _ = DescrStatsW(values).ttost_mean(reference - 2, reference + 2)
        found = equivalence(independent([values]), reference, 2.0)
        assert found.p == pytest.approx(float(p), rel=1e-9)
        assert (found.low, found.high) == pytest.approx(DescrStatsW(values).tconfint_mean(alpha=0.1))

    def test_of_a_paired_difference_nears_statsmodels_paired_test(self) -> None:
        generator = np.random.default_rng(2)
        a, b = generator.beta(2, 2, 900), generator.beta(2, 2, 900)
        p, _, _ = ttost_paired(a, b, -0.04, 0.04)
        found = equivalence(differences(independent([a]), independent([b])), 0.0, 0.04)
        assert found.p == pytest.approx(float(p), rel=0.05)

    def test_a_narrow_interval_about_the_reference_is_equivalent(self) -> None:
        found = equivalence(independent([[1.0, 0.0] * 2000]), 0.5, 0.03)
        assert found.equivalent
        assert (found.value, found.n, found.method) == (0.5, 4000, "tost, wilson")

    def test_few_samples_at_the_reference_are_not(self) -> None:
        assert not equivalence(independent([[1.0, 0.0] * 5]), 0.5, 0.03).equivalent

    def test_clusters_that_agree_are_so_many_samples(self) -> None:
        agreeing = Sampled(np.repeat([1.0, 0.0] * 20, 50), np.repeat(np.arange(40), 50))
        assert not equivalence([agreeing], 0.5, 0.05).equivalent
        assert equivalence(independent([agreeing.values]), 0.5, 0.05).equivalent

    def test_a_margin_beyond_what_an_accuracy_can_be_binds_on_one_side_only(self) -> None:
        found = equivalence(independent([[1.0] * 399 + [0.0]]), 0.99, 0.02)
        assert found.equivalent

    @given(strata(), st.floats(0, 1), st.floats(0.01, 0.5))
    def test_holds_exactly_where_the_inner_interval_lies_within_the_margin(
        self, parts: list[Sampled], reference: float, margin: float
    ) -> None:
        found = equivalence(parts, reference, margin)
        inner = mean_interval(parts, level=0.9)
        assert (found.low, found.high) == pytest.approx((inner.low, inner.high), abs=1e-9)
        below, above = found.low - (reference - margin), reference + margin - found.high
        if min(abs(below), abs(above), abs(found.p - 0.05)) > 1e-6:
            assert found.equivalent == (below > 0 and above > 0)

    @pytest.mark.parametrize("margin", [0.0, -0.1, float("nan")])
    def test_a_margin_of_nothing_is_refused(self, margin: float) -> None:
        with pytest.raises(ValueError, match="above 0"):
            equivalence(independent([[0.0, 1.0]]), 0.5, margin)


def test_on_zeros_and_ones_the_exact_error_at_the_margin_wavers_about_the_level() -> None:
    n, margin = 100, 0.15
    sizes = []
    for percent in range(20, 81, 5):
        truth = percent / 100
        # The truth lies on the upper margin; how often few enough are right to claim that it lies within.
        claimed = [
            stats.binom.pmf(right, n, truth)
            for right in range(n + 1)
            if equivalence(independent([[1.0] * right + [0.0] * (n - right)]), truth - margin, margin).equivalent
        ]
        sizes.append(sum(claimed))
    assert max(sizes) < 0.065
    assert sum(sizes) / len(sizes) < 0.051
