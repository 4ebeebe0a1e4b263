from __future__ import annotations

from itertools import combinations, product
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.analysis.sample_scores import Vote, draws_of, majority, pass_at

ANSWERS = {"": 0.0, "A": 1.0, "B": 0.0, "C": 0.0, "a different right one": 1.0}
votes_given = st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=5)


def cast(answers: list[str], failed: int = 0) -> list[Vote]:
    return [Vote(answer, ANSWERS[answer]) for answer in answers] + [Vote("", None)] * failed


def elected(answers: list[str], values: dict[str, float]) -> float:
    """By its definition: the expected value of a lot among the most frequent answers that are not empty."""
    standing = [answer for answer in answers if answer] or answers
    most = max((standing.count(answer) for answer in standing), default=0)
    tied = {answer for answer in standing if standing.count(answer) == most}
    return fmean(values[answer] for answer in tied) if tied else 0.0


class TestPassAt:
    @given(st.data())
    def test_is_the_share_of_all_choices_of_j_that_hold_a_right_one(self, data: st.DataObject) -> None:
        draws = data.draw(st.lists(st.booleans(), min_size=1, max_size=8))
        j = data.draw(st.integers(1, len(draws)))
        chosen = [any(choice) for choice in combinations(draws, j)]
        assert pass_at(len(draws), sum(draws), j) == pytest.approx(fmean(chosen), abs=1e-12)

    @given(st.integers(1, 64), st.data())
    def test_of_one_is_the_average_and_it_never_falls_with_j(self, n: int, data: st.DataObject) -> None:
        right = data.draw(st.integers(0, n))
        values = [pass_at(n, right, j) for j in range(1, n + 1)]
        assert values[0] == right / n
        assert values == sorted(values)
        assert values[-1] == (right > 0)

    @pytest.mark.parametrize(("n", "right", "j"), [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)])
    def test_of_what_cannot_be_drawn_is_an_error(self, n: int, right: int, j: int) -> None:
        with pytest.raises(ValueError, match="no pass@"):
            pass_at(n, right, j)


class TestMajority:
    @given(votes_given)
    def test_is_what_its_definition_says(self, answers: list[str]) -> None:
        assert majority(cast(answers)).value == pytest.approx(elected(answers, ANSWERS))

    @given(votes_given, st.integers(0, 3))
    def test_bounds_are_those_of_every_way_the_failed_repeats_could_have_voted(
        self, answers: list[str], failed: int
    ) -> None:
        # What a failed repeat could have answered: any answer given, and ones that nobody gave.
        values = (
            ANSWERS | {f"new right {i}": 1.0 for i in range(failed)} | {f"new wrong {i}": 0.0 for i in range(failed)}
        )
        possible = sorted({*answers, *(name for name in values if name.startswith("new ")), ""})
        ways = [elected(answers + list(way), values) for way in product(possible, repeat=failed)]
        found = majority(cast(answers, failed))
        assert (found.low, found.high) == pytest.approx((min(ways), max(ways)))

    def test_an_empty_answer_wins_only_alone(self) -> None:
        assert majority(cast(["", "", "", "A"])).value == 1
        assert majority(cast(["", ""])).value == 0

    def test_tied_answers_share(self) -> None:
        assert majority(cast(["A", "A", "B", "B", "C"])).value == 0.5

    def test_a_failed_repeat_votes_for_nothing_and_may_have_turned_it(self) -> None:
        found = majority(cast(["A", "A", "B"], failed=2))
        assert (found.value, found.low, found.high) == (1, 0, 1)

    def test_where_all_failed_it_is_wrong_and_open(self) -> None:
        found = majority(cast([], failed=3))
        assert (found.value, found.low, found.high) == (0, 0, 1)


def test_draws_count_right_and_failed_ones() -> None:
    draws = draws_of(cast(["A", "B", "A"], failed=2))
    assert (draws.n, draws.right, draws.failed) == (5, 2, 2)


def test_a_value_between_wrong_and_right_leaves_no_count_of_right_ones() -> None:
    assert draws_of([Vote("x", 0.5), Vote("y", 1.0)]).right is None
