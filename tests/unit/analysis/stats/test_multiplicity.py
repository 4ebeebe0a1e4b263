from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.analysis.stats.significance import holm

families = st.lists(st.floats(0, 1), min_size=1, max_size=20)


class TestHolm:
    @given(families)
    def test_is_the_largest_of_the_steps_down_to_each(self, p: list[float]) -> None:
        steps = {step: step * sum(other >= step for other in p) for step in p}
        expected = [min(1.0, max(steps[step] for step in p if step <= each)) for each in p]
        assert holm(p) == pytest.approx(expected, abs=1e-12)

    @given(families)
    def test_raises_no_p_value_above_bonferronis_and_lowers_none(self, p: list[float]) -> None:
        assert all(raw <= each <= min(1.0, len(p) * raw) + 1e-12 for raw, each in zip(p, holm(p), strict=True))

    def test_a_family_of_one_is_left_as_it_is(self) -> None:
        assert holm([0.04]) == [0.04]
        assert holm([]) == []
