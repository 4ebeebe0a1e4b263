"""Does a reply say yes or no? By the word, or by a sentence that affirms or denies what the question asks.

``The circles are not touching.`` answers ``Are the two circles touching?`` with no. A sentence answers only where it
uses the question's own words, and says neither that it may be so nor that it cannot be told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from maestro_eval.records import NoAnswer
from maestro_eval.scoring.extract import is_unsure, retracts
from maestro_eval.scoring.fair import Read, Reader
from maestro_eval.scoring.negation import undenied

# "No" answers only where nothing follows that it could belong to: "no gap", "no question", "no-one" do not.
_YES_NO = re.compile(
    r"(?<![^\W_])(?:yes|no(?=[ \t]*(?:$|\n|(?!-\w)[^\w\s]|_"
    r"|(?:because|since|as|it|they|there|this|that|the|these|those|he|she|we|i)\b)))(?![^\W_])",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"(?:yeah|yep|nope|true|false|correct|incorrect)(?=[.,!;:)*\"'\u2013\u2014]|\s*\Z)", re.IGNORECASE
)
_WORDS = {
    "yes": ["yes", "yeah", "yep", "true", "correct", "是", "sí", "si", "oui", "ja", "sim", "はい", "예"],
    "no": ["no", "nope", "false", "incorrect", "否", "不是", "non", "nein", "não", "いいえ", "아니요"],
}
_MEANING = {written: word for word, spellings in _WORDS.items() for written in spellings}
_CLAUSE = re.compile(r"[,:;\u2014]\s|\s-\s|\bbut\b")
_MARKS = re.compile(r"[\W_]{0,8}")
_EITHER = re.compile(
    r"\byes\b[\W_]{0,3}(?:or|and|/)[\W_]{0,3}no\b|\bno\b[\W_]{0,3}(?:or|and|/)[\W_]{0,3}yes\b", re.IGNORECASE
)
_QUESTION = re.compile(r"\b(?:is|are|was|were|do|does|did|has|have|can|could|will|would|should)\b", re.IGNORECASE)
_NEGATES = re.compile(
    r"\b(?:not|never|no|none|neither|nothing|cannot|without|absent|lacks?|fails?)\b|n['\u2019]t\b|\bfree\sof\b",
    re.IGNORECASE,
)
_HEDGED = re.compile(
    r"\b(?:may|might|could|maybe|perhaps|possibly|whether|if|either|or|seems?\sunclear)\b", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]{3,}")
# Words that a question and any sentence share.
_PLAIN = re.compile(
    r"the|are|was|were|this|that|these|those|there|here|has|have|had|does|did|can|could|will|would|should|any|all|both|each"
    r"|two|one|other|another|answer|yes|not|image|picture|figure|photo|with|and|for|from|into|than|what|which|how|who"
    r"|where|when|question|following|shown|please|only|word|you|your|see|being|its|their|them|they"
)
_LONGEST = 2000


def yes_no(text: str) -> str | None:
    """``yes`` or ``no``: the only one of the two that stands by itself and is not denied ("not yes" is neither)."""
    words = {match.group().casefold() for match in undenied(_YES_NO, text)}
    return words.pop() if len(words) == 1 else None


def yes_no_alone(text: str) -> str | None:
    """``yes`` or ``no`` where ``text`` is that word, or begins with it and explains it."""
    bare = text.strip().strip(".,!*()\"' ").casefold()
    if bare in _MEANING:
        return _MEANING[bare]
    begin = _MARKS.match(text)
    leading = _YES_NO.match(text, begin.end() if begin else 0) or _LEADING.match(text, begin.end() if begin else 0)
    if leading is None:
        return None
    said = leading.group().strip(" .,!;:)*\"'\u2013\u2014-").casefold()
    word = _MEANING[said]
    # "Yes or no" and "no doubt" are no answers.
    behind = text[leading.end() :]
    if re.match(r"[\W_]{0,4}(?:or|and|and/or)\b|\s+(?:doubt|question|way\sto|idea|one)\b", behind, re.IGNORECASE):
        return None
    if retracts(behind):
        return None
    others = {match.group().casefold() for match in undenied(_YES_NO, behind)} - {word}
    return None if others and said in ("yes", "no") and len(behind) < 40 else word


def affirmed(text: str, question: str) -> str | NoAnswer | None:
    """What the sentences of ``text`` say to a question of yes or no; None where they use none of its words."""
    if not _QUESTION.search(question) or len(text) > _LONGEST:
        return None
    wanted = set(_stems(question))
    said: set[str] = set()
    for sentence in re.split(r"(?<=[.!?])\s+|\n", text):
        if not wanted.intersection(_stems(sentence)):
            continue
        if is_unsure(sentence) or _HEDGED.search(sentence):
            return NoAnswer.UNSURE
        clauses = [clause for clause in _CLAUSE.split(sentence) if wanted.intersection(_stems(clause))]
        said.add("no" if any(_NEGATES.search(clause) for clause in clauses) else "yes")
    if len(said) > 1:
        return NoAnswer.SEVERAL
    return said.pop() if said else None


def yes_no_readers(question: str) -> tuple[Reader, Reader]:
    """How a text is read that answers ``question`` with yes or no."""

    def whole(text: str) -> Read | None:
        if _EITHER.search(text):
            return NoAnswer.SEVERAL
        return yes_no_alone(text)

    def within(text: str) -> Read | None:
        return yes_no(text) or affirmed(text, question)

    return whole, within


def _stems(text: str) -> Iterable[str]:
    words = (word.casefold() for word in _WORD.findall(text[:_LONGEST]))
    return (re.sub(r"(?:ing|ped|ions?|ed|es|s|e)\Z", "", word) for word in words if not _PLAIN.fullmatch(word))
