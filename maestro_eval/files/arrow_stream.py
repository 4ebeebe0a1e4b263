"""Detects compressed Arrow IPC streams by the headers of their messages, before anything is decompressed.

``datasets`` compresses none, and no header bounds the decompressed size of a buffer. A message is a mark, the length of
its header, the header (a FlatBuffers table) and its body:
https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_MARK = b"\xff\xff\xff\xff"
# Fields of a message, its kinds, and fields of those kinds.
_KIND, _HEADER, _BODY_LENGTH = 1, 2, 3
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_DATA_OF_DICTIONARY, _COMPRESSION = 1, 3


def is_compressed(file: Path) -> bool:
    """Return whether any batch of a stream is compressed; ``ValueError`` for a damaged one, OSError."""
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _has_compressed_batch(data)
        except struct.error as error:
            raise ValueError(f"its headers are damaged ({error})") from error


def _has_compressed_batch(data: mmap.mmap) -> bool:
    at = 0
    while data[at : at + 4] == _MARK and (length := _whole("<i", data, at + 4)) > 0:
        message = at + 8 + _whole("<I", data, at + 8)
        kind = _field(data, message, _KIND)
        batch = _table(data, message, _HEADER)
        if batch is not None and kind is not None:
            number = data[kind]
            if number == _DICTIONARY_BATCH:
                batch = _table(data, batch, _DATA_OF_DICTIONARY)
            batches = number in (_DICTIONARY_BATCH, _RECORD_BATCH)
            if batches and batch is not None and _field(data, batch, _COMPRESSION) is not None:
                return True
        body = _field(data, message, _BODY_LENGTH)
        at += 8 + length + (max(0, _whole("<q", data, body)) if body is not None else 0)
    return False


def _whole(kind: str, data: mmap.mmap, at: int) -> int:
    if at < 0:
        raise struct.error("an offset leads out of the file")
    return int(struct.unpack_from(kind, data, at)[0])


def _field(data: mmap.mmap, table: int, number: int) -> int | None:
    """Return the offset of a field of a table; ``None`` if it is not set."""
    offsets = table - _whole("<i", data, table)
    if 4 + 2 * number >= _whole("<H", data, offsets):
        return None
    return table + offset if (offset := _whole("<H", data, offsets + 4 + 2 * number)) else None


def _table(data: mmap.mmap, table: int, number: int) -> int | None:
    """Return the offset of the table that a field refers to."""
    at = _field(data, table, number)
    return None if at is None else at + _whole("<I", data, at)
