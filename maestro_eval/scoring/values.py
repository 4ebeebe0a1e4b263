"""Find the value in a reply, with any unit: ``about 340 million USD``, ``14 %``, ``In 2020 it was 337.8``."""

from __future__ import annotations

import re

from maestro_eval.records import NoAnswer
from maestro_eval.scoring.counts import LABELLED, number_asked_for
from maestro_eval.scoring.extract import ASIAN, concluded
from maestro_eval.scoring.fair import Read, Reader
from maestro_eval.scoring.numerals import Number, number, number_form, numbers, stated_numbers, with_digits
from maestro_eval.scoring.subject import gives_another, names_another, stems

_LONGEST = 2000
_APPROXIMATELY = (
    r"(?:(?:about|approximately|around|roughly|nearly|almost|exactly|only|just|circa|ca\.?|approx\.?|a\stotal\sof)\s+"
    r"|[~\u2248]\s?)?"
)
SCALES = {
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
_UNIT_SIGN = rf"[A-Za-z{ASIAN}\u00b0$\u20ac\u00a3\u00a5/.\u00b2\u00b3-]"
_UNIT = rf"(?:\s?(?!(?:or|and|to|not|than|more|less|vs|is|are|was|were|had|has|have)\b){_UNIT_SIGN}{{1,20}}){{0,5}}"
_SPACED = re.compile(r"(?<![0-9.])([0-9]{1,3}(?: [0-9]{3})+)(?![0-9])")
_VALUE = re.compile(
    rf"{_APPROXIMATELY}(?:US|USD|EUR|GBP)?\s?(?P<number>[$\u20ac\u00a3\u00a5\u20b9]?[+\-\u2212]?[$\u20ac\u00a3\u00a5\u20b9]?(?:[0-9][0-9,.]{{0,30}}[0-9]|[0-9]|\.[0-9]{{1,20}})(?:\s?%)?)"
    rf"(?P<unit>{_UNIT})",
    re.IGNORECASE,
)
# "Twice 45", "45 more than France": no value by itself.
_RELATIVE_BEFORE = re.compile(r"\b(?:below|above|before|after|twice|half|double|triple)\s\Z", re.IGNORECASE)
_RELATIVE_AFTER = re.compile(r"\A\s?%?\s?(?:more|less|fewer|higher|lower|times)\b", re.IGNORECASE)
_COMPARES = re.compile(
    r"\b(?:more|less|fewer|higher|lower|larger|smaller|times|differ\w*|above|below|change\w*|gap)\b", re.IGNORECASE
)
# "50,02", which can be neither a list nor a group of thousands.
_DECIMAL_COMMA = re.compile(r"(?<![0-9.,])([0-9]{1,3}),([0-9]{1,2})(?=\s?(?:[^\W0-9_]|[%\u20ac$]|\.?\Z))")
_YEAR = range(1800, 2101)
ASKS_YEAR = re.compile(r"\b(?:which|what|in\swhat|in\swhich)\s(?:\w+\s)?year\b|\bwhen\b", re.IGNORECASE)
_EQUALS = re.compile(r"[=\u2248]|\\approx")
_RESULTS = {*stems("answer average difference gap mean median percentage ratio rest result share sum total value")}
_RATIO = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s?(?::|/|to)\s?([0-9]{1,9}(?:\.[0-9]{1,9})?)")
_GIVES = re.compile(
    r"(?:\b(?:is|was|were|are|be|of|at|reached|equals?|totall?ed|gives?|yields?|makes?|leaves?|to|approximately|about|around)\b|[=:\u2248])\s{0,3}[~$\u20ac\u00a3]?\Z",
    re.IGNORECASE,
)
# "From 45 in 2019 to 38 in 2020": the year begins no range.
_YEAR_TO = re.compile(r"\b(in\s((?:19|20)[0-9]{2}))\sto\s", re.IGNORECASE)
# "337.8, compared with 310 in 2019", "in 2010, before falling": no part of the answer.
_BESIDE = re.compile(
    r"[,(]?\s(?:compared\s(?:with|to)|versus|vs\.?|(?:up|down)\sfrom|(?:before|after)\s\w+ing\b)[^;:]*", re.IGNORECASE
)
_AND_ANOTHER = re.compile(r"\s?(?:,|&|and\b)\s{0,2}[$\u20ac\u00a3]?[0-9]", re.IGNORECASE)
_PERCENT_WORDS = re.compile(r"\A\s?(?:percent|per\scent|percentage|pct)", re.IGNORECASE)


def value_readers(question: str) -> tuple[Reader, Reader]:
    """Make the readers of a text with a value; the answer is the number with its percent sign or scale, if any."""
    years = bool(ASKS_YEAR.search(question))
    asked = {found.value for found in numbers(question)}
    # A question without words may ask for a difference.
    compares = bool(_COMPARES.search(question)) or not any(stems(question))

    def whole(text: str) -> Read | None:
        bare = usual_digits(text).strip()
        ratio = _RATIO.fullmatch(bare.removesuffix(".")) if "ratio" in question.casefold() else None
        if ratio and float(ratio[2]):
            return number_form(float(ratio[1]) / float(ratio[2]))
        if number(bare) is not None:
            return bare.strip("{}$").removesuffix(".").strip()
        match = _VALUE.fullmatch(bare.removesuffix("."))
        if match is None or gives_another(text, question) or (not years and names_another(text, question)):
            return None
        return _written(match)

    def within(text: str) -> Read | None:
        text = LABELLED.sub(" ", usual_digits(text[-_LONGEST:].replace("**", "")))
        text = _YEAR_TO.sub(lambda year: year[0] if year[2] in question else f"{year[1]}, to ", text)
        for sentence in reversed([part for part in re.split(r"(?<=[.!?])\s+|\n", text) if part.strip()][-3:]):
            # The answer comes after the last sign of equality or "so".
            sentence = _answering(sentence, question)
            if not compares and any(stated_numbers(_BESIDE.sub("", sentence))):
                sentence = _BESIDE.sub("", sentence)
            clauses = [clause for clause in sentence.split("; ") if any(stated_numbers(clause))]
            another = gives_another(sentence, question) or (
                not years and any(names_another(clause, question) for clause in clauses[-1:])
            )
            narrowed = _EQUALS.split(sentence)[-1]
            sentence = narrowed if any(stated_numbers(narrowed)) else sentence
            found = stated_numbers(sentence)
            if not found:
                continue
            if another:
                return NoAnswer.UNSURE
            kept = [each for each in found if each is not None and each.value not in asked]
            if kept and not compares and all(_is_relative(sentence, each) for each in kept):
                return NoAnswer.UNSURE
            kept = [each for each in kept if _is_year(each) == years] or kept
            if not kept:
                return NoAnswer.SEVERAL if None in found else None
            if len({each.value for each in kept}) == 1:
                return _with_unit(sentence, kept[0])
            asked_for = number_asked_for(sentence, question)
            if asked_for is not None and "how many" in question.casefold():
                return _with_unit(sentence, asked_for)
            given = [
                each
                for each in kept
                for before, _, after in [sentence.partition(each.text)]
                if _GIVES.search(before) and not _AND_ANOTHER.match(after)
            ]
            if len({each.value for each in given}) == 1:
                return _with_unit(sentence, given[0])
            return _with_unit(sentence, asked_for) if asked_for is not None else NoAnswer.SEVERAL
        return None

    return whole, within


def usual_digits(text: str) -> str:
    """Write number words, ``1 250`` and the decimal comma of ``50,02`` in the usual notation."""
    grouped = _SPACED.sub(lambda match: match[1].replace(" ", ","), with_digits(text))
    return _DECIMAL_COMMA.sub(r"\1.\2", grouped)


def values(written: str) -> set[float]:
    """Return the possible values of a written one: ``14%`` is 14 or 0.14, ``340 million`` 340 or 340,000,000."""
    head, _, unit = written.partition(" ")
    read = number(head)
    if read is None:
        return set()
    plain = read.value * 100 if read.percent else read.value
    scale = SCALES.get(unit.casefold().strip("."), 1.0)
    return {plain, plain / 100} if read.percent else {plain, plain * scale}


def _answering(sentence: str, question: str) -> str:
    """Return the conclusion of a sentence, or the text before it: "Spain has 45, so France has 30"."""
    conclusion = concluded(sentence)
    if not any(stated_numbers(conclusion)):
        return sentence
    before = sentence.removesuffix(conclusion)
    asked, said = {*stems(question)}, {*stems(conclusion)}
    of_another = bool(said) and not said & (asked | _RESULTS) and bool(asked.intersection(stems(before)))
    return before if of_another and any(stated_numbers(before)) else conclusion


def _is_relative(sentence: str, read: Number) -> bool:
    before, _, after = sentence.partition(read.text)
    return bool(_RELATIVE_BEFORE.search(before) or _RELATIVE_AFTER.match(after))


def _is_year(read: Number) -> bool:
    return read.integer is not None and read.integer in _YEAR and len(read.text.strip()) == 4


def _written(match: re.Match[str]) -> str:
    digits = match["number"].replace(" ", "")
    unit = match["unit"].strip()
    if _PERCENT_WORDS.match(unit) and not digits.endswith("%"):
        return digits + "%"
    first = unit.split(" ")[0] if unit else ""
    return f"{digits} {first}" if first.casefold().strip(".") in SCALES else digits


def _with_unit(sentence: str, read: Number) -> str:
    at = sentence.find(read.text) + len(read.text)
    following = sentence[at : at + 20].split()
    scale = following[0].strip(".,;") if following else ""
    written = read.text.strip()
    return f"{written.replace(' ', '')} {scale}" if scale.casefold() in SCALES else written
