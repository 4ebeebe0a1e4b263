"""What a reply denies, weighs or leaves open is no answer; how it is typeset makes no difference."""

from __future__ import annotations

import time

import pytest

from maestro_eval.records import Sample
from maestro_eval.scoring import judge
from maestro_eval.scoring.extract import final_answer, half_width
from maestro_eval.scoring.negation import denied
from maestro_eval.scoring.numerals import counts_nothing, left_open, number
from maestro_eval.scoring.yes_no import yes_no


def wanted(*targets: str, choices: tuple[str, ...] = (), **fields: str) -> Sample:
    return Sample("maestro_any", "1", "?", targets, choices=choices, fields=fields)


_LENGTHS = wanted("B", choices=("10 cm", "12 cm", "14 cm", "16 cm"))
_SIDES = wanted("A", choices=("left", "right"))
_YES, _NO = wanted("Yes", answer_type="CLOSED"), wanted("No", answer_type="CLOSED")
_TOUCHING, _APART = wanted("Yes", task="Touching Circles"), wanted("No", task="Touching Circles")
_SQUARES, _CIRCLED = wanted("4", task="Nested Squares"), wanted("a", task="Circled Letter")
_GRID = wanted("4,5", task="Counting Grid - Blank Grids")
_CARS, _SALES, _COUNTRY = wanted("7"), wanted("1234"), wanted("Belgium")
_FIVE, _POINT, _PROBLEM = wanted("5"), wanted("(1,2)"), wanted("B", choices=("10", "12", "14", "16", "18"))

_WRONG: list[tuple[str, Sample, tuple[str, ...]]] = [
    ("option_letter", _LENGTHS, (
        "It cannot be B", "It can't be B.", "I would not choose B", "The answer is not B.", "Answer: neither A nor B",
        "A or B", "A\nB\nC\nD", "Options:\nA\nB", "It is A or\nB", "B\nOn reflection, (C)", "\\boxed{A} or \\boxed{B}",
    )),
    ("option_letter", _SIDES, (
        "Option A is incorrect", "(A) is wrong", "(A) can be ruled out.", "Eliminate (A).", "Definitely not: (A)",
        "anything but (A)", "rather than (A)", "Unlike option A, it goes right", "A: I see a dog. B: I see a cat.",
    )),
    ("short_answer", _YES, (
        "not Yes", "The answer is not yes", "It is not a yes", "never yes", "I can't say yes", "isn't yes", "Yes or no",
        "yes/no", "Yes? No.", "hardly a yes", "non-yes", "No, yes is wrong",
    )),
    ("short_answer", _NO, ("not no", "The answer is not no", "It's not a no.", "No? Yes.", "No, wait, yes")),
    ("blind", _TOUCHING, ("not Yes", "Yes/No", "Yes or No?", "I can't say yes")),
    ("blind", _APART, ("not no", "No gap: they touch", "No doubt, they touch.", "no-one can tell, they touch")),
    ("blind", _SQUARES, (
        "not 4", "5 (not 4)", "3 or 4", "3-4", "between 3 and 4", "more than 4", "at least 4", "the 4th", "3/4",
    )),
    ("blind", _CIRCLED, ("It is a", "There is a", "The letter is not a", "the letter after a", "It isn't \"a\"")),
    ("blind", _GRID, ("not 4 rows and 5 columns", "4 rows and 5 columns, or 6 rows and 5 columns")),
    ("integer", _CARS, (
        "not 7", "7 or 8", "7-8", "between 7 and 9", "more than 7", "7/8", "7,5", "07:30", "7th", "7 + 2", "at least 7",
    )),
    ("integer", wanted("1"), ("No one is there; I count 2", "The only one is hidden; I count 2")),
    ("math", _FIVE, ("5, 5", "5:1", "not \\boxed{5}", "\\boxed{4} or \\boxed{5}", "\\boxed{6}, \\boxed{5}")),
    ("math", _POINT, ("1,2", "2,1", "\\{1,2\\}", "[1,2]", "(1,2,3)")),
    ("math", _PROBLEM, ("not B", "\\boxed{A} or \\boxed{B}")),
]  # fmt: skip

_RIGHT: list[tuple[str, Sample, tuple[str, ...]]] = [
    ("option_letter", _LENGTHS, (
        "First I thought otherwise.\nB", "Could be A.\n\n**B**", "(A) is short.\n(B)", "B\n\nThe length is 12 cm.",
        "\uff22", "\uff08B\uff09\u3002", "\u7b54\u6848\uff1aB", "\u7b54\u6848\u662fB\u3002", "B \u2705",
        "\\boxed{\\textbf{B}}", "Answer: \\(B\\)", "<answer>B</answer>", "**Answer:** (B) 12 cm", "Answer: B, 12 cm",
        "It is not A but (B)", "I am not sure, but (B)", "(A) is wrong, so (B)", "```\nB\n```",
    )),
    ("short_answer", _YES, (
        "Yes, there is no doubt", "So, yes.", "**Yes**", "\\boxed{\\text{Yes}}", "Answer: \"yes\"", "It isn't no: yes",
    )),
    ("short_answer", _NO, ("No, not visible", "no it does not", "I would say no")),
    ("short_answer", wanted("Liver"), ("\\boxed{\\text{Liver}}", "Answer: \"Liver\"")),
    ("blind", _APART, ("no they do not", "No, there is a gap")),
    ("blind", _SQUARES, ("\uff14", "I count: 1, 2, 3, 4.", "The 3rd is the largest of 4")),
    ("integer", _CARS, ("\uff17", "not 8, but 7", "the 2nd row has 7")),
    ("relaxed_accuracy", _SALES, ("\\boxed{1{,}234}", "**1234**", "`1234`", "\uff11\uff12\uff13\uff14", "1\\,234")),
    ("relaxed_accuracy", _COUNTRY, ("Belgium.", "**Belgium**", "\"Belgium\"", "\\boxed{\\text{Belgium}}")),
    ("relaxed_accuracy", wanted("14%"), ("14 per cent", "14 \uff05")),
    ("math", _FIVE, ("5\\%", "5%", "**5**", "\uff15", "500%", "\\boxed{5}, \\boxed{5}")),
    ("math", wanted("0.05"), ("5%", "The answer is 5%.", "5\\%")),
    ("math", _POINT, ("(1, 2)", "$\\left(1,2\\right)$")),
    ("math", _PROBLEM, ("First I thought otherwise.\nB", "\\boxed{\\textbf{(B) }12}")),
]  # fmt: skip


@pytest.mark.parametrize(("metric", "sample", "answers"), _WRONG, ids=lambda value: str(value)[:12])
def test_what_is_denied_or_left_open_is_no_answer(metric: str, sample: Sample, answers: tuple[str, ...]) -> None:
    for protocol in ("fair", "strict"):
        assert [answer for answer in answers if judge(sample, answer, metric, protocol).value] == []


@pytest.mark.parametrize(("metric", "sample", "answers"), _RIGHT, ids=lambda value: str(value)[:12])
def test_what_is_stated_is_read_however_it_is_typeset(metric: str, sample: Sample, answers: tuple[str, ...]) -> None:
    assert [answer for answer in answers if not judge(sample, answer, metric, "fair").value] == []


def test_equal_expressions_have_one_form_and_a_wrong_answer_never_that_of_a_right_one() -> None:
    sample = wanted("\\frac{3}{4}")
    verdicts = [judge(sample, answer, "math", "fair") for answer in ("3/4", "0.75", "$\\frac{6}{8}$", "75%")]
    assert {(verdict.value, verdict.extracted) for verdict in verdicts} == {(1.0, "0.75")}
    wrong = [judge(sample, answer, "math", "fair") for answer in ("5 = 0.75x", "3:4", "0.75, 0.75")]
    assert [verdict.value for verdict in wrong] == [0, 0, 0]
    assert "0.75" not in {verdict.extracted for verdict in wrong}


@pytest.mark.parametrize(
    ("text", "found"),
    [("It is not {}", True), ("{} is wrong", True), ("not A but {}", False), ("No. {}", False), ("why not? {}", False)],
)
def test_denial_is_told_from_the_words_around(text: str, found: bool) -> None:
    start = text.index("{")
    assert denied(text.format("B"), start, start + 1) == found


def test_bounds_parts_ordinals_and_pronouns_are_told_apart() -> None:
    assert left_open("3 or 4", 5, 6)
    assert not left_open("3 and 4", 6, 7)
    assert counts_nothing("the 4th", 4, 5)
    assert counts_nothing("no one", 3, 6)
    assert not counts_nothing("only one", 5, 8)


def test_width_and_latex_groups_are_read() -> None:
    assert half_width("\uff08\uff22\uff09\u3002") == "(B)."
    read = number("1{,}234")
    assert read is not None
    assert read.value == 1234
    assert final_answer("\\boxed{4} and \\boxed{5}") == "\\boxed{4} and \\boxed{5}"


@pytest.mark.parametrize(
    "piece", ["not ", "(A) ", "is not ", "A\n", "n't ", "**", "\\boxed{1} or ", "yes is ", "or 4 "]
)
def test_hostile_text_takes_linear_time(piece: str) -> None:
    text = piece * (30_000 // len(piece))
    for metric, sample, _ in _WRONG[:10]:
        started = time.process_time()
        judge(sample, text, metric, "fair")
        yes_no(text)
        assert time.process_time() - started < 1.5
