"""The released scorer's rules: right, wrong, verbose, empty and hostile transcripts, and their known leniencies."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_eval.scoring import RELEASED, judge_released
from maestro_eval.types import Sample, UserError

unhurried = settings(deadline=None)


def posed(*targets: str, choices: tuple[str, ...] = ()) -> Sample:
    return Sample("maestro_any", "1", "?", targets, choices=choices)


def said(answer: str) -> str:
    return f"<think>let me see</think>\n<answer>{answer}</answer>"


_NUMBER = posed("337.8")
_NEGATIVE = posed("-5")
_COUNTRY = posed("Belgium")
_PERCENT = posed("14%")
_ROCK = posed("B", choices=("basalt", "granite", "shale", "gneiss"))
_CELL = posed("A", choices=("Liver", "Kidney"))
_COUNT = posed("B", choices=("4", "5"))
_ORGAN = posed("Liver")
_YES = posed("Yes")
_NO = posed("No")
_COLOUR = posed("C", choices=("red", "blue", "dark green", "black"))
_BINARY = posed("B", choices=("Yes", "No"))

# (rule, sample, what stands between the tags, right)
_CASES: list[tuple[str, Sample, str, int]] = [
    ("chartqa", _NUMBER, "337.8", 1),
    ("chartqa", _NUMBER, "337.8042", 1),
    ("chartqa", _NUMBER, "$337.80.", 1),
    ("chartqa", _NUMBER, "340", 0),
    ("chartqa", _NUMBER, "about 337.8", 0),
    ("chartqa", _NUMBER, "nan", 0),
    ("chartqa", _NUMBER, "1_0", 0),
    ("chartqa", _NEGATIVE, "-5", 1),
    ("chartqa", _NEGATIVE, "(-5.00)", 1),
    ("chartqa", _NEGATIVE, "5", 0),
    ("chartqa", posed("0.5"), ".5", 1),
    ("chartqa", posed("14"), "14%", 1),
    ("chartqa", _PERCENT, "14", 1),
    ("chartqa", _PERCENT, "4", 1),
    ("chartqa", _PERCENT, "15%", 0),
    ("chartqa", _PERCENT, "0.14", 1),
    ("chartqa", _COUNTRY, "BELGIUM!", 1),
    ("chartqa", _COUNTRY, "in Belgium, of course", 1),
    ("chartqa", _COUNTRY, "el", 1),
    ("chartqa", _COUNTRY, "France", 0),
    ("chartqa", _COUNTRY, " ?! ", 0),
    ("letter_or_text", _ROCK, "B", 1),
    ("letter_or_text", _ROCK, "(b).", 1),
    ("letter_or_text", _ROCK, "A", 0),
    ("letter_or_text", _ROCK, "Granite", 1),
    ("letter_or_text", _ROCK, "It is granite, not shale", 1),
    ("letter_or_text", _ROCK, "ran", 1),
    ("letter_or_text", _ROCK, "shale", 0),
    ("letter_or_text", _ROCK, "B. coarse", 0),
    ("letter_or_text", _CELL, "e", 0),
    ("letter_or_text", _CELL, "er", 1),
    ("letter_or_text", _COUNT, "5", 0),
    ("letter_or_text", _ROCK, "", 0),
    ("slake", _ORGAN, "liver", 1),
    ("slake", _ORGAN, "The liver is enlarged", 1),
    ("slake", _ORGAN, "e", 1),
    ("slake", _ORGAN, "Lung", 0),
    ("slake", _ORGAN, "...", 0),
    ("slake", _YES, "Yes, it does", 1),
    ("slake", _YES, "ye", 0),
    ("slake", _YES, "No", 0),
    ("slake", _NO, "not visible, unknown", 1),
    ("slake", _NO, "Yes", 0),
    ("vstar", _COLOUR, "C", 1),
    ("vstar", _COLOUR, "dark green", 1),
    ("vstar", _COLOUR, "green", 1),
    ("vstar", _COLOUR, "It is dark green.", 1),
    ("vstar", _COLOUR, "red", 0),
    ("vstar", _COLOUR, "A", 0),
    ("vstar", _COLOUR, "", 0),
    ("vstar", _BINARY, "No.", 1),
    ("vstar", _BINARY, "b", 1),
    ("vstar", _BINARY, "No, it is not", 0),
    ("vstar", _BINARY, "Yes", 0),
]


@pytest.mark.parametrize(("rule", "sample", "answer", "right"), _CASES)
def test_tagged_answer_is_judged_as_documented(rule: str, sample: Sample, answer: str, right: int) -> None:
    assert judge_released(sample, said(answer), rule).value == right


def test_every_rule_has_cases_here_or_in_a_file_of_its_own() -> None:
    assert {case[0] for case in _CASES} | {"math", "python"} == set(RELEASED)


_HERE = sorted({case[0] for case in _CASES})


@pytest.mark.parametrize("rule", _HERE)
@pytest.mark.parametrize("transcript", ["", "B", "Answer: B", "<answer>B", "B</answer>", "<ANSWER>B</ANSWER>"])
def test_without_a_tagged_answer_nothing_is_right(rule: str, transcript: str) -> None:
    verdict = judge_released(posed("B", choices=("b", "b")), transcript, rule)
    assert (verdict.value, verdict.extracted, verdict.note) == (0, "", "no <answer>")


def test_first_answer_counts() -> None:
    assert judge_released(_ROCK, said("B") + said("A"), "letter_or_text").extracted == "B"


def test_words_about_the_tag_are_no_answer() -> None:
    assert judge_released(_ROCK, "I could use <answer> now: <answer>B</answer>", "letter_or_text").value == 1


@pytest.mark.parametrize(
    ("rule", "sample", "answers", "form"),
    [
        ("chartqa", _NUMBER, ["337.8", "337.80", "$337.801"], "337.8"),
        ("chartqa", _COUNTRY, ["Belgium", "(belgium)"], "belgium"),
        ("letter_or_text", _ROCK, ["b", "B.", "(b)"], "B"),
        ("slake", _YES, ["Yes", "yes!"], "yes"),
    ],
)
def test_one_meaning_has_one_form(rule: str, sample: Sample, answers: list[str], form: str) -> None:
    assert {judge_released(sample, said(answer), rule).extracted for answer in answers} == {form}


def test_unknown_rule_names_the_task_and_the_rules() -> None:
    with pytest.raises(UserError, match=r"maestro_any.*'bleu'.*chartqa"):
        judge_released(_ROCK, said("B"), "bleu")


@unhurried
@given(
    st.sampled_from(_HERE),
    st.text(),
    st.lists(st.text(min_size=1), max_size=4).map(tuple),
    st.lists(st.sampled_from(["<answer>", "</answer>", "yes", "B", ".", " ", "-5", "\ud800"]), max_size=8),
)
def test_no_transcript_raises(rule: str, target: str, choices: tuple[str, ...], pieces: list[str]) -> None:
    transcript = "".join(pieces)
    verdict = judge_released(posed(target, choices=choices), transcript, rule)
    assert verdict.value in (0, 1)
    assert verdict.value == 0 or "</answer>" in transcript


@unhurried
@given(st.sampled_from(_CASES), st.sampled_from(["", " ", "\n", "\u2003\t"]))
def test_judging_does_not_see_surrounding_space(case: tuple[str, Sample, str, int], space: str) -> None:
    rule, sample, answer, right = case
    padded = judge_released(sample, space + said(space + answer + space) + space, rule)
    assert padded == judge_released(sample, said(answer), rule)
    assert padded.value == right


_WORDS = ["actin", "basalt", "dark red car", "45 cm", "zinc", "north", "uphill"]


@unhurried
@given(st.permutations(_WORDS), st.permutations(range(4)), st.integers(0, 3), st.integers(0, 3))
def test_letter_moves_with_its_choice(words: list[str], order: list[int], meant: int, right: int) -> None:
    choices = tuple(words[:4])
    moved = posed("ABCD"[order.index(right)], choices=tuple(choices[index] for index in order))
    for rule in ("letter_or_text", "vstar"):
        for answer in (choices[meant], "ABCD"[order.index(meant)]):
            assert judge_released(moved, said(answer), rule).value == float(meant == right)


@pytest.mark.parametrize(
    "transcript",
    [
        "<answer>" * 12_000,
        "</answer>" * 11_000,
        "<answer></answer>" * 6_000,
        said("x" * 100_000),
        said("." * 100_000),
        said("-" * 50_000 + "5"),
        said("9" * 100_000),
        said("e" * 50_000 + "." * 50_000),
    ],
    ids=lambda transcript: transcript[:24],
)
def test_hostile_transcript_takes_linear_time(transcript: str) -> None:
    for rule, sample in {case[0]: case[1] for case in _CASES}.items():
        started = time.process_time()
        assert judge_released(sample, transcript, rule).value == 0
        assert time.process_time() - started < 1.0
