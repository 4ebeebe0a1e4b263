"""Read an answer to a VLMsAreBlind question, for which the authors published no scorer.

``official`` is the common reading of the published parsers, on the whole reply: what is in braces, else the first
number; yes before no, as words; rows and columns by name, as a pair, or in reverse order; a letter in quotes, in
braces, by name, else the first on its own. ``fair`` reads as for every metric; ``strict`` requires the form that the
question asks for and nothing else, with the letter's case.
"""

from __future__ import annotations

import re
from typing import Literal

from maestro_eval.records import NoAnswer
from maestro_eval.scoring.counts import count_readers
from maestro_eval.scoring.extract import Strictness
from maestro_eval.scoring.fair import Read, Reader
from maestro_eval.scoring.negation import undenied
from maestro_eval.scoring.numerals import words_as_digits
from maestro_eval.scoring.options import character, lone_letter
from maestro_eval.scoring.yes_no import yes_no_readers

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

# The published parsers' patterns, in the order of their use.
_OFFICIAL: dict[_Form, tuple[re.Pattern[str], ...]] = {
    "number": (re.compile(r"\{([0-9]{1,15})\}"), re.compile(r"\b([0-9]{1,15})\b")),
    "yes_no": (re.compile(r"\b(yes)\b", re.IGNORECASE), re.compile(r"\b(no)\b", re.IGNORECASE)),
    "letter": (
        re.compile(r"['\"]([A-Za-z])['\"]"),
        re.compile(r"\{([A-Za-z])\}"),
        re.compile(r"\b(?:letter|is|character)\s{1,40}[\"']?([A-Za-z])[\"']?\b", re.IGNORECASE),
        re.compile(r"\b([A-Za-z])\b"),
    ),
}
_NAMED_ROWS = re.compile(r"rows?\s{0,40}=\s{0,40}\{?([0-9]{1,6})\}?", re.IGNORECASE)
_NAMED_COLUMNS = re.compile(r"columns?\s{0,40}=\s{0,40}\{?([0-9]{1,6})\}?", re.IGNORECASE)
_PAIR = re.compile(r"\(([0-9]{1,6})\s{0,40},\s{0,40}([0-9]{1,6})\)")
_COUNTED_ROWS = re.compile(r"([0-9]{1,6})\s{0,40}rows?\b", re.IGNORECASE)
_COUNTED_COLUMNS = re.compile(r"([0-9]{1,6})\s{0,40}columns?\b", re.IGNORECASE)

# For ``fair``, on text with number words as digits.
_N = r"\{? ?([0-9]{1,4}) ?\}?"
_TWO_BRACES = re.compile(
    r"\{\s?([0-9]{1,4})\s?\}[\s,;x\u00d7&]{0,6}(?:and\s|by\s)?\{\s?([0-9]{1,4})\s?\}|\{\s?([0-9]{1,4})\s?,\s?([0-9]{1,4})\s?\}"
)
# "8 rows", and "rows: 8" for texts in which no number comes first.
_ROWS, _COLUMNS = (
    [
        re.compile(
            rf"(?<![0-9.]){_N}[ \t*]{{0,3}}(?:horizontal\s|vertical\s)?{noun}\b(?!\s?[:=]\s?\{{?[0-9])", re.IGNORECASE
        ),
        re.compile(rf"\b{noun}\b(?:\s(?:is|are))?[\s:=*({{\[]{{0,6}}{_N}(?![0-9])", re.IGNORECASE),
    ]
    for noun in ("rows?", "col(?:umn)?s?")
)
_BRACKETS = re.compile(r"[(\[]\s?([0-9]{1,4})\s?,\s?([0-9]{1,4})\s?[)\]]")
_TIMES = re.compile(r"(?<![0-9])([0-9]{1,4})\s?(?:[x\u00d7*]|by|\\times)\s?([0-9]{1,4})(?![0-9])", re.IGNORECASE)
_DIGITS = re.compile(r"(?<![0-9.])[0-9]{1,4}(?![0-9]|\.[0-9])")
_BARE_PAIR = re.compile(r"\W{0,4}([0-9]{1,4})\s?[,;/x\u00d7]\s?([0-9]{1,4})\W{0,4}")
_LETTER_NAME = re.compile(
    r"\A(?:the\s)?(?:(?:first|second|third|fourth|fifth|last|lower-?\s?case|upper-?\s?case|capital|small)\s){0,2}"
    r"(?:(?:letter|character)\s+|\u5b57\u6bcd\s?|(?<=\s))",
    re.IGNORECASE,
)
_LONGEST = 20_000
_SHORT = 60


def blind_reading(task: str, text: str, strictness: Strictness, question: str = "") -> str | None:
    """Return the answer in ``text`` in one normal form (``4``, ``yes``, ``a``, ``4,5``), or None if it has none.

    ``strict`` keeps a letter's case, which is part of the answer there. Targets are read by the same function, so that
    equal readings are right answers.
    """
    form = answer_form(task, question)
    if strictness == "strict":
        return _strict(form, text.strip())
    read = _official_pair(text) if form == "pair" else None
    for pattern in _OFFICIAL.get(form, ()):
        found = pattern.search(text)
        if found:
            word = found[1]
            read = str(int(word)) if form == "number" else word.upper() if form == "letter" else word.lower()
            break
    return read or _strict(form, text.strip())


def blind_readers(task: str, question: str) -> tuple[Reader, Reader]:
    """Make the readers of answers to a question of ``task``."""
    match answer_form(task, question):
        case "number":
            return count_readers(question)
        case "yes_no":
            return yes_no_readers(question)
        case "letter":
            return _whole_letter, _letter_within
        case "pair":
            return _whole_pair, _pair_within


def answer_form(task: str, question: str = "") -> _Form:
    """Return the form of an answer by the task's name, or by the question if the task has no name."""
    folded = f"{task} {question}".lower() if not task.strip() else task.lower()
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


def _official_pair(text: str) -> str | None:
    named = _NAMED_ROWS.search(text)
    columns = _NAMED_COLUMNS.search(text, named.end()) if named else None
    if named and columns:
        return _joined([named[1], columns[1]])
    pair = _PAIR.search(text) or re.fullmatch(r"\s*([0-9]{1,4})\s?,\s?([0-9]{1,4})\s*", text)
    if pair:
        return _joined([pair[1], pair[2]])
    for first, second, turned in ((_COUNTED_ROWS, _COUNTED_COLUMNS, False), (_COUNTED_COLUMNS, _COUNTED_ROWS, True)):
        one = first.search(text)
        other = second.search(text, one.end()) if one else None
        if one and other:
            return _joined([other[1], one[1]] if turned else [one[1], other[1]])
    return None


def _whole_letter(text: str) -> Read | None:
    lone = lone_letter(_LETTER_NAME.sub("", text.strip()))
    return lone.upper() if lone else None


def _letter_within(text: str) -> Read | None:
    named = character(text)
    return named.upper() if named else None


def _whole_pair(text: str) -> Read | None:
    if len(text) > 200:
        return None
    text = words_as_digits(text)
    pair = _BARE_PAIR.fullmatch(text) or _BRACKETS.fullmatch(text) or _TIMES.fullmatch(text)
    if pair:
        return _joined([pair[1], pair[2]])
    return _pair_within(text) if len(text) < _SHORT else _braced_pair(text)


def _pair_within(text: str) -> Read | None:
    text = words_as_digits(text[-_LONGEST:])
    braced = _braced_pair(text)
    if braced:
        return braced
    # Named separately ("rows: 8, columns: 7"), in either order; several numbers of rows are ambiguous.
    rows, columns = _named(text, _ROWS), _named(text, _COLUMNS)
    if rows and columns:
        return _joined([rows.pop(), columns.pop()]) if len(rows) == len(columns) == 1 else NoAnswer.SEVERAL
    for pattern in (_BRACKETS, _TIMES):
        pairs = [match.groups() for match in undenied(pattern, text)]
        if pairs:
            return _joined(list(pairs[-1]))
    digits = [match.group() for match in undenied(_DIGITS, text)]
    if len(digits) == 2 and not re.search(r"\bor\b", text):
        return _joined(digits)
    return NoAnswer.SEVERAL if len(digits) > 1 else None


def _braced_pair(text: str) -> str | None:
    found = [[*filter(None, match.groups())] for match in undenied(_TWO_BRACES, text)]
    return _joined(found[-1]) if found else None


def _named(text: str, patterns: list[re.Pattern[str]]) -> set[str]:
    for pattern in patterns:
        found = {str(int(match[1])) for match in undenied(pattern, text)}
        if found:
            return found
    return set()


def _joined(pair: list[str]) -> str:
    return ",".join(str(int(count)) for count in pair)
