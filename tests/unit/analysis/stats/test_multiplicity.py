from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_eval.analysis.stats.significance import holm

families = st.lists(st.floats(0, 1), min_size=1, max_size=20)


class TestHolm:
    # statsmodels collects garbage at every call of Holm's, half a second each.
    @settings(max_examples=8)
    @given(families)
    def test_agrees_with_statsmodels(self, p: list[float]) -> None:
        from statsmodels.stats.multitest import multipletests

        assert holm(p) == pytest.approx(list(multipletests(p, method="holm")[1]), abs=1e-12)

    @given(families)
    def test_raises_no_p_value_above_bonferronis_and_lowers_none(self, p: list[float]) -> None:
        assert all(raw <= each <= min(1.0, len(p) * raw) + 1e-12 for raw, each in zip(p, holm(p), strict=True))

    def test_a_family_of_one_is_left_as_it_is(self) -> None:
        assert holm([0.04]) == [0.04]
        assert holm([]) == []
