"""Which choice a free-form answer means."""

from __future__ import annotations

import pytest

from maestro_eval.scoring.options import choice_letter, value_form

_ROUNDED = ("6.00", "9.45", "18.9", "37.8")
_ROOTS = ("3", "3 \\sqrt 2", "6", "6 \\sqrt 2")
_FRACTIONS = ("6", "\\frac { 20 } { 3 }", "7", "22 / 3")
_WORDS = ("right triangle", "The red car.", "C. elegans", "circle")


@pytest.mark.parametrize(
    ("answer", "choices", "letter"),
    [
        ("37.8", _ROUNDED, "D"),
        ("37.83", _ROUNDED, "D"),
        ("37.9", _ROUNDED, None),
        ("38", _ROUNDED, None),
        ("6", _ROUNDED, "A"),
        ("x = 9.448", _ROUNDED, "B"),
        ("9.45 cm", _ROUNDED, "B"),
        ("45°", ("45", "90"), "A"),
        ("45^\\circ", ("45", "90"), "A"),
        ("$m = 45$", ("45", "90"), "A"),
        ("3\\sqrt{2}", _ROOTS, "B"),
        ("4.24", _ROOTS, "B"),
        ("4", _ROOTS, None),
        ("20/3", _FRACTIONS, "B"),
        ("6.67", _FRACTIONS, "B"),
        ("7.33", _FRACTIONS, "D"),
        ("1/0", _FRACTIONS, None),
        ("5", ("4.9", "5.1"), None),
        ("5", ("5", "5.0"), "A"),
        ("5.00", ("5", "5.0"), None),
        ("A right triangle", _WORDS, "A"),
        ("A right triangle.", _WORDS, "A"),
        ("D circle", _WORDS, "D"),
        ("red car", _WORDS, "B"),
        ("C. elegans", _WORDS, "C"),
        ("a car", _WORDS, None),
        ("", ("", "x"), None),
        ("x", ("x", "x"), None),
    ],
)
def test_choice_is_meant_by_its_text_or_its_value(answer: str, choices: tuple[str, ...], letter: str | None) -> None:
    assert choice_letter(answer, choices) == letter


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        ("x = 135°", "135"),
        ("135.0", "135"),
        ("\\frac{1}{2}", "0.5"),
        ("0.50 cm", "0.5"),
        ("A right triangle.", "righttriangle"),
        ("1/0", "1/0"),
        ("", ""),
    ],
)
def test_a_value_or_text_has_one_form(answer: str, form: str) -> None:
    assert value_form(answer) == form
