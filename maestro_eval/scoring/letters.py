"""Which option does a text choose by its letter, and which character does it name?

A text is model output and hostile: no function raises, each takes time linear in its text, and a letter that it returns
stands in the text. Where a text is ambiguous there is no letter: a missed answer is a wrong sample that one can look
up, a guessed one is a point that nobody earned.
"""

from __future__ import annotations

import re

from maestro_eval.scoring.negation import denied, undenied

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
_CLOSING_LETTER = re.compile(
    r"(?:\b(?:is|be|choose|pick|select|with|letter)\b(?:\s(?:the\s)?(?:tile|piece|shape|figure|picture|card|letter|box|image|path))?|[:=\u2192\u662f\u4e3a\u9009])\W{0,4}([A-Z])\W*\Z"
)
# Labels of a list: "A: a dog. B: a cat."
_LABEL = re.compile(r"(?:^|(?<=[.;!?\n])[ \t]{0,4})[*(]{0,3}([A-Z])[.:)]\*{0,2}(?=\s)")
_UNFINISHED = re.compile(r"(?:\b(?:or|and|not|nor|neither)|[,/&])[\W_]*\Z", re.IGNORECASE)
# A small letter at the end of a sentence may be an article, unless the sentence speaks of a letter.
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


def lone_letter(text: str) -> str | None:
    """The letter (its case kept) that the whole of ``text`` is, apart from brackets, quotes and punctuation."""
    match = _LONE_LETTER.fullmatch(text)
    return match.group(1) if match else None


def option_letter(text: str, options: int) -> str | None:
    """The option A, B, … (of ``options`` many) that a final answer chooses.

    In this order: the text is a letter; it begins with one that it argues for (``B because``, ``B is
    correct``); its last line is a letter, or its first; one letter alone is marked (``B.`` at the beginning,
    ``(b)``, ``**B**``, ``option B``), in the whole text or within its last line; it ends with "… is B". An article
    ("a circle"), a pronoun ("I think"), a point's name ("angle B is 45") and what is denied ("not (A)", "(A) is
    wrong") are thus no options.
    """
    letters = {chr(ord("A") + index) for index in range(min(options, 26))}
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
    """The single letter (its case kept) that an answer names: all of it, the only quoted or braced one, or its last."""
    lone = lone_letter(text)
    if lone:
        return lone
    quoted = {"".join(filter(None, match.groups())) for match in undenied(_QUOTED_CHARACTER, text)}
    if len(quoted) == 1:
        return quoted.pop()
    return _at_end(_CHARACTER_AT_END, text)


def _letter_on_a_line(text: str) -> str | None:
    """The letter that the last line is, or the first; a list of letters has none."""
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
        # Several were weighed: the last line may conclude, unless it only goes on listing ("(D) 180").
        conclusion = text.rsplit("\n", 1)[-1]
        marked = set() if _LEADING_LETTER.match(conclusion) else _marked(conclusion) & letters
    return marked.pop() if len(marked) == 1 else None


def _marked(text: str) -> set[str]:
    return {"".join(filter(None, match.groups())).upper() for match in undenied(_MARKED_LETTER, text)}


def _at_end(pattern: re.Pattern[str], text: str) -> str | None:
    # Only the tail is searched: a pattern anchored at the end is quadratic over a long text.
    tail = text.rstrip()[-_ENDING:]
    match = pattern.search(tail)
    if match is None or match.lastindex is None or denied(tail, *match.span(match.lastindex)):
        return None
    return match.group(match.lastindex)
