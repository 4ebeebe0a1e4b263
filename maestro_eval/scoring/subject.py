"""Decide by its subject whether a sentence is about what the question asks, or about another thing or quantity.

"The handle is white" answers nothing about an umbrella, although it names the target. A sentence for which this cannot
be decided (a subject of pronouns, a question without words) is not about another.
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
    """Yield the stems of a text's words, except those common to all questions and sentences."""
    words = (word.casefold() for word in _WORD.findall(text[:_LONGEST]))
    single = (word.removesuffix("s") for word in words if not _PLAIN.fullmatch(word))
    bare = (re.sub(r"(?<=\w\w)(?:ing|ion|ed|en|e)\Z", "", re.sub(r"y\Z", "i", word)) for word in single)
    return (re.sub(r"(.)\1\Z", r"\1", word) for word in bare)


CLAUSE = re.compile(r"[,;]\s|\b(?:and|but|while|whereas)\b")
HEDGED = re.compile(
    # "May" within a sentence is a month.
    r"\b(?:could|(?-i:may)|may\sbe|might|either|or|whether|if|unless|maybe|perhaps|possibly)\b",
    re.IGNORECASE,
)
"""A sentence that names a possibility, and no answer."""
NEGATES = re.compile(r"\bnot\b|n['\u2019]t\b", re.IGNORECASE)
# "The handle of the umbrella", "the car on the left": the head comes before these words.
_BEHIND_HEAD = re.compile(
    r"\b(?:of|in|on|at|with|for|to|from|between|under|behind|above|below|near|next|beside|by|inside|within|that|which|who"
    r"|whose|where|shown|labell?ed|marked|given|located|parked|standing|sitting|wearing|holding)\b",
    re.IGNORECASE,
)
_OWNER = re.compile(r"\A.*['\u2019]s?\s")
# "Where is the dog relative to the car?" asks about the dog, and so does "the dog next to the car".
_LANDMARK = re.compile(
    r"\b(?:(?:relative|compared|next|close|in\srelation|with\srespect)\sto|(?:left|right|side|front|top)\sof|behind|beside|near"
    r"|under|above|below)\b|\bposition\sof\b(?P<placed>.{1,40}?)\sto\b",
    re.IGNORECASE,
)
_NEIGHBOUR = re.compile(r"\b(?:next\sto|beside|behind|above|below)\s(?:it|them|that)\b|\bother\b", re.IGNORECASE)
# "The colour of the flies" is about flies, "the object of interest" about the thing asked.
_ATTRIBUTES = {*stems("number amount value color colour count population size kind type name measure level share rate")}
_ANYTHING = {
    *stems("answer solution result object item thing option choice letter label word text here there case step part"),
    *stems("appear seem look observe note see conclude think believe both also likely probably clearly hence thus"),
    *stems("therefore finally based looking overall explanation reason conclusion plausible most best correct"),
}
# Things by kind: the general names, then each thing with its synonyms. Unlisted things may be the same thing, these are
# not: a truck is no car, and neither is an umbrella.
_THINGS = [
    [{*stems(names)} for names in kind.split(",")]
    for kind in (
        "vehicle, car automobile sedan suv taxi cab hatchback, truck lorry pickup, bus coach, van minivan,"
        " motorcycle motorbike scooter, bicycle bike, train tram, boat ship, airplane aeroplane aircraft jet, kite",
        "animal pet, dog puppy, cat kitten, horse pony, cow cattle bull, sheep lamb, bird, zebra, giraffe, elephant,"
        " bear, duck, goat, pig, lion, tiger, monkey, deer, rabbit, fox",
        "person people human pedestrian player child kid, man men guy boy, woman women lady girl",
        "organ, lung, liver, kidney, spleen, heart, stomach, brain, bladder, rectum, pancreas, intestine bowel colon",
        "bone, skull, rib, spine",
        "abnormality lesion tumor tumour nodule opacity disease finding",
        "furniture, chair armchair seat, table desk, sofa couch, bed, bench, shelf",
        "clothes clothing garment, shirt tshirt blouse, jacket coat, trouser pants jeans, skirt, dress, hat cap helmet,"
        " shoe sneaker boot, scarf, glove",
        "bag backpack handbag purse",
        "umbrella parasol",
        "plant, tree, flower",
        "building, house, store shop",
        "sky", "ground", "floor", "wall", "background", "handle", "wheel", "plate", "roof", "window", "door",
    )
]  # fmt: skip
# Each entry has the names of one quantity; a sentence about one quantity says nothing about another.
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

# A name in a question, and a name that a sentence is about, unlike the one in "according to Statista".
_NAME, _OF_NAME = (
    re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}"),
    re.compile(r"\b(?:[Ff]or|[Ii]n|[Oo]f|[Ff]rom) ([A-Z][a-z]{2,})|\A\W*([A-Z][a-z]{2,})(?=\s?[:=]|['\u2019]s\b)"),
)
_YEAR = re.compile(r"\b(?:19|20)[0-9]{2}\b")
# Segments and angles by their points, unknowns by one letter; "a" is an article and "m" a measure or metre.
_POINTS = re.compile(r"(?<![A-Za-z\\])[A-Z]{2,3}(?![A-Za-z])")
_UNKNOWN = re.compile(r"(?<![A-Za-z\\'])[b-ln-z](?![A-Za-z'])")
_GEOMETRY = re.compile(
    r"\bfind\b|length|angle|measure|segment|arc\b|radius|diameter|perimeter|\barea\b|distance", re.IGNORECASE
)


def of_another_quantity(subject: str, question: str) -> bool:
    """Return whether a subject names a quantity ("perimeter", "AB", "y") and the question names only other ones."""
    said, asked = {*stems(subject)}, {*stems(question)}
    named = [same for same in _QUANTITIES if same & said]
    if named and any(same & asked for same in _QUANTITIES) and not any(same & asked for same in named):
        return True
    # Outside geometry capitals are no points: "DNA", "TEM".
    for pattern in (_POINTS, _UNKNOWN) if _GEOMETRY.search(question) else (_UNKNOWN,):
        ours = [set(name) for name in pattern.findall(subject)]
        theirs = [set(name) for name in pattern.findall(question)]
        if ours and theirs and not any(own <= other or other <= own for own in ours for other in theirs):
            return True
    return False


def gives_another(text: str, question: str) -> bool:
    """Return whether a text gives the value of another quantity: "focus: (3, -2)" if the vertex is asked."""
    *_, last = re.split(r"[,;]\s", text.rstrip())
    named = [match["before"] or match["behind"] for match in map(_NAMED.match, {text, last}) if match]
    return any(of_another_quantity(name, question) for name in named)


def thing_asked(question: str) -> str:
    """Return a question up to the landmark of the thing it asks about: "the car" of "the car next to the house"."""
    sentence = question.partition("?")[0]
    mark = _LANDMARK.search(sentence)
    asked = sentence[: mark.start()] + (mark["placed"] or "") if mark else sentence
    return asked if any(stems(asked)) else sentence


def of_another(subject: str, question: str) -> bool:
    """Return whether a sentence's subject is another quantity or thing than the question's, or a landmark in it."""
    if _NEIGHBOUR.search(subject) and not _NEIGHBOUR.search(question):
        return True
    asked, head = {*stems(thing_asked(question))}, _head(subject)
    if not head & asked and head.intersection(stems(question.partition("?")[0])):
        return True
    return of_another_quantity(subject, question) or is_other_thing(head, asked)


def is_other_thing(named: set[str], asked: set[str]) -> bool:
    """Return whether a named thing is known and is none of those asked about, under any of their names."""
    known = [kind for kind in _THINGS if any(names & named for names in kind)]
    wanted = [(kind, names) for kind in _THINGS for names in kind if names & asked]
    # A general name fits each of its kind: "the vehicle" a car, "dogs" animals.
    related = any(kind in known and (names & named or names is kind[0] or kind[0] & named) for kind, names in wanted)
    return bool(known and wanted) and not related


def of_nothing_asked(subject: str, question: str) -> bool:
    """Return whether the thing that a subject names is none of a question's words."""
    asked = {*stems(question)}
    head = _head(subject)
    return bool(asked and head) and not head & asked


def _head(subject: str) -> set[str]:
    """Return the words of a subject up to its first preposition; of "the colour of the flies", the flies."""
    head = {*stems(_OWNER.sub("", _BEHIND_HEAD.split(subject, maxsplit=1)[0]))} - _ANYTHING
    return head - _ATTRIBUTES or {*stems(subject)} - _ATTRIBUTES - _ANYTHING


def names_another(sentence: str, question: str, *targets: str) -> bool:
    """Return whether a sentence names another name or year than the question: "the value for France"."""
    known = " ".join((question, *targets))
    for pattern, saying in ((_NAME, _OF_NAME), (_YEAR, _YEAR)):
        asked = {*pattern.findall(question.partition("?")[0])}
        said = {found[found.lastindex or 0] for found in saying.finditer(sentence)}
        new = any(name not in known and not {*stems(name)} & _GENERAL for name in said)
        if new and asked.difference(re.findall(r"\w+", sentence)):
            return True
    return False
