"""Right, wrong, verbose, empty and hostile answers under every metric and protocol."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_eval.scoring import METRICS, check_protocol, judge
from maestro_eval.types import Sample, UserError

# A busy machine may take a while over one example.
unhurried = settings(deadline=None)

_HOSTILE = "</think>" * 50 + "\\boxed{" * 50 + "\x00𝟛 Answer: " * 50


def asked(*targets: str, choices: tuple[str, ...] = (), **fields: str) -> Sample:
    return Sample("maestro_any", "1", "?", targets, choices=choices, fields=fields)


_NUMERIC = asked("337.8")
_ZERO = asked("0")
_PERCENT = asked("14%")
_WORD = asked("Belgium", "Kingdom of Belgium")
_COUNT = asked("7")
_TRIANGLES = asked("B", choices=("circle", "right triangle", "line", "square"))
_ANGLES = asked("C", choices=("45", "90", "135.5", "180"))
_FREE = asked("135")
_SIGN = asked("Main\nStreet", "main st.", dataset="IIIT5K")
_FORMULA = asked("a + B", dataset="HME100k")
_SUBWAY = asked("4", task="Subway Connections")
_TOUCHING = asked("Yes", task="Touching Circles")
_CIRCLED = asked("N", task="Circled Letter")
_GRID = asked("4,5", task="Counting Grid - Blank Grids")

# (metric, sample, answer, right under official, right under strict)
_CASES: list[tuple[str, Sample, str, int, int]] = [
    ("relaxed_accuracy", _NUMERIC, "337.8", 1, 1),
    ("relaxed_accuracy", _NUMERIC, "$ 350", 0, 0),
    ("relaxed_accuracy", _NUMERIC, "$350", 1, 1),
    ("relaxed_accuracy", _NUMERIC, "355", 0, 0),
    ("relaxed_accuracy", _NUMERIC, "It rose. The answer is 340.", 1, 0),
    ("relaxed_accuracy", _NUMERIC, "It rose to 337.8 in 2020", 0, 0),
    ("relaxed_accuracy", _NUMERIC, "", 0, 0),
    ("relaxed_accuracy", _NUMERIC, _HOSTILE, 0, 0),
    ("relaxed_accuracy", _NUMERIC, "nan", 0, 0),
    ("relaxed_accuracy", asked("1,000"), "950", 1, 1),
    ("relaxed_accuracy", asked("-5"), "−5", 1, 1),
    ("relaxed_accuracy", asked("-5"), "5", 0, 0),
    ("relaxed_accuracy", _ZERO, "0", 1, 1),
    ("relaxed_accuracy", _ZERO, "0.0", 1, 1),
    ("relaxed_accuracy", _ZERO, "0.01", 0, 0),
    ("relaxed_accuracy", _PERCENT, "14 %", 1, 1),
    ("relaxed_accuracy", _PERCENT, "0.14", 1, 1),
    ("relaxed_accuracy", _PERCENT, "14", 0, 0),
    ("relaxed_accuracy", _WORD, "belgium", 1, 1),
    ("relaxed_accuracy", _WORD, "kingdom of belgium", 1, 1),
    ("relaxed_accuracy", _WORD, "Answer: Belgium", 1, 0),
    ("relaxed_accuracy", _WORD, "Belgium and France", 0, 0),
    ("relaxed_accuracy", asked("2010/11"), "2011/12", 0, 0),
    ("integer", _COUNT, "7", 1, 1),
    ("integer", _COUNT, " 7\n", 1, 1),
    ("integer", _COUNT, "8", 0, 0),
    ("integer", _COUNT, "seven", 1, 0),
    ("integer", _COUNT, "I see 9 cars, but the answer is 7 of them.", 1, 0),
    ("integer", _COUNT, "There are seven cars and 2 vans", 1, 0),
    ("integer", _COUNT, "2 vans and 7 cars", 0, 0),
    ("integer", _COUNT, "7.5", 0, 0),
    ("integer", _COUNT, "17", 0, 0),
    ("integer", _COUNT, "", 0, 0),
    ("integer", _COUNT, _HOSTILE, 0, 0),
    ("integer", _COUNT, "7" * 5000, 0, 0),
    ("option_letter", _TRIANGLES, "B", 1, 1),
    ("option_letter", _TRIANGLES, "(b)", 1, 1),
    ("option_letter", _TRIANGLES, "(b", 1, 0),
    ("option_letter", _TRIANGLES, "A", 0, 0),
    ("option_letter", _TRIANGLES, "Answer: B", 1, 0),
    ("option_letter", _TRIANGLES, "B because it is a right triangle", 1, 0),
    ("option_letter", _TRIANGLES, "The answer is a right triangle.", 1, 0),
    ("option_letter", _TRIANGLES, "A circle", 0, 0),
    ("option_letter", _TRIANGLES, "A or B", 0, 0),
    ("option_letter", _TRIANGLES, "ABCD", 0, 0),
    ("option_letter", _TRIANGLES, "", 0, 0),
    ("option_letter", _TRIANGLES, _HOSTILE, 0, 0),
    ("option_letter", _ANGLES, "Answer: 135.5°", 1, 0),
    ("option_letter", _ANGLES, "135.52", 1, 0),
    ("option_letter", _ANGLES, "136", 0, 0),
    ("option_letter", _FREE, "135", 1, 1),
    ("option_letter", _FREE, "x = 135°", 1, 0),
    ("option_letter", _FREE, "45", 0, 0),
    ("substring", _SIGN, "main street", 1, 1),
    ("substring", _SIGN, "MAIN ST.", 1, 1),
    ("substring", _SIGN, "The sign says Main Street, in white.", 1, 0),
    ("substring", _SIGN, "Maine Street", 0, 0),
    ("substring", _SIGN, "<think>Main Street?</think> Unreadable", 0, 0),
    ("substring", _SIGN, "", 0, 0),
    ("substring", _SIGN, _HOSTILE, 0, 0),
    ("substring", asked(""), "anything", 0, 0),
    ("substring", asked("12"), "4123", 1, 0),
    ("substring", _FORMULA, "a+B", 1, 1),
    ("substring", _FORMULA, "a+b", 0, 0),
    ("substring", _FORMULA, "c = a + B", 1, 0),
    ("blind", _SUBWAY, "4", 1, 1),
    ("blind", _SUBWAY, "{4}", 1, 1),
    ("blind", _SUBWAY, "3", 0, 0),
    ("blind", _SUBWAY, "Of 6 routes, {4} are of one colour", 1, 0),
    ("blind", _SUBWAY, "Of 6 routes I count four", 0, 0),
    ("blind", _SUBWAY, "I count four", 1, 0),
    ("blind", _SUBWAY, "Of 6 routes I count 4.", 1, 0),
    ("blind", _SUBWAY, "", 0, 0),
    ("blind", _SUBWAY, _HOSTILE, 0, 0),
    ("blind", _TOUCHING, "Yes", 1, 1),
    ("blind", _TOUCHING, "yes", 1, 1),
    ("blind", _TOUCHING, "Yes, they have no gap.", 1, 0),
    ("blind", _TOUCHING, "No", 0, 0),
    ("blind", _TOUCHING, "yes and no", 1, 0),
    ("blind", _TOUCHING, "Is it yes or no?", 0, 0),
    ("blind", _TOUCHING, _HOSTILE, 0, 0),
    ("blind", _CIRCLED, "N", 1, 1),
    ("blind", _CIRCLED, "{N}", 1, 1),
    ("blind", _CIRCLED, "n", 1, 0),
    ("blind", _CIRCLED, 'The letter "N" is circled', 1, 0),
    ("blind", _CIRCLED, "M", 0, 0),
    ("blind", _CIRCLED, "Never", 0, 0),
    ("blind", _CIRCLED, _HOSTILE, 0, 0),
    ("blind", _GRID, "4,5", 1, 1),
    ("blind", _GRID, "(4, 5)", 1, 1),
    ("blind", _GRID, "4x5", 1, 1),
    ("blind", _GRID, "{4}{5}", 1, 1),
    ("blind", _GRID, "rows={4} columns={5}", 1, 1),
    ("blind", _GRID, "5,4", 0, 0),
    ("blind", _GRID, "It has 4 rows and 5 columns.", 1, 0),
    ("blind", _GRID, "Columns: 5, rows: 4", 1, 0),
    ("blind", _GRID, "20 cells, so (4, 5)", 1, 0),
    ("blind", _GRID, "4", 0, 0),
    ("blind", _GRID, "4,5,6", 0, 0),
    ("blind", _GRID, "", 0, 0),
    ("blind", _GRID, _HOSTILE, 0, 0),
]


@pytest.mark.parametrize(("metric", "sample", "answer", "official", "strict"), _CASES)
def test_answer_is_judged_as_documented(metric: str, sample: Sample, answer: str, official: int, strict: int) -> None:
    assert judge(sample, answer, metric, "official").value == official
    assert judge(sample, answer, metric, "strict").value == strict


def test_every_metric_has_cases() -> None:
    assert {case[0] for case in _CASES} == set(METRICS)


def test_empty_answer_says_so() -> None:
    assert judge(_COUNT, " \n", "integer", "official").note == "empty answer"


def test_extracted_answer_stays_short() -> None:
    assert len(judge(_SIGN, "x" * 100_000, "substring", "official").extracted) == 200


def test_unknown_protocol_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"lenient.*official, strict"):
        check_protocol("lenient")


def test_unknown_metric_names_the_task() -> None:
    with pytest.raises(UserError, match=r"maestro_any.*'bleu'.*relaxed_accuracy"):
        judge(_COUNT, "7", "bleu", "official")


letters = st.sampled_from(string.ascii_letters)
counts = st.integers(0, 999).map(str)
lines = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip)
questions = st.one_of(
    lines.map(lambda target: ("relaxed_accuracy", asked(target))),
    st.floats(-1e9, 1e9).map(lambda target: ("relaxed_accuracy", asked(str(target)))),
    counts.map(lambda target: ("integer", asked(target))),
    letters.map(lambda target: ("option_letter", asked(target))),
    st.tuples(st.sampled_from("ABCD"), st.lists(lines, min_size=4, max_size=4)).map(
        lambda drawn: ("option_letter", asked(drawn[0], choices=tuple(drawn[1])))
    ),
    st.tuples(lines, st.sampled_from(["HME100k", "IIIT5K"])).map(
        lambda drawn: ("substring", asked(drawn[0], dataset=drawn[1]))
    ),
    counts.map(lambda target: ("blind", asked(target, task="Nested Squares"))),
    st.sampled_from(["Yes", "No"]).map(lambda target: ("blind", asked(target, task="Touching Circles"))),
    letters.map(lambda target: ("blind", asked(target, task="Circled Letter"))),
    st.tuples(counts, counts).map(lambda pair: ("blind", asked(",".join(pair), task="Counting Grid - Word Grids"))),
)
_CHATTER = [
    "Answer: ",
    "</think>",
    "(",
    ")",
    "{",
    "}",
    "\n",
    ".",
    "the answer is ",
    ",",
    " ",
    "I think ",
    "A ",
    "5",
    "x",
]
chatter = st.lists(st.sampled_from(_CHATTER), max_size=3).map("".join)


@unhurried
@given(questions)
def test_target_itself_is_right_under_both_protocols(question: tuple[str, Sample]) -> None:
    metric, sample = question
    assert judge(sample, sample.targets[0], metric, "strict").value == 1
    assert judge(sample, sample.targets[0], metric, "official").value == 1


@unhurried
@given(questions, chatter, chatter, st.booleans())
def test_official_accepts_what_strict_accepts(
    question: tuple[str, Sample], before: str, behind: str, lower: bool
) -> None:
    metric, sample = question
    target = sample.targets[0].lower() if lower else sample.targets[0]
    answer = before + target + behind
    assert judge(sample, answer, metric, "official").value >= judge(sample, answer, metric, "strict").value


@unhurried
@given(questions, st.text())
def test_no_answer_raises_and_every_value_is_a_share(question: tuple[str, Sample], answer: str) -> None:
    metric, sample = question
    for protocol in ("official", "strict"):
        assert 0 <= judge(sample, answer, metric, protocol).value <= 1


@unhurried
@given(questions)
def test_stated_answer_is_right_under_official(question: tuple[str, Sample]) -> None:
    metric, sample = question
    if metric in ("integer", "option_letter", "blind"):
        assert judge(sample, f"Let me look.\nAnswer: {sample.targets[0]}", metric, "official").value == 1
