from __future__ import annotations

import numpy as np
import pytest
from analysis_designs import strata
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.analysis.stats.clusters import blocks
from maestro_eval.analysis.stats.estimates import Sampled, differences, independent
from maestro_eval.analysis.stats.intervals import standard_error


def drawn(seed: int, sizes: list[int]) -> Sampled:
    generator = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(sizes)), sizes)
    return Sampled(generator.random(len(codes)) + generator.random(len(sizes))[codes], codes)


def bias_reduced(design: np.ndarray, values: np.ndarray, clusters: np.ndarray, weights: np.ndarray) -> float:
    """CR2 by its definition: residuals of each cluster times (I − H_gg)^(−½), which the closed form should equal."""
    bread = np.linalg.inv(design.T @ design)
    residuals = values - design @ (bread @ design.T @ values)
    meat = np.zeros_like(bread)
    for code in np.unique(clusters):
        rows = design[clusters == code]
        roots, vectors = np.linalg.eigh(np.eye(len(rows)) - rows @ bread @ rows.T)
        adjust = vectors @ np.diag(1 / np.sqrt(roots)) @ vectors.T
        score = rows.T @ adjust @ residuals[clusters == code]
        meat += np.outer(score, score)
    return float(np.sqrt(weights @ bread @ meat @ bread @ weights))


class TestStandardError:
    def test_of_clusters_of_one_size_is_statsmodels_cluster_robust_one(self) -> None:
        from statsmodels.regression.linear_model import OLS

        one = drawn(1, [4] * 15)
        fit = OLS(one.values, np.ones((60, 1))).fit(cov_type="cluster", cov_kwds={"groups": one.clusters})
        found = standard_error([one])
        assert found.error == pytest.approx(float(fit.bse[0]), rel=1e-12)
        assert (found.freedom, found.clusters) == (pytest.approx(14), 15)

    def test_of_strata_that_share_their_clusters_is_statsmodels_one_of_the_weighted_sum(self) -> None:
        from statsmodels.regression.linear_model import OLS

        one = drawn(2, [4] * 20)
        parts = [Sampled(one.values[i::4], one.clusters[i::4], weight) for i, weight in enumerate((0.4, 0.3, 0.2, 0.1))]
        dummies = np.tile(np.eye(4), (20, 1))
        fit = OLS(one.values, dummies).fit(cov_type="cluster", cov_kwds={"groups": one.clusters})
        weights = np.array([0.4, 0.3, 0.2, 0.1])
        # Its small-sample factor also counts the four means; ours is G/(G−1) alone.
        expected = np.sqrt(weights @ fit.cov_params() @ weights * (80 - 4) / (80 - 1))
        assert standard_error(parts).error == pytest.approx(float(expected), rel=1e-12)

    def test_of_clusters_of_any_sizes_that_share_some_strata_is_the_bias_reduced_sandwich(self) -> None:
        generator = np.random.default_rng(3)
        stratum, cluster = generator.integers(0, 3, 70), generator.integers(0, 14, 70)
        values, weights = generator.random(70), np.array([0.5, 0.2, 0.3])
        parts = [Sampled(values[stratum == i], cluster[stratum == i], weights[i]) for i in range(3)]
        expected = bias_reduced(np.eye(3)[stratum], values, cluster, weights)
        assert standard_error(parts).error == pytest.approx(expected, rel=1e-9)

    def test_of_independent_samples_is_the_textbook_one(self) -> None:
        values = np.random.default_rng(4).random(40)
        found = standard_error(independent([values]))
        assert found.error == pytest.approx(float(values.std(ddof=1) / np.sqrt(40)))
        assert found.freedom == pytest.approx(39)

    def test_of_independent_strata_adds_their_variances_and_satterthwaites_freedom(self) -> None:
        generator = np.random.default_rng(5)
        a, b = generator.random(10), generator.random(25) * 0.3
        found = standard_error(independent([a, b]))
        parts = [a.var(ddof=1) / 10 / 4, b.var(ddof=1) / 25 / 4]
        assert found.error == pytest.approx(float(np.sqrt(sum(parts))))
        assert found.freedom == pytest.approx(sum(parts) ** 2 / (parts[0] ** 2 / 9 + parts[1] ** 2 / 24))

    def test_is_larger_where_clusters_agree_than_where_samples_are_taken_as_independent(self) -> None:
        values = np.repeat([0.0, 1.0, 1.0, 0.0, 1.0], 8)
        clustered = standard_error([Sampled(values, np.repeat(np.arange(5), 8))])
        assert clustered.error > 2.5 * standard_error(independent([values])).error

    def test_unequal_clusters_leave_fewer_degrees_of_freedom_than_their_number(self) -> None:
        assert standard_error([drawn(6, [20, 2, 2, 2, 2, 2])]).freedom < 4

    @given(strata(), st.randoms(use_true_random=False))
    def test_does_not_depend_on_order_or_on_what_clusters_are_called(self, parts: list[Sampled], lots: object) -> None:
        moved = []
        for each in parts:
            order = list(range(each.values.size))
            lots.shuffle(order)  # type: ignore[attr-defined]
            moved.append(Sampled(each.values[order], 1000 - 7 * each.clusters[order], each.weight))
        ours, theirs = standard_error(parts), standard_error(moved)
        assert (ours.error, ours.clusters) == (pytest.approx(theirs.error, abs=1e-9), theirs.clusters)


class TestBlocks:
    def test_strata_that_share_clusters_directly_or_through_others_are_one_block(self) -> None:
        parts = [Sampled(np.zeros(2), np.array(codes), 0.25) for codes in ([1, 2], [7, 8], [2, 3], [3, 4])]
        found = blocks(parts)
        assert [(block.weight, block.clusters, block.n) for block in found] == [(0.75, 4, 6), (0.25, 2, 2)]

    def test_a_negative_weight_counts_the_negated_values(self) -> None:
        parts = [Sampled(np.array([1.0, 0.0]), np.array([0, 1]), -1.0)]
        assert blocks(parts)[0].value == -0.5
        assert (blocks(parts)[0].gains, blocks(parts)[0].losses) == (0.0, 0.5)

    def test_what_agreeing_clusters_count_for_is_kishs_effective_number(self) -> None:
        assert blocks([Sampled(np.zeros(6), np.array([0, 0, 0, 0, 1, 2]))])[0].fewest == pytest.approx(36 / 18)

    @pytest.mark.parametrize("weight", [0.0, np.inf, np.nan])
    def test_a_weight_of_nothing_is_refused(self, weight: float) -> None:
        with pytest.raises(ValueError, match="weights are finite"):
            blocks([Sampled(np.zeros(2), np.arange(2), weight)])


class TestSampled:
    @pytest.mark.parametrize(
        ("values", "clusters"),
        [(np.zeros(0), np.zeros(0)), (np.zeros(3), np.zeros(2)), (np.zeros((2, 2)), np.zeros((2, 2)))],
    )
    def test_values_and_clusters_of_other_shapes_are_refused(self, values: np.ndarray, clusters: np.ndarray) -> None:
        with pytest.raises(ValueError, match="a stratum needs values"):
            Sampled(values, clusters.astype(np.int64))

    def test_values_that_are_no_numbers_are_refused(self) -> None:
        with pytest.raises(ValueError, match="finite"):
            independent([[0.0, float("nan")]])

    def test_independent_strata_share_no_cluster(self) -> None:
        a, b = independent([[1, 0, 1], [0, 1]])
        assert not set(a.clusters.tolist()) & set(b.clusters.tolist())
        assert (a.weight, b.weight) == (0.5, 0.5)

    def test_differences_of_other_designs_are_refused(self) -> None:
        a, b = [Sampled(np.zeros(2), np.array([0, 0]))], [Sampled(np.zeros(2), np.array([0, 1]))]
        with pytest.raises(ValueError, match="same samples"):
            differences(a, b)
        with pytest.raises(ValueError, match="same strata"):
            differences(a, a + a)
