"""Image files that JSON rows name: beside the data, in a folder beside it, or in a zip file beside it.

The names are data of others. One that is absolute or leaves the folder is never opened; a zip file's members are read
by name and never written anywhere, and only as far as ``MAX_IMAGE_BYTES``, whatever its directory says. What cannot
be had becomes an ``EncodedImage`` that says why: one bad row, not the end of a run.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Protocol

from maestro_eval.tasks.images import EncodedImage
from maestro_eval.tasks.rows import MAX_IMAGE_BYTES
from maestro_eval.types import UserError

_TOO_LARGE = f"more than the {MAX_IMAGE_BYTES // 1024**2} MB allowed for an image file"


class Pictures(Protocol):
    """Image files by name."""

    @property
    def files(self) -> tuple[Path, ...]:
        """What of them is one file, and so part of the data's hash."""
        ...

    def get(self, name: str) -> EncodedImage: ...


def open_pictures(folder: Path, images_in: str) -> Pictures:
    """Where the images of JSON data in ``folder`` are. UserError when ``images_in`` is neither a folder nor a zip."""
    if not images_in:
        return _Folder(folder)
    if (folder / images_in).is_dir():
        return _Folder(folder / images_in)
    archive = folder / f"{images_in}.zip"
    if archive.is_file():
        return _Zip(archive, images_in)
    raise UserError(f"{folder}: holds neither the folder {images_in} nor {images_in}.zip, in which the images are")


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    def get(self, name: str) -> EncodedImage:
        try:
            inside = self._folder.resolve()
            file = (inside / name).resolve()
            if Path(name).is_absolute() or not file.is_relative_to(inside):
                return EncodedImage(b"", name, f"image path leaves the folder {self._folder.name}, so it is not opened")
            if not file.is_file():
                return EncodedImage(b"", name, "no such image file")
            if file.stat().st_size > MAX_IMAGE_BYTES:
                return EncodedImage(b"", name, _TOO_LARGE)
            return EncodedImage(file.read_bytes(), name)
        except (OSError, ValueError) as error:
            # ValueError: a path with a NUL in it.
            return EncodedImage(b"", name, f"cannot be read ({error})")


class _Zip:
    """Members are found as ``name`` or, where the archive was made of the folder itself, ``FOLDER/name``."""

    def __init__(self, archive: Path, folder: str) -> None:
        self._archive = archive
        self._folder = folder
        try:
            self._zip = zipfile.ZipFile(archive)
        except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
            raise UserError(f"{archive}: cannot be read as a zip file ({error}); fetch it again") from error

    @property
    def files(self) -> tuple[Path, ...]:
        return (self._archive,)

    def get(self, name: str) -> EncodedImage:
        try:
            member = self._member(name)
            if member is None:
                return EncodedImage(b"", name, f"{self._archive.name} has no such member")
            if member.file_size > MAX_IMAGE_BYTES:
                return EncodedImage(b"", name, _TOO_LARGE)
            with self._zip.open(member) as stream:
                data = stream.read(MAX_IMAGE_BYTES + 1)
        except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
            # RuntimeError: a member with a password; NotImplementedError: a compression that we have not.
            return EncodedImage(b"", name, f"cannot be read from {self._archive.name} ({error})")
        return EncodedImage(b"", name, _TOO_LARGE) if len(data) > MAX_IMAGE_BYTES else EncodedImage(data, name)

    def _member(self, name: str) -> zipfile.ZipInfo | None:
        for written in (f"{self._folder}/{name}", name):
            try:
                return self._zip.getinfo(written)
            except KeyError:
                continue
        return None
