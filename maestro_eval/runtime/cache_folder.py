"""Where the calls of a run are kept on the machine that asks.

The cache is a SQLite file that must be on a disk of the machine itself. A folder that the user named is used under that
path everywhere. The run's own folder is the driver's: a worker on another machine keeps its calls in its own temporary
folder, which a later worker of the same run finds there, and the system's cleaning removes.
"""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
from pathlib import Path

from msgspec import Struct


class CacheSpec(Struct, frozen=True):
    """The folder of a call cache; ``host`` is the one machine that it is on, empty where every machine has it."""

    folder: str
    host: str = ""

    def on_this_machine(self) -> Path | None:
        """The folder to use here; None where there is none to be trusted."""
        if self.host in ("", socket.gethostname()):
            return Path(self.folder)
        name = hashlib.sha256(f"{self.host}:{self.folder}".encode()).hexdigest()[:16]
        return _private(Path(tempfile.gettempdir()) / f"maestro-eval-calls-{os.getuid()}" / name)


def _private(folder: Path) -> Path | None:
    """``folder`` below one that nobody else could have put there."""
    try:
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        status = folder.parent.lstat()
    except OSError:
        return None
    owned = status.st_uid == os.getuid() and not status.st_mode & 0o077 and folder.parent.is_dir()
    return folder if owned and not folder.parent.is_symlink() else None
