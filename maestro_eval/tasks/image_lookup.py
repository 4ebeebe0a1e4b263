"""Image files that JSON rows name: beside the data, in a folder beside it, or in a zip file beside it.

The names are data of others. One that is absolute or leaves the folder is never opened; a zip file's members are read
by name and never written anywhere, and only as far as ``MAX_IMAGE_BYTES``, whatever its directory says. A value that is
the picture itself (a data URL, bare base64) is decoded; an address is never fetched. What cannot be had becomes an
``EncodedImage`` that says why: one bad row, not the end of a run.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import Protocol

from maestro_eval.records import UserError
from maestro_eval.tasks.image_decoding import EncodedImage, FileState
from maestro_eval.tasks.rows import MAX_IMAGE_BYTES, from_base64

# How the base64 of a PNG, JPEG, GIF, WebP file begins; that of a BMP ("Qk") begins many a name too.
_BASE64_PICTURE = re.compile(r"(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR)[A-Za-z0-9+/\r\n]{20,}={0,2}\s*")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20})://")
# Linux opens no longer path; checking what no path can be would take time that grows with its square.
_LONGEST_PATH = 4096
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


def _inline(value: str) -> EncodedImage | None:
    """What a value that is no name of a file gives; ``None`` for a name."""
    if value[:5].lower() == "data:" or _BASE64_PICTURE.fullmatch(value):
        return from_base64(value)
    if address := _ADDRESS.match(value):
        advice = "nothing is fetched; save the picture beside the data and give its path"
        return EncodedImage(b"", value, f"is an address ({address[1].lower()}), and {advice}")
    if len(value) <= _LONGEST_PATH:
        return None
    encoded = from_base64(value)
    if encoded is None or encoded.problem == "not base64":
        return EncodedImage(b"", value, "neither base64 nor a path, which is never that long")
    return encoded


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    def get(self, name: str) -> EncodedImage:
        if (inline := _inline(name)) is not None:
            return inline
        try:
            inside = self._folder.resolve()
            file = (inside / name).resolve()
            if Path(name).is_absolute() or not file.is_relative_to(inside):
                return EncodedImage(b"", name, f"image path leaves the folder {self._folder.name}, so it is not opened")
            if not file.is_file():
                return EncodedImage(b"", name, "no such image file")
            found = file.stat()
            if found.st_size > MAX_IMAGE_BYTES:
                return EncodedImage(b"", name, _TOO_LARGE)
            return EncodedImage(b"", name, file=FileState(str(file), found.st_ino, found.st_size, found.st_mtime_ns))
        except (OSError, ValueError, RuntimeError) as error:
            # ValueError: a path with a NUL in it; RuntimeError: a link to itself. An OSError repeats the path.
            return EncodedImage(b"", name, f"cannot be read ({getattr(error, 'strerror', None) or error})")


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
        if (inline := _inline(name)) is not None:
            return inline
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
