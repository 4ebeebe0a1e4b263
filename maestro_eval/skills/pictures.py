"""Images derived from others: a crop, a drawing of boxes, a JPEG.

Crops and drawings are PNG. If a registry says ``image_encoding: jpeg``, everything is encoded as in the released code:
as JPEG with Pillow's default quality, drawings with OpenCV's.

These functions block on pixel work: call them in a thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from maestro_eval.files import read_pixels
from maestro_eval.records import Image, ImageRef
from maestro_eval.skills.boxes import Box

if TYPE_CHECKING:
    from PIL.Image import Image as Pixels

# A PNG of an 8K photograph has some 60 MB, more than endpoints accept.
_LONGEST_SIDE = 4096
# One merged patch of a Qwen-VL: an image with a thinner side is refused or stretched beyond recognition.
_SHORTEST_CROP = 28
# The defaults of Pillow and OpenCV, which the released code does not change.
_JPEG_QUALITY, _DRAWING_QUALITY = 75, 95
# Pixels. A model's box may have any size; an 8K picture has 33 million pixels.
_MOST_CROPPED = 1 << 26
_COLOURS = ("#e6194b", "#0072b2", "#3cb44b", "#f58231", "#911eb4", "#008080")


class PictureError(Exception):
    """The one-line reason why an image cannot be decoded, cropped or encoded."""


def crop(image: Image, box: Box, *, as_jpegs: bool = False) -> Image:
    """Return the part of ``image`` in ``box``, widened to at least 28 pixels. PictureError."""
    pixels = _open(image)
    left, right = _widened(box.left, box.right, pixels.width)
    top, bottom = _widened(box.top, box.bottom, pixels.height)
    part = pixels.crop((left, top, right, bottom))
    return _jpeg(part, _JPEG_QUALITY) if as_jpegs else _encode(part)


def crop_as_given(image: Image, corners: Sequence[float]) -> Image:
    """Return the part of ``image`` between the corners as JPEG, black outside of it. PictureError if that is empty.

    Images that the released code's encoder rejects are rejected too: those with transparency or a palette.
    """
    left, top, right, bottom = (round(corner) for corner in corners)
    if right <= left or bottom <= top:
        raise PictureError("rejected: the box is empty or inverted")
    if (right - left) * (bottom - top) > _MOST_CROPPED:
        raise PictureError("rejected: the box is larger than any picture")
    return _jpeg(_open(image, _as_stored).crop((left, top, right, bottom)), _JPEG_QUALITY)


def as_jpeg(image: Image) -> Image:
    """Return ``image`` encoded as JPEG. PictureError."""
    return _jpeg(_open(image), _JPEG_QUALITY)


def draw_boxes(image: Image, boxes: Sequence[Box], *, as_jpegs: bool = False) -> Image:
    """Return ``image`` with numbered outlines, number n for the n-th box. PictureError."""
    from PIL import ImageDraw, ImageFont

    pixels = _open(image)
    pen = ImageDraw.Draw(pixels)
    line = max(1, round(max(pixels.size) / 400))
    font = ImageFont.load_default(size=max(10, 6 * line))
    for number, box in enumerate(boxes, start=1):
        colour = _COLOURS[(number - 1) % len(_COLOURS)]
        pen.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), outline=colour, width=line)
        # Numbers and not the labels, which are a model's words: the text beside the image contains them.
        corner = (box.left + line, box.top + line)
        pen.rectangle(pen.textbbox(corner, str(number), font=font), fill="white")
        pen.text(corner, str(number), fill=colour, font=font)
    return _jpeg(pixels, _DRAWING_QUALITY) if as_jpegs else _encode(pixels)


def _open(image: Image, read: Callable[[bytes], Pixels] = read_pixels) -> Pixels:
    try:
        return read(image.data)
    except Exception as error:  # Pillow's decoders fail in many ways, a decompression bomb among them
        raise PictureError(" ".join(f"cannot be decoded: {type(error).__name__}: {error}".split())) from error


def _widened(low: float, high: float, size: int) -> tuple[int, int]:
    missing = max(0, min(_SHORTEST_CROP, size) - (high - low))
    start = int(max(0, min(low - missing // 2, size - (high - low) - missing)))
    return start, int(start + (high - low) + missing)


def _as_stored(data: bytes) -> Pixels:
    """Return the pixels in the mode in which the file stores them."""
    import PIL.Image

    with PIL.Image.open(BytesIO(data)) as pixels:
        pixels.load()
        return pixels.copy()


def _jpeg(pixels: Pixels, quality: int) -> Image:
    file = BytesIO()
    try:
        pixels.save(file, "JPEG", quality=quality)
    except (OSError, ValueError) as error:
        raise PictureError(f"cannot be encoded as JPEG: {' '.join(str(error).split())}") from error
    return _image(pixels, "image/jpeg", file.getvalue())


def _encode(pixels: Pixels) -> Image:
    pixels.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    file = BytesIO()
    # The lowest level: a crop is sent once, mostly over loopback, and level 6 takes seconds for 4K.
    pixels.save(file, "PNG", compress_level=1)
    return _image(pixels, "image/png", file.getvalue())


def _image(pixels: Pixels, media_type: str, data: bytes) -> Image:
    digest = hashlib.sha256(data).hexdigest()
    return Image(ImageRef(digest, media_type, pixels.width, pixels.height, len(data)), data)
