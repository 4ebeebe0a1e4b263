"""Read a reply as a careful human does: the reading of the protocol `fair`, the same for every benchmark.

`extract.candidates` yields the places where the answer may be, best first. `reading` tries each: is one of its forms,
as a whole, an answer of the wanted kind? If not, and the reply itself says that its answer is there, which answer is
within it? A place that names several answers, denies one or takes one back ends the search: it is not turned into a
guess. The last resort is an answer anywhere in the reply.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice

from msgspec import Struct

from maestro_eval.records import NoAnswer
from maestro_eval.scoring.extract import UNSURE, Candidate, Reply, candidates, forms, lists, refusal, retracts

Read = str | NoAnswer
Reader = Callable[[str], Read | None]
"""Returns a text's answer in normal form, the reason why there is none, or None if it has no answer of this kind."""


class Reading(Struct, frozen=True):
    """The answer of a reply, or why there is none; ``rule`` is the rule of `extract` that found it."""

    read: Read
    rule: str = ""


ANYWHERE = "anywhere"
"""The rule of an answer that is in none of the candidates."""

_MOST_CANDIDATES = 24
# "Could be B" is a possibility and no answer; in "the tile that could be used is B" the words belong to the tile.
_POSSIBLY = re.compile(
    r"\b(?:maybe|perhaps|possibly|(?:could|may|might)\s(?:well\s)?be\b(?![^.,;:!?\n]{0,200}\b(?:is|are|was|were)\b))"
    r"[^.,;:!?\n]*",
    re.IGNORECASE,
)
_TYPESETTING = re.compile(r"\A[\s*_`\"'$)\]}.]{0,12}")


def reading(reply: Reply, whole: Reader, within: Reader) -> Reading:
    """Find the answer of a reply; ``whole`` reads a text that is an answer, ``within`` one with words around it."""
    if reply.missing is not None:
        return Reading(reply.missing)
    refused = refusal(reply.text)
    if refused is not None:
        return Reading(refused)
    for candidate in islice(candidates(reply.text), _MOST_CANDIDATES):
        for form in forms(candidate.text):
            read = whole(form)
            if read is None:
                continue
            if isinstance(read, NoAnswer):
                return Reading(read, candidate.rule)
            rest = behind(candidate, form)
            if lists(form, rest):
                continue
            if candidate.rule == "first line" and len(read) == 1:
                later = within(candidate.after)
                if later is not None and not isinstance(later, NoAnswer) and later != read:
                    return Reading(NoAnswer.SEVERAL, candidate.rule)
            return Reading(NoAnswer.RETRACTED if retracts(rest) else read, candidate.rule)
        if candidate.stated:
            inside = within(candidate.text)
            if inside is not None:
                return Reading(inside, candidate.rule)
    inside = within(reply.text)
    if inside is not None and not isinstance(inside, NoAnswer) and within(_POSSIBLY.sub(" ", reply.text)) != inside:
        return Reading(NoAnswer.UNSURE, ANYWHERE)
    if inside is not None:
        return Reading(inside, ANYWHERE)
    return Reading(NoAnswer.UNSURE if UNSURE.search(reply.text) else NoAnswer.UNSTATED)


def stated_forms(reply: Reply) -> Iterator[tuple[Candidate, str]]:
    """Yield the forms of the reply's last statement, else of all other places, for answers known by their target.

    Earlier statements do not count, since the last one replaces them.
    """
    every = list(candidates(reply.text))
    stated = [candidate for candidate in every if candidate.stated]
    for candidate in [each for each in stated if each.place == stated[0].place] if stated else every:
        for form in forms(candidate.text):
            yield candidate, form


def behind(candidate: Candidate, form: str) -> str:
    """Return the text after a form of a candidate, without the signs that typeset the form."""
    at = candidate.text.find(form)
    rest = _TYPESETTING.sub("", candidate.text[at + len(form) :]) if at >= 0 else ""
    return rest or candidate.after
