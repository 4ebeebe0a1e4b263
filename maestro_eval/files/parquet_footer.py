"""What a Parquet file says that it unpacks to, read from its footer alone, before anything of it is unpacked.

The footer is one structure in Thrift's compact protocol, of which two numbers of each column of each row group are
wanted: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

LONGEST = 16 << 20
"""Bytes of a footer: a data set of ten thousand row groups has a few million."""
_DEEPEST = 16
# Where the two numbers are: row groups, their columns, a column's metadata, and in that its sizes.
_GROUPS, _COLUMNS, _METADATA, _UNPACKED, _PACKED = 4, 1, 3, 6, 7


class Sizes(Struct, frozen=True):
    """Bytes of a column chunk."""

    packed: int
    unpacked: int


def column_sizes(file: Path) -> Iterator[Sizes]:
    """Of every column chunk of a file that begins and ends as Parquet does; ``ValueError`` for a damaged footer."""
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(size - 8)
        length = int.from_bytes(stream.read(4), "little")
        if not 0 < length <= min(LONGEST, size - 12):
            raise ValueError(f"its footer has {length} bytes")
        stream.seek(size - 8 - length)
        footer = _Thrift(stream.read(length)).struct()
    try:
        for group in footer[_GROUPS]:
            for column in group[_COLUMNS]:
                yield Sizes(int(column[_METADATA][_PACKED]), int(column[_METADATA][_UNPACKED]))
    except (LookupError, TypeError) as error:
        raise ValueError(f"its footer lacks a field ({error})") from error


class _Thrift:
    """A reader of the compact protocol: structures as dictionaries by field number."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > _DEEPEST:
            raise ValueError("its footer is nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while header := self._byte():
            number = number + (header >> 4) if header >> 4 else self._whole()
            # In a field, a truth value is its type.
            kind = header & 15
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        match kind:
            case 1 | 2 | 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._whole()
            case 7:
                return self._skip(8)
            case 8:
                return self._skip(self._varint())
            case 9 | 10:
                header = self._byte()
                count = header >> 4 if header >> 4 < 15 else self._varint()
                # Each takes a byte at least, so that no number makes us wait.
                return [self._value(header & 15, depth + 1) for _ in range(min(count, len(self._data)))]
            case 12:
                return self.struct(depth + 1)
        raise ValueError(f"its footer has a value of unknown kind {kind}")

    def _byte(self) -> int:
        if self._at >= len(self._data):
            raise ValueError("its footer is cut")
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("its footer has a number without end")

    def _whole(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)

    def _skip(self, length: int) -> None:
        self._at += length
        if self._at > len(self._data):
            raise ValueError("its footer is cut")
