"""Which choice does an answer mean that names no letter? By the choice's text, or by its value.

A free-form number means a choice only if it is that choice's value up to rounding: half a unit in the
choice's last decimal place; for an exact choice (a fraction, a root) half a unit in the answer's last one.
Roots and fractions of plain numbers are understood, other formulas only as equal text.
"""

from __future__ import annotations

import math
import re

from msgspec import Struct

from maestro_eval.scoring.numerals import number, number_form

_LONGEST_VALUE = 80
_ARTICLE = re.compile(r"(?:a|an|the)\s+(?=\S)")
_NOISE = str.maketrans("", "", " \t\n$*`\"'")
_EQUATION = re.compile(r"[^=]{0,40}=")
_DEGREES = re.compile(r"\s*(?:°|\^\s?\{?\s?\\?circ\s?\}?|degrees?|units?|cm|mm|m|ft|in)\Z", re.IGNORECASE)
_PLAIN = r"([0-9]{1,12}(?:\.[0-9]{1,12})?)"
_FRACTION = re.compile(
    rf"(?:\\d?frac\s?\{{\s?{_PLAIN}\s?\}}\s?\{{\s?{_PLAIN}\s?\}}|{_PLAIN}\s?/\s?{_PLAIN})", re.IGNORECASE
)
_ROOT = re.compile(rf"(?:{_PLAIN}\s?)?(?:\\sqrt|\u221a)\s?[{{(]?\s?{_PLAIN}\s?[}})]?")


class _Value(Struct, frozen=True):
    amount: float
    decimals: int | None  # None: exact, a fraction or a root


def choice_letter(answer: str, choices: tuple[str, ...]) -> str | None:
    """The letter of the one choice that ``answer`` equals: as text (case, spaces, a leading article aside) or in value.

    A leading letter is allowed where the text behind it is that letter's choice ("B right triangle").
    ``None`` when no choice or more than one is meant.
    """
    folded = [_fold(choice) for choice in choices]
    text = _fold(answer)
    same = [index for index, choice in enumerate(folded) if choice and choice == text]
    if not same:
        same = [index for index, choice in enumerate(choices) if _equal_behind_letter(answer, index, choice)]
    if not same:
        same = _nearest(answer, choices)
    return chr(ord("A") + same[0]) if len(same) == 1 and same[0] < 26 else None


def value_form(answer: str) -> str:
    """The answer in one normal form: its value where it is one ("x = 135°" is ``135``), else its folded text."""
    value = plain_value(answer)
    return _fold(answer) if value is None else number_form(value)


def plain_value(text: str) -> float | None:
    """The value of a number, fraction or root of plain numbers, with an unknown or a unit or without."""
    value = _value(text)
    return None if value is None else value.amount


def _fold(text: str) -> str:
    lowered = text.lower().strip().removesuffix(".")
    article = _ARTICLE.match(lowered)
    return lowered[article.end() if article else 0 :].translate(_NOISE)


def _equal_behind_letter(answer: str, index: int, choice: str) -> bool:
    head, _, rest = answer.strip().partition(" ")
    head, rest = head.strip("()[]*.,:;"), rest.lstrip("-\u2013\u2014: ")
    return head == chr(ord("A") + index) and bool(_fold(choice)) and _fold(rest) == _fold(choice)


def _nearest(answer: str, choices: tuple[str, ...]) -> list[int]:
    given = _value(answer)
    if given is None:
        return []
    distances = []
    for index, choice in enumerate(choices):
        meant = _value(choice)
        if meant is not None and abs(meant.amount - given.amount) <= _rounding(meant, given):
            distances.append((abs(meant.amount - given.amount), index))
    closest = min(distances, default=(0.0, 0))[0]
    return [index for distance, index in distances if distance == closest]


def _rounding(choice: _Value, answer: _Value) -> float:
    decimals = choice.decimals if choice.decimals is not None else answer.decimals
    noise = 1e-9 * max(1.0, abs(choice.amount))
    # An answer of fewer places than an exact choice is no rounding of it that one could tell from another value.
    if decimals is None or (choice.decimals is None and decimals == 0):
        return noise
    return 0.5 * 10.0**-decimals + noise


def _value(text: str) -> _Value | None:
    bare = text.strip().strip("$*").strip().removesuffix(".")
    if len(bare) > _LONGEST_VALUE:
        return None
    equation = _EQUATION.match(bare)
    bare = _DEGREES.sub("", bare[equation.end() if equation else 0 :]).strip().strip("$").strip()
    plain = number(bare)
    if plain is not None:
        _, _, fraction = plain.text.rstrip(" %").partition(".")
        return _Value(plain.value, len(fraction) if fraction.isdigit() or not fraction else 0)
    fraction_of = _FRACTION.fullmatch(bare)
    if fraction_of:
        above, below = (float(group) for group in fraction_of.groups() if group is not None)
        return _Value(above / below, None) if below else None
    root = _ROOT.fullmatch(bare)
    return _Value(float(root.group(1) or 1) * math.sqrt(float(root.group(2))), None) if root else None
