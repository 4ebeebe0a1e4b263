"""How is an answer to a VLMsAreBlind question read? Its authors published no scorer; this reading is ours.

The two published parsers differ (braces and case demanded for letters and "yes" anywhere, or braces optional,
letters folded and yes/no exact). ``official`` reads the final answer with or without braces and folds
letters; ``strict`` wants the form that the question asks for and nothing else, with the letter's case.
"""

from __future__ import annotations

import re
from typing import Literal

from maestro_eval.scoring.extract import Strictness, final_answer, half_width, spoken
from maestro_eval.scoring.letters import character
from maestro_eval.scoring.negation import undenied
from maestro_eval.scoring.numerals import braced_number, number, stated_numbers
from maestro_eval.scoring.yes_no import yes_no

_Form = Literal["number", "yes_no", "letter", "pair"]

_FORMS: tuple[tuple[tuple[str, ...], _Form], ...] = (
    (("circled", "letter"), "letter"),
    (("grid", "rows"), "pair"),
    (("touching", "overlapping"), "yes_no"),
)

_STRICT_NUMBER = re.compile(r"[0-9]{1,6}|\{\s?[0-9]{1,6}\s?\}")
_STRICT_LETTER = re.compile(r"([A-Za-z])|\{([A-Za-z])\}")
_STRICT_PAIR = re.compile(
    r"\(?\s?([0-9]{1,4})\s?[,x\u00d7]\s?([0-9]{1,4})\s?\)?|\{([0-9]{1,4})\}[\s,]{0,2}\{([0-9]{1,4})\}"
    r"|rows\s?=\s?\{?([0-9]{1,4})\}?[\s,]{1,2}columns\s?=\s?\{?([0-9]{1,4})\}?",
    re.IGNORECASE,
)

_ROWS_BEHIND = re.compile(r"(?<![0-9])([0-9]{1,4})\W{0,3}rows?\b", re.IGNORECASE)
_COLUMNS_BEHIND = re.compile(r"(?<![0-9])([0-9]{1,4})\W{0,3}columns?\b", re.IGNORECASE)
_ROWS_BEFORE = re.compile(r"\brows?\b\W{0,6}([0-9]{1,4})(?![0-9])", re.IGNORECASE)
_COLUMNS_BEFORE = re.compile(r"\bcolumns?\b\W{0,6}([0-9]{1,4})(?![0-9])", re.IGNORECASE)
_BRACES = re.compile(r"\{\s?([0-9]{1,4})\s?\}")
_BRACKETS = re.compile(r"\(\s?([0-9]{1,4})\s?,\s?([0-9]{1,4})\s?\)")
_TIMES = re.compile(r"(?<![0-9])([0-9]{1,4})\s?(?:[x\u00d7]|by)\s?([0-9]{1,4})(?![0-9])", re.IGNORECASE)
_DIGITS = re.compile(r"(?<![0-9.])[0-9]{1,4}(?![0-9]|\.[0-9])")


def blind_reading(task: str, text: str, strictness: Strictness) -> str | None:
    """The answer in ``text`` in one normal form: ``4``, ``yes``, ``A``, ``4,5``; ``None`` where it has none.

    ``strict`` keeps a letter's case, which is part of the answer there. Targets are read by the same function, so
    that equal readings are right answers.
    """
    form = _form(task)
    if strictness == "strict":
        return _strict(form, text.strip())
    lenient = {"number": _number, "yes_no": _yes_no, "letter": _letter, "pair": _pair}[form]
    return lenient(half_width(text))


def _form(task: str) -> _Form:
    folded = task.lower()
    return next((form for words, form in _FORMS if any(word in folded for word in words)), "number")


def _strict(form: _Form, text: str) -> str | None:
    if form == "yes_no":
        return text.lower() if text.lower() in ("yes", "no") else None
    pattern = {"number": _STRICT_NUMBER, "letter": _STRICT_LETTER, "pair": _STRICT_PAIR}[form]
    match = pattern.fullmatch(text)
    if match is None:
        return None
    if form == "number":
        return str(int(text.strip("{ }")))
    groups = [group for group in match.groups() if group is not None]
    return groups[0] if form == "letter" else _joined(groups)


def _number(text: str) -> str | None:
    answer = final_answer(text)
    read = number(answer) or braced_number(answer) or braced_number(spoken(text))
    if read is None:
        found = stated_numbers(answer)
        # "3 crossings in this one": a digit is a count more surely than a word is.
        digits = [each for each in found if each is None or not each.text.isalpha()]
        read = digits[-1] if digits else found[-1] if found else None
    return None if read is None or read.integer is None else str(read.integer)


def _yes_no(text: str) -> str | None:
    return yes_no(final_answer(text))


def _letter(text: str) -> str | None:
    answer = final_answer(text)
    read = character(answer) or character(spoken(text))
    return read.upper() if read else None


def _pair(text: str) -> str | None:
    answer = final_answer(text)
    for rows, columns in ((_ROWS_BEHIND, _COLUMNS_BEHIND), (_ROWS_BEFORE, _COLUMNS_BEFORE)):
        named = [_named(answer, pattern) for pattern in (rows, columns)]
        if all(named):
            # Of several numbers of rows none is meant more than another.
            return _joined([each.pop() for each in named]) if all(len(each) == 1 for each in named) else None
    braces = [match.group(1) for match in undenied(_BRACES, answer)]
    if len(braces) == 2:
        return _joined(braces)
    for pattern in (_BRACKETS, _TIMES):
        pairs = [match.groups() for match in undenied(pattern, answer)]
        if pairs:
            return _joined(list(pairs[-1]))
    digits = [match.group() for match in undenied(_DIGITS, answer)]
    return _joined(digits) if len(digits) == 2 else None


def _named(answer: str, pattern: re.Pattern[str]) -> set[str]:
    return {match.group(1) for match in undenied(pattern, answer)}


def _joined(pair: list[str]) -> str:
    return ",".join(str(int(count)) for count in pair)
