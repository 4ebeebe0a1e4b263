"""Find yes or no in a reply: the word, or a sentence that affirms or denies what the question asks.

``The circles are not touching.`` answers ``Are the two circles touching?`` with no. A sentence answers only if it uses
the question's own words, and says neither that it may be so nor that nobody can know.
"""

from __future__ import annotations

import re

from maestro_eval.records import NoAnswer
from maestro_eval.scoring.extract import UNSURE, retracts
from maestro_eval.scoring.fair import Read, Reader
from maestro_eval.scoring.negation import undenied
from maestro_eval.scoring.subject import HEDGED, is_other_thing, names_another, stems

# "No" answers only if no word follows that it could belong to, unlike "no gap", "no question", "no-one".
_YES_NO = re.compile(
    r"(?<![^\W_])(?:yes|no(?=[ \t]*(?:$|\n|(?!-\w)[^\w\s]|_"
    r"|(?:because|since|as|it|they|there|this|that|the|these|those|he|she|we|i)\b)))(?![^\W_])",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"(?:yeah|yep|nope|true|false|correct|incorrect)(?=[.,!;:)*\"'\u2013\u2014]|\s*\Z)", re.IGNORECASE
)
_WORDS = {
    "yes": "yes yeah yep true correct 是 是的 对 有 sí si oui ja sim はい 예",
    "no": "no nope false incorrect 否 不是 没有 不 non nein não いいえ 아니요",
}
_MEANING = {written: word for word, spellings in _WORDS.items() for written in spellings.split()}
_SHORT_SENTENCE = re.compile(
    r"(?:it|they|he|she|there)\s(?:is|are|does|do|did|has|have|can|was|were)(?P<no>\s?(?:not|n['\u2019]t)(?:\sany)?)?[\W_]*",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[,:;\u2014]\s|\s-\s|\bbut\b")
_MARKS = re.compile(r"[\W_]{0,8}")
_QUESTION = re.compile(r"\b(?:is|are|was|were|do|does|did|has|have|can|could|will|would|should)\b", re.IGNORECASE)
_NEGATES = re.compile(
    r"\b(?:not(?!\sonly)|never|no(?!\s(?:doubt|question))|none|neither|nothing|cannot|without|absent|lacks?|fails?)\b|\b(?:nearly|almost|close\sto|short\sof)\s(?:touch|overlap|meet|cross|intersect)|n['\u2019]t\b|\bfree\sof\b",
    re.IGNORECASE,
)
# Absence of what the question asks for.
_NO_GAP = re.compile(r"\bno\s(?:visible\s|clear\s)?(?:gap|space)\b")
_NOT_VISIBLE = re.compile(r"\bnot\s(?:clearly\s)?(?:visible|seen|present|evident)\b", re.IGNORECASE)
# Opposites as stems.
_OPPOSITES = (
    ("mor", "fewer"), ("mor", "les"), ("larger", "smaller"), ("bigger", "smaller"), ("greater", "smaller"),
    ("greater", "les"), ("higher", "lower"), ("longer", "shorter"), ("abov", "below"), ("left", "right"),
    ("touch", "separat"), ("touch", "apart"), ("overlap", "separat"), ("overlap", "apart"), ("increas", "decreas"),
    ("touch", "gap"), ("overlap", "gap"), ("highest", "lowest"), ("largest", "smallest"), ("most", "least"),
    ("most", "fewest"), ("maximum", "minimum"), ("tallest", "shortest"), ("longest", "shortest"), ("first", "last"),
)  # fmt: skip
_MORE = {"mor", "greater", "larger", "higher", "bigger", "taller", "longer", "abov"}
_LESS = {"les", "fewer", "smaller", "lower", "shorter", "below"}
_DENYING_PREFIX = re.compile(r"\A(?:un|in|im|ir|ab|non|dis)(?=\w{5})")
_NUMBER = re.compile(r"(?<![\w.])(?!(?:19|20)[0-9]{2}\b)[0-9][0-9,.]*")
_LONGEST = 2000


def yes_no(text: str) -> str | None:
    """Return ``yes`` or ``no``: the only one that is a separate word and not denied ("not yes" is neither)."""
    words = {match.group().casefold() for match in undenied(_YES_NO, text)}
    return words.pop() if len(words) == 1 else None


def yes_no_alone(text: str) -> str | None:
    """Return ``yes`` or ``no`` if ``text`` is that word, or begins with it and explains it."""
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
    return word


def affirmed(text: str, question: str) -> str | NoAnswer | None:
    """Return what the sentences of ``text`` answer to a yes-or-no question; None if they use none of its words."""
    if not _QUESTION.search(question) or len(text) > _LONGEST:
        return None
    wanted = set(stems(question))
    said: set[str] = set()
    for sentence in re.split(r"(?<=[.!?])\s+|\n", text):
        if not wanted.intersection(stems(sentence)) and not opposite(sentence, question):
            continue
        sentence = _NO_GAP.sub("contact", _NOT_VISIBLE.sub("absent", sentence))
        if UNSURE.search(sentence) or HEDGED.search(sentence) or _of_another(sentence, question):
            return NoAnswer.UNSURE
        if " than " in question:
            compared = _compared(sentence, question)
            if compared is NoAnswer.UNSURE:
                return compared
            if compared is not None:
                said.add(compared)
            continue
        clauses = [clause for clause in _CLAUSE.split(sentence) if wanted.intersection(stems(clause))]
        negated = any(_NEGATES.search(clause) for clause in clauses)
        if opposite(sentence, question):
            # "It is not larger" may mean that it is as large.
            if negated:
                return NoAnswer.UNSURE
            negated = True
        said.add("no" if negated else "yes")
    if len(said) > 1:
        return NoAnswer.SEVERAL
    return said.pop() if said else None


def _of_another(sentence: str, question: str) -> bool:
    """Return whether a sentence is about another name, year, thing or number than the question: June for May."""
    asked, said = (
        {found.strip(",.") for found in _NUMBER.findall(text)} for text in (question.partition("?")[0], sentence)
    )
    # "48 is greater than 46" compares with the number in the question.
    if asked and said and not asked & said:
        return True
    return names_another(sentence, question) or is_other_thing({*stems(sentence)}, {*stems(question)})


def opposite(sentence: str, question: str) -> bool:
    """Return whether a sentence opposes a word of the question: "smaller" for "larger", "abnormal" for "normal"."""
    asked, said = set(stems(question.partition("?")[0])), set(stems(sentence))
    only_asked, only_said = asked - said, said - asked
    if any(
        (one in only_asked and other in only_said) or (other in only_asked and one in only_said)
        for one, other in _OPPOSITES
    ):
        return True
    denying = {_DENYING_PREFIX.sub("", word) for word in only_said} & only_asked
    return bool(denying or {_DENYING_PREFIX.sub("", word) for word in only_asked} & only_said)


def _compared(sentence: str, question: str) -> str | NoAnswer | None:
    """Return what a sentence answers to "is A larger than B?", also about B; None if it compares other things."""
    before, after = question.partition("?")[0].split(" than ", 1)
    asked, other = set(stems(before)), set(stems(after))
    measure = {word for word in asked - other if word.endswith("er") or word in _MORE | _LESS} or {[*stems(before)][-1]}
    a, b = asked - other - measure, other - asked
    for clause in _CLAUSE.split(sentence):
        words = set(stems(clause))
        if measure & words:
            same = True
        elif measure & (_MORE | _LESS) and words & (_MORE | _LESS):
            same = bool(words & _MORE) == bool(measure & _MORE)
        else:
            continue
        first, second = (set(stems(part)) for part in clause.partition(" than ")[::2])
        turned = bool(first & b and second & a) if " than " in clause else bool(first & b)
        # "A is as large as B"; "A is larger than C".
        if (first & a and first & b) or (b and second and not turned and not second & b):
            return None
        if _NEGATES.search(clause):
            # "It is not smaller" may mean that it is as large.
            return NoAnswer.UNSURE if turned or not same else "no"
        return "yes" if same != turned else "no"
    return None


def yes_no_readers(question: str) -> tuple[Reader, Reader]:
    """Make the readers of a text that answers ``question`` with yes or no."""

    def within(text: str) -> Read | None:
        short = _SHORT_SENTENCE.fullmatch(text)
        return "no" if short and short["no"] else "yes" if short else yes_no(text) or affirmed(text, question)

    return yes_no_alone, within
