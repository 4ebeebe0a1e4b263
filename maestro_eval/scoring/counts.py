"""How many does a reply count? One whole number, though it may list the parts that add up to it.

Of several numbers the one that counts is: what stands in braces, the result of a sum, the one in a conclusion ("5 in
total"), the one that stands with the question's own noun ("5 circles: 2 red, 3 blue"), the sum of the others.
"""

from __future__ import annotations

import re

from maestro_eval.records import NoAnswer
from maestro_eval.scoring.fair import Read, Reader
from maestro_eval.scoring.negation import denied
from maestro_eval.scoring.numerals import Number, number, stated_numbers
from maestro_eval.scoring.yes_no import affirmed

_LARGEST = 10**15
_LONGEST = 4000
_NOT_COUNTED = (
    r"(?:or|and|to|not|million|billion|thousand|hundred|dozen|plus|minus|times|more|less|fewer|than|least|most|of)"
)
_COUNTED = re.compile(
    r"(?:exactly|only|just|about|approximately|around|roughly|a\stotal\sof|total\sof|total:?)?\s{0,3}"
    rf"(?P<number>\S{{1,24}})(?:\s(?!{_NOT_COUNTED}\b)[A-Za-z-]{{1,20}}){{1,6}}",
    re.IGNORECASE,
)
_BRACED = re.compile(r"\{\s?([0-9]{1,15})\s?\}")
_BRACKETS = re.compile(r"\([^()]{0,200}\)|\[[^\[\]]{0,200}\]")
_TOTAL = re.compile(r"\b(?:total|altogether|in\sall|overall|so|therefore|thus|hence|sum)\b|=", re.IGNORECASE)
_NOUN = re.compile(
    r"\b(?:how\smany|(?:total\s)?number\sof|count(?:\s(?:the|all|total))?(?:\snumber\sof)?)\s(?:the\s|different\s|total\s|separate\s)?"
    r"(?P<words>[a-z][a-z -]{0,60}?)(?=\s(?:are|is|do|does|did|can|have|has|in|on|of|there|where|that"
    r"|which|go|appear|with|intersect|being|visible"
    r"|from|at|will|were|was|and)\b|[?.,]|\Z)",
    re.IGNORECASE,
)
_NONE = re.compile(r"(?:\A[\W_]*(?:none|zero)\b)|\b(?:no|zero|not\sany|aren't\sany)\s", re.IGNORECASE)
_TIMES = {"once": "1", "twice": "2", "thrice": "3", "never": "0"}
_TIMES_WORD = re.compile(r"\b(once|twice|thrice|never)\b", re.IGNORECASE)
_SINGLE = re.compile(r"\b(?:a|only\sa|just\sa)\ssingle\b", re.IGNORECASE)


def count_readers(question: str) -> tuple[Reader, Reader]:
    """How a text is read that counts what ``question`` asks for."""
    noun = _noun(question)

    def whole(text: str) -> Read | None:
        bare = text.strip().strip("{}").strip()
        if "=" in bare:
            bare = bare.rpartition("=")[2].strip()
        read = number(bare)
        if read is None and (counted := _COUNTED.fullmatch(bare)):
            read = number(counted["number"])
        if read is not None:
            return _form(read)
        if bare.casefold().rstrip("!") in ("none", "no", "nil") and noun:
            return "0"
        return NoAnswer.SEVERAL if _open(bare) else None

    def within(text: str) -> Read | None:
        text = text[-_LONGEST:]
        braced = [match[1] for match in _BRACED.finditer(text) if not denied(text, *match.span())]
        if braced:
            return str(int(braced[-1]))
        plain = _BRACKETS.sub(" ", text)
        found = _stated(plain)
        values = {value for value in found if value is not None}
        if not values:
            return NoAnswer.SEVERAL if found else _uncounted(text, question, noun)
        return _chosen(plain, found, values, noun)

    return whole, within


def _chosen(text: str, found: list[int | None], values: set[int], noun: str) -> Read:
    if len(values) == 1 and None not in found:
        return str(values.pop())
    if [value for value in found if value is not None] == list(range(1, len(found) + 1)):
        # Counted aloud: "1, 2, 3, 4".
        return str(len(found))
    for sentence in reversed(_sentences(text)):
        if _TOTAL.search(sentence):
            said = _stated(sentence.rpartition("=")[2])
            if len(set(said)) == 1 and said[0] is not None:
                return str(said[0])
    with_noun = _with_noun(text, noun)
    if len(with_noun) == 1:
        return str(with_noun.pop())
    heads = {value for sentence in _sentences(text) if ":" in sentence for value in _stated(sentence.partition(":")[0])}
    if len(heads) == 1 and None not in heads:
        return str(heads.pop())
    counted = [value for value in found if value is not None]
    sums = {value for value in values if len(counted) > 2 and 2 * value == sum(counted)}
    return str(sums.pop()) if len(sums) == 1 else NoAnswer.SEVERAL


def _stated(text: str) -> list[int | None]:
    """The whole numbers that a text states; None for each that it leaves open or that is not whole."""
    return [None if read is None else _whole(read) for read in stated_numbers(text)]


def _whole(read: Number) -> int | None:
    value = read.integer
    return value if value is not None and abs(value) < _LARGEST else None


def _form(read: Number) -> Read:
    value = _whole(read)
    return NoAnswer.UNSTATED if value is None else str(value)


def _open(text: str) -> bool:
    found = stated_numbers(text)
    return bool(found) and found[0] is None and len(text) < 60


def _sentences(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?;])\s+|\n|,\s(?=so\b|which\smeans)", text) if part.strip()]


def _noun(question: str) -> str:
    found = list(_NOUN.finditer(question))
    words = found[0]["words"].split() if found else []
    return re.sub(r"(?:ies|es|s|y)\Z", "", words[-1].casefold()) if words else ""


def _with_noun(text: str, noun: str) -> set[int]:
    """The numbers that stand before the question's noun, with up to three words between."""
    if len(noun) < 3:
        return set()
    found: set[int] = set()
    for match in re.finditer(
        rf"(?<!\S)(?=(?P<before>\S{{1,24}})\s(?:[A-Za-z-]{{1,20}}\s){{0,3}}{re.escape(noun)})", text, re.IGNORECASE
    ):
        read = stated_numbers(match["before"])
        found |= {value for each in read if each is not None and (value := _whole(each)) is not None}
    return found


def _uncounted(text: str, question: str, noun: str) -> Read | None:
    """Words that count without a number: "there are no circles", "they cross twice"."""
    times = {_TIMES[match[1].casefold()] for match in _TIMES_WORD.finditer(text)}
    if "times" in question.casefold() or "intersect" in question.casefold():
        if len(times) == 1:
            return times.pop()
        if affirmed(text, question if "?" in question else "do " + question) == "no":
            return "0"
    if _SINGLE.search(text):
        return "1"
    return "0" if noun and _NONE.search(text) and noun in text.casefold() else None
