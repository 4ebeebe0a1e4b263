"""Encoded images: bytes from a dataset become a complete ``Image``, or a one-line reason why not.

The bytes stay exactly as in the dataset, except for a picture that readers display differently (``files.is_plain``),
which is encoded again in its displayed form. They are read to their end, because a header can promise more than the
file contains: a JPEG to its end marker, a PNG by its checksums, others by decoding (the pixels are then dropped, since
endpoints take encoded images). Only formats that vision endpoints read are tried, so that hostile bytes never reach
Pillow's rarer decoders, and an image that would unpack to more than ``MAX_PIXELS`` is refused by its header.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from weakref import WeakValueDictionary

from maestro_eval.files import is_plain, is_plain_file, plain_file, shown
from maestro_eval.records import Image, ImageRef
from maestro_eval.text import one_line

MAX_PIXELS = 89_000_000
"""Nearly three times an 8K frame, and below the size at which Pillow itself starts to warn."""

# MPO, which cameras write, is a JPEG with further pictures: Pillow opens it as JPEG and then renames it.
_MEDIA_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
}
_TRIED = tuple(name for name in _MEDIA_TYPES if name != "MPO")
_LONGEST_NAME = 100
_READABLE = "PNG, JPEG, WebP, GIF and BMP can be read"


class BadImageError(Exception):
    """Bytes that are not a readable image; the message is one line."""


class FileState(NamedTuple):
    """The identity of a file when its row was read; a replaced file has another one."""

    path: str
    inode: int
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image column's value before decoding, as ``doc_to_visual`` gets and returns it.

    ``name`` is the dataset's file name, ``file`` the state of an image that is a file of its own, which ``data`` reads.
    ``problem`` is the reason if there are no bytes.
    """

    written: bytes = b""
    name: str = ""
    problem: str = ""
    file: FileState | None = None

    @property
    def data(self) -> bytes:
        """The bytes; OSError if the file cannot be read."""
        return Path(self.file.path).read_bytes() if self.file else self.written


# Rollouts whose questions have the same picture share it in memory, and it is read and hashed once.
_DECODED: WeakValueDictionary[tuple[FileState, str], Image] = WeakValueDictionary()
_DECODING = tuple(Lock() for _ in range(61))


def decode(encoded: EncodedImage) -> Image:
    """Return the image after checking that it is complete. BadImageError otherwise.

    While the ``Image`` of a file is in use, further calls return the same one.
    """
    if encoded.file is None:
        return _decoded(encoded)
    key = encoded.file, encoded.name
    with _DECODING[hash(key) % len(_DECODING)]:
        image = _DECODED.get(key)
        if image is None:
            image = _DECODED[key] = _decoded(encoded)
        return image


def _decoded(encoded: EncodedImage) -> Image:
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    called = f"{shown_name(encoded.name)}: " if encoded.name else ""
    if encoded.problem:
        raise BadImageError(called + encoded.problem)
    try:
        written = encoded.data
    except OSError as error:
        raise BadImageError(f"{called}cannot be read ({error.strerror})") from error
    if not written:
        raise BadImageError(f"{called}holds no bytes")
    try:
        with Pillow.open(BytesIO(written), formats=_TRIED) as picture:
            width, height = picture.size
            media_type = _MEDIA_TYPES[picture.format or ""]
            if width * height > MAX_PIXELS:
                raise BadImageError(f"{called}{width}x{height} pixels, more than the {MAX_PIXELS:,} allowed")
            data = written
            plain = is_plain_file(picture, data)
            if not plain:
                picture.load()
                plain = is_plain(picture)
            if not plain:
                data, media_type = plain_file(picture)
                width, height = shown(picture).size
    except UnidentifiedImageError:
        raise BadImageError(f"{called}not an image of a known format ({_READABLE})") from None
    except Pillow.DecompressionBombError:
        raise BadImageError(f"{called}more than the {MAX_PIXELS:,} pixels allowed") from None
    except BadImageError:
        raise
    except Exception as error:
        # Pillow's decoders raise almost anything on broken files: OSError, SyntaxError, struct.error, ValueError.
        raise BadImageError(
            f"{called}cannot be decoded ({one_line(str(error))[:200] or type(error).__name__})"
        ) from error
    reference = ImageRef(
        sha256=hashlib.sha256(written).hexdigest(),
        media_type=media_type,
        width=width,
        height=height,
        size=len(written),
        file=encoded.name if encoded.file else "",
    )
    return Image(ref=reference, data=data)


def shown_name(name: str) -> str:
    """Return a foreign file name for messages: printable, on one line, and not too long."""
    printable = "".join(character if character.isprintable() else " " for character in name[: 2 * _LONGEST_NAME])
    return printable if len(printable) <= _LONGEST_NAME else f"{printable[: _LONGEST_NAME - 1]}…"
