"""Which value does a reply give, with whatever unit? ``about 340 million USD``, ``14 %``, ``In 2020 it was 337.8.``"""

from __future__ import annotations

import re

from maestro_eval.records import NoAnswer
from maestro_eval.scoring.fair import Read, Reader
from maestro_eval.scoring.numerals import Number, number, numbers, stated_numbers

_LONGEST = 2000
_APPROXIMATELY = (
    r"(?:(?:about|approximately|around|roughly|nearly|almost|exactly|only|just|circa|ca\.?|approx\.?|a\stotal\sof)\s+"
    r"|[~\u2248]\s?)?"
)
_SCALES = {
    "thousand": 1e3,
    "k": 1e3,
    "million": 1e6,
    "mn": 1e6,
    "m": 1e6,
    "billion": 1e9,
    "bn": 1e9,
    "b": 1e9,
    "trillion": 1e12,
    "hundred": 1e2,
}
_UNIT = r"(?:\s?(?!(?:or|and|to|not|than|more|less|vs)\b)[A-Za-z\u00b0$\u20ac\u00a3\u00a5/.\u00b2\u00b3-]{1,20}){0,5}"
_SPACED = re.compile(r"(?<![0-9.])([0-9]{1,3}(?: [0-9]{3})+)(?![0-9])")
_VALUE = re.compile(
    rf"{_APPROXIMATELY}(?:US|USD|EUR|GBP)?\s?(?P<number>[$\u20ac\u00a3\u00a5\u20b9]?[+\-\u2212]?[$\u20ac\u00a3\u00a5\u20b9]?(?:[0-9][0-9,.]{{0,30}}[0-9]|[0-9]|\.[0-9]{{1,20}})(?:\s?%)?)"
    rf"(?P<unit>{_UNIT})",
    re.IGNORECASE,
)
_YEAR = range(1800, 2101)
_GIVES = re.compile(
    r"(?:\b(?:is|was|were|are|be|of|at|reached|equals?|totall?ed|to|approximately|about|around)\b|[=:\u2248])\s{0,3}[~$\u20ac\u00a3]?\Z",
    re.IGNORECASE,
)
_PERCENT_WORDS = re.compile(r"\A\s?(?:percent|per\scent|percentage|pct)", re.IGNORECASE)


def value_readers(question: str) -> tuple[Reader, Reader]:
    """How a text is read that gives a value; the answer is the number with its percent sign or scale, if any."""
    asked = {found.value for found in numbers(question)}

    def whole(text: str) -> Read | None:
        bare = _SPACED.sub(lambda match: match[1].replace(" ", ","), text.strip())
        if number(bare) is not None:
            return bare.strip("{}$").removesuffix(".").strip()
        match = _VALUE.fullmatch(bare.removesuffix("."))
        return _written(match) if match else None

    def within(text: str) -> Read | None:
        text = text[-_LONGEST:]
        for sentence in reversed([part for part in re.split(r"(?<=[.!?])\s+|\n", text) if part.strip()][-3:]):
            found = stated_numbers(sentence)
            if not found:
                continue
            kept = [each for each in found if each is not None and each.value not in asked]
            kept = [each for each in kept if not _is_year(each)] or kept
            if not kept:
                return NoAnswer.SEVERAL if None in found else None
            if len({each.value for each in kept}) == 1:
                return _with_unit(sentence, kept[0])
            given = [each for each in kept if _GIVES.search(sentence[: sentence.find(each.text)])]
            return _with_unit(sentence, given[0]) if len({each.value for each in given}) == 1 else NoAnswer.SEVERAL
        return None

    return whole, within


def values(written: str) -> set[float]:
    """What a written value may be: ``14%`` is 14 or 0.14, ``340 million`` 340 or 340,000,000."""
    head, _, unit = written.partition(" ")
    read = number(head)
    if read is None:
        return set()
    plain = read.value * 100 if read.percent else read.value
    scale = _SCALES.get(unit.casefold().strip("."), 1.0)
    return {plain, plain / 100} if read.percent else {plain, plain * scale}


def _is_year(read: Number) -> bool:
    return read.integer is not None and read.integer in _YEAR and len(read.text.strip()) == 4


def _written(match: re.Match[str]) -> str:
    digits = match["number"].replace(" ", "")
    unit = match["unit"].strip()
    if _PERCENT_WORDS.match(unit) and not digits.endswith("%"):
        return digits + "%"
    first = unit.split(" ")[0] if unit else ""
    return f"{digits} {first}" if first.casefold().strip(".") in _SCALES else digits


def _with_unit(sentence: str, read: Number) -> str:
    at = sentence.find(read.text) + len(read.text)
    following = sentence[at : at + 20].split()
    scale = following[0].strip(".,;") if following else ""
    written = read.text.strip()
    return f"{written.replace(' ', '')} {scale}" if scale.casefold() in _SCALES else written
