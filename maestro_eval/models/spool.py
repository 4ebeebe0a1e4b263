"""Pictures as files for engines on this node: written when first sent, removed with the last ``Image`` of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import weakref
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from maestro_eval.files import own_picture_folder
from maestro_eval.records import Image


class Spool:
    """``path`` gives the file of an image; ``close`` removes what is left. It belongs to one event loop."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._numbers = count()
        self._entries: dict[str, _Entry] = {}
        self._known: dict[int, str] = {}

    async def path(self, name: str, image: Image) -> str:
        """The absolute path of a file with the bytes of the image, which ``name`` stands for. OSError."""
        if self._folder is None:
            self._folder = own_picture_folder()
        if id(image) not in self._known:
            self._known[id(image)] = name
            self._entries.setdefault(name, _Entry()).images += 1
            weakref.finalize(image, self._release, id(image)).atexit = False
        entry = self._entries[name]
        if entry.file is None:
            file = self._folder / str(next(self._numbers))
            entry.file = asyncio.ensure_future(asyncio.to_thread(_write, file, image))
        return await asyncio.shield(entry.file)

    def close(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _release(self, number: int) -> None:
        name = self._known.pop(number)
        entry = self._entries[name]
        entry.images -= 1
        if entry.images:
            return
        del self._entries[name]
        file = entry.file
        # While it is being written, the image is there.
        if file is not None and file.done() and not file.cancelled() and file.exception() is None:
            with contextlib.suppress(OSError):
                os.unlink(file.result())


@dataclass
class _Entry:
    """A file, and how many images that are alive it shows."""

    images: int = 0
    file: asyncio.Future[str] | None = None


def _write(file: Path, image: Image) -> str:
    file.write_bytes(image.data)
    return str(file)
