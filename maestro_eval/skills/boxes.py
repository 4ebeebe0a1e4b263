"""Boxes in a model's reply: found by a JSON parser, converted to pixels of the original image, and clipped to it.

A reply is hostile input. The characters, parse attempts and boxes read are limited, a label becomes one short harmless
line, and a box that is empty, inverted or not four finite numbers is dropped. Prose is never searched for numbers: only
JSON contains boxes. `called_box` and `listed_boxes` find boxes as the released code does, also in a Python literal, and
do not convert them.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

from maestro_eval.text import neutralise, spoken

MOST_BOXES = 100

_LONGEST_REPLY = 1 << 16
# A failed attempt may read the rest of the reply; without a limit "[[[[…" would take quadratic time.
_MOST_FAILED_TRIES = 32
_LONGEST_LABEL = 60
_LARGEST_NUMBER = 1e9
_BOX_KEYS = ("bbox_2d", "bbox", "box_2d", "box")
_LABEL_KEYS = ("label", "name", "category", "class")
_DECODER = json.JSONDecoder()

# The defaults of Qwen2.5-VL's processor: patches of 14 pixels, merged 2 × 2, and 4 to 16,384 such tokens an image.
_PATCH, _FEWEST_PATCHES, _MOST_PATCHES = 28, 4, 16384
_LARGEST = 1e9
_CALL = "<tool_call>"


class Box(Struct, frozen=True):
    """A rectangle in pixels from the top left corner; ``right`` and ``bottom`` are outside it."""

    left: float
    top: float
    right: float
    bottom: float
    label: str = ""

    def text(self) -> str:
        """Return the box as prompts show it."""
        return f"({self.left:g}, {self.top:g}) to ({self.right:g}, {self.bottom:g})"


def find_boxes(reply: str) -> tuple[Box, ...] | None:
    """Return the boxes of a reply, in the model's own pixels; ``()`` for an empty list, None without any list.

    Of a truncated list, the complete boxes are returned.
    """
    found: list[Box] = []
    said_none = False
    # A model's thinking may contain boxes that it discarded.
    for value in _json_values(spoken(reply[-_LONGEST_REPLY:]).text):
        said_none = said_none or value == []
        found.extend(_boxes_in(value))
        if len(found) >= MOST_BOXES:
            break
    if not found and not said_none:
        return None
    return tuple(found[:MOST_BOXES])


def place(box: Box, width: int, height: int, *, rescale: bool) -> Box | None:
    """Return ``box`` in whole pixels, clipped to an image of this size; None if nothing of it is inside.

    ``rescale`` reads its coordinates as those of the image as Qwen2.5-VL resizes it.
    """
    if not (box.left < box.right and box.top < box.bottom):
        return None
    across = down = 1.0
    if rescale:
        seen = qwen_size(width, height)
        across, down = width / seen.width, height / seen.height
    left, right = (min(max(x * across, 0), width) for x in (box.left, box.right))
    top, bottom = (min(max(y * down, 0), height) for y in (box.top, box.bottom))
    if not (left < right and top < bottom):
        return None
    return Box(math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom), box.label)


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


def qwen_size(
    width: int, height: int, *, multiple: int = _PATCH, most_pixels: int | None = _MOST_PATCHES * _PATCH**2
) -> Size:
    """Return the size to which a Qwen-VL resizes an image, by the documented rule of its processor.

    The sides are rounded to the nearest multiples. If the area exceeds ``most_pixels``, or is below four patches, both
    sides are scaled by one factor and then rounded down, or up.
    """
    wide, high = (max(multiple, round(side / multiple) * multiple) for side in (width, height))
    fewest_pixels = _FEWEST_PATCHES * multiple * multiple
    if most_pixels is not None and wide * high > most_pixels:
        shrink = math.sqrt(width * height / most_pixels)
        wide, high = (max(multiple, math.floor(side / shrink / multiple) * multiple) for side in (width, height))
    elif wide * high < fewest_pixels:
        grow = math.sqrt(fewest_pixels / (width * height))
        wide, high = (math.ceil(side * grow / multiple) * multiple for side in (width, height))
    return Size(wide, high)


def _json_values(text: str) -> Iterator[object]:
    """Yield the outermost JSON lists and objects in ``text``, from left to right."""
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
    """Yield all boxes inside, in order. Iterative, since a model may nest deeply."""
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
    """Parse an object inside a string: a tool call's arguments may be JSON in a JSON string."""
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


def calls_tool(reply: str) -> bool:
    """Return whether the reply contains a tool call."""
    return _CALL in reply[:_LONGEST_REPLY]


def called_box(reply: str) -> tuple[float, float, float, float] | None:
    """Return the corners in the first tool call's ``bbox_2d``; None without a call, or if it cannot be read."""
    _, called, rest = reply[:_LONGEST_REPLY].partition(_CALL)
    call = _value(rest.partition("</tool_call>")[0].strip()) if called else None
    arguments = call.get("arguments") if isinstance(call, dict) else None
    corners = arguments.get("bbox_2d") if isinstance(arguments, dict) else None
    return _corners(corners[:4]) if isinstance(corners, list | tuple) and len(corners) >= 4 else None


def listed_boxes(reply: str, width: int, height: int) -> list[Box]:
    """Return the boxes of a JSON list, or of an object's list ``objects``, up to the first that cannot be drawn."""
    value = _value(reply[:_LONGEST_REPLY].replace("```json", "").replace("```", "").strip())
    listed = value.get("objects") if isinstance(value, dict) else value
    boxes: list[Box] = []
    for entry in listed[:MOST_BOXES] if isinstance(listed, list) else ():
        corners = entry.get("bbox_2d") if isinstance(entry, dict) else None
        if not isinstance(corners, list) or len(corners) != 4:
            continue
        numbers = _corners(corners)
        if numbers is None:
            break
        left, top, right, bottom = (int(number) for number in numbers)
        left, right = max(0, left), min(width - 1, right)
        top, bottom = max(0, top), min(height - 1, bottom)
        # Swapped corners are drawn too.
        box = Box(min(left, right), min(top, bottom), max(left, right) + 1, max(top, bottom) + 1)
        boxes.append(box)
    return boxes


def _value(text: str) -> object:
    """Parse JSON, if necessary with single quotes replaced by double ones, else a Python literal; None if all fail."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(text.replace("'", '"'))
    except (ValueError, RecursionError):
        pass
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    return value


def _corners(written: Sequence[object]) -> tuple[float, float, float, float] | None:
    numbers = [float(x) for x in written if isinstance(x, int | float) and -_LARGEST < x < _LARGEST]
    if len(numbers) != 4:
        return None
    return numbers[0], numbers[1], numbers[2], numbers[3]
