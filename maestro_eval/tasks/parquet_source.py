"""Rows of Arrow data by number: Parquet files, or the IPC streams that ``datasets`` writes (``*.arrow``).

Memory holds a few decoded batches (``_KEPT_BYTES``, or one batch where that is larger), never the file. A Parquet
batch is ours to size; a batch of an IPC stream is as its writer made it, which for ``datasets`` means up to 1,000
rows, or 100 where a column holds images. Both are read as forward streams, since arro3 offers no seek: rows asked for
in rising order cost one pass over the file in all (about 1 GB/s), a step back beyond the kept batches costs another
pass. A scan of single columns decodes the whole file too.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_eval.files import is_compressed, open_parquet
from maestro_eval.records import UserError
from maestro_eval.tasks.column_types import Column, expected, fits_arrow
from maestro_eval.tasks.rows import Row, from_arrow

if TYPE_CHECKING:
    from arro3.core import RecordBatch, RecordBatchReader

_BATCH_ROWS = 8
_KEPT_BYTES = 64_000_000

_Open = Callable[[Path], "RecordBatchReader"]


class ColumnarSource:
    """Files of one schema, one after the other; all Parquet or all IPC streams, told by their names."""

    def __init__(self, files: Sequence[Path], columns: Mapping[str, Column]) -> None:
        self._files = tuple(files)
        present = [_check(file, columns) for file in self._files]
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
        for batch in _batches(self._files):
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
            self._stream, self._at = _batches(self._files), 0
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


def _open(file: Path) -> RecordBatchReader:
    return open_parquet(file, _BATCH_ROWS) if file.suffix == ".parquet" else _open_stream(file)


def _open_stream(file: Path) -> RecordBatchReader:
    from arro3.io import read_ipc_stream

    try:
        with file.open("rb") as stream:
            begins = stream.read(8)
        # The mark with which each message begins; arro3 reads a length out of whatever else stands there.
        if begins[:4] != b"\xff\xff\xff\xff":
            raise UserError(f"{file}: not an Arrow IPC stream as 'datasets' writes it; save the dataset again")
        if _is_compressed(file, file.stat().st_mtime_ns):
            raise UserError(f"{file}: its batches are compressed, which 'datasets' never does; save the dataset again")
        return read_ipc_stream(file)
    except OSError as error:
        raise UserError(f"{file}: cannot be read as Arrow ({error.strerror or _one_line(error)})") from error
    except BaseException as error:
        if isinstance(error, UserError) or not _is_arrow_failure(error):
            raise
        raise UserError(f"{file}: damaged Arrow data ({_one_line(error)}); fetch it again") from error


@lru_cache(maxsize=4096)
def _is_compressed(file: Path, modified: int) -> bool:
    """Once for a file as it is, which is read many times."""
    return is_compressed(file)


def _check(file: Path, columns: Mapping[str, Column]) -> frozenset[str]:
    """The names of the file's columns. UserError for one that is missing or of another type."""
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
            raise UserError(f"{file}: damaged {kind} ({_one_line(error)}); fetch it again") from error


def _is_arrow_failure(error: BaseException) -> bool:
    # A panic of Rust code is no Exception in Python; everything else of that rank is not ours to catch.
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _type_name(data_type: object) -> str:
    return str(data_type).partition("<")[2].strip().removesuffix(">") or str(data_type)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
