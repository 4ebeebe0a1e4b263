"""Find the files with the rows of a task, and open them.

A path is a Parquet, Arrow, JSONL or JSON file, or a folder: of Parquet files, of a dataset saved with ``save_to_disk``,
of a JSON file of the split, or with the layout of its repository on the hub. In a folder with several splits, the names
of the files identify the requested one; if they do not, the folder is refused, since the wrong split would silently be
measured. The schema is checked before the first row is used.

Of Arrow data, memory has a few decoded batches (``_KEPT_BYTES``, or one batch if that is larger), never the file. We
choose the size of a Parquet batch; a batch of an IPC stream is as written, by ``datasets`` up to 1,000 rows, or 100 if
a column contains images. Both are read as forward streams, since arro3 cannot seek: rows in rising order cost one pass
over the file in all (about 1 GB/s), a step back beyond the stored batches another pass. A scan of single columns
decodes the whole file too.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from maestro_eval.files import fingerprint, is_compressed, open_parquet
from maestro_eval.records import UserError
from maestro_eval.tasks.column_types import Column, expected, fits_arrow
from maestro_eval.tasks.json_rows import JSON_SUFFIXES, JsonSource, open_pictures
from maestro_eval.tasks.rows import Row, Source, from_arrow
from maestro_eval.text import one_line

if TYPE_CHECKING:
    from arro3.core import RecordBatch, RecordBatchReader

_READABLE = "give a .parquet, .arrow, .jsonl or .json file, or a folder of them"
# Files that 'datasets' and the hub's tools write beside the data.
_NOT_DATA = {"dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json"}
_SPLITS = {"train", "training", "valid", "val", "validation", "dev", "test", "testmini"}
_SHARD = re.compile(r"(?P<split>.+)-\d+-of-\d+")
_BATCH_ROWS = 8
_KEPT_BYTES = 64_000_000


def open_source(
    path: Path, columns: Mapping[str, Column], split: str = "", *, images_in: str = "", name: str = ""
) -> Source:
    """Open local data and check its schema. UserError for an invalid path, format or column.

    ``name`` is the dataset's configuration, which has a folder of that name on the hub; ``images_in`` is the place of
    the images of JSON data.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    files = _files_in(path, split, name) if path.is_dir() else (path,)
    if files[0].suffix in JSON_SUFFIXES:
        return JsonSource(files[0], columns, open_pictures(files[0].parent, images_in))
    if files[0].suffix in (".parquet", ".arrow"):
        return ColumnarSource(files, columns)
    raise UserError(f"{path}: cannot be read as data; {_READABLE}")


def hash_files(files: Sequence[Path]) -> str:
    """Return the SHA-256 of one file, or the fingerprint of several; cached until size or modification time change."""
    digests = []
    for file in files:
        state = file.stat()
        digests.append(_hash_file(file, state.st_size, state.st_mtime_ns))
    return digests[0] if len(digests) == 1 else fingerprint(digests)


@lru_cache(maxsize=256)
def _hash_file(file: Path, size: int, changed_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files_in(folder: Path, split: str, name: str) -> tuple[Path, ...]:
    """Return the files of the split, all of one kind."""
    if (folder / "dataset_dict.json").is_file():
        inner = folder / split
        if not split or not (inner / "state.json").is_file():
            there = ", ".join(sorted(state.parent.name for state in folder.glob("*/state.json")))
            raise UserError(f"{folder}: holds no split {split}; there are: {there or 'none'}")
        return _saved(inner)
    if (folder / "state.json").is_file():
        return _saved(folder)
    for inner in _places(folder, split, name):
        for suffix in (".parquet", ".arrow"):
            files = sorted(inner.glob(f"*{suffix}"))
            if files:
                return _of_split(inner, files, split)
    return (_json_of_split(folder, split),)


def _places(folder: Path, split: str, name: str) -> list[Path]:
    """Return the folders in which the hub's repositories have columnar files, the folder itself first."""
    places = [folder]
    places += [folder / name] if name else []
    places += [folder / "data", folder / "default"]
    places += [place / split for place in list(places)] if split else []
    return [place for place in places if place.is_dir() and place.resolve().is_relative_to(folder.resolve())]


def _of_split(folder: Path, files: Sequence[Path], split: str) -> tuple[Path, ...]:
    shards = {file: shard["split"] for file in files if (shard := _SHARD.fullmatch(file.stem))}
    splits = {file: shards.get(file, file.stem) for file in files}
    # In the cache of 'datasets' the dataset's name precedes the split's.
    for names in ({split}, {of for of in splits.values() if of.endswith(f"-{split}")}):
        if split and (chosen := [file for file, of in splits.items() if of in names]):
            return tuple(chosen)
    tells_splits = shards or (len(files) > 1 and _SPLITS & set(splits.values()))
    if split and tells_splits:
        there = ", ".join(sorted(set(splits.values())))
        raise UserError(f"{folder}: holds no split {split}; there are: {there} (or give the file itself)")
    return tuple(files)


def _saved(folder: Path) -> tuple[Path, ...]:
    """Return the files of a dataset saved with ``save_to_disk``, in the order of its ``state.json``."""
    state = folder / "state.json"
    try:
        written = msgspec.json.decode(state.read_bytes(), type=_State)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{state}: cannot be read ({error}); save the dataset again") from error
    files = tuple(folder / one.filename for one in written.data_files)
    for file in files:
        # The name is foreign data.
        if file.parent != folder or not file.is_file():
            raise UserError(f"{state}: names {file.name}, which is not beside it; save the dataset again")
    if not files:
        raise UserError(f"{state}: names no data file; save the dataset again")
    return files


def _json_of_split(folder: Path, split: str) -> Path:
    there = sorted(file for file in folder.iterdir() if file.suffix in JSON_SUFFIXES and file.name not in _NOT_DATA)
    of_split = [file for file in there if split and file.stem == split]
    chosen = of_split or there
    if len(chosen) == 1:
        return chosen[0]
    if not there:
        raise UserError(f"{folder}: holds no data; {_READABLE}")
    names = ", ".join(file.name for file in there)
    raise UserError(f"{folder}: which file is split {split}? There are {names}; give the file itself")


class _SavedFile(msgspec.Struct, frozen=True):
    filename: str


class _State(msgspec.Struct, frozen=True):
    data_files: tuple[_SavedFile, ...] = msgspec.field(name="_data_files")


class ColumnarSource:
    """Files of one schema, one after the other; all Parquet or all IPC streams, by their names."""

    def __init__(self, files: Sequence[Path], columns: Mapping[str, Column]) -> None:
        self.files = tuple(files)
        present = [_check(file, columns) for file in self.files]
        self._columns = {name: columns[name] for name in columns if all(name in names for names in present)}
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, RecordBatch] = OrderedDict()
        self._stream: Iterator[RecordBatch] = iter(())
        self._at = 0

    def has(self, column: str) -> bool:
        return column in self._columns

    def scan(self, columns: Collection[str]) -> Iterator[Row]:
        for batch in _batches(self.files):
            read = {name: batch.column(name).to_pylist() for name in columns}
            for index in range(batch.num_rows):
                yield {name: read[name][index] for name in columns}

    def row(self, index: int) -> Row:
        with self._lock:
            start, batch = self._batch_with(index)
        return {
            name: from_arrow(batch.column(name)[index - start].as_py(), column)
            for name, column in self._columns.items()
        }

    def _batch_with(self, index: int) -> tuple[int, RecordBatch]:
        for start, batch in self._kept.items():
            if start <= index < start + batch.num_rows:
                self._kept.move_to_end(start)
                return start, batch
        if index < self._at or self._at == 0:
            self._stream, self._at = _batches(self.files), 0
        for batch in self._stream:
            start, self._at = self._at, self._at + batch.num_rows
            # Skipped batches are stored too: rollouts start nearly in order, and a late one needs one of them.
            self._keep(start, batch)
            if index < self._at:
                return start, batch
        raise IndexError(index)

    def _keep(self, start: int, batch: RecordBatch) -> None:
        self._kept[start] = batch
        while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > _KEPT_BYTES:
            self._kept.popitem(last=False)


def _open(file: Path) -> RecordBatchReader:
    return open_parquet(file, _BATCH_ROWS) if file.suffix == ".parquet" else _open_stream(file)


def _open_stream(file: Path) -> RecordBatchReader:
    from arro3.io import read_ipc_stream

    try:
        with file.open("rb") as stream:
            begins = stream.read(8)
        # Each message begins with this marker; arro3 interprets any other bytes as a length.
        if begins[:4] != b"\xff\xff\xff\xff":
            raise UserError(f"{file}: not an Arrow IPC stream as 'datasets' writes it; save the dataset again")
        if _is_compressed(file, file.stat().st_mtime_ns):
            raise UserError(f"{file}: its batches are compressed, which 'datasets' never does; save the dataset again")
        return read_ipc_stream(file)
    except OSError as error:
        raise UserError(f"{file}: cannot be read as Arrow ({error.strerror or one_line(str(error))[:200]})") from error
    except BaseException as error:
        if isinstance(error, UserError) or not _is_arrow_failure(error):
            raise
        raise UserError(f"{file}: damaged Arrow data ({one_line(str(error))[:200]}); fetch it again") from error


@lru_cache(maxsize=4096)
def _is_compressed(file: Path, modified: int) -> bool:
    """Return whether the file is compressed; cached, since a file is opened many times."""
    return is_compressed(file)


def _check(file: Path, columns: Mapping[str, Column]) -> frozenset[str]:
    """Return the names of the file's columns. UserError if one is missing or has another type."""
    schema = _open(file).schema
    names = frozenset(schema.names)
    for name, column in columns.items():
        if name not in names:
            if column.optional:
                continue
            raise UserError(
                f"{file}: column {name!r} is missing (expected {expected(column, 'arrow')}); "
                f"there are: {', '.join(schema.names)}"
            )
        data_type = schema.field(name).type
        if not fits_arrow(column, data_type):
            raise UserError(
                f"{file}: column {name!r} should be {expected(column, 'arrow')}, but is {_type_name(data_type)}"
            )
    return names


def _batches(files: Sequence[Path]) -> Iterator[RecordBatch]:
    for file in files:
        try:
            yield from _open(file)
        except BaseException as error:
            if isinstance(error, UserError) or not _is_arrow_failure(error):
                raise
            kind = "Parquet" if file.suffix == ".parquet" else "Arrow data"
            raise UserError(f"{file}: damaged {kind} ({one_line(str(error))[:200]}); fetch it again") from error


def _is_arrow_failure(error: BaseException) -> bool:
    # A panic of Rust code is no Exception in Python; other BaseExceptions must not be caught.
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _type_name(data_type: object) -> str:
    return str(data_type).partition("<")[2].strip().removesuffix(">") or str(data_type)
