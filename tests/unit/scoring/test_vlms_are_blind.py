"""The normal forms of VLMsAreBlind's answers: a count, yes or no, a letter, rows and columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.scoring.vlms_are_blind import blind_readers, blind_reading

_TASKS = ("Subway Connections", "Touching Circles", "Circled Letter", "Counting Grid - Word Grids")
_PIECES = [
    "{",
    "}",
    "4",
    "12",
    "n",
    "N",
    "yes",
    "No",
    " ",
    ",",
    "x",
    "rows",
    "columns",
    "=",
    "Answer: ",
    "\n",
    "é",
    "three",
]
replies = st.one_of(st.text(), st.lists(st.sampled_from(_PIECES), max_size=10).map("".join))


@pytest.mark.parametrize(
    ("task", "text", "official", "strict"),
    [
        ("Line Plot Intersections", "{02}", "2", "2"),
        ("Olympic Counting - Pentagons", "There are 3 crossings in this one", "3", None),
        ("Nested Squares", "three", None, None),
        ("Nested Squares", "2.5", "2", None),
        ("Touching Circles", "YES", "yes", "yes"),
        ("Touching Circles", "{Yes}", "yes", None),
        ("Circled Letter", "q", "Q", "q"),
        ("Circled Letter", "{Q}", "Q", "Q"),
        ("Circled Letter", "quiz", None, None),
        ("Counting Grid - Blank Grids", "rows={4} columns={05}", "4,5", "4,5"),
        ("Counting Grid - Blank Grids", "5 columns and 4 rows", "4,5", None),
        ("Counting Grid - Word Grids", "4 by 5", None, None),
        ("Counting Grid - Word Grids", "4, 5 or 6", None, None),
        ("a task that is new", "{7}", "7", "7"),
    ],
)
def test_reply_is_read_in_its_form(task: str, text: str, official: str | None, strict: str | None) -> None:
    assert blind_reading(task, text, "official") == official
    assert blind_reading(task, text, "strict") == strict


@given(st.sampled_from(_TASKS), replies)
def test_a_reading_of_a_reading_is_itself(task: str, text: str) -> None:
    for strictness in ("official", "strict"):
        read = blind_reading(task, text, strictness)
        assert read is None or blind_reading(task, read, strictness) == read


@given(st.sampled_from(_TASKS), replies)
def test_what_strict_reads_official_reads_too(task: str, text: str) -> None:
    strict = blind_reading(task, text, "strict")
    official = blind_reading(task, text, "official")
    assert strict is None or (official is not None and official.casefold() == strict.casefold())


def test_what_only_looks_like_a_number_word_is_no_number() -> None:
    whole, within = blind_readers("Counting Grid", "")
    assert within("six rows and five columns") == "6,5"
    assert whole("s\u0131x rows and five columns") is None
