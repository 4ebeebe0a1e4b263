r"""Finds where a reply states its answer: in a box, or after words that introduce one.

`RULES` lists the introductions with an example each; wherever they occur, the last statement of a reply counts. All
patterns are bounded: a reply is hostile text.
"""

from __future__ import annotations

import re

from msgspec import Struct

_LONGEST_VALUE = 4000
# Statements are read from the last one on; reading more does not improve the result.
_MOST_STATEMENTS = 8

_ADJECTIVE = r"(?:final|correct|right|best|short|concise|only|overall)"
_NOUN = (
    rf"(?:(?:{_ADJECTIVE}\s{{1,4}}){{0,3}}(?:answer|ans)(?:\s(?:choice|option|letter|here|to\sthe\squestion))?"
    rf"|{_ADJECTIVE}\s(?:option|choice|one|letter|value|result|count|number|total))"
)
_STARS = r"(?:\*\*|__|\*|_)?"


class Rule(Struct, frozen=True):
    """An introduction of an answer; ``example`` is a reply that it reads as stating ``B``."""

    name: str
    example: str
    introduction: re.Pattern[str]


def _rule(name: str, example: str, introduction: str) -> Rule:
    return Rule(name, example, re.compile(introduction, re.IGNORECASE | re.MULTILINE))


RULES = (
    _rule(
        "heading",
        "### Final Answer\nB",
        rf"^[ \t]{{0,8}}(?:\#{{1,6}}[ \t]{{1,4}})?{_STARS}(?:the\s|my\s)?(?:{_ADJECTIVE}\s)?"
        rf"(?:answer|conclusion|result)[ \t]{{0,4}}{_STARS}:?{_STARS}[ \t]{{0,8}}\n\s{{0,8}}",
    ),
    _rule(
        "answer",
        "The correct answer is: B",
        rf"(?:{_STARS}\b{_NOUN}{_STARS}\s{{0,40}}(?:\b(?:is|would\sbe|must\sbe|should\sbe|will\sbe)\b(?:\s{{0,4}}:)?|:|=|[-\u2013\u2014](?=\s))"
        rf"\s{{0,40}}{_STARS}[ \t]{{0,40}})+",
    ),
    _rule(
        "label",
        "Final: B",
        rf"^[ \t]{{0,8}}(?:\#{{1,6}}[ \t]{{1,4}})?(?:[-*>][ \t])?{_STARS}(?:my\s)?"
        rf"(?:final(?:\schoice)?|choice|option|letter|result|conclusion|(?:selected|chosen)\s(?:option|choice|answer))"
        rf"{_STARS}[ \t]{{0,4}}:{_STARS}\s{{0,8}}{_STARS}",
    ),
    _rule(
        "other languages",
        "La respuesta correcta es B.",
        r"(?:\b(?:respuesta|respuesta\sfinal|resposta|risposta|r[\u00e9e]ponse|antwort|opci[\u00f3o]n)"
        r"(?:\s(?:correcta|correta|corretta|correcte|final|finale))?\s{0,4}(?:es\b|est\b|ist\b|lautet\b|\u00e9\b|\u00e8\b|:)"
        r"|\u043e\u0442\u0432\u0435\u0442\s{0,4}[:\u2014-]"
        r"|(?:\u7b54\u6848|\u9009\u9879|\u9078\u9805)(?:\u5e94\u8be5|\u5e94|\u61c9)?\s{0,4}(?:\u662f|\u4e3a|\u70ba|\u9009|\u9078|:)"
        r"|(?:\u6b63\u89e3|\u7b54\u3048|\u56de\u7b54|\u89e3\u7b54)\s{0,4}(?:\u306f|:)|(?:\uc815\ub2f5|\ub2f5)\s{0,4}(?:\uc740|:))\s{0,8}",
    ),
)
r"""The introductions of an answer, in addition to the boxes of LaTeX, ``\boxed{B}``."""

# "The answer is not visible" states that there is none.
NO_ANSWER = re.compile(r"(?:not|cannot|unknown|unclear|uncertain|undetermined)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.(?=\s+[A-Z(])")
_BOXES = ("\\boxed{", "\\fbox{", "\\framebox{")
_LETTER_IN_BRACKETS = re.compile(r"\(\s?([A-Za-z])\s?\)")
_ENDINGS = re.compile(
    r"(?:\u3067\u3059|\u3067\u3042\u308b|\u3060|\uc785\ub2c8\ub2e4|\uc774\ub2e4|\uc774\uc5d0\uc694)\.?\Z"
)


class Statement(Struct, frozen=True):
    """``value`` is the line after an introduction, or the contents of a box; ``begin`` and ``end`` are its place."""

    value: str
    begin: int
    end: int
    boxed: bool = False

    @property
    def answer(self) -> str:
        """Return the contents of a box, else the first sentence, tidied; empty if that says there is no answer."""
        if self.boxed:
            return self.value
        value = tidied(_SENTENCE_END.split(self.value, maxsplit=1)[0])
        return "" if NO_ANSWER.match(value) else value


def statements(text: str) -> list[Statement]:
    """Return the answers that ``text`` states, the last first; at most eight."""
    ends: dict[int, int] = {}
    for rule in RULES:
        for match in rule.introduction.finditer(text):
            ends[match.end()] = match.start()
    found = []
    for at in sorted(ends, reverse=True)[:_MOST_STATEMENTS]:
        line = text[at : at + _LONGEST_VALUE].split("\n", 1)[0]
        if line.strip():
            found.append(Statement(line.strip(), ends[at], at + len(line)))
    boxes = _last_boxes(text)
    # In "Answer: \boxed{4}" both match; the box is the more exact of the two when it comes later or inside.
    return sorted((*found, *boxes), key=lambda each: (each.begin, each.boxed), reverse=True)[:_MOST_STATEMENTS]


def answer_statement(text: str) -> str | None:
    r"""Return the answer that ``text`` states: the last ``\boxed{X}``, ``Answer: X`` or ``the answer is X``.

    Markdown stars, brackets around a letter ``(B)`` and a full stop around X are dropped; a further sentence on the
    same line is not part of X, and a statement that there is no answer does not count. ``None`` when nothing is stated:
    the caller decides what that means.
    """
    return next((stated.answer for stated in statements(text) if stated.answer), None)


def tidied(value: str) -> str:
    """Strip a value of stars, brackets around its letter, a full stop and the copulas of Japanese and Korean."""
    value = value.strip().strip("*`").strip()
    value = _ENDINGS.sub("", value).strip()
    value = value.removesuffix(".") if not value.endswith("..") else value
    # In "**12**." the stars close before the full stop.
    value = value.strip("*`").strip()
    bracketed = _LETTER_IN_BRACKETS.fullmatch(value)
    return bracketed[1] if bracketed else value


def _last_boxes(text: str) -> list[Statement]:
    """Find the last two complete boxes, the last first."""
    found: list[Statement] = []
    end = len(text)
    for _ in range(2):
        start, opening = max((text.rfind(box, 0, end), box) for box in _BOXES)
        if start < 0:
            break
        inside = _balanced(text, start + len(opening))
        if inside is not None and inside.strip():
            found.append(Statement(inside.strip(), start, start + len(opening) + len(inside) + 1, boxed=True))
        end = start
    return found


def _balanced(text: str, begin: int) -> str | None:
    depth = 1
    for index in range(begin, len(text)):
        depth += (text[index] == "{") - (text[index] == "}")
        if depth == 0:
            return text[begin:index]
    return None
