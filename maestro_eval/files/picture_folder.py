"""The folder through which engines on this node read images that we have in memory.

Both sides derive its path: ``serve`` lets its engines read it, and a client writes to it. It is private to the user
(mode 0700), in shared memory if there is enough. Each client writes to a subfolder of its own, and removes those that
dead processes left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")
# Containers have 64 MB of it by default: a handful of images.
_ENOUGH = 2 * 2**30


def picture_folder() -> Path:
    """Return the user's folder, created if missing. OSError if that fails, or if another user owns it."""
    return private_folder(_root() / f"maestro-eval-{os.getuid()}-pictures")


def private_folder(folder: Path) -> Path:
    """Create ``folder`` if it is missing. OSError if that fails, or if it is not private to this user."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise PermissionError(f"{folder} is not this user's alone")
    return folder


def own_picture_folder() -> Path:
    """Create a subfolder for this process, and remove those of processes that have ended. OSError."""
    folder = picture_folder()
    for other in folder.iterdir():
        process = other.name.partition("-")[0]
        if process.isdecimal() and not Path("/proc", process).exists():
            shutil.rmtree(other, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=folder))


def _root() -> Path:
    # By the total size, not the free one, so that both sides choose alike.
    with contextlib.suppress(OSError):
        found = os.statvfs(_SHARED_MEMORY)
        if os.access(_SHARED_MEMORY, os.W_OK) and found.f_blocks * found.f_frsize >= _ENOUGH:
            return _SHARED_MEMORY
    return Path("/tmp")
