"""Boxes in a model's reply, found where the released code finds them, and left as the model wrote them.

A reply is hostile input: it is read as JSON or as a Python literal, never evaluated, and no further than
``_LONGEST_REPLY`` characters.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence

from maestro_eval.skills.boxes import MOST_BOXES, Box

_LONGEST_REPLY = 1 << 16
_LARGEST = 1e9
_CALL = "<tool_call>"


def calls_tool(reply: str) -> bool:
    """Whether the reply calls a tool at all."""
    return _CALL in reply[:_LONGEST_REPLY]


def called_box(reply: str) -> tuple[float, float, float, float] | None:
    """The corners in the first tool call's ``bbox_2d``; None without a call, or where it cannot be read."""
    _, called, rest = reply[:_LONGEST_REPLY].partition(_CALL)
    call = _value(rest.partition("</tool_call>")[0].strip()) if called else None
    arguments = call.get("arguments") if isinstance(call, dict) else None
    corners = arguments.get("bbox_2d") if isinstance(arguments, dict) else None
    return _corners(corners[:4]) if isinstance(corners, list | tuple) and len(corners) >= 4 else None


def listed_boxes(reply: str, width: int, height: int) -> list[Box]:
    """The boxes of a JSON list, or of the list ``objects`` in an object, up to the first that cannot be drawn."""
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
        # Corners the wrong way round are drawn all the same.
        box = Box(min(left, right), min(top, bottom), max(left, right) + 1, max(top, bottom) + 1)
        boxes.append(box)
    return boxes


def _value(text: str) -> object:
    """JSON, with double quotes for single ones where that is what it needs, or else a Python literal."""
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
