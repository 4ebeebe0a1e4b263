"""Open a Parquet file as a stream of batches, so that a damaged one is the user's line and not a crash.

What it unpacks to is read from its footer and page headers before anything is unpacked. Both are structures in Thrift's
compact protocol. The footer says where each column of each row group begins, the header of each page how long the page
is. The footer's own sums are not relied on: no reader needs them, so they can be anything.
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from maestro_eval.records import UserError

if TYPE_CHECKING:
    from arro3.core import RecordBatchReader

_MAGIC = b"PAR1"
# A row group that unpacks to more than this, and to so many times what it is packed in, is no data set. What repeats is
# unpacked once and copied for each of a batch's rows: memory is some ten times this at most.
_LARGE = 64 << 20
_TIMES = 100
LONGEST = 16 << 20
"""Bytes of a footer: a data set of ten thousand row groups has a few million."""
_DEEPEST = 16
# Fields of the footer: row groups, their columns, a column's metadata, and in that its length and where pages begin.
_GROUPS, _COLUMNS, _METADATA, _LENGTH, _DATA, _DICTIONARY = 4, 1, 3, 7, 9, 11
# Fields of a page's header.
_UNPACKED, _PACKED = 2, 3


def open_parquet(file: Path, rows: int) -> RecordBatchReader:
    """Open the schema and the batches (of ``rows`` rows at most) of a file; UserError when it is not whole.

    A page that does not decode is found only when its batch is read, and raises arro3's own exception then.
    """
    from arro3.io import read_parquet

    damaged = f"{file}: not a complete Parquet file; fetch it again"
    try:
        with file.open("rb") as stream:
            begins = stream.read(4)
            stream.seek(-4, 2)
            ends = stream.read(4)
    except OSError as error:
        raise UserError(f"{file}: cannot be read as Parquet ({error.strerror})") from error
    # arro3 panics, with a backtrace on standard error, where a plain look at both ends would do.
    if begins != _MAGIC or ends != _MAGIC:
        raise UserError(damaged)
    _refuse_bomb(file, file.stat().st_mtime_ns)
    try:
        return read_parquet(file, batch_size=rows)
    except BaseException as error:
        # A panic of Rust code is no Exception in Python; everything else of that rank is not ours to catch.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise UserError(damaged) from error
        raise


@lru_cache(maxsize=4096)
def _refuse_bomb(file: Path, modified: int) -> None:
    """Refuse a file that unpacks to what it cannot hold (UserError): once for a file, which is read many times."""
    try:
        for column in column_sizes(file):
            if column.unpacked > max(_LARGE, _TIMES * column.packed):
                raise UserError(
                    f"{file}: a column of {column.packed:,} bytes would unpack to {column.unpacked:,}; this is no data "
                    "set (write it again in smaller row groups if it is)"
                )
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: damaged Parquet; fetch it again ({error})") from error


class Sizes(Struct, frozen=True):
    """Bytes of a column chunk."""

    packed: int
    unpacked: int


def column_sizes(file: Path) -> Iterator[Sizes]:
    """Yield the sizes of every column chunk of a file that looks like Parquet; ``ValueError`` for a damaged one."""
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        length = int.from_bytes(data[-8:-4], "little")
        if not 0 < length <= min(LONGEST, len(data) - 12):
            raise ValueError(f"its footer has {length} bytes")
        end = len(data) - 8
        footer = _Thrift(data, end - length, end).struct()
        try:
            for group in footer[_GROUPS]:
                for column in group[_COLUMNS]:
                    yield _page_sizes(data, column[_METADATA], end - length)
        except (LookupError, TypeError) as error:
            raise ValueError(f"its headers lack a field ({error})") from error


def _page_sizes(data: mmap.mmap, column: dict[int, Any], footer: int) -> Sizes:
    """Add up the pages of a column."""
    # Some writers set the dictionary's place to 0 where there is none.
    at = min(column[_DATA], column.get(_DICTIONARY) or column[_DATA])
    end = at + column[_LENGTH]
    if not 0 < at <= end <= footer:
        raise ValueError("its columns lie outside of it")
    packed = unpacked = 0
    while at < end:
        header = _Thrift(data, at, end)
        page = header.struct()
        if page[_PACKED] < 0 or page[_UNPACKED] < 0:
            raise ValueError("its pages have lengths below zero")
        packed, unpacked = packed + page[_PACKED], unpacked + page[_UNPACKED]
        at = header.at + page[_PACKED]
    return Sizes(packed, unpacked)


class _Thrift:
    """A reader of the compact protocol from ``at`` to ``end``: structures as dictionaries by field number."""

    def __init__(self, data: mmap.mmap, at: int, end: int) -> None:
        self._data = data
        self.at = at
        self._end = end

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
                return [self._value(header & 15, depth + 1) for _ in range(min(count, self._end - self.at))]
            case 12:
                return self.struct(depth + 1)
        raise ValueError(f"its footer has a value of unknown kind {kind}")

    def _byte(self) -> int:
        if self.at >= self._end:
            raise ValueError("its footer is cut")
        self.at += 1
        return self._data[self.at - 1]

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
        self.at += length
        if self.at > self._end:
            raise ValueError("its footer is cut")
