"""New images made of given ones: a crop, and a drawing of boxes. The only images that we encode ourselves, as PNG.

Blocking work on pixels: call it in a thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from maestro_eval.files import read_pixels
from maestro_eval.skills.boxes import Box
from maestro_eval.types import Image, ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image as Pixels

# A PNG of an 8K photograph has some 60 MB, more than endpoints take.
_LONGEST_SIDE = 4096
# One merged patch of a Qwen-VL: an image with a thinner side is refused or stretched beyond recognition.
_SHORTEST_CROP = 28
_COLOURS = ("#e6194b", "#0072b2", "#3cb44b", "#f58231", "#911eb4", "#008080")


class PictureError(Exception):
    """The pixels of an image could not be had; one line of why."""


def crop(image: Image, box: Box) -> Image:
    """The part of ``image`` in ``box``, widened where it is thinner than 28 pixels. PictureError."""
    pixels = _open(image)
    left, right = _widened(box.left, box.right, pixels.width)
    top, bottom = _widened(box.top, box.bottom, pixels.height)
    return _encode(pixels.crop((left, top, right, bottom)))


def draw_boxes(image: Image, boxes: Sequence[Box]) -> Image:
    """``image`` with numbered outlines, number n for the n-th box. PictureError."""
    from PIL import ImageDraw, ImageFont

    pixels = _open(image)
    pen = ImageDraw.Draw(pixels)
    line = max(1, round(max(pixels.size) / 400))
    font = ImageFont.load_default(size=max(10, 6 * line))
    for number, box in enumerate(boxes, start=1):
        colour = _COLOURS[(number - 1) % len(_COLOURS)]
        pen.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), outline=colour, width=line)
        # Numbers and not the labels, which are a model's words: the text beside the image holds those.
        corner = (box.left + line, box.top + line)
        pen.rectangle(pen.textbbox(corner, str(number), font=font), fill="white")
        pen.text(corner, str(number), fill=colour, font=font)
    return _encode(pixels)


def _open(image: Image) -> Pixels:
    try:
        return read_pixels(image.data)
    except Exception as error:  # Pillow's decoders fail in many ways, a decompression bomb among them
        raise PictureError(" ".join(f"cannot be decoded: {type(error).__name__}: {error}".split())) from error


def _widened(low: float, high: float, size: int) -> tuple[int, int]:
    missing = max(0, min(_SHORTEST_CROP, size) - (high - low))
    start = int(max(0, min(low - missing // 2, size - (high - low) - missing)))
    return start, int(start + (high - low) + missing)


def _encode(pixels: Pixels) -> Image:
    pixels.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    file = BytesIO()
    # The lowest level: a crop is sent once, mostly over loopback, and level 6 takes seconds for 4K.
    pixels.save(file, "PNG", compress_level=1)
    data = file.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    return Image(ImageRef(digest, "image/png", pixels.width, pixels.height, len(data)), data)
