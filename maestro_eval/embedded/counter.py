"""Answers questions about coloured shapes: their number, colour and relative position.

The question is read as noun phrases ("small red triangles", "the green star") and one relation between them; a
question without a known shape in it is refused before any pixel is read. The picture must be a scene of filled flat
shapes, or, to count shapes of one kind, a drawing of their outlines; photographs are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from maestro_eval.embedded.ask import Ask, cannot_tell, match_option, options, state
from maestro_eval.embedded.colours import NAMES, Pixels, find_names, name_of, nearest_name
from maestro_eval.embedded.outlines import count_outlines, count_squares, ink, is_line_art
from maestro_eval.embedded.shapes import Thing, find_things

__all__ = ["answer"]

_LONGEST_QUESTION = 2000
_LARGEST_SIDE = 1600

_WORDS = {
    "circle": ("circle", "dot", "disc", "disk", "ball"), "triangle": ("triangle",), "square": ("square",),
    "pentagon": ("pentagon",), "hexagon": ("hexagon",), "star": ("star",), "cross": ("cross", "plus"),
    "rectangle": ("rectangle",), "diamond": ("diamond", "rhombus"), "ellipse": ("ellipse", "oval"),
    "": ("shape", "object", "thing", "item", "figure"),
}  # fmt: skip
_SHAPE_OF = {word + ending: shape for shape, words in _WORDS.items() for word in words for ending in ("", "s", "es")}
_LARGE = frozenset({"large", "big", "larger", "bigger", "largest", "biggest"})
_SMALL = frozenset({"small", "little", "tiny", "smaller", "smallest"})

_COUNT = re.compile(r"\b(?:how many|count|number of)\b")
_COLOUR = re.compile(r"\b(?:what|which)\b[^.?!]{0,40}\bcolou?r\b|\bcolou?r of\b")
_SIDEWAYS = re.compile(r"\b(?:left|right|which side)\b")
_UPDOWN = re.compile(r"\b(?:above|below|over|under|higher|lower|top|bottom)\b")
_MARK_FIRST = re.compile(r"\b(?:side|left|right) of\b|\b(?:above|below|over|under) the\b")
_NOT = re.compile(r"\b(?:not|other than|except|excluding)\b((?: \w+){0,4})")
_RELATION = re.compile(r"\b(?:left|right|above|below|over|under|larger|bigger|smaller)\b")
_HALF = re.compile(r"\b(left|right|top|upper|bottom|lower)(?:-hand)? (?:half|side|part)\b")


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A noun phrase: "large red stars"; empty parts match anything. ``start`` is its position in the question."""

    shape: str
    colour: str
    size: str
    start: int


def answer(ask: Ask) -> str:
    """Return the reply to a question about coloured shapes, or a refusal."""
    asked = _without_options(ask.question)
    listed = options(ask.question)
    phrases = list(_phrases(asked))
    handle = _kind(asked, phrases, listed)
    if handle is None:
        return cannot_tell("this is no question about counting, colours or positions of plain shapes")
    if not ask.images:
        return cannot_tell("there is no picture")
    image = _within_bounds(ask.images[0])
    if min(image.shape[:2]) < 16:
        return cannot_tell("the picture is too small")
    if handle is _count and (outlined := _count_outlines(image, phrases)) is not None:
        return state(ask.question, str(outlined), f"I count {outlined} outlines of a {phrases[0].shape}.")
    things = find_things(image)
    known = [thing for thing in things if thing.shape]
    if 2 * sum(thing.radius**2 for thing in known) <= sum(thing.radius**2 for thing in things):
        return cannot_tell("the picture is no scene of plain shapes")
    return handle(_Scene(ask.question, asked, phrases, listed, known, image.shape[1], image.shape[0]))


@dataclass(frozen=True, slots=True)
class _Scene:
    """The question and the things in the picture."""

    question: str
    asked: str
    phrases: list[_Phrase]
    listed: dict[str, str]
    things: list[Thing]
    width: int
    height: int


def _kind(asked: str, phrases: list[_Phrase], listed: dict[str, str]) -> Callable[[_Scene], str] | None:
    if not phrases:
        return None
    if _COUNT.search(asked):
        return _count
    if _COLOUR.search(asked) and not phrases[0].colour:
        return _colour
    places = f"{asked} {' '.join(listed.values()).lower()}"
    if len(phrases) >= 2 and (_SIDEWAYS.search(places) or _UPDOWN.search(places)):
        return _position
    return None


def _count(scene: _Scene) -> str:
    first, *others = scene.phrases
    anchors = [other for other in others if _RELATION.search(scene.asked[first.start : other.start])]
    tests = [_matcher(scene, phrase) for phrase in (first, *others) if phrase not in anchors]
    chosen = [thing for thing in scene.things if any(test(thing) for test in tests)]
    if anchors:
        anchor = _find(scene, anchors[0])
        if anchor is None:
            return cannot_tell("I do not find the thing that the question compares with")
        chosen = [thing for thing in chosen if thing is not anchor and _related(scene.asked, thing, anchor)]
    elif half := _HALF.search(scene.asked):
        chosen = [thing for thing in chosen if _in_half(half[1], thing, scene)]
    return state(scene.question, str(len(chosen)), f"I count {len(chosen)} that fit, of {len(scene.things)} shapes.")


def _count_outlines(image: Pixels, phrases: list[_Phrase]) -> int | None:
    """Count the outlines of the one plain shape in the question; None if the question or picture is another."""
    (shape, plain) = (phrases[0].shape, not (phrases[0].colour or phrases[0].size))
    if len(phrases) != 1 or not plain or not shape:
        return None
    mask = ink(image)
    if not is_line_art(mask):
        return None
    return count_squares(mask) if shape == "square" else count_outlines(mask, shape)


def _colour(scene: _Scene) -> str:
    thing = _find(scene, scene.phrases[0])
    if thing is None:
        return cannot_tell(f"I find no {scene.phrases[0].shape or 'such shape'}")
    offered = {name: text for text in scene.listed.values() for name in find_names(text)[:1]}
    colour = offered[nearest_name(thing.rgb, list(offered))] if offered else name_of(thing.rgb)
    return state(scene.question, colour, f"The {scene.phrases[0].shape or 'shape'} is {colour}.")


def _position(scene: _Scene) -> str:
    first, second, *_ = scene.phrases
    if _MARK_FIRST.search(scene.asked[: first.start]):
        first, second = second, first
    one, other = _find(scene, first), _find(scene, second)
    if one is None or other is None or one is other:
        return cannot_tell("I do not find both things")
    places = f"{scene.asked} {' '.join(scene.listed.values()).lower()}"
    if _SIDEWAYS.search(places) and not (_UPDOWN.search(scene.asked) and not _SIDEWAYS.search(scene.asked)):
        words = ["left"] if one.x < other.x else ["right"]
    else:
        upper = one.y < other.y
        words = ["above", "over", "higher", "top"] if upper else ["below", "under", "lower", "bottom"]
    fitting = [word for word in words if match_option(scene.listed, word)]
    word = fitting[0] if fitting else next((word for word in words if word in scene.asked), words[0])
    return state(scene.question, word, f"The first lies {_apart(one, other)} pixels away, on this side: {word}.")


def _phrases(asked: str) -> Iterator[_Phrase]:
    """Yield the noun phrases that end in a shape's name."""
    colour = size = ""
    begin: int | None = None
    for match in re.finditer(r"[a-z]+|[^a-z\s-]", asked):
        word = match[0]
        if word in NAMES:
            colour = find_names(word)[0]
        elif word in _LARGE or word in _SMALL:
            size = "large" if word in _LARGE else "small"
        elif word in _SHAPE_OF:
            yield _Phrase(_SHAPE_OF[word], colour, size, match.start() if begin is None else begin)
            colour, size, begin = "", "", None
            continue
        else:
            colour, size, begin = "", "", None
            continue
        begin = match.start() if begin is None else begin


def _matcher(scene: _Scene, phrase: _Phrase) -> Callable[[Thing], bool]:
    """Return a predicate for the things that a phrase describes."""
    denied = _NOT.search(scene.asked)
    banned = set(find_names(denied[1])) if denied else set()
    wanted = set() if banned else {phrase.colour} - {""}
    # The colour may follow its noun: "shapes that are red".
    if not wanted and not banned and not any(other.colour for other in scene.phrases):
        wanted = set(find_names(scene.asked))
    middle = _middle_size([thing.radius for thing in scene.things])

    def matches(thing: Thing) -> bool:
        called = name_of(thing.rgb)
        size_fits = not phrase.size or (thing.radius > middle) == (phrase.size == "large")
        colour_fits = _same_colour(called, wanted) if wanted else not _same_colour(called, banned)
        return _shape_fits(thing, phrase.shape) and colour_fits and size_fits

    return matches


def _find(scene: _Scene, phrase: _Phrase) -> Thing | None:
    """Return the thing that a phrase like "the small red star" means: the clearest match, or None."""
    matches = [
        thing
        for thing in scene.things
        if _shape_fits(thing, phrase.shape) and (not phrase.colour or _same_colour(name_of(thing.rgb), {phrase.colour}))
    ]
    if not matches:
        return None
    if phrase.size:
        return (max if phrase.size == "large" else min)(matches, key=lambda thing: thing.radius)
    return min(matches, key=lambda thing: _uncertainty(thing, phrase.shape))


def _uncertainty(thing: Thing, shape: str) -> float:
    """Return the uncertainty of the shape: its error relative to that of the next best."""
    if not shape:
        return 0.0
    rival = min(error for name, error in thing.errors.items() if name != shape)
    return thing.errors[shape] / max(1e-6, rival)


def _shape_fits(thing: Thing, shape: str) -> bool:
    return not shape or thing.shape == shape


def _same_colour(name: str, names: set[str]) -> bool:
    """Return True if a name is among ``names``; many people do not distinguish cyan and teal, pink and magenta."""
    return not {_FAMILY.get(name, name)}.isdisjoint(_FAMILY.get(other, other) for other in names)


_FAMILY = {"teal": "cyan", "magenta": "pink"}


def _related(asked: str, thing: Thing, anchor: Thing) -> bool:
    relation = _RELATION.search(asked)
    word = relation[0] if relation else ""
    tests = {
        "left": thing.x < anchor.x, "right": thing.x > anchor.x, "above": thing.y < anchor.y,
        "over": thing.y < anchor.y, "below": thing.y > anchor.y, "under": thing.y > anchor.y,
        "larger": thing.radius > 1.08 * anchor.radius, "bigger": thing.radius > 1.08 * anchor.radius,
        "smaller": thing.radius < anchor.radius / 1.08,
    }  # fmt: skip
    return tests.get(word, True)


def _in_half(word: str, thing: Thing, scene: _Scene) -> bool:
    if word in ("left", "right"):
        return (thing.x < scene.width / 2) == (word == "left")
    return (thing.y < scene.height / 2) == (word in ("top", "upper"))


def _middle_size(radii: list[float]) -> float:
    """Return the size that separates large from small: the middle of the widest gap."""
    ordered = sorted(radii)
    gaps = [(big / small, math.sqrt(big * small)) for small, big in pairwise(ordered)]
    return max(gaps, default=(1.0, 0.0))[1]


def _apart(one: Thing, other: Thing) -> int:
    return round(math.hypot(one.x - other.x, one.y - other.y))


def _without_options(question: str) -> str:
    """Return the question without its options, in lower case."""
    text = question[:_LONGEST_QUESTION]
    listed = re.search(r"(?m)\(A\)|^\s*A[.):]", text)
    return (text[: listed.start()] if listed else text).lower()


def _within_bounds(image: Pixels) -> Pixels:
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    scale = _LARGEST_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
