from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from analysis_designs import sides
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy import stats

from maestro_eval.analysis.stats.estimates import Sampled, differences, independent
from maestro_eval.analysis.stats.intervals import mean_interval
from maestro_eval.analysis.stats.significance import difference_p, heterogeneity_p, mcnemar, reference_p, sign_flip


def effects(values: list[float]) -> list[Sampled]:
    """Signed strata of clusters that add up to ``values``: one sample each."""
    return [Sampled(np.array(values), np.arange(len(values)), signed=True)]


class TestMcNemar:
    @pytest.mark.parametrize(("gains", "losses"), [(0, 0), (8, 2), (2, 8), (5, 5), (1, 0), (30, 12), (400, 350)])
    def test_is_the_exact_p_less_half_of_what_was_seen(self, gains: int, losses: int) -> None:
        from statsmodels.stats.contingency_tables import mcnemar as table_test

        exact = float(table_test([[10, gains], [losses, 10]], exact=True).pvalue) if gains + losses else 1.0
        seen = float(stats.binom.pmf(gains, gains + losses, 0.5)) if gains != losses else 0.0
        assert mcnemar(gains, losses).value == pytest.approx(exact - seen, rel=1e-9)

    def test_rejects_a_truth_in_no_more_than_one_of_twenty(self) -> None:
        """Enumerated: n pairs, each side alone right with chance q."""
        for n in (10, 25, 60):
            for q in (0.05, 0.2, 0.4):
                rate = sum(
                    stats.binom.pmf(m, n, 2 * q) * stats.binom.pmf(k, m, 0.5)
                    for m in range(n + 1)
                    for k in range(m + 1)
                    if mcnemar(k, m - k).value <= 0.05
                )
                assert rate <= 0.05

    def test_is_the_test_of_one_stratum_of_independent_zeros_and_ones(self) -> None:
        a, b = independent([[1.0, 1, 1, 1, 0, 1]]), independent([[0.0, 0, 1, 0, 1, 0]])
        assert difference_p(a, b) == mcnemar(4, 1)


class TestSignFlip:
    @pytest.mark.parametrize("seed", range(4))
    def test_exact_agrees_with_scipys_permutation_test(self, seed: int) -> None:
        values = np.random.default_rng(seed).normal(0.3, 1, 10).clip(-1, 1)
        theirs = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
        found = sign_flip(effects(values.tolist()))
        assert (found.method, found.value) == ("exact sign flip", pytest.approx(float(theirs.pvalue), abs=1e-9))

    def test_drawn_signs_come_close_to_all_of_them(self) -> None:
        values = np.random.default_rng(5).normal(0.08, 0.2, 40).clip(-1, 1)
        found = sign_flip(effects(values.tolist()), seed=2)
        # With 40 clusters the sum of flipped signs is normal to the third digit.
        expected = 2 * stats.norm.sf(abs(values.sum()) / np.sqrt((values**2).sum()))
        assert found.method == "sign flip, 10,000 draws"
        assert found.value == pytest.approx(float(expected), abs=0.012)

    def test_draws_of_equal_and_of_single_clusters_agree_with_normal_theory_together(self) -> None:
        generator = np.random.default_rng(6)
        values = np.concatenate([generator.normal(0.05, 0.2, 60).clip(-1, 1), generator.choice([0.25, -0.25], 200)])
        expected = 2 * stats.norm.sf(abs(values.sum()) / np.sqrt((values**2).sum()))
        assert sign_flip(effects(values.tolist()), seed=1).value == pytest.approx(float(expected), abs=0.02)

    def test_the_same_seed_draws_the_same(self) -> None:
        values = np.random.default_rng(7).normal(0.05, 0.3, 30).clip(-1, 1).tolist()
        assert sign_flip(effects(values), seed=3) == sign_flip(effects(values), seed=3)

    def test_a_p_value_beyond_all_draws_is_small_and_never_zero(self) -> None:
        values = np.random.default_rng(8).random(60) / 2 + 0.5
        found = sign_flip(effects(values.tolist()))
        flipped = values.sum() / np.sqrt((values**2).sum())
        assert found.method == "sign flip, t beyond 10,000 draws"
        assert found.value == pytest.approx(2 * float(stats.t.sf(flipped, 59)), rel=1e-6)
        assert 0 < found.value < 1e-8

    def test_clusters_flip_as_wholes(self) -> None:
        a = [Sampled(np.ones(30), np.repeat([0, 1, 2], 10))]
        b = [Sampled(np.zeros(30), np.repeat([0, 1, 2], 10))]
        assert difference_p(a, b).value == pytest.approx(2 / 8)

    def test_a_cluster_flips_in_all_its_strata_at_once(self) -> None:
        a = [Sampled(np.ones(3), np.arange(3), 0.25) for _ in range(4)]
        b = [Sampled(np.zeros(3), np.arange(3), 0.25) for _ in range(4)]
        assert difference_p(a, b).value == pytest.approx(2 / 8)

    def test_no_difference_at_all_is_no_evidence(self) -> None:
        one = [Sampled(np.array([0.5, 1.0, 0.2]), np.zeros(3, dtype=np.int64))]
        assert difference_p(one, one).value == 1.0

    @settings(max_examples=60)
    @given(sides(most=2))
    def test_is_a_probability_and_the_same_for_both_orders(self, both: tuple[list[Sampled], list[Sampled]]) -> None:
        a, b = both
        p = difference_p(a, b).value
        assert 0 < p <= 1
        assert difference_p(b, a).value == pytest.approx(p)


class TestReference:
    @pytest.mark.parametrize(("right", "n", "published"), [(9, 12, 0.5), (480, 1000, 0.5), (12, 12, 0.9), (0, 5, 0.3)])
    def test_of_zeros_and_ones_is_twice_the_smaller_binomial_tail(self, right: int, n: int, published: float) -> None:
        found = reference_p(independent([[1.0] * right + [0.0] * (n - right)]), published)
        tails = stats.binom.cdf(right, n, published), stats.binom.sf(right - 1, n, published)
        assert found.method == "exact binomial"
        assert found.value == pytest.approx(min(1.0, 2 * min(tails)))

    def test_of_clusters_of_one_size_nears_the_t_test_of_their_means(self) -> None:
        generator = np.random.default_rng(10)
        shares = generator.binomial(5, generator.beta(3, 2, 300)) / 5
        values = np.concatenate([[1.0] * round(5 * s) + [0.0] * (5 - round(5 * s)) for s in shares])
        found = reference_p([Sampled(values, np.repeat(np.arange(300), 5))], 0.57)
        assert found.value == pytest.approx(float(stats.ttest_1samp(shares, 0.57).pvalue), rel=0.05)
        assert found.method == "one-sample wilson, 300 clusters"

    @given(sides(most=2))
    def test_rejects_exactly_where_the_interval_excludes(self, both: tuple[list[Sampled], list[Sampled]]) -> None:
        paired = differences(*both)
        found = mean_interval(paired)
        assert (reference_p(paired, 0.0).value <= 0.05 - 1e-9) <= found.excludes_zero
        assert (reference_p(paired, 0.0).value >= 0.05 + 1e-9) <= (not found.excludes_zero)

    @pytest.mark.parametrize("published", [0.0, 1.0, -0.2, 1.3])
    def test_a_number_that_no_accuracy_like_this_can_have_is_refuted(self, published: float) -> None:
        clusters = np.repeat(np.arange(4), 3)
        assert reference_p([Sampled(np.array([1.0, 0, 1] * 4), clusters)], published).value == 0.0

    def test_the_published_number_itself_is_no_evidence(self) -> None:
        clusters = np.repeat(np.arange(6), 2)
        assert reference_p([Sampled(np.array([1.0, 0] * 6), clusters)], 0.5).value == 1.0


def parts_of(*sides: Sequence[float]) -> list[Sampled]:
    return [replace(each, signed=True) for each in independent(sides)]


class TestHeterogeneity:
    def test_two_categories_of_single_pairs_are_told_apart_as_by_a_permutation_test_of_their_means(self) -> None:
        a, b = [1.0] * 9 + [0.0] * 11, [1.0] * 2 + [0.0] * 18

        def gap(x: Any, y: Any, axis: int) -> Any:
            return np.mean(x, axis=axis) - np.mean(y, axis=axis)

        theirs = stats.permutation_test((a, b), gap, vectorized=True, n_resamples=4_000, random_state=1).pvalue
        assert heterogeneity_p(parts_of(a, b)).value == pytest.approx(theirs, abs=0.02)

    def test_many_pairs_give_the_p_of_welchs_analysis_of_variance(self) -> None:
        from statsmodels.stats.oneway import anova_oneway

        rng = np.random.default_rng(2)
        shares = ((0.1, 0.7, 0.2), (0.15, 0.7, 0.15), (0.1, 0.75, 0.15))
        parts = [rng.choice([-1.0, 0.0, 1.0], n, p=p) for n, p in zip((300, 200, 250), shares, strict=True)]
        theirs = anova_oneway(parts, use_var="unequal").pvalue
        assert 0.001 < theirs < 0.2
        assert heterogeneity_p(parts_of(*parts)).value == pytest.approx(theirs, abs=0.02)

    @given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=2, max_size=12), st.integers(1, 3))
    @settings(max_examples=25)
    def test_it_does_not_depend_on_the_order_of_categories_or_on_signs_but_by_the_draw(self, values, k) -> None:
        parts = parts_of(values, values[:k], [1.0, 0.0, 0.0])
        p = heterogeneity_p(parts).value
        turned = [replace(part, values=-part.values) for part in parts]
        assert heterogeneity_p(turned).value == pytest.approx(p, abs=0.06)
        assert heterogeneity_p(parts[::-1]).value == pytest.approx(p, abs=0.06)
        assert 0 < p <= 1

    def test_equal_differences_are_equal_and_one_category_has_nothing_to_differ_from(self) -> None:
        assert heterogeneity_p(parts_of([0.5] * 4, [0.5] * 9)).value == 1.0
        assert heterogeneity_p(parts_of([1.0, 0.0])).value == 1.0

    def test_a_picture_that_all_its_questions_are_answered_by_counts_once(self) -> None:
        alone = parts_of([1.0] * 30 + [0.0] * 30, [0.0] * 60)
        pictures = [replace(part, clusters=part.clusters // 30) for part in alone]
        assert heterogeneity_p(alone).value < 0.01
        assert heterogeneity_p(pictures).value > 0.3

    def test_clusters_that_have_several_categories_are_compared_within(self) -> None:
        # Hard pictures and easy ones; in each the second category is better by 1.
        hard = [-1.0, 0.0] * 12
        both = parts_of([each / 2 for each in hard], [each / 2 + 0.5 for each in hard])
        parts = [replace(part, clusters=np.arange(24)) for part in both]
        assert heterogeneity_p(parts).value < 0.001
