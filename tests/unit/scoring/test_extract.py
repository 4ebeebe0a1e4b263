"""What the extractors read, what they refuse to read, and what no text can make them do."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.scoring.extract import final_answer, forms, tagged_answers
from maestro_eval.scoring.numerals import number, number_form, numbers
from maestro_eval.scoring.options import character, choice_letter, lone_letter, option_letter, value_form
from maestro_eval.scoring.vlms_are_blind import blind_reading
from maestro_eval.scoring.yes_no import yes_no
from maestro_eval.text import visible

# A busy machine may take a while over one example; time has its own test.
# Text that looks like answers, so that the generator reaches the patterns' corners.
_PIECES = [
    "Answer: ", "the answer is ", "\\boxed{", "}", "</think>", "(B)", "A", " b ", "I", "a ", "**", "option C", "or ",
    "because", " is correct", "1,234", "-5", "−3", "$", "%", "12.5", "seven", "twenty-one", "ſix", "fıve", "yes", "No",
    "\n", ". ", "{4}", ",", "x", "rows", "columns", "=", "/", "é", "\u0660", "1e999", "9" * 70, "\x00", "'q'",
    "<answer>", "</answer>",
]  # fmt: skip
answers = st.one_of(st.text(), st.lists(st.sampled_from(_PIECES), max_size=12).map("".join))


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(c)", "C"),
        ("**D**", "D"),
        ("$B$", "B"),
        ("\\text{B}", "B"),
        ("a", "A"),
        ("B because it is a right triangle", "B"),
        ("B, since a line is straight", "B"),
        ("B. A right triangle", "B"),
        ("b) a right triangle", "B"),
        ("A is the correct answer.", "A"),
        ("The red one, so option C.", "C"),
        ("Comparing both, (D) fits a little better", "D"),
        ("(A) is too small and (B) too large.\nSo it must be (C)", "C"),
        ("B because (A) is too small", "B"),
        ("It is not (A), rather (B)", "B"),
        ("I think it is B", "B"),
        ("not A, it is B", "B"),
        ("the correct one is B.", "B"),
    ],
)
def test_option_letter_is_found(text: str, letter: str) -> None:
    assert option_letter(text, 4) == letter


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A right triangle has one right angle",
        "a circle",
        "I",
        "I think so",
        "A or B",
        "(A) or (B)",
        "B and C",
        "(A), (B) and (C) are all possible",
        "(A) is too small and (B) too large",
        "(A) 45\n(B) 90\n(C) 135\n(D) 180",
        "Options:\n(A) 45\n(B) 90",
        "B. is closer than (A)",
        "It is not (A)",
        "It isn't option B",
        "Since angle B is 45, the other is 45 as well",
        "triangle ABC",
        "C is the centre of the circle",
        "E",
        "Bob",
        "É",
    ],
)
def test_no_option_letter_is_guessed(text: str) -> None:
    assert option_letter(text, 4) is None


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,234 and 12", [1234, 12]),
        ("$1,234.50", [1234.5]),
        ("-$5, $-6, −7", [-5, -6, -7]),
        ("14 %, 15%", [0.14, 0.15]),
        ("3–4", [3, 4]),
        ("3, 4,5", [3, 4, 5]),
        ("12,34", [12, 34]),
        ("H2O is not 2", [2]),
        ("version 1.2.3", [1.2]),
        (".5 and 1e3", [0.5, 1000]),
        ("seven of twenty", [7, 20]),
        ("twenty-one, thirty five, two hundred", []),
        ("someone", []),
        ("9" * 70, []),
        ("rows={8}", [8]),
        ("1\u202f234", [1234]),
    ],
)
def test_numbers_are_read_in_order(text: str, values: list[float]) -> None:
    assert [found.value for found in numbers(text)] == pytest.approx(values)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" 5. ", 5),
        ("{5}", 5),
        ("$5$", 5),
        ("\\$45", 45),
        ("14\\%", 0.14),
        ("Three", 3),
        ("2010/11", None),
        ("5 cars", None),
        ("3-4", None),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_whole_text_is_a_number_or_not(text: str, value: float | None) -> None:
    read = number(text)
    assert (read and read.value) == value


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Yes", "yes"),
        ("no.", "no"),
        ("**Yes**, there is no gap", "yes"),
        ("They touch: yes", "yes"),
        ("there is no gap, so yes", "yes"),
        ("I cannot tell: this is no question about circles", None),
        ("there is no gap", None),
        ("I would say no, they are apart", "no"),
        ("they are apart, so no", "no"),
        ("it is a no because they are apart", "no"),
        ("maybe yes, maybe no", None),
        ("nothing", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_yes_no_is_a_leading_or_an_only_word(text: str, word: str | None) -> None:
    assert yes_no(text) == word


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("a", "a"),
        ("{N}", "N"),
        ('"q"', "q"),
        ("The highlighted letter is 'a'.", "a"),
        ("The letter is R.", "R"),
        ("It is a letter", None),
        ("'a' or 'b'", None),
        ("tHyU", None),
    ],
)
def test_named_character_keeps_its_case(text: str, letter: str | None) -> None:
    assert character(text) == letter


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: B", "B"),
        ("**Answer:** The answer is \\boxed{4}", "4"),
        ("<think>Answer: 3</think> Answer: 4", "4"),
        ("a</think>b</think> 7 ", "7"),
        ("just words", "just words"),
        ("thinking</think>", ""),
        ("", ""),
    ],
)
def test_final_answer_is_what_is_stated_after_thinking(text: str, answer: str) -> None:
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<answer> 4 </answer>", ["4"]),
        ("<answer>a</answer>\n<answer>b</answer>", ["a", "b"]),
        ("use <answer> like this: <answer>a</answer>", ["a"]),
        ("a</answer> <answer>b</answer>", ["b"]),
        ("<answer>a", []),
        ("<answer></answer>", [""]),
        ("<Answer>a</Answer>", []),
        ("answer: a", []),
    ],
)
def test_answers_stand_between_their_tags(text: str, found: list[str]) -> None:
    assert tagged_answers(text) == found


@pytest.mark.parametrize(
    ("value", "form"),
    [(340.0, "340"), (-0.0, "0"), (0.14, "0.14"), (1e15, "1e+15"), (0.1 + 0.2, "0.3"), (-5, "-5")],
)
def test_a_value_has_one_form(value: float, form: str) -> None:
    assert number_form(value) == form


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_form_is_read_as_its_value(value: float) -> None:
    read = number(number_form(value))
    assert read is None or read.value == pytest.approx(value, rel=1e-14)
    assert read is not None or not 1e-99 < abs(value) < 1e99


@given(answers, st.integers(0, 30))
def test_option_letter_is_an_option_and_stands_in_the_text(text: str, options: int) -> None:
    letter = option_letter(text, options)
    if letter is not None:
        assert letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:options]
        assert letter in text.upper()
        assert option_letter(letter, options) == letter


@given(answers)
def test_numbers_stand_in_the_text_and_read_the_same_alone(text: str) -> None:
    for found in numbers(text):
        assert found.text in text
        alone = number(found.text)
        assert alone is not None
        assert alone.value == found.value


@given(answers)
def test_other_extractors_return_what_stands_in_the_text(text: str) -> None:
    word = yes_no(text)
    assert word is None or word in text.casefold()
    named = character(text)
    assert named is None or named in text
    assert final_answer(text) in visible(text)
    assert all(answer in text for answer in tagged_answers(text))
    assert (lone_letter(text) or "") in text


@given(answers)
def test_yes_no_of_a_reading_is_that_reading(text: str) -> None:
    word = yes_no(text)
    assert word is None or yes_no(word) == word


_HOSTILE = [
    "A" + "," * 100_000,
    "A" + " " * 100_000 + "x",
    "1," * 50_000,
    "1,234" * 20_000,
    "9" * 100_000,
    "{" * 100_000,
    "{1" * 50_000,
    "(A" * 50_000,
    "rows" * 25_000,
    "rows " * 20_000,
    "1 " * 50_000,
    "answer is " * 10_000,
    "\\boxed{" * 15_000,
    "twenty " * 15_000,
    " " * 100_000,
    "\n" * 100_000 + "is",
    "_" * 100_000,
    "- " * 50_000,
    "</think>" * 12_000,
    "<answer>" * 12_000,
    "'a" * 50_000,
    "=" * 100_000,
    "yes no " * 15_000,
]

_READERS: list[Callable[[str], object]] = [
    final_answer,
    tagged_answers,
    value_form,
    numbers,
    number,
    yes_no,
    character,
    lambda text: option_letter(text, 26),
    lambda text: choice_letter(text, ("5", "the red car", "\\frac{1}{2}", text)),
    lambda text: [blind_reading(task, text, "official") for task in ("circled", "grid", "touching", "nested")],
    lambda text: [blind_reading(task, text, "strict") for task in ("circled", "grid", "touching", "nested")],
]


@pytest.mark.parametrize("text", _HOSTILE, ids=lambda text: text[:12].strip() or "blank")
def test_hostile_text_takes_linear_time(text: str) -> None:
    for reader in _READERS:
        started = time.process_time()
        reader(text)
        assert time.process_time() - started < 1.0


@pytest.mark.parametrize("start", ["B,", "so"])
def test_a_run_of_white_space_costs_no_more_than_other_text(start: str) -> None:
    begun = time.process_time()
    assert list(forms(start + " " * 400_000 + "x"))
    # It took 2.5 s.
    assert time.process_time() - begun < 1.0
