import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.embedded.ask import cannot_tell, match_option, options, parse_number, state


@pytest.mark.parametrize(
    "question",
    [
        "What colour is the star?\nA. red\nB. blue\nAnswer with the option's letter.",
        "What colour is the star? (A) red (B) blue",
        "What colour is the star?\n(A) red\n(B) blue\n",
        "What colour is the star? A: red, B: blue",
        "What colour is the star?\nA) red\nB) blue",
    ],
)
def test_options_are_read_in_every_usual_style(question: str) -> None:
    assert options(question) == {"A": "red", "B": "blue"}


def test_points_of_a_figure_are_no_options() -> None:
    assert options("In triangle ABC, find the measure of angle A. BC is 5.") == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,200", 1200), ("35°", 35), ("89º", 89), ("12 cm", 12), ("78.5 square units", 78.5), ("$5$", 5), ("-3", -3),
        (r"6\sqrt{5}", 6 * math.sqrt(5)), (r"3 \sqrt 2", 3 * math.sqrt(2)), (r"\frac { 20 } { 3 }", 20 / 3),
        ("22 / 3", 22 / 3), ("25π", 25 * math.pi), (r"35^{\circ}", 35), (".5", 0.5),
    ],
)  # fmt: skip
def test_numbers_are_read_from_the_usual_notations(text: str, value: float) -> None:
    assert parse_number(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "x", "cm", "5 or 6", "2020-05-14", "4/0", "9" * 100])
def test_what_is_no_single_number_is_refused(text: str) -> None:
    assert parse_number(text) is None


@given(st.text(max_size=200))
def test_hostile_text_never_fails(text: str) -> None:
    parse_number(text)
    listed = options(text)
    assert set(listed) == set("ABCDEFGHIJ"[: len(listed)])
    assert match_option(listed, text) in {None, *listed}


def test_a_value_matches_the_option_of_equal_number_or_equal_words() -> None:
    assert match_option({"A": "2.0", "B": "20"}, "20.0") == "B"
    assert match_option({"A": "13", "B": r"6\sqrt{5}"}, "13.416") == "B"
    assert match_option({"A": "78.5", "B": "78.6"}, "78.5398") == "A"
    assert match_option({"A": "2015", "B": "2016"}, "2017") is None
    assert match_option({"A": "The star is red.", "B": "The star is blue."}, "blue") == "B"
    assert match_option({"A": "a dark red", "B": "a light red"}, "red") is None


def test_the_reply_ends_in_a_letter_or_in_the_value_as_asked() -> None:
    assert state("Pick one.\nA. 5\nB. 6", "6", "I counted.").splitlines()[-1] == "Answer: B"
    assert state("Pick one.\nA. 5\nB. 6", "7", "I counted.").splitlines()[-1] == "Answer: 7"
    assert state("Answer in curly brackets, e.g. {3}.", "6", "I counted.").splitlines()[-1] == "Answer: {6}"
    shaped = "rows={2} columns={3}"
    assert state("Use curly brackets.", shaped, "I counted.").splitlines()[-1] == f"Answer: {shaped}"


def test_a_refusal_has_no_answer_line() -> None:
    assert cannot_tell("it is dark.") == "I cannot tell: it is dark."
