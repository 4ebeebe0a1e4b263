"""Which option does a careful human take a text to choose? By its letter, by its own text or value, or by a sentence.

``options`` compares texts and values, ``letters`` finds letters; here they are put in order.
"""

from __future__ import annotations

import re

from maestro_eval.records import NoAnswer
from maestro_eval.scoring.extract import Reply, candidates, is_unsure
from maestro_eval.scoring.fair import Read, Reader
from maestro_eval.scoring.letters import lone_letter, option_letter
from maestro_eval.scoring.negation import denied, undenied
from maestro_eval.scoring.options import choice_letter
from maestro_eval.scoring.yes_no import affirmed, yes_no_alone

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MOST = 26
_LONGEST_SENTENCE = 1000
_PREFIX = re.compile(
    r"[\s(*_\"'$]{0,4}(?:(?:the|my|is|it(?:\sis|'s)|correct|right|final|be)\s+){0,4}(?:option|choice|answer|letter|label|alternative)"
    r"(?:\s(?:is|labell?ed|marked))?\s*:?\s+(?=\W{0,4}[A-Za-z](?![^\W_]))",
    re.IGNORECASE,
)
_LETTER = r"[(\[{*_`\"'$]{0,4}(?:\\(?:text|textbf|mathrm|mathbf)\{\(?)?([A-Z])(?![^\W_])[)\]}*_`\"'$]{0,4}"
_JOINED = re.compile(
    rf"[\W_]{{0,6}}(?:(?:either|both|between|options?|choices?|maybe|perhaps|possibly)\s+){{0,3}}{_LETTER}[\W_]{{0,3}}"
    rf"(?:\b(?:or|and|nor|and/or|versus|vs)\b|[/,&+])[\W_]{{0,4}}(?:(?:maybe|perhaps|possibly|even|option|choice|both)\s+){{0,2}}{_LETTER}"
    r"(?!\s+[a-z])"
)
_CORRECTED = re.compile(
    rf"[\W_]{{0,6}}{_LETTER}[\W_]{{1,5}}(?:no|wait|actually|sorry|oops|hmm+|correction|or\srather|scratch\sthat)\b",
    re.IGNORECASE,
)
_WITH_TEXT = re.compile(
    rf"[\W_]{{0,4}}{_LETTER}[ \t]{{0,3}}(?:[).:,=\u2013\u2014-]{{1,2}})?[ \t\n]{{0,3}}(?P<text>\S.*)", re.DOTALL
)
_TEXT_FIRST = re.compile(r"(?P<text>\S.{0,400}?)[ \t]{0,3}[(\[]([A-Z])[)\]][\s.*]{0,4}")
_DENIED = re.compile(
    r"[\W_]{0,6}(?:(?:it|this|the\sanswer)(?:\sis|'s)?\s+)?(?:definitely\s|certainly\s)?(?:not|never|neither)\b",
    re.IGNORECASE,
)
_TURNED = re.compile(r"\b(?:but|rather)\b", re.IGNORECASE)
_NEGATED_QUESTION = re.compile(
    r"\b(?:not|cannot|never|except|impossible|least|incorrect|false|wrong)\b|n['\u2019]t\b", re.IGNORECASE
)
_PREDICATE = re.compile(
    r"\b(?:is|are|was|were|be|looks?|appears?|seems?|shows?|equals?|measures?|gives?|has|have|contains?|depicts?|represents?|called|named"
    r"|matches|suggests?|indicates?|likely|probably)\b|[=:\u2248]",
    re.IGNORECASE,
)
_HEDGED = re.compile(r"\b(?:could|may|might|either|or|whether|if|unless|both)\b", re.IGNORECASE)
_OF_ANSWER = re.compile(
    r"\b(?:it(?:\sis|'s)?|answer(?:\sis)?|is)\s(?:definitely\s)?(?:not|n't)\W{0,4}(?:option\s)?[A-Z]\b|\b(?:correct|answer|right|wrong)\b",
    re.IGNORECASE,
)
_CALLED_RIGHT = re.compile(
    r"(?:\A|[,;.:]\s{1,3})\(?([A-Z])\)?\s(?:is|must\sbe|seems)\s(?:the\s)?(?:correct|right|best)\b(?!\sor\b)"
)
_CANDIDATE_LETTER = re.compile(r"(?<![^\W_])[(\[*]{0,3}([A-Z])[)\]*]{0,3}(?![^\W_])")


def option_readers(choices: tuple[str, ...], question: str) -> tuple[Reader, Reader]:
    """How a text is read that chooses one of ``choices`` (letters without a known text where there are none)."""
    letters = [chr(ord("A") + index) for index in range(min(len(choices) or _MOST, _MOST))]
    yes_no = _yes_no_letters(choices)

    def whole(text: str) -> Read | None:
        if (joined := _JOINED.match(text)) and joined[1] != joined[2] and not _chosen_text(text, choices):
            return NoAnswer.SEVERAL
        if _DENIED.match(text) and not _TURNED.search(text) and _CANDIDATE_LETTER.search(text) and len(text) < 40:
            return NoAnswer.DENIED
        prefixed = _PREFIX.match(text)
        bare = text[prefixed.end() :] if prefixed else text
        lone = lone_letter(bare)
        if lone and lone.upper() in letters:
            return lone.upper()
        by_text = _chosen_text(bare, choices)
        if by_text:
            return by_text
        with_text = _letter_with_text(bare, letters, choices)
        return with_text or (NoAnswer.RETRACTED if _CORRECTED.match(text) else None)

    def within(text: str) -> Read | None:
        letter = option_letter(text, len(letters))
        if letter:
            return letter
        called_right = {match[1] for match in undenied(_CALLED_RIGHT, text[-_LONGEST_SENTENCE:])}
        if len(called_right) == 1:
            return called_right.pop()
        if _NEGATED_QUESTION.search(question) and (only := _only_denied(text, letters)):
            return only
        sentence = _mentioned(text, choices)
        if sentence:
            return sentence
        if yes_no:
            word = yes_no_alone(text) or affirmed(text, question)
            return yes_no[word] if isinstance(word, str) and word in yes_no else None
        return NoAnswer.SEVERAL if _several_lines(text, letters) else None

    return whole, within


def _chosen_text(text: str, choices: tuple[str, ...]) -> str | None:
    return choice_letter(text, choices) if choices and not (lone_letter(text)) else None


def _letter_with_text(text: str, letters: list[str], choices: tuple[str, ...]) -> str | None:
    """The letter of "B. Blue", "B) Blue", "B: Blue", "Blue (B)", where the text is an option's own."""
    match = _WITH_TEXT.fullmatch(text)
    if match and match[1] in letters and _option_text(match["text"], choices):
        return match[1]
    match = _TEXT_FIRST.fullmatch(text)
    if match and match[2] in letters and _option_text(match["text"], choices):
        return match[2]
    return None


def _option_text(text: str, choices: tuple[str, ...]) -> bool:
    bare = text.strip().strip("()[]*_`\"' ").removesuffix(".")
    return bool(choice_letter(bare, choices))


def _yes_no_letters(choices: tuple[str, ...]) -> dict[str, str]:
    words = {
        choice.strip().strip(".").casefold(): chr(ord("A") + index) for index, choice in enumerate(choices[:_MOST])
    }
    return (
        {word: letter for word, letter in words.items() if word in ("yes", "no")}
        if {"yes", "no"} <= words.keys()
        else {}
    )


def _only_denied(text: str, letters: list[str]) -> str | None:
    """The one letter that a text denies, where the question asks which one is not so: "D cannot be formed"."""
    if _OF_ANSWER.search(text[:_LONGEST_SENTENCE]):
        return None
    named = {match[1] for match in _CANDIDATE_LETTER.finditer(text[:_LONGEST_SENTENCE]) if match[1] in letters}
    places = [match for match in _CANDIDATE_LETTER.finditer(text[:_LONGEST_SENTENCE]) if match[1] in letters]
    refused = {match[1] for match in places if denied(text, *match.span())}
    return refused.pop() if len(refused) == 1 and named else None


def _mentioned(text: str, choices: tuple[str, ...]) -> str | None:
    """The one option whose text a sentence states: "The car is blue." The last sentence, else the first."""
    sentences = [part for part in re.split(r"(?<=[.!?])\s+|\n", text[-_LONGEST_SENTENCE:]) if part.strip()]
    for sentence in (*sentences[-1:], *sentences[:1]):
        if _HEDGED.search(sentence) or is_unsure(sentence):
            return None
        said = _PREDICATE.search(sentence)
        if said is None:
            continue
        found = _options_in(sentence, choices)
        if len(found) == 1:
            return found.pop()
        if found:
            return None
    return None


def _options_in(sentence: str, choices: tuple[str, ...]) -> set[str]:
    rest, found = sentence, set()
    # The longest first, so that "dark red" is not also "red".
    for index in sorted(range(len(choices)), key=lambda at: -len(choices[at])):
        text = choices[index].strip().strip(".$")
        if len(text) < 2 and not text.isdigit():
            continue
        pattern = re.compile(r"(?<![^\W_])(?<![0-9].)" + re.escape(text) + r"(?![^\W_])(?!\.[0-9])", re.IGNORECASE)
        if any(True for _ in undenied(pattern, rest)):
            found.add(chr(ord("A") + index))
        rest = pattern.sub(" ", rest)
    return found


def lists_letters(reply: Reply) -> bool:
    """Whether a reply that states nothing has lines that are letters, and not all the same one."""
    if any(candidate.stated for candidate in candidates(reply.text)):
        return False
    return _several_lines(reply.text, list(_LETTERS))


def _several_lines(text: str, letters: list[str]) -> bool:
    lone = {letter for line in text.split("\n") if (letter := lone_letter(line)) and letter in letters}
    return len(lone) > 1
