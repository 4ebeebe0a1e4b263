"""Decodes the pixels of an image, in one way everywhere: upright, on white, with eight bits a channel.

Viewers and engines disagree on three properties of a file: EXIF orientation, transparency, and samples of 16 bits. Here
an image is rotated by its orientation, transparent parts become white, and 16 bits are scaled to 8 (``v >> 8``).
``is_plain`` returns whether a file is free of all three; ``plain_file`` converts any other before it is used.

Trade-off: a rotated JPEG is encoded again (quality 95, full colour resolution) and so loses a level here and there. As
PNG, a photograph would be six times its size.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_ORIENTATION = 0x0112
_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")
# The places of EXIF in a PNG: a chunk, ImageMagick's text, XMP.
_PNG_NOTES = (b"eXIf", b"Raw profile type", b"tiff:Orientation")
_WHITE = (255, 255, 255)


def read_pixels(data: bytes) -> Picture:
    """Return the pixels of an encoded image as RGB. Raises what Pillow raises for bytes that it cannot decode."""
    from PIL import Image

    with Image.open(BytesIO(data)) as picture:
        picture.load()
        return shown(picture).convert("RGB")


def shown(picture: Picture) -> Picture:
    """Return ``picture`` as it should be seen, in eight bits without transparency; unchanged if it is plain."""
    return _turned(_on_white(_eight_bits(picture)), _orientation(picture))


def is_plain(picture: Picture) -> bool:
    """Return whether every reader sees the same in the loaded ``picture``."""
    if picture.mode in _DEEP or _orientation(picture) != 1:
        return False
    return not picture.has_transparency_data or _is_opaque(picture)


def is_plain_file(picture: Picture, data: bytes) -> bool:
    """Return whether ``data``, opened as ``picture`` and not loaded, is certainly whole and plain.

    A JPEG is whole if the end of its image exists, a PNG if all checksums are right; False for other files, which must
    be loaded to know. The check takes a fiftieth of the time of loading.
    """
    if picture.format in ("JPEG", "MPO"):
        return _jpeg_is_whole(data) and _orientation(picture) == 1
    if picture.format != "PNG" or picture.mode in _DEEP or picture.has_transparency_data:
        return False
    if any(mark in data for mark in _PNG_NOTES):
        return False
    from PIL import Image

    try:
        with Image.open(BytesIO(data)) as again:
            again.verify()
    except Exception:  # whatever is wrong with it, loading says it
        return False
    return True


def plain_file(picture: Picture) -> tuple[bytes, str]:
    """Encode ``picture`` as it should be seen, and return its media type. A JPEG stays one; all else becomes PNG."""
    seen, file = shown(picture), BytesIO()
    if picture.format in ("JPEG", "MPO"):
        seen = seen if seen.mode in ("RGB", "L") else seen.convert("RGB")
        seen.save(file, "JPEG", quality=95, subsampling=0)
        return file.getvalue(), "image/jpeg"
    seen.save(file, "PNG", compress_level=1)
    return file.getvalue(), "image/png"


def _jpeg_is_whole(data: bytes) -> bool:
    """Return whether the image's own end mark follows its data; a thumbnail's, in a segment before, does not count."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:
            # Searched from the end, where it mostly is. It cannot occur within the image's data.
            return data.rfind(b"\xff\xd9", at) >= 0
        if marker == 0xFF:
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _eight_bits(picture: Picture) -> Picture:
    if picture.mode not in _DEEP:
        return picture
    import numpy as np
    from PIL import Image

    deep = np.asarray(picture)
    levels = (np.clip(deep, 0, 0xFFFF).astype(np.uint16) >> 8).astype(np.uint8)
    clear = picture.info.get("transparency")
    if isinstance(clear, int):
        levels[deep == clear] = 255
    return Image.fromarray(levels)


def _on_white(picture: Picture) -> Picture:
    from PIL import Image

    if not picture.has_transparency_data or _is_opaque(picture):
        return picture if picture.mode in ("RGB", "L") else picture.convert("RGB")
    clear = picture.convert("RGBA")
    white = Image.new("RGB", clear.size, _WHITE)
    white.paste(clear, mask=clear.getchannel("A"))
    return white


def _turned(picture: Picture, orientation: int) -> Picture:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return picture.transpose(turns[orientation]) if orientation in turns else picture


def _orientation(picture: Picture) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if the image has none that is known."""
    try:
        noted = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow's parser fails in many ways on a damaged block; the pixels are there all the same
        return 1
    return noted if isinstance(noted, int) and 1 <= noted <= 8 else 1


def _is_opaque(picture: Picture) -> bool:
    """Return whether an image with an alpha channel has no transparent pixel."""
    alpha = picture if picture.mode in ("RGBA", "LA") else picture.convert("RGBA")
    return alpha.getchannel("A").getextrema()[0] == 255
