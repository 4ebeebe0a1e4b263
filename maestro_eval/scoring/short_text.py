"""Is what a reply says the same short text as a target? Apart from case, punctuation, articles and the words around it.

A reply answers in a sentence where its predicate is the target ("The organ is the liver."), or where the target is the
subject of the question's own words ("Belgium had the highest value").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from maestro_eval.records import NoAnswer
from maestro_eval.scoring.extract import Reply, is_unsure, retracts, untypeset
from maestro_eval.scoring.fair import Reading, behind, stated_forms
from maestro_eval.scoring.negation import denied

_LONGEST_SENTENCE = 300
_COPULA = re.compile(
    r"\b(?:(?:is|are|was|were|be)(?:\s(?:located|found|situated|seen|visible))?(?:\s(?:in|on|at))?|shows?|depicts?|displays?"
    r"|represents?|says|reads|called|named)\s+|=\s*",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"(?:(?:it|this|that|he|she|they)(?:\sis|'s|\u2019s|\sare|\swas)|in|on|at|from|the|an|a|by|with|to)\s+",
    re.IGNORECASE,
)
_SUBJECT_VERB = re.compile(
    r"\s(?:is|are|was|were|has|had|have|shows?|showed|recorded|reached|represents?|appears?)\s", re.IGNORECASE
)
_LIST = re.compile(r"\s*(?:,|;|/|\band\b|&)\s*")
_HEDGED = re.compile(r"\b(?:could|may|might|either|or|whether|if|maybe|perhaps|possibly)\b", re.IGNORECASE)
# "Liver, spleen" names two, "Liver, which is enlarged" one.
_GOES_ON = re.compile(r"\s{0,4}(?:,|&|/|and\b)\s{0,4}(?:and\s)?[\w-]{1,30}(?:\s[\w-]{1,30})?\W{0,3}\Z", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]{3,}")


WHOLE = "whole reply"


def short_form(text: str) -> str:
    """``text`` in lower case, without punctuation and a leading article."""
    lowered = text.strip().lower()
    words = "".join(sign if sign.isalnum() else " " for sign in lowered).split()
    if len(words) > 1 and words[0] in ("a", "an", "the"):
        words = words[1:]
    # A target that is all punctuation ("+") is itself.
    return " ".join(words) or lowered


def text_reading(reply: Reply, targets: Iterable[str], question: str) -> tuple[Reading, bool]:
    """What the reply answers, in its short form, and whether that is one of ``targets``."""
    if reply.missing is not None:
        return Reading(reply.missing), False
    wanted = [target for target in targets if target.strip()]
    if any(short_form(reply.text) == short_form(target) for target in wanted):
        return Reading(short_form(reply.text), WHOLE), True
    found = list(stated_forms(reply))
    for candidate, form in found:
        if _GOES_ON.match(behind(candidate, form)):
            continue
        for phrase in _phrases(form):
            if any(_same(phrase, target) for target in wanted):
                if retracts(behind(candidate, form)):
                    return Reading(NoAnswer.RETRACTED, candidate.rule), False
                return Reading(short_form(phrase), candidate.rule), True
    shown, rule = (found[0][0].text, found[0][0].rule) if found else (reply.text, WHOLE)
    sentence = _echo(shown, wanted, question)
    if sentence is not None:
        return Reading(short_form(sentence), rule), True
    return Reading(short_form(untypeset(shown)), rule), False


def _phrases(form: str) -> Iterator[str]:
    yield form
    bare = form
    for _ in range(2):
        leading = _LEADING.match(bare)
        if leading is None:
            break
        bare = bare[leading.end() :]
        yield bare
    if len(form) <= _LONGEST_SENTENCE:
        for match in reversed(list(_COPULA.finditer(form))[-3:]):
            if not denied(form, match.end(), len(form)) and not _HEDGED.search(form[: match.start()]):
                yield form[match.end() :]


def _same(form: str, target: str) -> bool:
    given, wanted = short_form(form), short_form(target)
    if given == wanted:
        return True
    # A list in another order is the same list.
    if form.strip()[:1] in "([":
        return False
    members = [sorted(short_form(part) for part in _LIST.split(text) if part.strip()) for text in (form, target)]
    return len(members[1]) > 1 and members[0] == members[1]


def _echo(text: str, targets: list[str], question: str) -> str | None:
    """The target that is the subject of a sentence in the question's own words."""
    sentence = re.split(r"(?<=[.!?])\s+|\n", text.strip())[0][:_LONGEST_SENTENCE]
    if _HEDGED.search(sentence) or is_unsure(sentence):
        return None
    asked = {word.casefold()[:5] for word in _WORD.findall(question)}
    for target in targets:
        subject = re.match(r"(?:the\s|an?\s)?" + re.escape(target.strip()), sentence, re.IGNORECASE)
        if subject is None or not _SUBJECT_VERB.match(sentence[subject.end() :]):
            continue
        said = [word.casefold()[:5] for word in _WORD.findall(sentence[subject.end() :])]
        if said and sum(word in asked for word in said) * 2 >= len(said) and not re.search(r"\bnot\b|n't\b", sentence):
            return target
    return None
