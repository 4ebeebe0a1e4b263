"""Rows of data by number, in any storage, and the values of their image columns."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from maestro_eval.tasks.column_types import Column
from maestro_eval.tasks.image_decoding import EncodedImage

Row = dict[str, Any]
"""A row's declared columns by name; image columns have ``EncodedImage`` (or a list of them, or None)."""

MAX_IMAGE_BYTES = 64 * 1024 * 1024
"""An encoded image larger than this is refused before it is unpacked: an 8K frame as PNG takes about half."""


# A scorer does not need an image that a dataset stores as text (HR-Bench: megabytes of base64).
_LONGEST_TEXT = 100_000
_LEFT_OUT = object()


class BadRowError(Exception):
    """An unusable row: ``row`` is the readable part, the message a one-line reason."""

    def __init__(self, message: str, row: Row) -> None:
        super().__init__(message)
        self.row = row


class Source(Protocol):
    """Rows by number. ``files`` are the data files that determine the rows."""

    files: tuple[Path, ...]

    def has(self, column: str) -> bool:
        """Return whether the data has that column."""
        ...

    def scan(self, columns: Collection[str]) -> Iterator[Row]:
        """Yield all rows in order, with those columns only, none of which is an image."""
        ...

    def row(self, index: int) -> Row:
        """Return the row with that number, from 0. IndexError past the end, BadRowError for an invalid value."""
        ...


@runtime_checkable
class NamedPictures(Protocol):
    """A source whose rows name image files beside the data."""

    def picture(self, name: str) -> EncodedImage:
        """Return the image file of that name."""
        ...


def from_base64(value: str | None) -> EncodedImage | None:
    """Return an ``image_base64`` column's value, which may be a data URL."""
    if value is None:
        return None
    # Four characters encode three bytes; the length is checked before decoding.
    if len(value) > MAX_IMAGE_BYTES // 3 * 4 + 256:
        return EncodedImage(b"", problem=f"more than the {MAX_IMAGE_BYTES // 1024**2} MB allowed for an image file")
    head, comma, text = value.partition(",") if value[:5].lower() == "data:" else ("", "", value)
    if comma and not head.lower().rstrip().endswith(";base64"):
        return EncodedImage(b"", problem="a data URL that is not base64")
    try:
        # Line breaks are common in base64 and have no meaning; any other stray character means damage.
        return EncodedImage(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError):
        return EncodedImage(b"", problem="not base64")


def from_arrow(value: Any, column: Column) -> Any:
    """Return the value of an Arrow column as a row has it."""
    if column.type == "image":
        return _arrow_image(value)
    if column.type == "images":
        return None if value is None else [_arrow_image(item) for item in value]
    return from_base64(value) if column.type == "image_base64" else value


def row_as_json(doc: Mapping[str, Any]) -> str:
    """Return a row as JSON, with only its texts, numbers, lists and mappings, and without encoded images."""
    return json.dumps(_json(doc))


def plain(value: object) -> object:
    """Convert a numpy number to a Python one."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else value


def _arrow_image(value: Any) -> EncodedImage | None:
    if value is None:
        return None
    if isinstance(value, dict):
        data, name = value.get("bytes"), str(value.get("path") or "")
        return EncodedImage(data or b"", name, "" if data else "the data holds only a path, no bytes")
    return EncodedImage(bytes(value))


def _json(value: object) -> object:
    value = plain(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else _LEFT_OUT
    if isinstance(value, Mapping):
        items = {str(key): _json(one) for key, one in value.items()}
        return {key: one for key, one in items.items() if one is not _LEFT_OUT}
    if isinstance(value, (list, tuple)):
        # An omitted item of a list leaves a gap, since its position matters.
        return [None if one is _LEFT_OUT else one for one in map(_json, value)]
    return str(value) if hasattr(value, "isoformat") else _LEFT_OUT
