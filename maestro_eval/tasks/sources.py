"""Rows of local data by number: a Parquet file, a folder of them, or a JSONL file with its images beside it.

The schema is checked before the first row is used. Memory holds a few decoded batches (``_KEPT_BYTES``), never
the file. Parquet is read as a forward stream, since arro3 offers no seek: rows asked for in rising order cost one
pass over the file in all (about 1 GB/s), a step back beyond the kept batches costs another pass. A scan of single
columns decodes the whole file too.

Paths in a JSONL file are data of others: one that is absolute or leaves the file's folder is never opened.
"""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from maestro_eval.files import fingerprint, open_parquet
from maestro_eval.tasks.columns import IMAGE_TYPES, Column, expected, fits_arrow, fits_json
from maestro_eval.tasks.images import EncodedImage
from maestro_eval.types import UserError

if TYPE_CHECKING:
    from arro3.core import RecordBatch

Row = dict[str, Any]
"""A row's declared columns by name; image columns hold ``EncodedImage`` (or a list of them, or ``None``)."""

_BATCH_ROWS = 8
_KEPT_BYTES = 64_000_000


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
        """The row with that number, from 0. IndexError past the end."""
        ...


def open_source(path: Path, columns: Mapping[str, Column], split: str = "") -> Source:
    """Open local data and check its schema. UserError for a path, a format or a column that is not as it must be.

    In a folder of Parquet files, those whose name begins with ``split`` and a dash (as the hub writes them) are
    taken alone when there are any.
    """
    if path.is_dir():
        files = sorted(path.glob("*.parquet"))
        of_split = [file for file in files if split and file.name.startswith(f"{split}-")]
        if files:
            return _ParquetSource(of_split or files, columns)
        raise UserError(f"{path}: holds no *.parquet file; give a Parquet file, a folder of them, or a JSONL file")
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    if path.suffix == ".parquet":
        return _ParquetSource([path], columns)
    if path.suffix in (".jsonl", ".ndjson"):
        return _JsonlSource(path, columns)
    raise UserError(f"{path}: cannot be read as data; give a .parquet file, a folder of them, or a .jsonl file")


def hash_files(files: Sequence[Path]) -> str:
    """SHA-256 of one file, or the fingerprint of several; remembered while size and time of change stay."""
    digests = []
    for file in files:
        state = file.stat()
        digests.append(_hash_file(file, state.st_size, state.st_mtime_ns))
    return digests[0] if len(digests) == 1 else fingerprint(digests)


@lru_cache(maxsize=256)
def _hash_file(file: Path, size: int, changed_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class _ParquetSource:
    def __init__(self, files: Sequence[Path], columns: Mapping[str, Column]) -> None:
        self._files = tuple(files)
        present = [_check_parquet(file, columns) for file in self._files]
        self._columns = {name: columns[name] for name in columns if all(name in names for names in present)}
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, RecordBatch] = OrderedDict()
        self._stream: Iterator[RecordBatch] = iter(())
        self._at = 0

    @property
    def files(self) -> tuple[Path, ...]:
        return self._files

    def has(self, column: str) -> bool:
        return column in self._columns

    def scan(self, columns: Collection[str]) -> Iterator[Row]:
        for batch in _batches(self._files, _BATCH_ROWS):
            read = {name: batch.column(name).to_pylist() for name in columns}
            for index in range(batch.num_rows):
                yield {name: read[name][index] for name in columns}

    def row(self, index: int) -> Row:
        with self._lock:
            start, batch = self._batch_with(index)
        raw = {name: batch.column(name)[index - start].as_py() for name in self._columns}
        return {name: _parquet_value(raw[name], column) for name, column in self._columns.items()}

    def _batch_with(self, index: int) -> tuple[int, RecordBatch]:
        for start, batch in self._kept.items():
            if start <= index < start + batch.num_rows:
                self._kept.move_to_end(start)
                return start, batch
        if index < self._at or self._at == 0:
            self._stream, self._at = _batches(self._files, _BATCH_ROWS), 0
        for batch in self._stream:
            start, self._at = self._at, self._at + batch.num_rows
            # Batches passed over are kept too: rollouts start nearly in order, and a straggler wants one of them.
            self._keep(start, batch)
            if index < self._at:
                return start, batch
        raise IndexError(index)

    def _keep(self, start: int, batch: RecordBatch) -> None:
        self._kept[start] = batch
        while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > _KEPT_BYTES:
            self._kept.popitem(last=False)


def _check_parquet(file: Path, columns: Mapping[str, Column]) -> frozenset[str]:
    schema = open_parquet(file, _BATCH_ROWS).schema
    names = frozenset(schema.names)
    for name, column in columns.items():
        if name not in names:
            if column.optional:
                continue
            raise UserError(
                f"{file}: column {name!r} is missing (expected {expected(column, 'parquet')}); "
                f"there are: {', '.join(schema.names)}"
            )
        data_type = schema.field(name).type
        if not fits_arrow(column, data_type):
            raise UserError(
                f"{file}: column {name!r} should be {expected(column, 'parquet')}, but is {_type_name(data_type)}"
            )
    return names


def _batches(files: Sequence[Path], rows: int) -> Iterator[RecordBatch]:
    for file in files:
        try:
            yield from open_parquet(file, rows)
        except UserError:
            raise
        except Exception as error:
            # arro3 raises its own exception for a page that does not decode.
            raise UserError(f"{file}: damaged Parquet ({' '.join(str(error).split())}); fetch it again") from error


def _type_name(data_type: object) -> str:
    return str(data_type).partition("<")[2].strip().removesuffix(">") or str(data_type)


def _parquet_value(value: Any, column: Column) -> Any:
    if column.type == "image":
        return _parquet_image(value)
    if column.type == "images":
        return None if value is None else [_parquet_image(item) for item in value]
    return value


def _parquet_image(value: Any) -> EncodedImage | None:
    if value is None:
        return None
    if isinstance(value, dict):
        data, name = value.get("bytes"), str(value.get("path") or "")
        return EncodedImage(data or b"", name, "" if data else "the data holds only a path, no bytes")
    return EncodedImage(bytes(value))


class _JsonlSource:
    def __init__(self, file: Path, columns: Mapping[str, Column]) -> None:
        self._file = file
        self._offsets = array("Q")
        absent: set[str] = set()
        try:
            with file.open("rb") as stream:
                offset = 0
                for number, line in enumerate(stream, start=1):
                    if line.strip():
                        absent |= _check_line(line, f"{file}:{number}", columns)
                        self._offsets.append(offset)
                    offset += len(line)
        except OSError as error:
            raise UserError(f"{file}: cannot be read ({error.strerror})") from error
        self._columns = {name: column for name, column in columns.items() if name not in absent}

    @property
    def files(self) -> tuple[Path, ...]:
        return (self._file,)

    def has(self, column: str) -> bool:
        return column in self._columns

    def scan(self, columns: Collection[str]) -> Iterator[Row]:
        with self._file.open("rb") as stream:
            for line in stream:
                if line.strip():
                    data = msgspec.json.decode(line)
                    yield {name: data.get(name) for name in columns}

    def row(self, index: int) -> Row:
        with self._file.open("rb") as stream:
            stream.seek(self._offsets[index])
            data = msgspec.json.decode(stream.readline())
        return {name: self._value(data.get(name), column) for name, column in self._columns.items()}

    def _value(self, value: Any, column: Column) -> Any:
        if value is None or column.type not in IMAGE_TYPES:
            return value
        folder = self._file.parent
        return _beside(folder, value) if column.type == "image" else [_beside(folder, item) for item in value]


def _check_line(line: bytes, where: str, columns: Mapping[str, Column]) -> set[str]:
    """The optional columns that the line lacks; UserError for anything else that it lacks."""
    try:
        data = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
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


def _beside(folder: Path, written: str) -> EncodedImage:
    """The image file that a JSONL row names, or the reason why it is not read."""
    try:
        inside = folder.resolve()
        file = (inside / written).resolve()
        if Path(written).is_absolute() or not file.is_relative_to(inside):
            return EncodedImage(b"", written, "image path leaves the folder of the JSONL file, so it is not opened")
        if not file.is_file():
            return EncodedImage(b"", written, "no such image file")
        return EncodedImage(file.read_bytes(), written)
    except (OSError, ValueError) as error:
        # ValueError: a path with a NUL in it.
        return EncodedImage(b"", written, f"cannot be read ({error})")
