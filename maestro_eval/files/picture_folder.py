"""The folder through which engines on this node read pictures that we have in memory.

Both sides find it without being told: ``serve`` lets its engines read it, and a client writes to it. It is the user's
own (mode 0700), in shared memory where there is enough. Each client writes to a folder of its own within, and removes
those that dead processes left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")
# Containers have 64 MB of it unless told otherwise: a handful of pictures.
_ENOUGH = 2 * 2**30


def picture_folder() -> Path:
    """Return the user's folder; make it where it is missing. OSError where that fails, or it is somebody else's."""
    return private_folder(_root() / f"maestro-eval-{os.getuid()}-pictures")


def private_folder(folder: Path) -> Path:
    """Make ``folder`` where it is missing. OSError where that fails, or it is not a folder of this user alone."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise PermissionError(f"{folder} is not this user's alone")
    return folder


def own_picture_folder() -> Path:
    """Make a new folder of this process within; those of processes that have ended are removed. OSError."""
    folder = picture_folder()
    for other in folder.iterdir():
        process = other.name.partition("-")[0]
        if process.isdecimal() and not Path("/proc", process).exists():
            shutil.rmtree(other, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=folder))


def _root() -> Path:
    # The size and not what is free, so that both sides choose alike.
    with contextlib.suppress(OSError):
        found = os.statvfs(_SHARED_MEMORY)
        if os.access(_SHARED_MEMORY, os.W_OK) and found.f_blocks * found.f_frsize >= _ENOUGH:
            return _SHARED_MEMORY
    return Path("/tmp")
