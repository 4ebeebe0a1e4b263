"""Find the numbers of a text: digits with separators, sign, currency and percent, and words up to twenty.

The functions read model output, which is hostile: none raises, each takes time linear in its text, and what it returns
occurs in the text.
"""

from __future__ import annotations

import math
import re

from msgspec import Struct

from maestro_eval.scoring.negation import undenied

_LONGEST_NUMBER = 60
_RELAXATION = 0.05
_FLOAT_NOISE = 1e-9
_NEAR = 80

_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
WORD_VALUES = {word: value for value, word in enumerate(_WORDS)}
_UNITS = "|".join(_WORDS[1:10])
WORD = "|".join(sorted(_WORDS, key=len, reverse=True))
_WORD = re.compile(rf"\b(?:{WORD})\b", re.IGNORECASE)

_NUMBER = re.compile(
    r"""
    (?<![^\W_])(?<![0-9]\.)              # not inside a word ("H2O") or a version ("1.2.3")
    (?:
        (?P<sign>[$€£¥₹]?[+\-\u2212]?[$€£¥₹]?)
        (?P<digits>
            (?:[0-9]{1,3}(?:[,\u00a0\u202f\u2009][0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?
            | \.[0-9]+
        )
        (?P<exponent>[eE][+\-]?[0-9]{1,3}\b)?
        (?P<percent>\s?(?:%|per\s?cent\b))?
        | (?P<beyond>(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)[-\s](?:UNITS)\b
                     | (?:WORD)\s(?:hundred|thousand|million|billion)\b)
        | (?<!-)(?P<word>WORD)\b
    )
    """.replace("UNITS", _UNITS).replace("WORD", WORD),
    re.VERBOSE | re.IGNORECASE,
)
# Around a number that is one of several, a bound, or part of a calculation.
_OPEN_BEFORE = re.compile(
    r"(?:\bor|\bbetween(?:[ \t]+[\w.]{1,12}[ \t]+and)?|\b(?:more|less|fewer|greater|smaller)[ ]than"
    rf"|\bat[ ](?:least|most)|(?:[0-9]|\b(?:{WORD})\b)[ \t]*to|[0-9][ \t]?[-\u2013\u2014\u2212])[ \t]*\Z|[0-9][,:/]\Z",
    re.IGNORECASE,
)
_OPEN_AFTER = re.compile(
    rf"[ \t]*(?:or|to)[ \t]+(?:[0-9]|more\b|fewer\b|less\b|(?:{WORD})\b)"
    r"|[ \t]?[-\u2013\u2014\u2212+*\u00d7=][ \t]?[0-9]|[,:/][0-9]|\+",
    re.IGNORECASE,
)
_TENS_VALUES = {
    word: value
    for value, word in enumerate(("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), 2)
}
_TENS_VALUES = {word: 10 * value for word, value in _TENS_VALUES.items()}
_TENS = re.compile(
    rf"\b({'|'.join(_TENS_VALUES)})(?:[- ]({_UNITS}))?\b(?! (?:hundred|thousand|million|billion))", re.IGNORECASE
)
_DOZENS = re.compile(rf"(?<!half )\b(a|[0-9]{{1,3}}|{_UNITS}) dozen\b(?! or)", re.IGNORECASE)
_AND_A_HALF = re.compile(rf"\b([0-9]{{1,3}}|{_UNITS}) and a half\b", re.IGNORECASE)
_MINUS = re.compile(r"\b(?:minus|negative) (?=[0-9])", re.IGNORECASE)
_SCIENTIFIC = re.compile(
    r"(?<![0-9.])([0-9]{1,6}(?:\.[0-9]{1,12})?)\s?(?:\\times|\\cdot|[x*\u00d7\u00b7])\s?10\s?\^\s?\{?\s?(-?[0-9]{1,3})\s?\}?"
)
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b", re.IGNORECASE)
_PRONOUN = re.compile(r"\b(?:no|any|every|each|which|this|that|another|other|the|the[ ]only)[ \t]+\Z", re.IGNORECASE)
_THOUSANDS = str.maketrans("", "", ",\u00a0\u202f\u2009")
# LaTeX's separators of digit groups, and its escaped signs.
_LATEX_SIGNS = (("{,}", ","), ("\\,", "\u2009"), ("\\%", "%"), ("\\$", "$"))


class Number(Struct, frozen=True):
    """A number as written in a text. ``value`` of ``x%`` is x / 100."""

    text: str
    value: float
    percent: bool = False

    @property
    def integer(self) -> int | None:
        """The value if it is a whole number and no percentage ("3.0" is 3), else None."""
        return int(self.value) if not self.percent and self.value.is_integer() else None


def numbers(text: str) -> list[Number]:
    """Return all numbers in order: digits with thousands separators, sign, currency and percent, words up to twenty."""
    found = (_read(match) for match in _NUMBER.finditer(text))
    return [number for number in found if number is not None]


def stated_numbers(text: str) -> list[Number | None]:
    """Return the `numbers` that a text neither denies ("not 4") nor uses without counting ("the 4th").

    ``None`` replaces each that it leaves open: one of several ("3 or 4"), a bound, part of a calculation.
    """
    return [
        None if left_open(text, *match.span()) else read
        for match in undenied(_NUMBER, text)
        if (read := _read(match)) is not None and not counts_nothing(text, *match.span())
    ]


def number(text: str) -> Number | None:
    r"""Return the number that is all of ``text``, apart from surrounding space, ``{}``, ``$…$`` and a full stop."""
    bare = text.strip()
    if len(bare) > 2 * _LONGEST_NUMBER:
        return None
    for sign, plain in _LATEX_SIGNS:
        bare = bare.replace(sign, plain)
    bare = bare.removesuffix(".")
    if len(bare) >= 2 and bare[0] + bare[-1] in ("{}", "$$"):
        bare = bare[1:-1].strip()
    match = _NUMBER.fullmatch(bare)
    return _read(match) if match else None


def with_digits(text: str) -> str:
    """Write number words from twenty on, dozens, "minus 5" and ``1.7 \\times 10^{-1}`` in digits."""
    text = _SCIENTIFIC.sub(r"\1e\2", _MINUS.sub("-", text))
    text = _TENS.sub(
        lambda match: str(_TENS_VALUES[match[1].lower()] + WORD_VALUES.get((match[2] or "").lower(), 0)), text
    )
    text = _AND_A_HALF.sub(lambda match: f"{_few(match[1])}.5", text)
    return _DOZENS.sub(lambda match: str(12 * (1 if match[1].lower() == "a" else _few(match[1]))), text)


def words_as_digits(text: str) -> str:
    """Write number words up to twenty in digits."""
    return _WORD.sub(lambda match: str(WORD_VALUES.get(match[0].lower(), match[0])), text)


def number_form(value: float) -> str:
    """Return a value in the form in which answers are compared: ``340``, ``0.14``, ``-5``."""
    return "0" if value == 0 else format(value, ".15g")


def left_open(text: str, start: int, end: int) -> bool:
    """Return whether the number at ``text[start:end]`` is one of several, a bound, or part of a calculation."""
    before, after = text[max(start - _NEAR, 0) : start], text[end : end + _NEAR]
    return bool(_OPEN_BEFORE.search(before) or _OPEN_AFTER.match(after))


def counts_nothing(text: str, start: int, end: int) -> bool:
    """Return whether the number at ``text[start:end]`` is an ordinal ("4th") or a pronoun ("the one on the left")."""
    if _ORDINAL.match(text[end : end + _NEAR]):
        return True
    return text[start:end].lower() == "one" and bool(_PRONOUN.search(text[max(start - _NEAR, 0) : start]))


def relaxed_equal(value: float, wanted: float) -> bool:
    """Return whether a value is within 5 % of ``wanted``."""
    # With the noise 95 equals 100: in floats its relative error is slightly above 0.05.
    return abs(value - wanted) <= abs(wanted) * _RELAXATION * (1 + _FLOAT_NOISE)


def _few(text: str) -> int:
    return int(text) if text.isdigit() else WORD_VALUES[text.lower()]


def _read(match: re.Match[str]) -> Number | None:
    if match["word"]:
        # A similar character such as a dotless i matches the pattern, but not the word.
        named = WORD_VALUES.get(match["word"].casefold())
        return None if named is None else Number(match.group(), float(named))
    if match["beyond"] or len(match.group()) > _LONGEST_NUMBER:
        return None
    value = float(match["digits"].translate(_THOUSANDS) + (match["exponent"] or ""))
    if not math.isfinite(value):
        return None
    negative = "-" in match["sign"] or "\u2212" in match["sign"]
    percent = bool(match["percent"])
    return Number(match.group(), (-value if negative else value) / (100 if percent else 1), percent)
