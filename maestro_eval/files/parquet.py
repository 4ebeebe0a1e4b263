"""Open a Parquet file as a stream of batches, so that a damaged one is the user's line and not a crash."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_eval.files.parquet_footer import column_sizes
from maestro_eval.records import UserError

if TYPE_CHECKING:
    from arro3.core import RecordBatchReader

_MAGIC = b"PAR1"


# A row group that unpacks to more than this, and to so many times what it is packed in, is no data set. What repeats is
# unpacked once and copied for each of a batch's rows: memory is some ten times this at most.
_UNPACKED = 64 << 20
_TIMES = 100


def open_parquet(file: Path, rows: int) -> RecordBatchReader:
    """The schema and the batches (of ``rows`` rows at most) of a file; UserError when it is not whole.

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
    """UserError for a file that unpacks to what it cannot hold; once for a file as it is, which is read many times."""
    try:
        for column in column_sizes(file):
            if column.unpacked > max(_UNPACKED, _TIMES * column.packed):
                raise UserError(
                    f"{file}: a column of {column.packed:,} bytes would unpack to {column.unpacked:,}; this is no data "
                    "set (write it again in smaller row groups if it is)"
                )
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: damaged Parquet; fetch it again ({error})") from error
