"""Find the one whole number that a reply counts, though it may list the parts that add up to it.

Of several numbers the count is, in this order: the one in braces, the one in the question's own words, a total ("5 in
total"), the one before a colon ("5: 2 red, 3 blue").
"""

from __future__ import annotations

import re

from maestro_eval.records import NoAnswer
from maestro_eval.scoring.fair import Read, Reader
from maestro_eval.scoring.negation import denied
from maestro_eval.scoring.numerals import WORD, Number, number, numbers, stated_numbers, with_digits
from maestro_eval.scoring.subject import NEGATES, is_other_thing, stems, thing_asked
from maestro_eval.scoring.yes_no import affirmed

_LARGEST = 10**15
_LONGEST, _SHORT = 4000, 60
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
_NOUN = re.compile(
    r"\b(?:how\smany|(?:total\s)?number\sof|count(?:\s(?:the|all|total))?(?:\snumber\sof)?)\s(?:the\s|different\s|total\s|separate\s)?"
    r"(?P<words>[a-z][a-z -]{0,60}?)(?=\s(?:are|is|do|does|did|can|have|has|in|on|of|there|where|that"
    r"|which|go|appear|with|intersect|being|visible"
    r"|from|at|will|were|was|and)\b|[?.,]|\Z)",
    re.IGNORECASE,
)
_NONE = re.compile(
    r"(?:\A[\W_]*(?:none|zero)\b)|\b(?:no|zero|not\sany|aren't\sany)\s|n['\u2019]t\s(?:[a-z]{2,6}\s){0,2}any\s",
    re.IGNORECASE,
)
# "2 of the 5 cows" counts 2.
_OUT_OF = re.compile(rf"\b([0-9]{{1,4}}|{WORD})\s(?:out\s)?of\s(?:the\s)?(?:[0-9]{{1,4}}|{WORD})\b", re.IGNORECASE)
_DEFINITE = re.compile(rf"(?<!\w\sof\s)\b((?:the|these|those)\s)(?:[0-9]{{1,3}}|{WORD})\s(?=[a-z])", re.IGNORECASE)
# A number without its noun.
_OF_NOTHING = re.compile(
    rf"\b(?:[0-9]{{1,4}}|{WORD})\b(?!\s(?!(?:on|in|at|of|are|is|were|was|and|or|by|more|below|above)\b)[a-z])",
    re.IGNORECASE,
)
_THINGS = re.compile(rf"\A\s*(?:(?:the|these|those)\s)?(?:(?:[0-9]{{1,4}}|{WORD})\s)?\S+", re.IGNORECASE)
# "Bar 3 is higher" and "one-coloured" count nothing; "3 trucks" does not count cars.
LABELLED = re.compile(
    rf"\b(?:number|bar|line|route|path|row|column|step|item|no\.)\s[0-9]{{1,3}}\b|\b(?:{WORD})-(?=[a-z])", re.IGNORECASE
)
_OF_THINGS = re.compile(
    rf"\b([0-9]{{1,4}}|{WORD})((?:\s(?!(?:is|are|was|were|in|on|of|at|and|or|with|have|has)\b)[a-z-]{{2,20}}){{1,2}})",
    re.IGNORECASE,
)
_PAIR = re.compile(r"\ba\s(?:pair|couple)\sof\s", re.IGNORECASE)
_OR_BRACED = re.compile(r"\}\s?or\s\{")
_NONE_OF = re.compile(r"\W*none\sof\s", re.IGNORECASE)
_THERE_ARE_NONE = re.compile(r"\bthere\s(?:are|is|were|was)\snone\b(?=\W*\Z|[,.;])", re.IGNORECASE)
_TOTAL_OF = re.compile(
    r"\btotal\s?(?:of|is|:|=)\s{0,3}(\S{1,24})|(?<!\S)(\S{1,24})\s(?:in\s(?:total|all)|altogether)\b", re.IGNORECASE
)
_CLAUSE = re.compile(r"[,;:.!?](?=\s|\Z)|\n|\b(?:and|but|while|whereas)\b", re.IGNORECASE)
_YES_OR_NO = re.compile(r"\b(?:yes|no)\b")
_CHINESE = {
    sign: str(value) for value, sign in enumerate("\u96f6\u4e00\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d")
} | {"\u4e24": "2"}
# Before a measure word.
_CHINESE_NUMBER = re.compile(
    f"([{''.join(_CHINESE)}])(?=[\u4e2a\u53ea\u5f20\u79cd\u8f86\u540d\u4f4d\u6b21\u6839\u68f5])"
)
_TIMES = {"once": "1", "twice": "2", "thrice": "3", "never": "0"}
_TIMES_WORD = re.compile(r"(?<!than )(?<!least )(?<!most )\b(once|twice|thrice|never)\b", re.IGNORECASE)
_SINGLE = re.compile(r"\b(?:a|only\sa|just\sa)\ssingle\b", re.IGNORECASE)


def count_readers(question: str) -> tuple[Reader, Reader]:
    """Make the readers of a text that counts what ``question`` asks for."""
    noun = _noun(question)
    asked = {*stems(noun or thing_asked(question))}

    def of_things_asked(text: str) -> str:
        return _OF_THINGS.sub(lambda of: " " if is_other_thing({*stems(of[2])}, asked) else of[0], text)

    def whole(text: str) -> Read | None:
        bare = of_things_asked(with_digits(text.strip().strip("{}").strip()))
        if "=" in bare:
            bare = bare.rpartition("=")[2].strip()
        read = number(_CHINESE.get(bare.removesuffix("."), bare))
        if read is None and (counted := _COUNTED.fullmatch(bare)):
            read = number(counted["number"])
        if read is not None:
            return NoAnswer.UNSTATED if (value := _whole(read)) is None else str(value)
        if bare.casefold().rstrip("!") in ("none", "nil") and noun:
            return "0"
        return NoAnswer.SEVERAL if len(bare) < _SHORT and stated_numbers(bare)[:1] == [None] else None

    def within(text: str) -> Read | None:
        text = _CHINESE_NUMBER.sub(lambda match: f" {_CHINESE[match[1]]} ", with_digits(text[-_LONGEST:]))
        text = of_things_asked(_PAIR.sub("2 ", LABELLED.sub(" ", text)))
        text = _OUT_OF.sub(lambda of: f"{of[1]} of the" if _asked_of(text[of.end() :], question) else of[0], text)
        none = _NONE_OF.match(text)
        if (none and _asked_of(text[none.end() :], question)) or _THERE_ARE_NONE.search(text):
            return "0"
        braced = [match[1] for match in _BRACED.finditer(text) if not denied(text, *match.span())]
        if braced:
            return NoAnswer.SEVERAL if _OR_BRACED.search(text) else str(int(braced[-1]))
        plain = _BRACKETS.sub(" ", text)
        without = _DEFINITE.sub(r"\1", plain)
        if without != plain and (_stated(without) or _uncounted(without, question, noun) is not None):
            # "The two lines cross once" counts once.
            plain = text = without
        found = _stated(plain)
        values = {value for value in found if value is not None}
        if not values:
            return NoAnswer.SEVERAL if found else _uncounted(text, question, noun)
        # "There are no cats on the left, and 2 on the right" counts 2; "no cats, only 2 dogs" counts 0.
        if (
            noun
            and re.search(rf"\b(?:no|zero)\s(?:[a-z-]{{1,20}}\s)?{re.escape(noun)}", plain, re.IGNORECASE)
            and not {value for match in _OF_NOTHING.finditer(plain) for value in _stated(match[0])}
            - {*_stated(question)}
        ):
            return NoAnswer.SEVERAL if _with_noun(plain, noun) - {0} else "0"
        return _chosen(plain, found, values, question)

    return whole, within


def number_asked_for(text: str, question: str) -> Number | None:
    """Return the one number of the clause that shares most words with the question: "of the 5 people, 3 wear hats".

    The question's other words are compared before its noun.
    """
    asked = _said(question.partition("?")[0])
    # "How many bars are above 50?" is not answered by 50.
    given = {read.value for read in numbers(question)} if "how many" in question.casefold() else set()
    clauses = [
        (found[0], _said(clause))
        for clause in _CLAUSE.split(text)
        if len(found := [read for read in stated_numbers(clause) if read is not None and read.value not in given]) == 1
        and not NEGATES.search(clause)
    ]
    for words in (asked.difference(stems(_noun(question))), asked):
        most = max((len(said & words) for _, said in clauses), default=0)
        best = [read for read, said in clauses if len(said & words) == most]
        if most:
            return best[0] if len({read.value for read in best}) == 1 else None
    return None


def _said(text: str) -> set[str]:
    return {*stems(text), *_YES_OR_NO.findall(text.casefold())}


def _asked_of(behind: str, question: str) -> bool:
    """Return whether the text after "2 of the 5" is just things, or what the question asks of them."""
    clause = _CLAUSE.split(behind)[0]
    said = set(stems(_THINGS.sub("", clause)))
    return not said or bool(said.intersection(stems(question.partition("?")[0])) and not NEGATES.search(clause))


def _chosen(text: str, found: list[int | None], values: set[int], question: str) -> Read:
    if len(values) == 1 and None not in found:
        return str(values.pop())
    if [value for value in found if value is not None] == list(range(1, len(found) + 1)):
        # Counted aloud: "1, 2, 3, 4".
        return str(len(found))
    positive = "; ".join(clause for clause in re.split(r"[;.]\s", text) if not NEGATES.search(clause))
    if positive != text and any(_stated(positive)) and not NEGATES.search(question):
        text = positive
    corrected = _stated(text.rpartition("actually")[2]) if "actually" in text else []
    if len(corrected) == 1 and corrected[0] is not None:
        return str(corrected[0])
    asked_for = number_asked_for(text, question)
    if asked_for is not None and (value := _whole(asked_for)) is not None:
        return str(value)
    for sentence in reversed(_sentences(text)):
        total = _TOTAL_OF.search(sentence)
        said = _stated(total[1] or total[2]) if total else []
        if len(said) == 1 and said[0] is not None:
            return str(said[0])
    heads = {value for sentence in _sentences(text) if ":" in sentence for value in _stated(sentence.partition(":")[0])}
    return str(heads.pop()) if len(heads) == 1 and None not in heads else NoAnswer.SEVERAL


def _stated(text: str) -> list[int | None]:
    """Return the whole numbers that a text states; None for each that it leaves open or that is not whole."""
    return [None if read is None else _whole(read) for read in stated_numbers(text)]


def _whole(read: Number) -> int | None:
    value = read.integer
    return value if value is not None and abs(value) < _LARGEST else None


def _sentences(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?;])\s+|\n|,\s(?=so\b|which\smeans)", text) if part.strip()]


def _noun(question: str) -> str:
    found = list(_NOUN.finditer(question))
    words = found[0]["words"].split() if found else []
    return re.sub(r"(?:ies|es|s|y)\Z", "", words[-1].casefold()) if words else ""


def _with_noun(text: str, noun: str) -> set[int]:
    """Return the numbers before the question's noun, with up to three words between."""
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
    """Count by words without a number: "there are no circles", "they cross twice"."""
    # "Twice: once on the left, once on the right" counts before the colon.
    times = {_TIMES[match[1].casefold()] for match in _TIMES_WORD.finditer(text.partition(":")[0])}
    if "times" in question.casefold() or "intersect" in question.casefold():
        if len(times) == 1:
            return times.pop()
        if affirmed(text, question if "?" in question else "do " + question) == "no":
            return "0"
    if _SINGLE.search(text):
        return "1"
    return "0" if noun and _NONE.search(text) and noun in text.casefold() else None
