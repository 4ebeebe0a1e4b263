"""Pictures as files for engines on this node: each is written when it is first sent, and removed with its ``Image``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import weakref
from itertools import count
from pathlib import Path

from maestro_eval.files import own_picture_folder
from maestro_eval.types import Image


class Spool:
    """``path`` gives the file of an image; ``close`` removes what is left. It belongs to one event loop."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._numbers = count()
        self._files: dict[int, asyncio.Future[str]] = {}

    async def path(self, image: Image) -> str:
        """The absolute path of a file with the image's bytes. OSError where it cannot be written."""
        known = self._files.get(id(image))
        if known is None:
            # An image that is gone has freed its place, so that the next one at its address does not meet its file.
            known = self._files[id(image)] = asyncio.ensure_future(asyncio.to_thread(self._write, image))
            weakref.finalize(image, self._remove, id(image)).atexit = False
        return await asyncio.shield(known)

    def close(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, image: Image) -> str:
        if self._folder is None:
            self._folder = own_picture_folder()
        file = self._folder / str(next(self._numbers))
        file.write_bytes(image.data)
        return str(file)

    def _remove(self, number: int) -> None:
        written = self._files.pop(number, None)
        if written is not None and written.done() and not written.cancelled() and written.exception() is None:
            with contextlib.suppress(OSError):
                os.unlink(written.result())
