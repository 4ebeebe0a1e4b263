"""Boxes in a model's reply: found by a JSON parser, carried over to the original image, kept inside it.

A reply is hostile input. What is read of it is bounded (characters, tries, boxes), a label is made one short
harmless line, and a box that is empty, inverted or no box of four finite numbers is dropped. Prose is never
searched for numbers: what is not JSON holds no box.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from msgspec import Struct

from maestro_eval.text import neutralise, spoken

MOST_BOXES = 100

_LONGEST_REPLY = 1 << 16
# A failed try costs up to the rest of the reply, so that "[[[[…" would otherwise cost its square.
_MOST_FAILED_TRIES = 32
_LONGEST_LABEL = 60
_LARGEST_NUMBER = 1e9
_BOX_KEYS = ("bbox_2d", "bbox", "box_2d", "box")
_LABEL_KEYS = ("label", "name", "category", "class")
_DECODER = json.JSONDecoder()

# How Qwen2.5-VL's processor is shipped: patches of 14 pixels merged in twos, and 4 to 16,384 such tokens an image.
_FACTOR = 28
_FEWEST_PIXELS = 4 * _FACTOR**2
_MOST_PIXELS = 16384 * _FACTOR**2


class Box(Struct, frozen=True):
    """A rectangle in pixels from the top left corner; ``right`` and ``bottom`` are outside it."""

    left: float
    top: float
    right: float
    bottom: float
    label: str = ""

    def text(self) -> str:
        """As prompts show it."""
        return f"({self.left:g}, {self.top:g}) to ({self.right:g}, {self.bottom:g})"


def find_boxes(reply: str) -> tuple[Box, ...] | None:
    """The boxes of a reply, in the model's own pixels; ``()`` when it lists none, ``None`` when it is no list at all.

    A list that was cut short gives the boxes that are whole.
    """
    found: list[Box] = []
    said_none = False
    for value in _json_values(_conclusion(reply)):
        said_none = said_none or value == []
        found.extend(_boxes_in(value))
        if len(found) >= MOST_BOXES:
            break
    if not found and not said_none:
        return None
    return tuple(found[:MOST_BOXES])


def place(box: Box, width: int, height: int, *, rescale: bool) -> Box | None:
    """``box`` in whole pixels of an image of this size, or ``None`` when nothing of it is left.

    With ``rescale`` its coordinates are taken to be those of the image as Qwen2.5-VL resizes it.
    """
    if not (box.left < box.right and box.top < box.bottom):
        return None
    across = down = 1.0
    if rescale:
        seen_width, seen_height = seen_size(width, height)
        across, down = width / seen_width, height / seen_height
    left, right = (min(max(x * across, 0), width) for x in (box.left, box.right))
    top, bottom = (min(max(y * down, 0), height) for y in (box.top, box.bottom))
    if not (left < right and top < bottom):
        return None
    return Box(math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom), box.label)


def seen_size(width: int, height: int) -> tuple[int, int]:
    """Width and height at which Qwen2.5-VL sees an image, by the rule that its processor documents.

    Both sides are multiples of 28, the area lies between 4 and 16,384 squares of 28, and the proportions are kept as
    nearly as that allows.
    """

    def fitted(side: int) -> int:
        return max(_FACTOR, round(side / _FACTOR) * _FACTOR)

    def shrunk(side: int, by: float) -> int:
        return max(_FACTOR, math.floor(side / by / _FACTOR) * _FACTOR)

    def grown(side: int, by: float) -> int:
        return math.ceil(side * by / _FACTOR) * _FACTOR

    area = width * height
    if fitted(width) * fitted(height) > _MOST_PIXELS:
        excess = math.sqrt(area / _MOST_PIXELS)
        return shrunk(width, excess), shrunk(height, excess)
    if fitted(width) * fitted(height) < _FEWEST_PIXELS:
        lack = math.sqrt(_FEWEST_PIXELS / area)
        return grown(width, lack), grown(height, lack)
    return fitted(width), fitted(height)


def _conclusion(reply: str) -> str:
    """What stands after a model's thinking, which may hold boxes that it thought better of."""
    return spoken(reply[-_LONGEST_REPLY:]).text


def _json_values(text: str) -> Iterator[object]:
    """The outermost JSON lists and objects in ``text``, from left to right."""
    at, failed = 0, 0
    while failed < _MOST_FAILED_TRIES:
        at = min((i for i in (text.find("[", at), text.find("{", at)) if i >= 0), default=-1)
        if at < 0:
            return
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            failed, at = failed + 1, at + 1
        else:
            yield value


def _boxes_in(value: object) -> Iterator[Box]:
    """Boxes anywhere inside; without recursion, since the nesting is the model's."""
    if _is_box(value):
        yield _box(value, "")
        return
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, list):
            todo.extend(reversed(item))
        elif isinstance(item, dict):
            corners = next((item[key] for key in _BOX_KEYS if _is_box(item.get(key))), None)
            if corners is not None:
                label = next((item[key] for key in _LABEL_KEYS if isinstance(item.get(key), str)), "")
                yield _box(corners, label)
            else:
                todo.extend(reversed([_opened(inner) for inner in item.values()]))


def _opened(value: object) -> object:
    """A tool call's arguments may be JSON inside a JSON string."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _is_box(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        # Comparing an integer of any length is exact; NaN fails every comparison.
        and all(type(x) in (int, float) and -_LARGEST_NUMBER < x < _LARGEST_NUMBER for x in value)
    )


def _box(corners: object, label: str) -> Box:
    assert isinstance(corners, list)
    left, top, right, bottom = (float(x) for x in corners)
    return Box(left, top, right, bottom, _harmless(label))


def _harmless(label: str) -> str:
    printable = "".join(c if c.isprintable() else " " for c in label[: 4 * _LONGEST_LABEL])
    return neutralise(" ".join(printable.split())[:_LONGEST_LABEL])
