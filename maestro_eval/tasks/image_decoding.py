"""Encoded images: bytes from a dataset become an ``Image`` that is known to be whole, or one line that says why not.

The bytes are kept exactly as the dataset has them, except for a picture that readers see differently
(``files.is_plain``), which is encoded again as it is to be seen. They are read to their end, because a header can
promise what the rest of the file does not hold: a JPEG to its end mark, a PNG by its checksums, others by decoding
(the pixels are then dropped, since endpoints take encoded images). Only
formats that vision endpoints read are tried, so that hostile bytes never reach Pillow's rarer decoders, and an
image that would unpack to more than ``MAX_PIXELS`` is refused by its header.
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

# MPO is a JPEG that holds further pictures, as cameras write it: opened as JPEG, renamed by Pillow thereafter.
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
    """Bytes that are no readable image; the message is one line."""


class FileState(NamedTuple):
    """A file as it was when its row was read; one that is replaced has another state."""

    path: str
    inode: int
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image column's value before it is decoded: what ``doc_to_visual`` is given and gives back.

    ``name`` is the file name that the dataset gives, ``file`` the state of one that is a file of its own. It is read
    when ``data`` is asked for. ``problem`` says why there are no bytes.
    """

    written: bytes = b""
    name: str = ""
    problem: str = ""
    file: FileState | None = None

    @property
    def data(self) -> bytes:
        """Return the bytes; OSError where a file cannot be read."""
        return Path(self.file.path).read_bytes() if self.file else self.written


# Rollouts whose questions share a picture share it in memory too, and it is read and hashed once for them.
_DECODED: WeakValueDictionary[tuple[FileState, str], Image] = WeakValueDictionary()
_DECODING = tuple(Lock() for _ in range(61))


def decode(encoded: EncodedImage) -> Image:
    """Check that the image is whole, and measure it. BadImageError otherwise.

    Of a file it is the same ``Image`` as long as one is in use.
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
        # Pillow's decoders raise nearly anything on broken files: OSError, SyntaxError, struct.error, ValueError.
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
    """Return a file name of others as messages show it: one line, and not a long one."""
    printable = "".join(character if character.isprintable() else " " for character in name[: 2 * _LONGEST_NAME])
    return printable if len(printable) <= _LONGEST_NAME else f"{printable[: _LONGEST_NAME - 1]}…"
