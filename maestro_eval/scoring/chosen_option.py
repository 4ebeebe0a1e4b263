"""Find the option that a text chooses, as a careful human reads it: by letter, own text or value, or by a sentence.

`options` compares texts and values, and finds letters; this module applies them in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from maestro_eval.records import NoAnswer
from maestro_eval.scoring.extract import UNSURE, Reply, candidates, concluded
from maestro_eval.scoring.fair import Read, Reader
from maestro_eval.scoring.negation import denied, undenied
from maestro_eval.scoring.numerals import words_as_digits
from maestro_eval.scoring.options import LETTERS, choice_letter, lone_letter, option_letter
from maestro_eval.scoring.subject import (
    CLAUSE,
    HEDGED,
    gives_another,
    is_other_thing,
    of_another,
    of_nothing_asked,
    stems,
    thing_asked,
)
from maestro_eval.scoring.yes_no import affirmed, opposite, yes_no_alone

_LONGEST_SENTENCE = 1000
_PREFIX = re.compile(
    r"[\s(*_\"'$]{0,4}(?:(?:the|my|is|it(?:\sis|'s)|correct|right|final|be)\s+){0,4}(?:option|choice|answer|letter|label|alternative)"
    r"(?:\s(?:is|labell?ed|marked))?\s*:?\s+(?=\W{0,4}[A-Za-z](?![^\W_]))"
    r"|(?:\u6545|\u5e94|\u6211|\u6240\u4ee5|\u672c\u9898)?\u9009\u62e9?\s(?=[A-Z](?![^\W_]))",
    re.IGNORECASE,
)
_LETTER = r"[(\[{*_`\"'$]{0,4}(?:\\(?:text|textbf|mathrm|mathbf)\{\(?)?([A-Z])(?![^\W_])[)\]}*_`\"'$]{0,4}"
_JOINED = re.compile(
    rf"[\W_]{{0,6}}(?:(?:either|both|between|options?|choices?|maybe|perhaps|possibly)\s+){{0,3}}{_LETTER}[\W_]{{0,3}}"
    rf"(?:\b(?:or|and|nor|and/or|versus|vs)\b|[/,&+])[\W_]{{0,4}}(?:(?:maybe|perhaps|possibly|even|option|choice|both)\s+){{0,2}}{_LETTER}"
    r"(?!\s+[a-z])"
)
_LETTER_LAST = re.compile(
    r"(?P<text>\S[^\n]{0,200}?)(?:,|\s[\u2013\u2014-])\s{1,3}[(\[*]{0,3}([A-Z])[)\]*]{0,3}[\s.*]{0,4}"
)
# "The car on the left" describes an option that has no text.
_DESCRIPTION = re.compile(r"(?i:the|that|this)\s[^A-Z.,;:!?]{1,80}")
_NEGATED_QUESTION = re.compile(
    r"\b(?:not|cannot|never|except|impossible|least|incorrect|false|wrong)\b|n['\u2019]t\b", re.IGNORECASE
)
_PREDICATE = re.compile(
    r"\b(?:it['\u2019]s|is|are|was|were|be|would|will|should|see|holds?|wears?|sits?|stands?|lies|hangs?|looks?|appears?|seems?|shows?|equals?|measures?|gives?|reads?|says?|has|have|contains?|depicts?|represents?|called|named"
    r"|matches|suggests?|indicates?|likely|probably)\b|[=:\u2248]",
    re.IGNORECASE,
)
_OF_ANSWER = re.compile(
    r"\b(?:it(?:\sis|'s)?|answer(?:\sis)?|is)\s(?:definitely\s)?(?:not|n't)\W{0,4}(?:option\s)?[A-Z]\b|\b(?:correct|answer|right|wrong)\b",
    re.IGNORECASE,
)
_CALLED_RIGHT = re.compile(
    r"(?:\A|[,;.:]\s{1,3})(?:[Oo]nly\s)?(?:(?i:option|choice|picture|figure|image)\s)?\(?([A-Z])\)?\s"
    r"(?:(?:is|must\sbe|seems)\s(?:the\s)?(?:only\s(?:one|option|choice)(?=\W*\Z|\sthat\s(?:fits|matches|works|remains|is\s(?:correct|right|left))\b)|correct|right|best)"
    r"|(?:best\s|also\s)?(?:matches|fits|describes|remains))\b(?!\sor\b)"
)
# "Picture B shows the mirror image", if the question asks which one does.
_ECHOED = re.compile(
    r"(?:The\s)?(?P<noun>[A-Za-z]{3,20})\s[(*]{0,3}(?P<letter>[A-Z])[)*]{0,3}\s(?P<rest>[^.,;:!?0-9\n]{3,200})[.!]?\s*"
)
# "It has a white handle" is about a part, but a surface represents the whole.
_HAS = re.compile(r"ha(?:s|ve)|contains?|see|holds?|wears?", re.IGNORECASE)
_SURFACE = re.compile(
    r"[a-z]+(?:ing|ed|ly)|colou?r|colou?ration|hue|shade|tone|tint|finish|paint(?:job)?|body|bodywork|exterior|surface|coat|fur"
    r"|skin|frame|structure|shell|material|fabric|appearance|look|and|in|on|at|of|with|from|which|where|when|while|because|since|due|here|there|as",
    re.IGNORECASE,
)
# "Next to a white car", "held by a man in white"; "the handle of the umbrella".
_BESIDE = re.compile(
    r"\b(?:next\sto|beside|near|behind|by|against|under|above|below|in\sfront\sof|with|close\sto)\s(?:(?:the|an?)\s)?([a-z]*)",
    re.IGNORECASE,
)
_PART_OF = re.compile(
    r"\bthe\s(?!(?:majority|whole|most|type|kind|name|number|value)\b)([a-z]{3,20})\sof\s"
    r"|['\u2019]s\s(?:[a-z-]{1,20}\s){0,2}([a-z]{3,20})\s*\Z",
    re.IGNORECASE,
)
_NEXT_WORD = re.compile(r"\s+([A-Za-z][A-Za-z'-]*)")
_SHORT = 40
_FEW_WORDS, _MANY_WORDS = 3, 4
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n")
_DEGREES = re.compile(r"\u00b0(?=\s[a-z])")
_NUMBERS = re.compile(r"[\[(]?[0-9.]{1,9}(?:(?:\s?(?:,|;|->|[-\u2013\u2192])\s?|\s)[0-9.]{1,9}){1,20}[\])]?")
_SPACED_NUMBERS = re.compile(r"\[?[0-9.]{1,9}(?:\s[0-9.]{1,9}){1,20}\]?")
_DIGITS = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_WORD = re.compile(r"[^\W\d_]{3,}")
_CANDIDATE_LETTER = re.compile(r"(?<![^\W_])[(\[*]{0,3}([A-Z])[)\]*]{0,3}(?![^\W_])")


def option_readers(choices: tuple[str, ...], question: str) -> tuple[Reader, Reader]:
    """Make the readers of a text that chooses one of ``choices`` (any letter if there are none)."""
    letters = LETTERS[: len(choices) or None]
    yes_no = _yes_no_letters(choices)
    distinct = _distinct_words(choices)
    about = {*stems(f"{question} option choice")}

    def whole(text: str) -> Read | None:
        if (joined := _JOINED.match(text)) and joined[1] != joined[2] and not _chosen_text(text, choices):
            return NoAnswer.SEVERAL
        prefixed = _PREFIX.match(text)
        bare = text[prefixed.end() :] if prefixed else text
        lone = lone_letter(bare)
        if lone and lone.upper() in letters:
            return lone.upper()
        if gives_another(bare, question):
            return None
        by_text = _chosen_text(bare, choices) or _same_numbers(bare, choices)
        if by_text:
            return by_text
        return _letter_last(bare, letters, choices)

    def within(text: str) -> Read | None:
        letter = option_letter(text, len(letters))
        if letter:
            return letter
        called_right = {match[1] for match in undenied(_CALLED_RIGHT, text[-_LONGEST_SENTENCE:])}
        if len(called_right) == 1:
            return called_right.pop()
        echoed = {letter for letter in _echoed(text[-_LONGEST_SENTENCE:], about) if letter in letters}
        if len(echoed) == 1:
            return echoed.pop()
        if _NEGATED_QUESTION.search(question) and (only := _only_denied(text, letters)):
            return only
        sentence = _mentioned(text, choices, distinct, question)
        if sentence:
            return sentence
        if yes_no:
            word = yes_no_alone(text) or affirmed(text, question)
            return yes_no[word] if isinstance(word, str) and word in yes_no else None
        if _several_lines(text, letters):
            return NoAnswer.SEVERAL
        return NoAnswer.DENIED if len(text) < _SHORT and _only_denied(text, letters) else None

    return whole, within


def _chosen_text(text: str, choices: tuple[str, ...]) -> str | None:
    if not choices or lone_letter(text):
        return None
    choices = tuple(_DEGREES.sub(" degrees", choice) for choice in choices)
    text = _DEGREES.sub(" degrees", text.strip().lstrip("#"))
    if not _DIGITS.search(text):
        text = text.replace("-", " ")
    tails = tuple(choice.rpartition("=")[2] for choice in choices) if all("=" in choice for choice in choices) else ()
    return choice_letter(text, choices) or (choice_letter(text.rpartition("=")[2], tails) if tails else None)


def _letter_last(text: str, letters: str, choices: tuple[str, ...]) -> str | None:
    """Return the letter of "the blue one, B" if the text is that of the option."""
    match = _LETTER_LAST.fullmatch(text)
    if match is None or match[2] not in letters or HEDGED.search(match["text"]):
        return None
    meant = _options_in(match["text"], choices) == {match[2]} if choices else _DESCRIPTION.fullmatch(match["text"])
    return match[2] if meant else None


def _yes_no_letters(choices: tuple[str, ...]) -> dict[str, str]:
    words = {choice.strip().strip(".").casefold(): letter for choice, letter in zip(choices, LETTERS, strict=False)}
    return {word: words[word] for word in ("yes", "no")} if {"yes", "no"} <= words.keys() else {}


def _only_denied(text: str, letters: str) -> str | None:
    """Return the one letter that a text denies, for a question that asks which one is not so: "D cannot be formed"."""
    if _OF_ANSWER.search(text[:_LONGEST_SENTENCE]):
        return None
    places = [match for match in _CANDIDATE_LETTER.finditer(text[:_LONGEST_SENTENCE]) if match[1] in letters]
    refused = {match[1] for match in places if denied(text, *match.span())}
    return refused.pop() if len(refused) == 1 else None


def _echoed(text: str, about: set[str]) -> Iterator[str]:
    """Yield the letters about which a sentence says what the question asks for, in the question's words alone."""
    for sentence in _SENTENCE_END.split(text):
        match = _ECHOED.fullmatch(sentence)
        if (
            match
            and (said := {*stems(f"{match['noun']} {match['rest']}")})
            and said <= about
            and not denied(sentence, *match.span("letter"))
            and " no " not in sentence
        ):
            yield match["letter"]


def _mentioned(text: str, choices: tuple[str, ...], distinct: list[set[str]], question: str) -> str | None:
    """Return the one option that the last, else the first sentence states, by text or own words: "The car is blue"."""
    sentences = [part for part in _SENTENCE_END.split(text[-_LONGEST_SENTENCE:]) if part.strip()]
    asked = {*stems(" ".join((question, *choices)))}
    # The subjects of options that are sentences.
    subjects = " ".join(choice[: said.start()] for choice in choices if (said := _PREDICATE.search(choice)))
    # "The car is red. It's next to a blue house": try the sentence about the thing asked first.
    for sentence in sorted((*sentences[-1:], *sentences[:1]), key=lambda each: not _says_of(each, question)):
        if HEDGED.search(sentence) or UNSURE.search(sentence):
            return None
        # "The shop has a red door, and the car is green": a clause about another thing is left out.
        clauses = re.split(r",\s(?:and|but|while)\s", concluded(sentence))
        spoken = [(clause, said) for clause in clauses if (said := _PREDICATE.search(clause))]
        others = [clause for clause, said in spoken if of_another(clause[: said.start()], question)]
        sentence = ", ".join(clause for clause in clauses if len(others) == len(clauses) or clause not in others)
        if choices and all(map(_DIGITS.search, choices)):
            sentence = words_as_digits(sentence)
        said = _PREDICATE.search(sentence)
        # "The frogs would increase. The flies would decrease."
        foretold = said is not None and said[0].casefold() in ("would", "will", "should")
        if said and (subjects or foretold) and of_nothing_asked(sentence[: said.start()], subjects or question):
            continue
        found = _options_in(sentence, choices)
        if not found and not re.search(r"\bno\b", sentence, re.IGNORECASE):
            found = _named_by(sentence, distinct)
        if len(found) == 1:
            (letter,) = found
            choice = choices[LETTERS.index(letter)]
            described = bool(distinct) and asked.issuperset(stems(sentence))
            phrase = not said and (described or len(choice.split()) >= _FEW_WORDS)
            return letter if phrase or (said and _says_it_of(sentence, choice, question)) else None
        if found:
            return None
    return None


def _says_it_of(sentence: str, choice: str, question: str) -> bool:
    """Return whether a sentence is about the thing asked, not about a part or neighbour: "has a white handle"."""
    option = re.search(_spelled(choice), sentence, re.IGNORECASE)
    place = option.start() if option else len(sentence)
    said = next((match for match in reversed([*_PREDICATE.finditer(sentence)]) if match.end() <= place), None)
    subject = CLAUSE.split(sentence[: said.start() if said else place])[-1]
    next_word = _NEXT_WORD.match(sentence[option.end() :]) if option else None
    behind = next_word[1].casefold() if next_word else ""
    asked = thing_asked(question)
    if opposite(sentence[:place] + sentence[option.end() :] if option else "", question):
        return False
    if {*stems(behind)} & {*stems(asked)}:
        # "She holds a white umbrella."
        return True
    named = [word or behind for word in _BESIDE.findall(sentence[said.end() : place] if said else "")]
    named += [first or last for first, last in _PART_OF.findall(subject)]
    inverted = _BESIDE.match(subject.strip())
    if (said and (inverted or _HAS.fullmatch(said[0]))) or is_other_thing({*stems(behind)}, {*stems(asked)}):
        named.append(behind)
    known = {*stems(asked), *stems(choice)}
    elsewhere = any(not known.issuperset(stems(word)) and not _SURFACE.fullmatch(word) for word in named)
    return not elsewhere and not of_another(subject, question)


def _says_of(sentence: str, question: str) -> bool:
    said = None if HEDGED.search(sentence) else _PREDICATE.search(sentence)
    return said is not None and bool({*stems(question)}.intersection(stems(sentence[: said.start()])))


def _options_in(sentence: str, choices: tuple[str, ...]) -> set[str]:
    rest, found = sentence, set()
    # The longest first, so that "dark red" is not also "red".
    for index in sorted(range(len(choices)), key=lambda at: -len(choices[at])):
        text = choices[index].strip().strip(".$")
        # "No" in a sentence is not that option: "no clear answer".
        if (len(text) < 2 and not text.isdigit()) or text.casefold() == "no":
            continue
        pattern = re.compile(
            r"(?<![^\W_])(?<![0-9].)(?<![0-9\u00b0]\s[-+*/\u2212\u00d7]\s)" + _spelled(text) + r"(?![^\W_])(?!\.[0-9])"
            # "6" is not the option in "6√2".
            r"(?!\s?(?:[\u221a\u03c0^]|\\(?:sqrt|pi|frac)|\u00b0?\s?[-+*/\u2212\u00d7]\s?[0-9]))",
            re.IGNORECASE,
        )
        if any(True for _ in undenied(pattern, rest)):
            found.add(LETTERS[index])
        rest = pattern.sub(" ", rest)
    return found


def _spelled(choice: str) -> str:
    """Return a pattern for an option's text in its usual spellings: "light-blue", "counter-clockwise", "wooden"."""
    text = re.escape(choice.strip().strip(".$")).replace("\\ ", "[ -]")
    return re.sub(r"(?<=[a-z])(?=[a-z])", "-?", text) + ("(?:en|s)?" if text.isalpha() else "")


def _same_numbers(text: str, choices: tuple[str, ...]) -> str | None:
    """Return the one option with the same row of numbers: "4, 5, 3" is "4 5 3", "(638, 481)" is "[638 481]"."""
    if not _NUMBERS.fullmatch(text.strip()):
        return None
    given = _DIGITS.findall(text)
    found = [
        letter
        for letter, choice in zip(LETTERS, choices, strict=False)
        if _SPACED_NUMBERS.fullmatch(choice.strip()) and _DIGITS.findall(choice) == given
    ]
    return found[0] if len(found) == 1 else None


def _distinct_words(choices: tuple[str, ...]) -> list[set[str]]:
    """Return the words of each option that no other has; empty if an option has none, or numbers."""
    words = [set(stems(choice)) for choice in choices]
    distinct = [
        own.difference(*(other for place, other in enumerate(words) if place != at)) for at, own in enumerate(words)
    ]
    return distinct if all(distinct) and not any(map(_DIGITS.search, choices)) else []


def _named_by(sentence: str, distinct: list[set[str]]) -> set[str]:
    """Return the options all of whose own words a sentence has, undenied; none if it has words of another."""
    said = set(stems(" ".join(match[0] for match in undenied(_WORD, sentence))))
    touched = {letter for letter, own in zip(LETTERS, distinct, strict=False) if own & said}
    return {
        letter
        for letter, own in zip(LETTERS, distinct, strict=False)
        # One of many words may have another form.
        if len(own - said) <= (len(own) >= _MANY_WORDS) and touched == {letter}
    }


def lists_letters(reply: Reply) -> bool:
    """Return whether a reply without a statement has lines that are letters, and not all the same one."""
    if any(candidate.stated for candidate in candidates(reply.text)):
        return False
    return _several_lines(reply.text, LETTERS)


def _several_lines(text: str, letters: str) -> bool:
    lone = {letter for line in text.split("\n") if (letter := lone_letter(line)) and letter in letters}
    return len(lone) > 1
