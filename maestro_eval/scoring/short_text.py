"""Compare a reply with short texts, ignoring case, punctuation, articles and the words around the answer.

A sentence answers if its predicate is the target ("The organ is the liver."), or if the target is the subject of the
question's own words ("Belgium had the highest value").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from maestro_eval.records import NoAnswer
from maestro_eval.scoring.extract import UNSURE, Reply, legible, retracts, untypeset
from maestro_eval.scoring.fair import Reading, behind, stated_forms
from maestro_eval.scoring.negation import denied
from maestro_eval.scoring.subject import CLAUSE, HEDGED, NEGATES, names_another, of_another, of_nothing_asked, stems
from maestro_eval.scoring.yes_no import opposite

_LONGEST_SENTENCE = 300
_COPULA = re.compile(
    r"\b(?:(?:is|are|was|were|be)(?:\s(?:located|found|situated|seen|visible|shown|drawn|marked|represented|indicated))?(?:\s(?:in|on|at|by))?|shows?|depicts?|displays?"
    r"|represents?|stands\sfor|says|reads|ha(?:s|ve)(?=\san?\b)|called|named|contains?|includes?|(?:appears?|seems?|looks?)(?:\sto\sbe)?|helps?(?:\sto)?"
    r"|used\s(?:to|for)|(?:corresponds?|belongs|refers)\sto|consistent\swith|suggestive\sof|suggests?|indicates?)(?:\s?:)?\s+|=\s*",
    re.IGNORECASE,
)
_CONTAINS = re.compile(r"contains?|includes?", re.IGNORECASE)
_PRESENT = re.compile(
    r"\b(?:contain|include)s?\b|\b(?:shown|seen|visible)\b|\bin\sth(?:e|is)\s(?:image|picture|scan|photo)\b",
    re.IGNORECASE,
)
_PARTICIPLE = re.compile("shown|drawn|marked|represented|indicated", re.IGNORECASE)
_LEADING = re.compile(
    r"(?:(?:it|this|that|he|she|they)(?:\sis|'s|\u2019s|\sare|\swas)?|as\sof|in|on|at|from|the|an|a|by|with|to)\s+",
    re.IGNORECASE,
)
_SUBJECT_VERB = re.compile(r"\s(?!(?:and|or|nor)\b)[a-z]+\s")
_LIST = re.compile(r"\s*(?:,|;|/|\band\b|&)\s*")
# "Liver, spleen" names two, "Liver, which is enlarged" one.
_RANK = re.compile(r"\b(?:second|third|fourth|fifth|almost|nearly|behind|after)\b")
_SECOND = re.compile(r"\W*(?:just\s)?(?:behind|after)\s", re.IGNORECASE)
_HIGHEST = re.compile(r"\b(?:highest|largest|most|greatest|biggest|maximum|top)\b", re.IGNORECASE)
_LEADS = re.compile(r"\b(?:leads?|led|tops?|first|highest)\b", re.IGNORECASE)
_COMPARES = re.compile(r"\b(?:than|not|next|close|compared|adjacent|similar|except)\b|n't\b", re.IGNORECASE)
_GOES_ON = re.compile(
    r"\s{0,4}(?:,|&|/|and\b)\s{0,4}(?:and\s)?(?!(?:not|rather|compared|behind|after|before|ahead|followed|at|with)\b)[\w-]{1,30}(?:\s[\w-]{1,30})?\W{0,3}\Z",
    re.IGNORECASE,
)
# "White against the dark ground", "the upper lobe of the lung": what may follow an answer.
_TAIL = re.compile(
    r"\s(?:of\sthe|over|in|on|at|for|from|during|among|compared\s(?:to|with)|relative\sto|against\sthe)\b"
)
# "The image was taken with MRI", "Blue: Belgium".
_PREPOSITION = re.compile(r"(?:\b(?:in|to|by|with)\s|:\s?)(?:(?:the|an?)\s)?", re.IGNORECASE)
_ABBREVIATED = re.compile(r"(\w[\w -]{3,60})\s\(([A-Z]{2,6})\)")
_MOST_JOINTS = 8
_BRACED_SIGN = re.compile(r"(?<=[\^_])\{(\w)\}")
_ITEM = re.compile(r"^\s{0,8}(?:[0-9]{1,2}[.)]|[-*\u2022])\s+", re.MULTILINE)
_YEARS = re.compile(r"\b((?:19|20)[0-9]{2})\s?(?:/|-|\u2013|\bto\b|\band\b)\s?(?:19|20)?([0-9]{2})\b")
_MONTH = re.compile(
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
    r"(?:uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?"
)
# The body part in a picture is not the kind of picture, and both are called views, planes or images.
_GENERIC = re.compile(
    r"images?|scans?|pictures?|views?|planes?|sections?|slices?|films?|seasons?"
    r"|sides?|lines?|bars?|colou?r(?:s|ed)?|shaped?|weighted|between|of|the|an?|and"
)
_MODALITY = re.compile(r"x|ray|xray|ct|mri|ultrasound")
_WEIGHT = re.compile(r"t1|t2|flair")
_BODY = re.compile(r"chest|abdom\w{2,5}|brain|head|neck|pelvi[sc]|lung|thora\w{2,3}|t1|t2|flair")
# Words that may accompany a target of a kind.
_BESIDE = ((_MODALITY, _BODY), (_WEIGHT, _MODALITY))

# "Breathing" is what "breathe" says.
_ENDING = re.compile(r"(?<=\w{4})(?:ing|e|s)\Z|(?<=\w{3})s\Z")
WHOLE = "whole reply"


def short_form(text: str) -> str:
    """Return ``text`` in lower case, without punctuation and a leading article."""
    lowered = text.strip().lower()
    words = "".join(sign if sign.isalnum() else " " for sign in lowered).split()
    if len(words) > 1 and words[0] in ("a", "an", "the"):
        words = words[1:]
    # A target that is all punctuation ("+") is itself.
    return " ".join(words) or lowered


def same_spelling(form: str, target: str) -> bool:
    """Return whether two texts have one short form, ignoring spaces between letters, or list the same members."""
    given, wanted = short_form(form), short_form(target)
    if given == wanted or (wanted.replace(" ", "").isalpha() and given.replace(" ", "") == wanted.replace(" ", "")):
        return True
    # A list in another order is the same list.
    if form.strip()[:1] in "([":
        return False
    members = [sorted(short_form(part) for part in _LIST.split(text) if part.strip()) for text in (form, target)]
    return len(members[1]) > 1 and members[0] == members[1]


def same_meaning(form: str, target: str) -> bool:
    """Return whether two texts have the same words, ignoring plurals, words like "image" and, without digits, order."""
    return same_spelling(form, target) or (_bag(form, target) == _bag(target, target) and "(" not in form[:1])


def same_formula(form: str, target: str) -> bool:
    """Return whether two formulas are equal, ignoring spaces and the dollars around them."""
    bare, wanted = (
        _BRACED_SIGN.sub(r"\1", "".join(text.strip("$ ").removeprefix("\\[").removesuffix("\\]").split())) or text
        for text in (form, target)
    )
    return bare == wanted


def text_reading(
    reply: Reply, targets: Iterable[str], question: str, same: Callable[[str, str], bool] = same_meaning
) -> tuple[Reading, bool]:
    """Return what the reply answers, in its short form, and whether that is the ``same`` as one of ``targets``."""
    if reply.missing is not None:
        return Reading(reply.missing), False
    wanted = [legible(target) for target in targets if target.strip()]
    listed = _ITEM.sub(", ", reply.text).strip(", ") if _ITEM.match(reply.text) else reply.text
    if any(same(whole, target) for target in wanted for whole in (listed, untypeset(reply.text))):
        return Reading(short_form(reply.text), WHOLE), True
    found = list(stated_forms(reply))
    for candidate, form in found:
        rest = behind(candidate, form)
        if _GOES_ON.match(rest) or (_SECOND.match(rest) and "second" not in _ranks(question)):
            continue
        for phrase in _phrases(form, question):
            if any(same(phrase, target) and not _says_another(form, question, target) for target in wanted):
                if retracts(rest):
                    return Reading(NoAnswer.RETRACTED, candidate.rule), False
                return Reading(short_form(phrase), candidate.rule), True
    shown, rule = (found[0][0].text, found[0][0].rule) if found else (reply.text, WHOLE)
    sentence = _echo(shown, wanted, question)
    if sentence is not None:
        return Reading(short_form(sentence), rule), True
    return Reading(short_form(untypeset(shown)), rule), False


def _phrases(form: str, question: str) -> Iterator[str]:
    yield form
    bare = form
    for _ in range(2):
        leading = _LEADING.match(bare)
        if leading is None:
            break
        bare = bare[leading.end() :]
        yield bare
    if len(form) <= _LONGEST_SENTENCE:
        for match in reversed(_of_subject(form, question)[-3:]):
            if not denied(form, match.end(), len(form)):
                predicate = form[match.end() :]
                yield predicate
                yield _TAIL.split(predicate, maxsplit=1)[0]
    yield _TAIL.split(bare, maxsplit=1)[0]
    named = _ABBREVIATED.fullmatch(form)
    if named and named[1][0].casefold() == named[2][0].casefold():
        yield named[2]
    if not _COMPARES.search(form):
        for match in islice(_PREPOSITION.finditer(form[:_LONGEST_SENTENCE]), _MOST_JOINTS):
            if _is_asked(form[: match.start()], question):
                yield _TAIL.split(form[match.end() :], maxsplit=1)[0]


def _of_subject(form: str, question: str) -> list[re.Match[str]]:
    """Return the copulas of a sentence whose subjects share most words with the question."""
    copulas = list(_COPULA.finditer(form))
    asked = set(stems(question))
    begins = [0, *(match.end() for match in copulas)]
    named = [form[begin : match.start()] for begin, match in zip(begins, copulas, strict=False)]
    subjects = [set(stems(name)) for name in named]
    most = max((len(asked & subject) for subject in subjects), default=0)
    return [
        match
        for match, name, subject in zip(copulas, named, subjects, strict=True)
        # "Men are shown in blue" says nothing about women.
        if len(asked & subject) == most
        and not of_another(name, question)
        and (most or not subject or not _PARTICIPLE.search(match[0]))
        # A thing that contains the target contains other things too.
        and (not _CONTAINS.match(match[0]) or _PRESENT.search(question))
    ]


def _bag(text: str, target: str) -> list[str]:
    """Return the words of a text, sorted unless it has numbers, in one form for years, months and plurals."""
    words = short_form(_YEARS.sub(r"\1 \2", text)).split()
    for wanted, beside in _BESIDE:
        if any(map(wanted.fullmatch, short_form(target).split())):
            words = [word for word in words if not beside.fullmatch(word)]
    words = [word for word in words if not _GENERIC.fullmatch(word)] or words
    if any(map(str.isdigit, words)):
        return [word[:3] if _MONTH.fullmatch(word) else word for word in words]
    return sorted(_ENDING.sub("", word) for word in words)


def _echo(text: str, targets: list[str], question: str) -> str | None:
    """Return the target about which a sentence says what the question asks, in the question's own words."""
    sentence = re.split(r"(?<=[.!?])\s+|\n", text.strip().replace("**", ""))[0][:_LONGEST_SENTENCE]
    for target in targets:
        if _says_another(sentence, question, target):
            continue
        name = re.escape(target.strip())
        for clause in CLAUSE.split(sentence):
            if opposite(clause, question):
                # "The bladder is larger than the rectum" names the smaller one.
                if re.search(rf"\bthan\s(?:the\s)?{name}\W*\Z", clause, re.IGNORECASE):
                    return target
                continue
            subject = re.match(
                rf"\W*(?:the\s(?P<kind>\w{{3,20}})\s|the\s|an?\s)?{name}(?:s\b|\s(?:bars?|lines?|slices?|areas?)\b|\sside(?:\sof\sthe\s\w{{1,20}})?)?",
                clause,
                re.IGNORECASE,
            )
            of_asked = subject and not (subject["kind"] and of_nothing_asked(subject["kind"], question))
            if subject and of_asked and _fits(clause[subject.end() :], question):
                return target
    return None


def _fits(predicate: str, question: str) -> bool:
    """Return whether what a sentence says about its subject is what the question asks, mostly in its words."""
    return bool(_SUBJECT_VERB.match(predicate) and not NEGATES.search(predicate)) and _is_asked(
        predicate, question, 2 / 3
    )


def _is_asked(text: str, question: str, share: float = 0.5) -> bool:
    """Return whether most words of a text are the question's, or its rank is: "leads" if the highest is asked."""
    asked, said = set(stems(question)), [*stems(text)]
    leads = _LEADS.search(text) if _HIGHEST.search(question) else _ranks(text) & _ranks(question)
    return bool(leads) or (bool(asked) and sum(word in asked for word in said) >= share * len(said))


def _says_another(sentence: str, question: str, *targets: str) -> bool:
    """Return whether a sentence only weighs an answer, or gives it for another name, year or rank."""
    asked, said = _ranks(question), _ranks(sentence)
    another_rank = bool(said - asked) if not asked else not said & asked and bool(said)
    return (
        bool(HEDGED.search(sentence) or UNSURE.search(sentence))
        or another_rank
        or names_another(sentence, question, *targets)
    )


def _ranks(text: str) -> set[str]:
    """Return the ranks that a text names: "behind" another is second; "first" means the highest and is no rank."""
    return {"second" if word in ("behind", "after") else word for word in _RANK.findall(text.casefold())}
