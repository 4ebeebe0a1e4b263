"""Writes a file whole or not at all.

The data goes to a temporary file beside the target, is synced, and is renamed over it: a reader sees the old file or
the new one, and a crash leaves at most a stray ``.NAME.*.tmp``. The folder itself is not synced: after a power cut the
old file may be back, and every caller can write it again.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from maestro_eval.records import UserError


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to be written piece by piece, which replaces ``path`` once the block ends without an error.

    UserError (one line) when the disk is full or the folder is not writable; an earlier file then stays unchanged.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; results are for other readers too.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary:
            # Removing may fail too; the first failure is the one to report.
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if isinstance(error, OSError):
            raise UserError(
                f"{path}: cannot be written ({error.strerror or error}); free some space or choose another --out"
            ) from error
        raise


def write_atomic(path: Path, data: bytes | str) -> None:
    """Replace ``path`` with ``data``; UserError as in `atomic_file`."""
    with atomic_file(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)
