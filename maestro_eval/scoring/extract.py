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

from maestro_eval.scoring.doubt import counts_nothing, denied, left_open, undenied
from maestro_eval.text import answer_statement

Strictness = Literal["official", "fair", "strict"]
"""How a reply is read: for what it says its answer is, or as the answer and nothing else."""

_THINK_END = "</think>"
_ANSWER_TAG = re.compile(r"<(/?)answer>")
# "Answer: the answer is \boxed{4}" nests in practice; deeper is play, and unbounded would be quadratic.
_NESTED_STATEMENTS = 3
_LONGEST_NUMBER = 60
_ENDING = 60
_LONGEST_TYPESET = 4000

# Full-width letters, digits and punctuation, as writers of Chinese have them, one for one.
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3002: ord("."), 0x3000: ord(" ")}
_FENCED = re.compile(r"```[a-z]{0,12}\n([^`]*)\n```")
_QUOTED = re.compile(r"\*\*([^*]*)\*\*|`([^`]*)`|\"([^\"]*)\"|'([^']*)'|\u201c([^\u201d]*)\u201d")
_TYPESET = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathsf)\s?\{([^{}]*)\}")
_TWO_BOXES = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]{0,40}\}){0,80})\}[\s$.]{0,4}(?:or|and|,|/)[\s$]{0,4}\Z")
_LONGEST_BOX = 120

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
# "No" answers only where nothing follows that it could belong to: "no gap", "no question", "no-one" do not.
_YES_NO = re.compile(
    r"(?<![^\W_])(?:yes|no(?=[ \t]*(?:$|\n|(?!-\w)[^\w\s]|_"
    r"|(?:because|since|as|it|they|there|this|that|the|these|those|he|she|we|i)\b)))(?![^\W_])",
    re.IGNORECASE,
)

_OPEN, _CLOSE = (
    r"(?:\\[(\[]|[\s(\[{<\"'\u201c\u2018*`$\u2192\u2705\u2714\u2611\u27a1\ufe0f\U0001f449])*",
    r"(?:\\[)\]]|[\s)\]}>\"'\u201d\u2019*`$.:,;!\u2705\u2714\u2611\ufe0f])*",
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
    r"(?:\b(?:is|be|choose|pick|select|with|letter)\b|[:=\u2192\u662f\u4e3a\u9009])\W{0,4}([A-Z])\W*\Z"
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
    r"""What a reply says its answer is (``<answer>X</answer>``, ``Answer: X``, ``the answer is X``, ``\boxed{X}``),
    else all of it.

    Reasoning before the last ``</think>`` is dropped first, at the end what typesets the whole (stars, quotes, a code
    block, ``\text{}``) and its full stop. Two boxes side by side state neither, nor does one that is denied.
    """
    answer = spoken(text)
    tagged = tagged_answers(answer)
    answer = tagged[-1] if tagged and tagged[-1] else answer
    for _ in range(_NESTED_STATEMENTS):
        stated = answer_statement(answer)
        if not stated or stated == answer or _no_statement(answer, stated):
            break
        answer = stated
    return _untypeset(answer)


def half_width(text: str) -> str:
    """The text with full-width letters, digits and punctuation as the usual ones: ``（Ｂ）。`` is ``(B).``"""
    return text.translate(_FULL_WIDTH)


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


def yes_no(text: str) -> str | None:
    """``yes`` or ``no``: the only one of the two that stands by itself and is not denied ("not yes" is neither)."""
    words = {match.group().casefold() for match in undenied(_YES_NO, text)}
    return words.pop() if len(words) == 1 else None


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


def _no_statement(text: str, stated: str) -> bool:
    at = text.rfind("\\boxed{")
    if at < 0 or denied(text, at, len(text)):
        return at >= 0
    before = _TWO_BOXES.search(text[max(at - _LONGEST_BOX, 0) : at])
    return before is not None and before.group(1).strip() != stated


def _untypeset(text: str) -> str:
    if len(text) > _LONGEST_TYPESET:
        return text
    bare = text.strip()
    for pattern in (_FENCED, _QUOTED, _TYPESET):
        # A full stop may stand on either side of the last star.
        bare = bare.removesuffix(".").rstrip() if not bare.endswith("..") else bare
        whole = pattern.fullmatch(bare)
        bare = next((group.strip() for group in whole.groups() if group is not None), bare) if whole else bare
    return bare.removesuffix(".").rstrip() if not bare.endswith("..") else bare


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
