"""Rows of JSON data by number: one object per line (JSONL), or one list of objects (``*.json``), and their image files.

Every row is checked against the schema before the first is used. Memory has the start and end of each row, never the
rows: a list is split into its objects by counting brackets outside strings, in a mapping of the file. ``NaN`` and
``Infinity``, which Python writes, are not JSON. They are read as null; a row with one in a required column is a bad
row.

Images are beside the data, in a folder beside it, or in a zip file beside it. Their names are foreign data. An absolute
one, or one that leaves the folder, is never opened; a zip file's members are read by name, never unpacked, and only up
to ``MAX_IMAGE_BYTES``, whatever its directory says. A value that is the picture itself (a data URL, bare base64) is
decoded; an address is never fetched. A missing image becomes an ``EncodedImage`` with the reason: one bad row, not the
end of a run.
"""

from __future__ import annotations

import codecs
import json
import mmap
import re
import zipfile
import zlib
from array import array
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from maestro_eval.records import UserError
from maestro_eval.tasks.column_types import IMAGE_TYPES, Column, expected, fits_json
from maestro_eval.tasks.image_decoding import EncodedImage, FileState
from maestro_eval.tasks.rows import MAX_IMAGE_BYTES, BadRowError, Row, from_base64
from maestro_eval.text import whole

JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")

# A whole string, or an opening or closing bracket. A quote alone begins an unterminated string.
_MARKS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{}]', re.DOTALL)
_NOT_A_NUMBER = re.compile(rb"NaN|Infinity")
_PYTHONIC = re.compile(rb"NaN|Infinity|\\u[dD][89a-fA-F]")
# Between two objects only a comma and white space are valid; a longer gap is not read in full.
_LONGEST_GAP = 100_000
# The beginnings of PNG, JPEG, GIF and WebP in base64; that of BMP ("Qk") is also the beginning of many names.
_BASE64_PICTURE = re.compile(r"(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR)[A-Za-z0-9+/\r\n]{20,}={0,2}\s*")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20})://")
# Linux opens no longer path; checking longer text would take quadratic time.
_LONGEST_PATH = 4096
_TOO_LARGE = f"more than the {MAX_IMAGE_BYTES // 1024**2} MB allowed for an image file"


class JsonSource:
    """A ``.json`` file is a list; any other file has an object per line."""

    def __init__(self, file: Path, columns: Mapping[str, Column], pictures: Pictures) -> None:
        self.files = (file, *pictures.files)
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
        # Windows writes a byte order mark first.
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
    # The end of the last object, and the text that must follow before the next one.
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
    """Checks the columns of rows with a typed decoder, and checks in detail only the rows that it refuses.

    This takes a second or two for a million rows; checking each value takes ten.
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
        # The decoder's numbers are less strict than ours, and lists are rare.
        self._closely = [(fields[name], column) for name, column in columns.items() if column.type not in _DECODED]
        self._optional = [(fields[name], name) for name, column in columns.items() if column.optional]

    def absent(self, written: bytes, number: int) -> set[str]:
        """Return the optional columns that the row does not have; UserError if one is required or has a wrong type."""
        try:
            row = self._decode(written)
            # The decoder does not check the encoding of values that it skips.
            written.decode()
            if all(_unset_or_fits(column, getattr(row, field)) for field, column in self._closely):
                return {name for field, name in self._optional if getattr(row, field) is msgspec.UNSET}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        where = f"{self._file}: item {number}" if self._file.suffix == ".json" else f"{self._file}:{number}"
        return _check(written, where, self._columns)


def _decoded(written: bytes) -> Any:
    """Return a row, also in Python's dialect: NaN and Infinity become null, halves of surrogate pairs U+FFFD."""
    try:
        return msgspec.json.decode(written)
    except msgspec.DecodeError:
        if not _PYTHONIC.search(written):
            raise
        try:
            return whole(json.loads(written, parse_constant=lambda _: None))
        except ValueError:
            pass
        raise


def _not_numbers(written: bytes) -> dict[str, str]:
    """Return the columns of a row that contain NaN or an infinity, each with the first of them."""
    if not _NOT_A_NUMBER.search(written):
        return {}
    data = json.loads(written, parse_constant=_Constant)
    return {name: found for name, value in data.items() if (found := _constant_in(value))}


class _Constant(str):
    """NaN or an infinity, as written."""


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
    """Return the optional columns that the row does not have; UserError if one is required or has a wrong type."""
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


class Pictures(Protocol):
    """Image files by name. ``files`` are the archives that contain them, if any, which are part of the data's hash."""

    files: tuple[Path, ...]

    def get(self, name: str) -> EncodedImage: ...


def open_pictures(folder: Path, images_in: str) -> Pictures:
    """Return the images of JSON data in ``folder``. UserError if ``images_in`` is neither a folder nor a zip file."""
    if not images_in:
        return _Folder(folder)
    if (folder / images_in).is_dir():
        return _Folder(folder / images_in)
    archive = folder / f"{images_in}.zip"
    if archive.is_file():
        return _Zip(archive, images_in)
    raise UserError(f"{folder}: holds neither the folder {images_in} nor {images_in}.zip, in which the images are")


def _inline(value: str) -> EncodedImage | None:
    """Return the image in a value that is not a file name; None for a file name."""
    if value[:5].lower() == "data:" or _BASE64_PICTURE.fullmatch(value):
        return from_base64(value)
    if address := _ADDRESS.match(value):
        advice = "nothing is fetched; save the picture beside the data and give its path"
        return EncodedImage(b"", value, f"is an address ({address[1].lower()}), and {advice}")
    if len(value) <= _LONGEST_PATH:
        return None
    encoded = from_base64(value)
    if encoded is None or encoded.problem == "not base64":
        return EncodedImage(b"", value, "neither base64 nor a path, which is never that long")
    return encoded


class _Folder(Struct):
    folder: Path
    files: tuple[Path, ...] = ()

    def get(self, name: str) -> EncodedImage:
        if (inline := _inline(name)) is not None:
            return inline
        try:
            inside = self.folder.resolve()
            file = (inside / name).resolve()
            if Path(name).is_absolute() or not file.is_relative_to(inside):
                return EncodedImage(b"", name, f"image path leaves the folder {self.folder.name}, so it is not opened")
            if not file.is_file():
                return EncodedImage(b"", name, "no such image file")
            found = file.stat()
            if found.st_size > MAX_IMAGE_BYTES:
                return EncodedImage(b"", name, _TOO_LARGE)
            return EncodedImage(b"", name, file=FileState(str(file), found.st_ino, found.st_size, found.st_mtime_ns))
        except (OSError, ValueError, RuntimeError) as error:
            # ValueError: a NUL in the path; RuntimeError: a link to itself. The text of an OSError repeats the path.
            return EncodedImage(b"", name, f"cannot be read ({getattr(error, 'strerror', None) or error})")


class _Zip:
    """Finds members as ``FOLDER/name``, if the archive contains the folder itself, or as ``name``."""

    def __init__(self, archive: Path, folder: str) -> None:
        self.files: tuple[Path, ...] = (archive,)
        self._archive = archive
        self._folder = folder
        try:
            self._zip = zipfile.ZipFile(archive)
        except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
            raise UserError(f"{archive}: cannot be read as a zip file ({error}); fetch it again") from error

    def get(self, name: str) -> EncodedImage:
        if (inline := _inline(name)) is not None:
            return inline
        try:
            member = self._member(name)
            if member is None:
                return EncodedImage(b"", name, f"{self._archive.name} has no such member")
            if member.file_size > MAX_IMAGE_BYTES:
                return EncodedImage(b"", name, _TOO_LARGE)
            with self._zip.open(member) as stream:
                data = stream.read(MAX_IMAGE_BYTES + 1)
        except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
            # RuntimeError: a member with a password; NotImplementedError: an unsupported compression.
            return EncodedImage(b"", name, f"cannot be read from {self._archive.name} ({error})")
        return EncodedImage(b"", name, _TOO_LARGE) if len(data) > MAX_IMAGE_BYTES else EncodedImage(data, name)

    def _member(self, name: str) -> zipfile.ZipInfo | None:
        for written in (f"{self._folder}/{name}", name):
            try:
                return self._zip.getinfo(written)
            except KeyError:
                continue
        return None
