"""Rows of JSON data by number: one object a line (JSONL), or one list of objects (``*.json``).

Every row is checked against the schema before the first is used. Memory holds where each row begins and ends, never
the rows: a list is cut into its objects by counting brackets outside strings, over a mapping of the file.

Python writes ``NaN`` and ``Infinity``, which are no JSON. They are read as null; a row that has one in a column that
the task demands is a bad row.
"""

from __future__ import annotations

import codecs
import json
import mmap
import re
from array import array
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from maestro_eval.records import UserError
from maestro_eval.tasks.column_types import IMAGE_TYPES, Column, expected, fits_json
from maestro_eval.tasks.image_decoding import EncodedImage
from maestro_eval.tasks.image_lookup import Pictures
from maestro_eval.tasks.rows import BadRowError, Row, from_base64

JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")

# A string as a whole, or a mark that opens or closes. A quote alone begins a string that never ends.
_MARKS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{}]', re.DOTALL)
_NOT_A_NUMBER = re.compile(rb"NaN|Infinity")
_PYTHONIC = re.compile(rb"NaN|Infinity|\\u[dD][89a-fA-F]")
# What may stand between two objects is a comma and white space; more is not searched for it.
_LONGEST_GAP = 100_000


class JsonSource:
    """A ``.json`` file is a list, any other is read line by line."""

    def __init__(self, file: Path, columns: Mapping[str, Column], pictures: Pictures) -> None:
        self._file = file
        self._pictures = pictures
        self._begins = array("Q")
        self._ends = array("Q")
        absent: set[str] = set()
        check = _RowCheck(file, columns)
        try:
            for number, begin, end, written in _listed(file) if file.suffix == ".json" else _lines(file):
                absent |= check.absent(written, number)
                self._begins.append(begin)
                self._ends.append(end)
        except OSError as error:
            raise UserError(f"{file}: cannot be read ({error.strerror})") from error
        self._columns = {name: column for name, column in columns.items() if name not in absent}

    @property
    def files(self) -> tuple[Path, ...]:
        return (self._file, *self._pictures.files)

    def has(self, column: str) -> bool:
        return column in self._columns

    def scan(self, columns: Collection[str]) -> Iterator[Row]:
        if not columns:
            yield from ({} for _ in self._begins)
            return
        with self._file.open("rb") as stream:
            for begin, end in zip(self._begins, self._ends, strict=True):
                stream.seek(begin)
                data = _decoded(stream.read(end - begin))
                yield {name: data.get(name) for name in columns}

    def row(self, index: int) -> Row:
        begin, end = self._begins[index], self._ends[index]
        with self._file.open("rb") as stream:
            stream.seek(begin)
            written = stream.read(end - begin)
        data = _decoded(written)
        row = {name: self._value(data.get(name), column) for name, column in self._columns.items()}
        numbers = _not_numbers(written)
        for name, column in self._columns.items():
            if name in numbers and not column.optional:
                raise BadRowError(f"column {name!r} holds {numbers[name]}, which is no value", row)
        return row

    def picture(self, name: str) -> EncodedImage:
        return self._pictures.get(name)

    def _value(self, value: Any, column: Column) -> Any:
        if value is None or column.type not in IMAGE_TYPES:
            return value
        if column.type == "image_base64":
            return from_base64(value)
        return self._pictures.get(value) if column.type == "image" else [self._pictures.get(item) for item in value]


_Piece = tuple[int, int, int, bytes]
"""A row's number (its line, or its place in the list, from 1), first byte, end, and the bytes themselves."""


def _lines(file: Path) -> Iterator[_Piece]:
    with file.open("rb") as stream:
        # Windows begins a file with a mark of its encoding.
        begins = stream.read(len(codecs.BOM_UTF8))
        if begins[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise UserError(f"{file}: is UTF-16; save it as UTF-8")
        offset = len(codecs.BOM_UTF8) if begins == codecs.BOM_UTF8 else 0
        stream.seek(offset)
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield number, offset, offset + len(line), line
            offset += len(line)


def _listed(file: Path) -> Iterator[_Piece]:
    with file.open("rb") as stream:
        if not stream.read(1):
            raise UserError(f"{file}: is empty (expected a list of objects)")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield from _objects(data, file)


def _objects(data: mmap.mmap, file: Path) -> Iterator[_Piece]:
    depth = number = begin = 0
    # Where the last object ended, and what has to stand between there and the next one.
    ended, between = 0, b""
    for mark in _MARKS.finditer(data):
        token = mark[0] if mark.end() - mark.start() == 1 else b"text"
        if token == b'"':
            item = number + (depth < 2)
            raise UserError(f"{file}: item {item}: not valid JSON (a string that does not end)")
        if depth == 0:
            if token != b"[" or ended or _gap(data, 0, mark.start()) not in (b"", b"\xef\xbb\xbf"):
                raise UserError(f"{file}: expected a list of objects")
            depth, ended = 1, mark.end()
        elif depth == 1:
            gap = _gap(data, ended, mark.start())
            if token == b"]" and gap == b"":
                depth, ended = 0, mark.end()
            elif token == b"{" and gap == between:
                depth, begin, number = 2, mark.start(), number + 1
            else:
                raise UserError(f"{file}: item {number + 1}: expected an object after a comma")
        elif token in (b"{", b"["):
            depth += 1
        elif token in (b"}", b"]"):
            depth -= 1
            if depth == 1:
                ended, between = mark.end(), b","
                yield number, begin, ended, data[begin:ended]
    if depth or not ended or _gap(data, ended, len(data)):
        raise UserError(f"{file}: not valid JSON (the list does not end, or something follows it); fetch it again")


def _gap(data: mmap.mmap, begin: int, end: int) -> bytes:
    return data[begin : min(end, begin + _LONGEST_GAP)].strip(b" \t\r\n")


class _RowCheck:
    """Whether rows have their columns. A typed decoder passes nearly all of them; what it refuses is looked at closely.

    A million rows are checked in a second or two that way, where each value by itself takes ten.
    """

    def __init__(self, file: Path, columns: Mapping[str, Column]) -> None:
        self._file = file
        self._columns = columns
        fields = {name: f"column{number}" for number, name in enumerate(columns)}
        kinds: list[tuple[str, Any, Any]] = [
            (fields[name], _DECODED.get(column.type, Any), msgspec.UNSET if column.optional else msgspec.NODEFAULT)
            for name, column in columns.items()
        ]
        names = {fields[name]: name for name in columns}
        row = msgspec.defstruct("Row", kinds, rename=names, kw_only=True, gc=False)
        self._decode = msgspec.json.Decoder(row).decode
        # The decoder's own numbers are not as strict as ours, and lists are rare.
        self._closely = [(fields[name], column) for name, column in columns.items() if column.type not in _DECODED]
        self._optional = [(fields[name], name) for name, column in columns.items() if column.optional]

    def absent(self, written: bytes, number: int) -> set[str]:
        """The optional columns that the row lacks; UserError for anything else that it lacks."""
        try:
            row = self._decode(written)
            # What the decoder passes over it does not read.
            written.decode()
            if all(_unset_or_fits(column, getattr(row, field)) for field, column in self._closely):
                return {name for field, name in self._optional if getattr(row, field) is msgspec.UNSET}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        where = f"{self._file}: item {number}" if self._file.suffix == ".json" else f"{self._file}:{number}"
        return _check(written, where, self._columns)


def _decoded(written: bytes) -> Any:
    """A row, also as Python writes it: NaN and Infinity become null, halves of surrogate pairs U+FFFD."""
    try:
        return msgspec.json.decode(written)
    except msgspec.DecodeError:
        if not _PYTHONIC.search(written):
            raise
        try:
            return _whole(json.loads(written, parse_constant=lambda _: None))
        except ValueError:
            pass
        raise


def _whole(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        case list():
            return [_whole(item) for item in value]
        case dict():
            return {_whole(key): _whole(item) for key, item in value.items()}
    return value


def _not_numbers(written: bytes) -> dict[str, str]:
    """The columns of a row that hold NaN or an infinity, each with the first of them."""
    if not _NOT_A_NUMBER.search(written):
        return {}
    data = json.loads(written, parse_constant=_Constant)
    return {name: found for name, value in data.items() if (found := _constant_in(value))}


class _Constant(str):
    """NaN or an infinity, as it is written."""


def _constant_in(value: Any) -> str:
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, _Constant):
            return str(item)
        if isinstance(item, list | dict):
            todo.extend(item.values() if isinstance(item, dict) else item)
    return ""


def _unset_or_fits(column: Column, value: object) -> bool:
    return value is msgspec.UNSET or fits_json(column, value)


_DECODED: dict[str, Any] = {
    "string": str | None,
    "image": str | None,
    "image_base64": str | None,
    "boolean": bool | None,
    "any": Any,
}


def _check(written: bytes, where: str, columns: Mapping[str, Column]) -> set[str]:
    """The optional columns that the row lacks; UserError for anything else that it lacks."""
    try:
        data = _decoded(written)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{where}: not valid JSON ({error})") from error
    if not isinstance(data, dict):
        raise UserError(f"{where}: expected an object (one JSON object a line)")
    for name, column in columns.items():
        wanted = expected(column, "json")
        if name not in data and not column.optional:
            raise UserError(f"{where}: column {name!r} is missing (expected {wanted}); there are: {', '.join(data)}")
        if not fits_json(column, data.get(name)):
            raise UserError(f"{where}: column {name!r} should be {wanted}, but is {_shown(data[name])}")
    return {name for name in columns if name not in data}


def _shown(value: object) -> str:
    written = msgspec.json.encode(value).decode()
    return written if len(written) <= 60 else f"{written[:57]}..."
