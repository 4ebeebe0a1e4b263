from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from maestro_eval.analysis.stats import benjamini_hochberg, holm

families = st.lists(st.floats(0, 1), min_size=1, max_size=20)


class TestHolm:
    # statsmodels collects garbage at every call of Holm's, half a second each.
    @settings(max_examples=8, deadline=None)
    @given(families)
    def test_agrees_with_statsmodels(self, p: list[float]) -> None:
        assert holm(p) == pytest.approx(list(multipletests(p, method="holm")[1]), abs=1e-12)

    @given(families)
    def test_raises_no_p_value_above_bonferronis_and_lowers_none(self, p: list[float]) -> None:
        assert all(raw <= each <= min(1.0, len(p) * raw) + 1e-12 for raw, each in zip(p, holm(p), strict=True))

    def test_a_family_of_one_is_left_as_it_is(self) -> None:
        assert holm([0.04]) == [0.04]
        assert holm([]) == benjamini_hochberg([]) == []


class TestBenjaminiHochberg:
    @given(families)
    def test_agrees_with_statsmodels(self, p: list[float]) -> None:
        assert benjamini_hochberg(p) == pytest.approx(list(multipletests(p, method="fdr_bh")[1]), abs=1e-12)

    @given(families)
    def test_keeps_the_order_and_never_exceeds_holm(self, p: list[float]) -> None:
        found = benjamini_hochberg(p)
        ordered = [each for _, each in sorted(zip(p, found, strict=True))]
        assert ordered == sorted(ordered)
        assert all(low <= high + 1e-12 for low, high in zip(found, holm(p), strict=True))
