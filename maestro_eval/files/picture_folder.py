"""The folder through which engines on this node read pictures that we have in memory.

Both sides find it without being told: ``serve`` lets its engines read it, and a client writes to it. It is the user's
own (mode 0700), in shared memory where there is enough. Each process writes to a folder of its own, and removes those
that dead processes left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")
# Containers have 64 MB of it unless told otherwise: a handful of pictures.
_ENOUGH = 2 * 2**30


def picture_folder() -> Path:
    """The user's folder, made where it is missing. OSError where there can be none, or where it is somebody else's."""
    folder = _root() / f"maestro-eval-{os.getuid()}-pictures"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise PermissionError(f"{folder} is not this user's alone")
    return folder


def own_picture_folder() -> Path:
    """This process's folder within, empty; those of processes that have ended are removed. OSError."""
    folder = picture_folder()
    for other in folder.iterdir():
        if other.name.isdecimal() and not Path("/proc", other.name).exists():
            shutil.rmtree(other, ignore_errors=True)
    own = folder / str(os.getpid())
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(own)
    own.mkdir(mode=0o700)
    return own


def _root() -> Path:
    # The size and not what is free, so that both sides choose alike.
    with contextlib.suppress(OSError):
        found = os.statvfs(_SHARED_MEMORY)
        if os.access(_SHARED_MEMORY, os.W_OK) and found.f_blocks * found.f_frsize >= _ENOUGH:
            return _SHARED_MEMORY
    return Path("/tmp")
