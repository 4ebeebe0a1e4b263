"""Write a file whole or not at all.

The data goes to a temporary file beside the target, is synced, and is renamed over it: a reader sees the
old file or the new one, and a crash leaves at most a stray ``.NAME.*.tmp``. The folder itself is not
synced: after a power cut the old file may be back, which every caller can make again.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from maestro_eval.records import UserError


def write_atomic(path: Path, data: bytes | str) -> None:
    """Replace ``path`` with ``data``; UserError (one line) when the disk is full or the folder is not writable."""
    payload = data.encode() if isinstance(data, str) else data
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; a results file is read by others.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            # What failed once may fail again; the first failure is the one to tell.
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); free some space or choose another --out"
        ) from error
