"""Find the choice that an answer means: by its letter, by the choice's text, or by its value.

A text is model output and hostile: no function raises, each takes time linear in its text, and a returned letter occurs
in the text. An ambiguous text has no letter: a missed answer is a wrong sample that one can inspect, a guessed one is a
point that nobody earned.

A free-form number means a choice only if it is that choice's value up to rounding: half a unit in the choice's last
decimal place; for an exact choice (a fraction, a root) half a unit in the answer's last one. Roots and fractions of
plain numbers are calculated, other formulas are compared as text.
"""

from __future__ import annotations

import math
import re
import string

from msgspec import Struct

from maestro_eval.scoring.negation import denied, undenied
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
LETTERS = string.ascii_uppercase
_ENDING = 60

_OPEN, _CLOSE = (
    r"(?:\\[(\[]|[\s(\[{<\"'\u201c\u2018*`$\u2192\u2705\u2714\u2611\u27a1\ufe0f\U0001f449])*",
    r"(?:\\[)\]]|[\s)\]}>\"'\u201d\u2019*`$.:,;!\u2705\u2713\u2714\u2611\ufe0f])*",
)
_LONE_LETTER = re.compile(_OPEN + r"(?:\\(?:text|textbf|textrm|mathrm|mathbf|mathsf)\s?\{\(?)?([A-Za-z])" + _CLOSE)
_TWO_LEADING = re.compile(r"[\W_]*[A-Za-z][\W_]{0,6}(?:\b(?:or|and)\b|[/,&])[\W_]{0,6}[A-Z](?![^\W_])(?! [a-z])")
_LEADING_LETTER = re.compile(_OPEN + r"([A-Za-z])(?:[)\]}>*`]|[.:](?![^\W_])|\s+[-\u2013\u2014]\s)")
_ARGUED_LETTER = re.compile(
    r"[\W_]*([A-Z])(?:[,;]?\s+(?:because|since|as|due\s+to)\b"
    r"|\s+is\s+(?:the\s+)?(?:correct|right|best)(?:\s+(?:answer|option|choice|one))?\s*(?:[.,;!]|$))"
)
_MARKED_LETTER = re.compile(
    r"(?<![^\W_])(?:\((?P<round>[A-Za-z])\)|\[(?P<square>[A-Za-z])\]|\*\*(?P<bold>[A-Z])\*\*"
    r"|(?i:option|choice)\s(?P<named>[A-Z]|[b-z](?![^\W_])))(?![^\W_])"
)
_NOUN = r"(?:the\s)?(?:tile|piece|shape|figure|picture|card|letter|box|image|path|option)"
_CLOSING_LETTER = re.compile(
    rf"(?:\b(?:is|be|choose|pick|select|with|letter)\b(?:\s{_NOUN})?|\b(?:in|by|as)\s{_NOUN}"
    r"|[:=\u2192\u662f\u4e3a\u9009\u62e9\u9879\u56fe])\W{0,4}([A-Z])[\W\u9879]*\Z"
)
# Labels of a list: "A: a dog. B: a cat."
_LABEL = re.compile(r"(?:^|(?<=[.;!?\n])[ \t]{0,4})[*(]{0,3}([A-Z])[.:)]\*{0,2}(?=\s)")
_UNFINISHED = re.compile(r"(?:\b(?:or|and|not|nor|neither)|[,/&])[\W_]*\Z", re.IGNORECASE)
# A small letter at the end of a sentence may be an article, unless the sentence mentions a letter.
_CHARACTER_AT_END = re.compile(
    r"\b(?:is|letter|character)\b\s{0,3}:?\s{0,3}([A-Z])[\s.!]*\Z"
    r"|\b(?:letter|character)(?:(?:[ \t]+\w{1,12}){0,3}[ \t]+is)?\s{0,3}:?\s{0,3}\b([A-Za-z])[\s.!]*\Z"
)
_QUOTED_CHARACTER = re.compile(
    "(?<![^\\W_])(?:"
    + "|".join(
        re.escape(left) + "([A-Za-z])" + re.escape(right)
        for left, right in ("{}", "()", '""', "''", "\u201c\u201d", "\u2018\u2019", "``", ("**", "**"))
    )
    + ")"
)


class _Value(Struct, frozen=True):
    amount: float
    decimals: int | None  # None: exact, a fraction or a root


def choice_letter(answer: str, choices: tuple[str, ...]) -> str | None:
    """Return the letter of the one choice that equals ``answer`` as text (ignoring case, spaces, article) or in value.

    A leading letter is allowed if the text after it is that letter's choice ("B right triangle"). Return ``None`` if no
    choice or more than one is meant.
    """
    folded = [_fold(choice) for choice in choices]
    text = _fold(answer)
    same = [index for index, choice in enumerate(folded) if choice and choice == text]
    if not same:
        same = [index for index, choice in enumerate(choices) if _equal_behind_letter(answer, index, choice)]
    if not same:
        same = _nearest(answer, choices)
    return LETTERS[same[0]] if len(same) == 1 and same[0] < len(LETTERS) else None


def value_form(answer: str) -> str:
    """Return the answer in one normal form: its value if it has one ("x = 135°" is ``135``), else its folded text."""
    value = plain_value(answer)
    return _fold(answer) if value is None else number_form(value)


def plain_value(text: str) -> float | None:
    """Return the value of a number, fraction or root of plain numbers, with or without an unknown or a unit."""
    value = _value(text)
    return None if value is None else value.amount


def _fold(text: str) -> str:
    lowered = text.lower().strip().removesuffix(".")
    article = _ARTICLE.match(lowered)
    return lowered[article.end() if article else 0 :].translate(_NOISE)


def _equal_behind_letter(answer: str, index: int, choice: str) -> bool:
    head, _, rest = answer.strip().partition(" ")
    head, rest = head.strip("()[]*.,:;"), rest.lstrip("-\u2013\u2014: ")
    return head == LETTERS[index : index + 1] and bool(_fold(choice)) and _fold(rest) == _fold(choice)


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
    # A whole number is too coarse as a rounding of an exact choice: it could be another value.
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


def lone_letter(text: str) -> str | None:
    """Return the letter (its case kept) that is all of ``text``, apart from brackets, quotes and punctuation."""
    match = _LONE_LETTER.fullmatch(text)
    return match.group(1) if match else None


def option_letter(text: str, options: int) -> str | None:
    """Return the option A, B, … (of ``options`` many) that a final answer chooses.

    The rules, in order: the text is a letter; it begins with one that it argues for (``B because``, ``B is correct``);
    its last line is a letter, or its first; one letter alone is marked (``B.`` at the beginning, ``(b)``, ``**B**``,
    ``option B``), in the whole text or in its last line; it ends with "… is B". So an article ("a circle"), a pronoun
    ("I think"), a point's name ("angle B is 45") and a denied letter ("not (A)", "(A) is wrong") are no options.
    """
    letters = set(LETTERS[:options])
    chosen = lone_letter(text)
    if chosen is None and not _TWO_LEADING.match(text):
        argued = _ARGUED_LETTER.match(text)
        chosen = (
            argued.group(1)
            if argued
            else _letter_on_a_line(text) or _marked_letter(text, letters) or _at_end(_CLOSING_LETTER, text)
        )
    return chosen.upper() if chosen and chosen.upper() in letters else None


def character(text: str) -> str | None:
    """Return the one letter (its case kept) that an answer names: all of it, the only quoted or braced, its last."""
    lone = lone_letter(text)
    if lone:
        return lone
    quoted = {"".join(filter(None, match.groups())) for match in undenied(_QUOTED_CHARACTER, text)}
    if len(quoted) == 1:
        return quoted.pop()
    return _at_end(_CHARACTER_AT_END, text)


def _letter_on_a_line(text: str) -> str | None:
    """Return the letter that is the last line, or the first; None for a list of letters."""
    lines = [line for line in text.split("\n") if line.strip()]
    alone = {at: letter for at, line in enumerate(lines) if (letter := lone_letter(line))}
    if len(lines) < 2 or len({letter.upper() for letter in alone.values()}) != 1:
        return None
    if len(lines) - 1 in alone:
        return None if _UNFINISHED.search(lines[-2][-_ENDING:]) else alone[len(lines) - 1]
    return alone.get(0) if _marked(text) <= {letter.upper() for letter in alone.values()} else None


def _marked_letter(text: str, letters: set[str]) -> str | None:
    leading = _LEADING_LETTER.match(text)
    marked = _marked(text)
    if leading and not denied(text, *leading.span(1)):
        marked |= {leading.group(1).upper(), *_LABEL.findall(text)}
    marked &= letters
    if len(marked) > 1:
        # The text weighs several: its last line may conclude, unless it only continues the list ("(D) 180").
        conclusion = text.rsplit("\n", 1)[-1]
        marked = set() if _LEADING_LETTER.match(conclusion) else _marked(conclusion) & letters
    return marked.pop() if len(marked) == 1 else None


def _marked(text: str) -> set[str]:
    return {"".join(filter(None, match.groups())).upper() for match in undenied(_MARKED_LETTER, text)}


def _at_end(pattern: re.Pattern[str], text: str) -> str | None:
    # Search the tail only: a pattern anchored at the end takes quadratic time over a long text.
    tail = text.rstrip()[-_ENDING:]
    match = pattern.search(tail)
    if match is None or match.lastindex is None or denied(tail, *match.span(match.lastindex)):
        return None
    return match.group(match.lastindex)
