"""The released scorer's rules: right, wrong, verbose, empty and hostile transcripts, and their known leniencies."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.records import Sample, UserError
from maestro_eval.scoring import RELEASED, judge_released


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
_SEVEN = posed("7")
_ANGLE = posed("C", choices=("45", "90", "135.5", "180"))

# (rule, sample, what is between the tags, right)
_CASES: list[tuple[str, Sample, str, int]] = [
    ("chartqa", _NUMBER, "337.8", 1),
    ("chartqa", _NUMBER, "337.8042", 1),
    ("chartqa", _NUMBER, "$337.80.", 1),
    ("chartqa", _NUMBER, "340", 0),
    ("chartqa", _NUMBER, "about 337.8", 0),
    ("chartqa", _NUMBER, "The answer is 337.8.", 1),
    ("chartqa", _NUMBER, "It is $337.8$, I think", 1),
    ("chartqa", _NUMBER, "So \\boxed{337.8} it is", 1),
    ("chartqa", _NUMBER, "\\boxed{337.8}", 0),
    ("chartqa", _NUMBER, "\uff13\uff13\uff17.8", 1),
    ("chartqa", _NUMBER, "3_37.8", 1),
    ("chartqa", _NUMBER, "nan", 0),
    ("chartqa", _NEGATIVE, "-5", 0),
    ("chartqa", _NEGATIVE, "The answer is: 5", 0),
    ("chartqa", posed("0.5"), "0.50", 1),
    ("chartqa", posed("0.5"), ".5", 0),
    ("chartqa", posed("1,000"), "1,000", 0),
    ("chartqa", posed("7/1"), "7/1", 0),
    ("chartqa", posed("14"), "14%", 1),
    ("chartqa", _PERCENT, "14", 1),
    ("chartqa", _PERCENT, "4", 1),
    ("chartqa", _PERCENT, "15%", 0),
    ("chartqa", _COUNTRY, "BELGIUM!", 1),
    ("chartqa", _COUNTRY, "in Belgium, of course", 1),
    ("chartqa", _COUNTRY, "el", 1),
    ("chartqa", _COUNTRY, "France", 0),
    ("chartqa", _COUNTRY, "France. Answer: Belgium", 1),
    ("chartqa", _COUNTRY, "Answer:", 0),
    ("chartqa", _COUNTRY, " ?! ", 0),
    ("chartqa", posed("Fine (good)"), "Fine (good)", 1),
    ("letter_or_text", _ROCK, "B", 1),
    ("letter_or_text", _ROCK, "(b).", 1),
    ("letter_or_text", _ROCK, "The answer is (B)", 1),
    ("letter_or_text", _ROCK, "A", 0),
    ("letter_or_text", _ROCK, "Granite", 1),
    ("letter_or_text", _ROCK, "It is granite, not shale", 1),
    ("letter_or_text", _ROCK, "ran", 1),
    ("letter_or_text", _ROCK, "shale", 0),
    ("letter_or_text", _ROCK, "B. coarse", 0),
    ("letter_or_text", _CELL, "e", 0),
    ("letter_or_text", _CELL, "er", 1),
    ("letter_or_text", _COUNT, "5", 0),
    ("letter_or_text", posed("B"), "B", 1),
    ("letter_or_text", posed("B"), "granite", 0),
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
    ("vstar", _COLOUR, "C", 0),
    ("vstar", _COLOUR, "dark green", 1),
    ("vstar", _COLOUR, "green", 1),
    ("vstar", _COLOUR, "It is dark green.", 1),
    ("vstar", _COLOUR, "red", 0),
    ("vstar", _COLOUR, "", 0),
    ("vstar", _BINARY, "No.", 1),
    ("vstar", _BINARY, "b", 0),
    ("vstar", _BINARY, "No, it is not", 0),
    ("vstar", _BINARY, "Yes", 0),
    ("math", _SEVEN, "7", 1),
    ("math", _SEVEN, " 7.004 ", 1),
    ("math", _SEVEN, "7.01", 0),
    ("math", _SEVEN, "\\boxed{3} or \\boxed{7}", 1),
    ("math", _SEVEN, "The answer is 7.", 1),
    ("math", _SEVEN, "The answer is 7.5", 1),
    ("math", _SEVEN, "x = 7", 1),
    ("math", _SEVEN, "abc = 7", 0),
    ("math", _SEVEN, "14/2", 1),
    ("math", _SEVEN, "(14)/2", 0),
    ("math", _SEVEN, "'7'", 1),
    ("math", _SEVEN, "7 units", 0),
    ("math", _SEVEN, "seven", 0),
    ("math", _SEVEN, "**7**", 0),
    ("math", _SEVEN, "$7$", 0),
    ("math", _SEVEN, "7\\%", 1),
    ("math", _SEVEN, "7^\\circ", 1),
    ("math", _SEVEN, "7\\text{ cm}", 1),
    ("math", _SEVEN, "7\u00b0", 0),
    ("math", _SEVEN, "\\fbox{7}", 0),
    ("math", _SEVEN, "", 0),
    ("math", posed("120"), "5!", 1),
    ("math", posed("1.41"), "\\sqrt 2", 1),
    ("math", posed("6\\sqrt{2}"), "6 \\sqrt2", 1),
    ("math", posed("2.5"), "\\frac52", 1),
    ("math", posed("0.5"), ".5", 1),
    ("math", posed("km/h"), "km/h", 0),
    ("math", _ANGLE, "135.5", 1),
    ("math", _ANGLE, "C", 0),
    ("boxed", _SEVEN, "So \\boxed{7}", 1),
    ("boxed", _SEVEN, "\\boxed{7} and \\boxed{3}", 0),
    ("boxed", _SEVEN, "\\boxed{7} and \\boxed{3", 1),
    ("boxed", _SEVEN, "7", 0),
    ("boxed", _COLOUR, "\\boxed{ c }", 1),
    ("boxed", _COLOUR, "\\boxed{dark green}", 0),
    ("boxed", posed("a {b}"), "\\boxed{A {b}}", 1),
]


@pytest.mark.parametrize(("rule", "sample", "answer", "right"), _CASES)
def test_tagged_answer_is_judged_as_documented(rule: str, sample: Sample, answer: str, right: int) -> None:
    assert judge_released(sample, said(answer), rule).value == right


def test_every_rule_has_cases_here_or_in_a_file_of_its_own() -> None:
    assert {case[0] for case in _CASES} | {"python"} == set(RELEASED)


_TEXT_RULES = ("chartqa", "letter_or_text", "slake", "vstar")


@pytest.mark.parametrize("rule", _TEXT_RULES)
@pytest.mark.parametrize("transcript", ["", "B", "Answer: B", "<answer>B", "B</answer>", "<ANSWER>B</ANSWER>"])
def test_without_both_tags_no_text_is_right(rule: str, transcript: str) -> None:
    verdict = judge_released(posed("B", choices=("b", "b")), transcript, rule)
    assert (verdict.value, verdict.extracted, verdict.note) == (0, "", "no <answer>")


@pytest.mark.parametrize(
    ("transcript", "read"),
    [
        (said("B") + said("A"), "B"),
        ("I could use <answer> now: <answer>B</answer>", "now: <answer>b"),
        ("<answer>\nB\n</answer>", "answer"),
        ("<answer>\nAnswer: B\n</answer>", "B"),
        ("<answer>\nIt is $B$.\n</answer>", "B"),
        ("<answer>A\n</answer> then <ANSWER>B</Answer>", "B"),
        ("</answer>So granite<answer>", "answer>so granite<answer"),
        ("<answer>\n</answer>\nHence: granite", "granite"),
        ("<answer></answer>", ""),
    ],
)
def test_first_answer_on_one_line_counts_else_what_is_marked_else_the_last_line(transcript: str, read: str) -> None:
    assert judge_released(_ROCK, transcript, "letter_or_text").extracted == read


@pytest.mark.parametrize(
    ("transcript", "right"),
    [
        ("<answer>3</answer> no: <answer>\n7\n</answer>", 1),
        ("<answer>7</answer> no: <answer>3</answer>", 0),
        ("I count \\boxed{7}", 1),
        ("So the answer is 7.", 1),
        ("7", 1),
        ("There are 7 cars", 0),
        ("<answer>7", 0),
        ("\\boxed{\\boxed{7}}", 1),
        ("\\boxed 7", 1),
    ],
)
def test_math_reads_the_last_answer_over_lines_else_the_whole_text(transcript: str, right: int) -> None:
    assert judge_released(_SEVEN, transcript, "math").value == right


def test_the_form_of_the_target_can_be_chosen() -> None:
    for rule in ("vstar", "math"):
        assert judge_released(_COLOUR, said("C"), rule, "letter").value == 1
        assert judge_released(_COLOUR, said("dark green"), rule, "letter").value == 0
        assert judge_released(_COLOUR, said("dark green"), rule).value == 1


def test_without_a_target_there_is_no_verdict() -> None:
    assert judge_released(posed(), said("7"), "math").value is None


@pytest.mark.parametrize(
    ("rule", "sample", "answers", "form"),
    [
        ("chartqa", _NUMBER, ["337.8", "337.80", "$337.801"], "337.8"),
        ("chartqa", _COUNTRY, ["Belgium", "(belgium)"], "belgium"),
        ("letter_or_text", _ROCK, ["b", "B.", "(b)"], "B"),
        ("slake", _YES, ["Yes", "yes!"], "yes"),
        ("math", _SEVEN, ["7", "7.0", "x=7", "14/2"], "7"),
    ],
)
def test_one_meaning_has_one_form(rule: str, sample: Sample, answers: list[str], form: str) -> None:
    assert {judge_released(sample, said(answer), rule).extracted for answer in answers} == {form}


def test_unknown_rule_names_the_task_and_the_rules() -> None:
    with pytest.raises(UserError, match=r"maestro_any.*'bleu'.*chartqa"):
        judge_released(_ROCK, said("B"), "bleu")


@given(
    st.sampled_from([*_TEXT_RULES, "math"]),
    st.text(),
    st.lists(st.text(min_size=1), max_size=4).map(tuple),
    st.lists(
        st.sampled_from(
            [
                "<answer>",
                "</answer>",
                "yes",
                "B",
                ".",
                " ",
                "-5",
                "\ud800",
                "\\boxed{",
                "}",
                "\\frac",
                "\\sqrt",
                "(",
                "/",
            ]
        ),
        max_size=8,
    ),
)
def test_no_transcript_raises(rule: str, target: str, choices: tuple[str, ...], pieces: list[str]) -> None:
    transcript = "".join(pieces)
    verdict = judge_released(posed(target, choices=choices), transcript, rule)
    assert verdict.value in (0, 1)
    assert verdict.value == 0 or "</answer>" in transcript or rule == "math"


_WORDS = ["actin", "basalt", "dark red car", "45 cm", "zinc", "north", "uphill"]


@given(st.permutations(_WORDS), st.permutations(range(4)), st.integers(0, 3), st.integers(0, 3))
def test_letter_moves_with_its_choice(words: list[str], order: list[int], meant: int, right: int) -> None:
    choices = tuple(words[:4])
    moved = posed("ABCD"[order.index(right)], choices=tuple(choices[index] for index in order))
    for rule in ("letter_or_text", "vstar"):
        assert judge_released(moved, said(choices[meant]), rule).value == float(meant == right)
    letter = "ABCD"[order.index(meant)]
    assert judge_released(moved, said(letter), "letter_or_text").value == float(meant == right)


@pytest.mark.parametrize(
    "transcript",
    [
        "<answer>" * 12_000,
        "</answer>" * 11_000,
        "<answer></answer>" * 6_000,
        "<answer>" * 12_000 + "\n</answer>",
        "<answer>\n</answer>" + "\\boxed{" * 12_000,
        "<answer>\n</answer>" + "$$\n" * 12_000,
        said("\\frac{ " * 1_400),
        said("\\sqrt{" * 1_600 + " " * 300),
        said("\\boxed{9**9**9**9**9}"),
        said("(" * 400 + ")" * 400),
        said("170!" + "*170!" * 90),
        said("the answer is " * 6_000),
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
        judge_released(sample, transcript, rule)
        assert time.process_time() - started < 1.0
