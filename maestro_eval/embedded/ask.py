"""Parses the questions of an embedded expert and words its replies.

An expert sees pixels and the words of the question, nothing else. Its reply is one or two sentences and a last
line ``Answer: X``; a reply without that line means that the expert has no answer, so that a router can try another.
Listed options are recognised only as a run of letters from A in one style ("A.", "A)", "A:" or "(A)"), because a
lone capital letter in a geometry question is a point.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Ask", "cannot_tell", "fold", "match_option", "options", "parse_number", "state"]

_MARKERS = (
    re.compile(r"\(([A-J])\)[ \t]*"),
    re.compile(r"(?<![\w(])([A-J])\)[ \t]*"),
    re.compile(r"(?<![\w(])([A-J])\.[ \t]+"),
    re.compile(r"(?<![\w(])([A-J]):[ \t]*"),
)
_CURLY = re.compile(r"curly (?:bracket|brace)", re.IGNORECASE)
_ARTICLES = frozenset({"a", "an", "the"})
_LONGEST_NUMBER = 60
_PLAIN_NUMBER = re.compile(r"-?\d+(?:\.\d+)?|-?\.\d+")
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)"
    r"(?:\\d?frac\{(?P<top>[^{}]{1,20})\}\{(?P<bottom>[^{}]{1,20})\}"
    r"|(?P<plain>\d+(?:\.\d+)?|\.\d+)?\*?(?P<root>(?:\\?sqrt|√)[({]?(?P<under>\d+(?:\.\d+)?)[)}]?)?"
    r"(?P<pi>\*?(?:\\?pi|π))?(?:/(?P<by>\d+(?:\.\d+)?))?)"
)
_UNITS = re.compile(
    r"(?:\\?(?:circ|degrees?)|deg|[°º˚]|%|percent|(?:square)?(?:units?|cm|mm|km|m|in|ft|inches|feet|meters?|metres?)"
    r"(?:\^?[23]|²|³)?)+\.?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One question and its pictures, each RGB of shape height x width x 3."""

    question: str
    images: tuple[NDArray[np.uint8], ...]


def options(question: str) -> dict[str, str]:
    """Return the options that the question lists, by letter; empty if it lists none."""
    best: dict[str, str] = {}
    for marker in _MARKERS:
        found = _longest_run(question, marker)
        if len(found) > len(best):
            best = found
    return best


def state(ask_question: str, value: str, because: str) -> str:
    """Return a reply: the reason and ``Answer:`` with the option's letter, or the value in the requested form."""
    listed = options(ask_question)
    letter = match_option(listed, value)
    if letter is not None:
        return f"{because} This is option {letter}, {listed[letter]}.\nAnswer: {letter}"
    if _CURLY.search(ask_question) and "{" not in value:
        value = "{" + value + "}"
    return f"{because}\nAnswer: {value}"


def cannot_tell(why: str) -> str:
    """Return a refusal; it has no ``Answer:`` line."""
    return f"I cannot tell: {why.rstrip('.')}."


def match_option(listed: dict[str, str], value: str) -> str | None:
    """Return the letter of the option with these words or this number, else of the only one that contains the words."""
    wanted = fold(value)
    same = [letter for letter, text in listed.items() if fold(text) == wanted]
    if same:
        return same[0]
    number = parse_number(value)
    if number is not None:
        return _nearest(listed, number)
    if not wanted:
        return None
    containing = [letter for letter, text in listed.items() if f" {wanted} " in f" {fold(text)} "]
    if len(containing) == 1:
        return containing[0]
    return value if value in listed else None


def parse_number(text: str) -> float | None:
    r"""Return the number that the whole text states: "1,200", "35°", "12 cm", "6\sqrt{5}", "25π", "\frac{3}{4}"."""
    if len(text) > _LONGEST_NUMBER:
        return None
    tight = re.sub(r"[\s$,]|\\[ ,;]|\\left|\\right", "", text).replace("^{\\circ}", "°").replace("^\\circ", "°")
    tight = tight.replace("\\text", "").replace("\u2212", "-")
    tight = _UNITS.sub("", tight.rstrip("."))
    match = _NUMBER.fullmatch(tight)
    if match is None:
        return None
    sign = -1.0 if match["sign"] == "-" else 1.0
    if match["top"] is not None:
        top, bottom = parse_number(match["top"]), parse_number(match["bottom"])
        return sign * top / bottom if top is not None and bottom else None
    if match["plain"] is None and match["root"] is None and match["pi"] is None:
        return None
    value = float(match["plain"] or 1)
    value *= math.sqrt(float(match["under"])) if match["root"] else 1.0
    value *= math.pi if match["pi"] else 1.0
    divisor = float(match["by"] or 1)
    return sign * value / divisor if divisor else None


def fold(text: str) -> str:
    """Return the words in lower case, without punctuation and articles."""
    words = re.sub(r"[^\w.%°√π\\-]+", " ", text.casefold()).split()
    stripped = [word.strip(".") for word in words]
    return " ".join(word for word in stripped if word and word not in _ARTICLES) or " ".join(stripped)


def _longest_run(question: str, marker: re.Pattern[str]) -> dict[str, str]:
    """Return the longest run A, B, C … of markers; later runs win ties, since options follow the question."""
    best: list[re.Match[str]] = []
    run: list[re.Match[str]] = []
    for match in marker.finditer(question):
        if match[1] == "A":
            run = [match]
        elif run and ord(match[1]) == ord("A") + len(run):
            run = [*run, match]
        if len(run) >= max(2, len(best)):
            best = run
    texts: dict[str, str] = {}
    for at, match in enumerate(best):
        end = best[at + 1].start() if at + 1 < len(best) else len(question)
        text = question[match.end() : end].strip().split("\n", 1)[0]
        texts[match[1]] = text.strip().rstrip(",;").strip()
    return texts


def _nearest(listed: dict[str, str], number: float) -> str | None:
    """Return the option nearest to the number, if they agree within the option's own rounding."""
    near: list[tuple[float, str]] = []
    for letter, text in listed.items():
        other = parse_number(text)
        if other is None:
            continue
        if abs(number - other) <= _rounding(text, other):
            near.append((abs(number - other), letter))
    return min(near)[1] if near else None


def _rounding(text: str, value: float) -> float:
    digits = text.strip(" $°.").removesuffix("\\circ").strip("^{} ")
    if _PLAIN_NUMBER.fullmatch(digits) is None:
        return 0.005 * abs(value) + 1e-9
    decimals = len(digits.partition(".")[2])
    return float(0.5 * 10.0**-decimals + 1e-9)
