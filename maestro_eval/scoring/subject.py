"""Tell by its subject whether a sentence speaks of what the question asks, or of another thing or quantity.

"The handle is white" answers nothing about an umbrella, although it names the target. Where that cannot be told (a
subject of pronouns, a question without words) it is not of another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LONGEST = 2000
_WORD = re.compile(r"[^\W\d_]{3,}")
# Words that a question and any sentence share.
_PLAIN = re.compile(
    r"the|are|was|were|this|that|these|those|there|here|has|have|had|does|did|can|could|will|would|should|any|all|both|each"
    r"|two|one|other|another|answer|yes|not|image|picture|figure|photo|with|and|for|from|into|than|what|which|how|who"
    r"|where|when|question|following|shown|please|only|word|you|your|see|being|its|their|them|they"
)


def stems(text: str) -> Iterator[str]:
    """Return the stems of the words that are not in every question and sentence."""
    words = (word.casefold() for word in _WORD.findall(text[:_LONGEST]))
    single = (word.removesuffix("s") for word in words if not _PLAIN.fullmatch(word))
    bare = (re.sub(r"(?:ing|ion|ed|e)\Z", "", re.sub(r"y\Z", "i", word)) for word in single)
    return (re.sub(r"(.)\1\Z", r"\1", word) for word in bare)


HEDGED = re.compile(
    # "May" within a sentence is a month.
    r"\b(?:could|(?-i:may)|may\sbe|might|either|or|whether|if|unless|maybe|perhaps|possibly)\b",
    re.IGNORECASE,
)
"""A sentence that names a possibility, and no answer."""
# "The handle of the umbrella", "the car on the left": what stands before is the head.
_BEHIND_HEAD = re.compile(
    r"\b(?:of|in|on|at|with|for|to|from|between|under|behind|above|below|near|next|beside|by|inside|within|that|which|who"
    r"|whose|where|shown|labell?ed|marked|given|located)\b",
    re.IGNORECASE,
)
# "Where is the dog relative to the car?" asks of the dog.
_RELATIVE_TO = re.compile(
    r"\b(?:(?:relative|compared|in\srelation|with\srespect)\sto|(?:left|right|side)\sof)\b", re.IGNORECASE
)
# "The colour of the flies" is of flies, "the object of interest" of what is asked.
_ATTRIBUTES = {*stems("number amount value color colour count population size kind type name measure level share rate")}
_ANYTHING = {
    *stems("answer solution result object item thing option choice letter label word text here there case step part"),
    *stems("appear seem look observe note see conclude think believe both also likely probably clearly hence thus"),
    *stems("therefore finally based looking overall"),
}
# Names of one quantity; a sentence about one of them says nothing of another.
_QUANTITIES = [
    {*stems(names)}
    for names in (
        "area", "perimeter circumference", "volume capacity", "radius", "diameter", "width breadth", "height altitude",
        "length distance side edge", "diagonal", "slope gradient", "vertex", "focus", "directrix", "center centre",
        "intercept", "sum total", "difference gap", "product", "average mean", "median", "mode", "range",
        "maximum highest largest", "minimum lowest smallest", "ratio", "probability", "speed velocity", "angle",
    )
]  # fmt: skip
_GENERAL = _ANYTHING.union(_ATTRIBUTES, *_QUANTITIES)
# "The focus is at (3, -2)", "focus: (3, -2)", "AB = 5"; "8 is the perimeter".
_NAMED = re.compile(
    r"\A\W*(?:[0-9][0-9.,]{0,12}\sis\s(?P<behind>the\s[a-z ]{1,40})"
    r"|(?P<before>[A-Za-z][A-Za-z' ]{0,60}?)(?:\s?[:=]|\s(?:is|are|was|equals)\b))"
)

_NUMBER = re.compile(r"(?<![\w.])(?!(?:19|20)[0-9]{2}\b)[0-9][0-9,.]*")
# A name within a sentence, and one of which something is said; "according to Statista" says it of nothing else.
_NAME, _OF_NAME = (
    re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}"),
    re.compile(r"\b(?:for|(?:value|figure) of) ([A-Z][a-z]{2,})"),
)
_YEAR = re.compile(r"\b(?:19|20)[0-9]{2}\b")
_LABEL = re.compile(r"\A\W*([A-Z][a-z]{2,})\s?[:=]")
# Segments and angles by their points, unknowns by one letter; "a" is an article and "m" a measure or metre.
_POINTS = re.compile(r"(?<![A-Za-z\\])[A-Z]{2,3}(?![A-Za-z])")
_UNKNOWN = re.compile(r"(?<![A-Za-z\\'])[b-ln-z](?![A-Za-z'])")
_GEOMETRY = re.compile(
    r"\bfind\b|length|angle|measure|segment|arc\b|radius|diameter|perimeter|\barea\b|distance", re.IGNORECASE
)


def of_another_quantity(subject: str, question: str) -> bool:
    """Tell whether a subject names a quantity ("perimeter", "AB", "y") where the question names other ones only."""
    said, asked = {*stems(subject)}, {*stems(question)}
    named = [same for same in _QUANTITIES if same & said]
    if named and any(same & asked for same in _QUANTITIES) and not any(same & asked for same in named):
        return True
    # Elsewhere capitals are no points: "DNA", "TEM".
    for pattern in (_POINTS, _UNKNOWN) if _GEOMETRY.search(question) else (_UNKNOWN,):
        ours = [set(name) for name in pattern.findall(subject)]
        theirs = [set(name) for name in pattern.findall(question)]
        if ours and theirs and not any(own <= other or other <= own for own in ours for other in theirs):
            return True
    return False


def gives_another(text: str, question: str) -> bool:
    """Tell whether a text gives the value of another quantity: "focus: (3, -2)" where the vertex is asked."""
    *_, last = re.split(r"[,;]\s", text.rstrip())
    named = [match["before"] or match["behind"] for match in map(_NAMED.match, {text, last}) if match]
    return any(of_another_quantity(name, question) for name in named)


def of_another_thing(subject: str, question: str) -> bool:
    """Tell whether the thing that a subject names is none of those in a question."""
    asked = {*stems(question)}
    head = {*stems(_BEHIND_HEAD.split(subject, maxsplit=1)[0])} - _ANYTHING
    if head <= _ATTRIBUTES:
        head = {*stems(subject)} - _ATTRIBUTES - _ANYTHING
    return bool(asked and head) and not head & asked


def of_the_landmark(subject: str, question: str) -> bool:
    """Tell whether a subject names what the question asks a place relative to, and not what it asks the place of."""
    asked, *landmark = _RELATIVE_TO.split(question, maxsplit=1)
    head = {*stems(_BEHIND_HEAD.split(subject, maxsplit=1)[0])}
    return bool(landmark) and bool(head & {*stems(landmark[0])}) and not head & {*stems(asked)}


def names_another(sentence: str, question: str, *targets: str) -> bool:
    """Tell whether a sentence has another name or year in the place of the question's: "the value for France"."""
    label = _LABEL.match(sentence)
    for pattern, saying in ((_NAME, _OF_NAME), (_YEAR, _YEAR)):
        asked, said = {*pattern.findall(question.partition("?")[0])}, {*saying.findall(sentence)}
        if label and pattern is _NAME and not {*stems(label[1])} & _GENERAL:
            said.add(label[1])
        new = said.difference(re.findall(r"\w+", " ".join((question, *targets))))
        if new and asked.difference(re.findall(r"\w+", sentence)):
            return True
    return False


def replaces_a_name(sentence: str, question: str) -> bool:
    """Tell whether a sentence has another name, year or number for the question's: June where May is asked."""
    for pattern in (_NAME, _YEAR, _NUMBER):
        asked, said = (
            {found.strip(",.").casefold() for found in pattern.findall(text)}
            for text in (question.partition("?")[0], sentence)
        )
        # "48 is greater than 46" compares with the number that is asked of.
        if pattern is _NUMBER and asked & said:
            continue
        if said - asked and asked.difference(re.findall(r"[\w.]*\w", sentence.casefold())):
            return True
    return False
