from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maestro_eval.analysis.stats import rerun_noise


class TestRerunNoise:
    def test_separates_rerunning_from_sampling(self) -> None:
        # Accuracies beta(2, 2) over samples: answers vary by E p(1−p) = 0.2, samples by var p = 0.05.
        generator = np.random.default_rng(1)
        values = generator.binomial(1, generator.beta(2, 2, 20_000)[:, None], (20_000, 4)).astype(float)
        found = rerun_noise(values)
        assert found.rerun == pytest.approx(np.sqrt(0.2 / 20_000), rel=0.02)
        assert found.sampling == pytest.approx(np.sqrt(0.05 / 20_000), rel=0.04)
        assert (found.n, found.k) == (20_000, 4)

    def test_predicts_how_far_a_second_run_strays(self) -> None:
        generator = np.random.default_rng(2)
        chances = generator.beta(0.8, 0.4, 150)
        reruns = generator.binomial(1, chances, (3000, 150)).mean(axis=1)
        noise = [rerun_noise(generator.binomial(1, chances[:, None], (150, 5)).astype(float)).rerun for _ in range(40)]
        assert np.mean(noise) == pytest.approx(reruns.std(), rel=0.05)

    def test_a_system_that_repeats_itself_has_no_noise_of_its_own(self) -> None:
        values = np.repeat(np.array([[1.0], [0.0], [1.0], [1.0]]), 3, axis=1)
        found = rerun_noise(values)
        assert found.rerun == 0
        assert found.sampling == pytest.approx(np.std([1, 0, 1, 1], ddof=1) / 2)

    def test_clusters_add_to_the_sampling_and_not_to_the_rerunning(self) -> None:
        generator = np.random.default_rng(3)
        chances = np.repeat(generator.beta(0.5, 0.5, 40), 10)
        values = generator.binomial(1, chances[:, None], (400, 3)).astype(float)
        alone, joint = rerun_noise(values), rerun_noise(values, np.repeat(np.arange(40), 10))
        assert joint.rerun == alone.rerun
        assert joint.sampling > 2 * alone.sampling

    @given(arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(2, 4)), elements=st.floats(0, 1)))
    def test_both_are_numbers_and_not_below_zero(self, values: np.ndarray) -> None:
        found = rerun_noise(values)
        assert found.rerun >= 0
        assert found.sampling >= 0

    @pytest.mark.parametrize("shape", [(3, 1), (0, 2), (4,)])
    def test_without_repeats_there_is_none(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="two repeats"):
            rerun_noise(np.zeros(shape))
