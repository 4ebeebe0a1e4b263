"""What does a reply answer? One extractor each for the final answer, tags, numbers, yes/no and letters.

They read model output, which is hostile: no function raises, each takes time linear in its text, and what
it returns stands in the text. Where a reading is ambiguous they return ``None`` rather than guess: a missed
answer is a wrong sample that one can look up, a guessed one is a point that nobody earned.
"""

from __future__ import annotations

import math
import re
from typing import Literal

from msgspec import Struct

from maestro_eval.text import answer_statement

Manner = Literal["official", "strict"]
"""How a reply is read: for what it says its answer is, or as the answer and nothing else."""

_THINK_END = "</think>"
_ANSWER_TAG = re.compile(r"<(/?)answer>")
# "Answer: the answer is \boxed{4}" nests in practice; deeper is play, and unbounded would be quadratic.
_NESTED_STATEMENTS = 3
_LONGEST_NUMBER = 60
_ENDING = 60

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
        (?P<percent>\s?(?:%|percent\b))?
        | (?P<beyond>(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)[-\s](?:UNITS)\b
                     | (?:WORD)\s(?:hundred|thousand|million|billion)\b)
        | (?<!-)(?P<word>WORD)\b
    )
    """.replace("UNITS", _UNITS).replace("WORD", _WORD),
    re.VERBOSE | re.IGNORECASE,
)
_THOUSANDS = str.maketrans("", "", ",\u00a0\u202f\u2009")

_BRACED_NUMBER = re.compile(r"\{\s*([+\-\u2212]?[0-9]{1,15})\s*\}")
# Within a sentence "no" answers only where nothing follows that it could belong to: "no gap", "no question" do not.
_YES_NO = re.compile(r"(?<![^\W_])(yes|no(?=[ \t]*(?:[^\w\s]|_|$|\n|(?:because|since|as)\b)))(?![^\W_])", re.IGNORECASE)
_LEADING_YES_NO = re.compile(r"[\W_]*(yes|no)(?![^\W_])", re.IGNORECASE)

_OPEN, _CLOSE = r"[\s(\[{<\"'\u201c\u2018*`$]*", r"[\s)\]}>\"'\u201d\u2019*`$.:,;!]*"
_LONE_LETTER = re.compile(_OPEN + r"(?:\\(?:text|mathrm|mathbf)\{)?([A-Za-z])" + _CLOSE)
_TWO_LEADING = re.compile(r"[\W_]*[A-Za-z][\W_]{0,6}(?:\b(?:or|and)\b|[/,&])[\W_]{0,6}[A-Z](?![^\W_])(?! [a-z])")
_LEADING_LETTER = re.compile(_OPEN + r"([A-Za-z])(?:[)\]}>*`]|[.:](?![^\W_])|\s+[-\u2013\u2014]\s)")
_ARGUED_LETTER = re.compile(
    r"[\W_]*([A-Z])(?:[,;]?\s+(?:because|since|as|due\s+to)\b"
    r"|\s+is\s+(?:the\s+)?(?:correct|right|best)(?:\s+(?:answer|option|choice|one))?\s*(?:[.,;!]|$))"
)
_MARKED_LETTER = re.compile(
    r"(?<![^\W_])(?<!\bnot\s)(?<!n't\s)(?:\((?P<round>[A-Za-z])\)|\[(?P<square>[A-Za-z])\]|\*\*(?P<bold>[A-Z])\*\*"
    r"|(?i:option|choice)\s(?P<named>[A-Z]|[b-z](?![^\W_])))(?![^\W_])"
)
_CLOSING_LETTER = re.compile(r"(?:\b(?:is|be|choose|pick|select|with|letter)\b|[:=→])\W{0,4}([A-Z])\W*\Z")
_CHARACTER_AT_END = re.compile(r"\b(?:is|letter|character)\b\s{0,3}:?\s{0,3}([A-Za-z])[\s.!]*\Z")
_QUOTED_CHARACTER = re.compile(
    "(?<![^\\W_])(?:"
    + "|".join(
        re.escape(left) + "([A-Za-z])" + re.escape(right)
        for left, right in ("{}", "()", '""', "''", "\u201c\u201d", "\u2018\u2019", "``", ("**", "**"))
    )
    + ")"
)


class Number(Struct, frozen=True):
    """A number as it stands in a text. ``value`` of ``x%`` is x / 100."""

    text: str
    value: float
    percent: bool = False

    @property
    def integer(self) -> int | None:
        """The value when it is a whole number and no percentage ("3.0" is 3)."""
        return int(self.value) if not self.percent and self.value.is_integer() else None


def spoken(text: str) -> str:
    """The reply without the reasoning before its last ``</think>``, stripped."""
    return text[text.rfind(_THINK_END) + len(_THINK_END) :].strip() if _THINK_END in text else text.strip()


def final_answer(text: str) -> str:
    r"""What a reply says its answer is (``Answer: X``, ``the answer is X``, ``\boxed{X}``), else all of it.

    Reasoning before the last ``</think>`` is dropped first.
    """
    answer = spoken(text)
    for _ in range(_NESTED_STATEMENTS):
        stated = answer_statement(answer)
        if not stated or stated == answer:
            break
        answer = stated
    return answer


def tagged_answers(text: str) -> list[str]:
    """What stands between ``<answer>`` and ``</answer>``, in order, stripped.

    The opening nearest to a closing tag begins it, as in a rollout: words about the tag do no harm.
    """
    found: list[str] = []
    begin = -1
    for tag in _ANSWER_TAG.finditer(text):
        if not tag.group(1):
            begin = tag.end()
        elif begin >= 0:
            found.append(text[begin : tag.start()].strip())
            begin = -1
    return found


def numbers(text: str) -> list[Number]:
    """All numbers in order: digits with thousands separators, sign, currency and percent, words up to twenty."""
    found = (_read(match) for match in _NUMBER.finditer(text))
    return [number for number in found if number is not None]


def number(text: str) -> Number | None:
    r"""The number that the whole of ``text`` is, apart from surrounding space, ``{}``, ``$…$`` and a full stop."""
    bare = text.strip().replace("\\%", "%").replace("\\$", "$").removesuffix(".")
    if len(bare) >= 2 and bare[0] + bare[-1] in ("{}", "$$"):
        bare = bare[1:-1].strip()
    if len(bare) > 2 * _LONGEST_NUMBER:
        return None
    match = _NUMBER.fullmatch(bare)
    return _read(match) if match else None


def number_form(value: float) -> str:
    """The one way in which a value is written where answers are compared: ``340``, ``0.14``, ``-5``."""
    return "0" if value == 0 else format(value, ".15g")


def braced_number(text: str) -> Number | None:
    """The last ``{n}`` of a text."""
    braced = _BRACED_NUMBER.findall(text)
    return number(braced[-1]) if braced else None


def yes_no(text: str) -> str | None:
    """``yes`` or ``no``: the word that a text begins with, else the only one of the two that stands by itself."""
    leading = _LEADING_YES_NO.match(text)
    if leading:
        return leading.group(1).casefold()
    words = {match.casefold() for match in _YES_NO.findall(text)}
    return words.pop() if len(words) == 1 else None


def lone_letter(text: str) -> str | None:
    """The letter (its case kept) that the whole of ``text`` is, apart from brackets, quotes and punctuation."""
    match = _LONE_LETTER.fullmatch(text)
    return match.group(1) if match else None


def option_letter(text: str, options: int) -> str | None:
    """The option A, B, … (of ``options`` many) that a final answer chooses.

    In this order: the text is a letter; it begins with one that it argues for (``B because``, ``B is
    correct``); one letter alone is marked (``B.`` at the beginning, ``(b)``, ``**B**``, ``option B``), in
    the whole text or within its last line; it ends with "… is B". An article ("a circle"), a pronoun
    ("I think") and a point's name ("angle B is 45") are thus no options.
    """
    letters = {chr(ord("A") + index) for index in range(min(options, 26))}
    chosen = lone_letter(text)
    if chosen is None and not _TWO_LEADING.match(text):
        argued = _ARGUED_LETTER.match(text)
        chosen = argued.group(1) if argued else _marked_letter(text, letters) or _at_end(_CLOSING_LETTER, text)
    return chosen.upper() if chosen and chosen.upper() in letters else None


def character(text: str) -> str | None:
    """The single letter (its case kept) that an answer names: all of it, the only quoted or braced one, or its last."""
    lone = lone_letter(text)
    if lone:
        return lone
    quoted = {"".join(groups) for groups in _QUOTED_CHARACTER.findall(text)}
    if len(quoted) == 1:
        return quoted.pop()
    return _at_end(_CHARACTER_AT_END, text)


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


def _marked_letter(text: str, letters: set[str]) -> str | None:
    leading = _LEADING_LETTER.match(text)
    marked = (_marked(text) | ({leading.group(1).upper()} if leading else set())) & letters
    if len(marked) > 1:
        # Several were weighed: the last line may conclude, unless it only goes on listing ("(D) 180").
        conclusion = text.rsplit("\n", 1)[-1]
        marked = set() if _LEADING_LETTER.match(conclusion) else _marked(conclusion) & letters
    return marked.pop() if len(marked) == 1 else None


def _marked(text: str) -> set[str]:
    return {"".join(filter(None, match.groups())).upper() for match in _MARKED_LETTER.finditer(text)}


def _at_end(pattern: re.Pattern[str], text: str) -> str | None:
    # Only the tail is searched: a pattern anchored at the end is quadratic over a long text.
    match = pattern.search(text.rstrip()[-_ENDING:])
    return match.group(1) if match else None
