"""Rows of data by number, whatever they are stored in, and the values of their image columns."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from maestro_eval.tasks.column_types import Column
from maestro_eval.tasks.image_decoding import EncodedImage

Row = dict[str, Any]
"""A row's declared columns by name; image columns hold ``EncodedImage`` (or a list of them, or ``None``)."""

MAX_IMAGE_BYTES = 64 * 1024 * 1024
"""An encoded image larger than this is refused before it is unpacked: an 8K frame as PNG takes about half."""


class BadRowError(Exception):
    """A row that cannot be asked: ``row`` is what could be read of it, the message one line of why."""

    def __init__(self, message: str, row: Row) -> None:
        super().__init__(message)
        self.row = row


class Source(Protocol):
    """Rows that can be had by number."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The data files that decide what the rows are."""
        ...

    def has(self, column: str) -> bool:
        """Whether the data holds that column."""
        ...

    def scan(self, columns: Collection[str]) -> Iterator[Row]:
        """All rows in order, with those columns (none of them an image) only."""
        ...

    def row(self, index: int) -> Row:
        """The row with that number, from 0. IndexError past the end, BadRowError for one with a value that is none."""
        ...


@runtime_checkable
class NamedPictures(Protocol):
    """A source whose rows name image files beside the data."""

    def picture(self, name: str) -> EncodedImage:
        """The image file of that name."""
        ...


def from_base64(value: str | None) -> EncodedImage | None:
    """An ``image_base64`` column's value; a data URL is taken too."""
    if value is None:
        return None
    # Four characters hold three bytes; refused by length, before any of it is decoded.
    if len(value) > MAX_IMAGE_BYTES // 3 * 4 + 256:
        return EncodedImage(b"", problem=f"more than the {MAX_IMAGE_BYTES // 1024**2} MB allowed for an image file")
    head, comma, text = value.partition(",") if value[:5].lower() == "data:" else ("", "", value)
    if comma and not head.lower().rstrip().endswith(";base64"):
        return EncodedImage(b"", problem="a data URL that is not base64")
    try:
        # Line breaks are common in base64 and mean nothing; any other stray character is damage.
        return EncodedImage(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError):
        return EncodedImage(b"", problem="not base64")


def from_arrow(value: Any, column: Column) -> Any:
    """The value of an Arrow column as a row holds it."""
    if column.type == "image":
        return _arrow_image(value)
    if column.type == "images":
        return None if value is None else [_arrow_image(item) for item in value]
    return from_base64(value) if column.type == "image_base64" else value


def present(columns: Mapping[str, Column], names: Collection[str]) -> dict[str, Column]:
    """The columns that the data holds."""
    return {name: column for name, column in columns.items() if name in names}


def _arrow_image(value: Any) -> EncodedImage | None:
    if value is None:
        return None
    if isinstance(value, dict):
        data, name = value.get("bytes"), str(value.get("path") or "")
        return EncodedImage(data or b"", name, "" if data else "the data holds only a path, no bytes")
    return EncodedImage(bytes(value))
