"""Opens a Parquet file as a stream of batches; a damaged file is a UserError and not a crash.

The decompressed size is read from the footer and the page headers before anything is decompressed. Both are structures
in Thrift's compact protocol. The footer locates each column of each row group, the header of each page gives the page's
length. The totals in the footer are not trusted: no reader needs them, so they can be anything.
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
# A column chunk that decompresses to more than this, and to this many times its compressed size, is no data set. A
# repeated value is decompressed once and copied for each of a batch's rows: memory is at most some ten times this.
_LARGE = 64 << 20
_TIMES = 100
LONGEST = 16 << 20
"""The maximal bytes of a footer: a data set of ten thousand row groups has a few million."""
_DEEPEST = 16
# Fields of the footer: row groups, their columns, a column's metadata, and in that its length and where pages begin.
_GROUPS, _COLUMNS, _METADATA, _LENGTH, _DATA, _DICTIONARY = 4, 1, 3, 7, 9, 11
# Fields of a page's header.
_UNPACKED, _PACKED = 2, 3


def open_parquet(file: Path, rows: int) -> RecordBatchReader:
    """Open the schema and the batches (of at most ``rows`` rows) of a file; UserError if the file is not whole.

    A page that does not decode is detected when its batch is read, and raises arro3's own exception then.
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
    # arro3 panics, with a backtrace on standard error, on files that this check rejects.
    if begins != _MAGIC or ends != _MAGIC:
        raise UserError(damaged)
    _refuse_bomb(file, file.stat().st_mtime_ns)
    try:
        return read_parquet(file, batch_size=rows)
    except BaseException as error:
        # A panic of Rust code is a BaseException in Python; other BaseExceptions are not ours to catch.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise UserError(damaged) from error
        raise


@lru_cache(maxsize=4096)
def _refuse_bomb(file: Path, modified: int) -> None:
    """Refuse a file that decompresses to an implausible size (UserError). Cached, since a file is opened many times."""
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
    # Some writers set the dictionary's offset to 0 if there is none.
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
    """Reads the compact protocol from ``at`` to ``end``: structures as dictionaries by field number."""

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
            # A Boolean field has its value in its type.
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
                # Each item takes at least a byte, which bounds the count.
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
