"""One writer a run folder: an advisory lock that the kernel drops when its holder dies, however it dies.

``flock`` belongs to the open file, which is not inherited over ``exec``: a subprocess of the driver does not
keep the folder locked after the driver is gone. The file ``.lock`` stays; only the lock on it counts. On a
network file system the lock is as good as that file system's ``flock``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from maestro_eval.records import UserError


class FolderLock:
    """Held from construction to ``close``."""

    def __init__(self, folder: Path) -> None:
        path = folder / ".lock"
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UserError(f"{path}: cannot be opened ({error.strerror}); make the folder writable") from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(self._handle)
            os.close(self._handle)
            if isinstance(error, BlockingIOError):
                raise UserError(
                    f"{folder}: another maestro-eval{holder} is writing to this run; wait until it ends, or stop it"
                ) from None
            raise UserError(f"{path}: cannot be locked ({error.strerror}); use a local disk") from error
        # Who holds it is only a courtesy to the next one, so a full disk may not stop us here.
        with contextlib.suppress(OSError):
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Let the next writer in. Closing twice is harmless."""
        if self._handle >= 0:
            # A subprocess that is just being started may still have the file open: closing ours is not enough.
            fcntl.flock(self._handle, fcntl.LOCK_UN)
            os.close(self._handle)
            self._handle = -1


def _holder(handle: int) -> str:
    written = os.pread(handle, 32, 0).strip()
    return f" (process {int(written)})" if written.isdigit() else ""
