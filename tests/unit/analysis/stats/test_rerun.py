from __future__ import annotations

import numpy as np
import pytest

from maestro_eval.analysis.stats.intervals import rerun_error


class TestRerunError:
    def test_is_of_asking_again_and_not_of_the_samples(self) -> None:
        # Accuracies beta(2, 2) over samples: answers vary by E p(1−p) = 0.2, samples by var p = 0.05.
        generator = np.random.default_rng(1)
        values = generator.binomial(1, generator.beta(2, 2, 20_000)[:, None], (20_000, 4)).astype(float)
        assert rerun_error(values) == pytest.approx(np.sqrt(0.2 / 20_000), rel=0.02)

    def test_predicts_how_far_a_second_run_strays(self) -> None:
        generator = np.random.default_rng(2)
        chances = generator.beta(0.8, 0.4, 150)
        reruns = generator.binomial(1, chances, (3000, 150)).mean(axis=1)
        noise = [rerun_error(generator.binomial(1, chances[:, None], (150, 5)).astype(float)) for _ in range(40)]
        assert np.mean(noise) == pytest.approx(reruns.std(), rel=0.05)

    def test_a_system_that_repeats_itself_has_no_noise_of_its_own(self) -> None:
        assert rerun_error(np.repeat(np.array([[1.0], [0.0], [1.0], [1.0]]), 3, axis=1)) == 0

    @pytest.mark.parametrize("shape", [(3, 1), (0, 2), (4,)])
    def test_without_repeats_there_is_none(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="two repeats"):
            rerun_error(np.zeros(shape))
