"""Which numbers stand in a text? Digits with separators, sign, currency and percent, and words up to twenty.

They read model output, which is hostile: no function raises, each takes time linear in its text, and what it returns
stands in the text.
"""

from __future__ import annotations

import math
import re

from msgspec import Struct

from maestro_eval.scoring.negation import counts_nothing, left_open, undenied

_LONGEST_NUMBER = 60

_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
_WORD_VALUES = {word: value for value, word in enumerate(_WORDS)}
_UNITS = "|".join(_WORDS[1:10])
_WORD = "|".join(sorted(_WORDS, key=len, reverse=True))

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
    """.replace("UNITS", _UNITS).replace("WORD", _WORD),
    re.VERBOSE | re.IGNORECASE,
)
_THOUSANDS = str.maketrans("", "", ",\u00a0\u202f\u2009")
# What LaTeX writes between groups of three digits, and its signs.
_LATEX_SIGNS = (("{,}", ","), ("\\,", "\u2009"), ("\\%", "%"), ("\\$", "$"))

_BRACED_NUMBER = re.compile(r"\{\s*([+\-\u2212]?[0-9]{1,15})\s*\}")


class Number(Struct, frozen=True):
    """A number as it stands in a text. ``value`` of ``x%`` is x / 100."""

    text: str
    value: float
    percent: bool = False

    @property
    def integer(self) -> int | None:
        """The value when it is a whole number and no percentage ("3.0" is 3)."""
        return int(self.value) if not self.percent and self.value.is_integer() else None


def numbers(text: str) -> list[Number]:
    """All numbers in order: digits with thousands separators, sign, currency and percent, words up to twenty."""
    found = (_read(match) for match in _NUMBER.finditer(text))
    return [number for number in found if number is not None]


def stated_numbers(text: str) -> list[Number | None]:
    """All `numbers` that a text does not deny ("not 4") and that count ("the 4th" does not).

    ``None`` stands for each that it leaves open: one of several ("3 or 4"), a bound, part of a calculation.
    """
    return [
        None if left_open(text, *match.span()) else read
        for match in undenied(_NUMBER, text)
        if (read := _read(match)) is not None and not counts_nothing(text, *match.span())
    ]


def number(text: str) -> Number | None:
    r"""The number that the whole of ``text`` is, apart from surrounding space, ``{}``, ``$…$`` and a full stop."""
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


def number_form(value: float) -> str:
    """The one way in which a value is written where answers are compared: ``340``, ``0.14``, ``-5``."""
    return "0" if value == 0 else format(value, ".15g")


def braced_number(text: str) -> Number | None:
    """The last ``{n}`` of a text."""
    braced = _BRACED_NUMBER.findall(text)
    return number(braced[-1]) if braced else None


def _read(match: re.Match[str]) -> Number | None:
    if match["word"]:
        # A look-alike such as a dotless i matches the pattern without being the word.
        named = _WORD_VALUES.get(match["word"].casefold())
        return None if named is None else Number(match.group(), float(named))
    if match["beyond"] or len(match.group()) > _LONGEST_NUMBER:
        return None
    value = float(match["digits"].translate(_THOUSANDS) + (match["exponent"] or ""))
    if not math.isfinite(value):
        return None
    negative = "-" in match["sign"] or "\u2212" in match["sign"]
    percent = bool(match["percent"])
    return Number(match.group(), (-value if negative else value) / (100 if percent else 1), percent)
