"""The policy's pictures in the sizes that its checkpoint was trained on.

The released training resizes every picture before the model's processor does so once more: both sides become multiples
of a patch, and the whole keeps to a number of pixels, as `qwen_vl_utils` does. Skills are given the originals.
"""

from __future__ import annotations

import hashlib
import io
import math
from typing import NamedTuple

import PIL.Image

from maestro_eval.files import read_pixels
from maestro_eval.records import Image, ImageRef, Regime

# Of a smaller picture there would be fewer than two patches a side.
_LEAST_PATCHES = 4
_MOST_UNEVEN = 200


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


def policy_pictures(images: tuple[Image, ...], regime: Regime) -> tuple[Image, ...]:
    """``images`` as the policy is shown them; themselves where the regime resizes none."""
    if regime.image_multiple is None:
        return images
    return tuple(_resized(image, regime.image_multiple, regime.image_pixels) for image in images)


def trained_size(width: int, height: int, multiple: int, most_pixels: int | None) -> Size:
    """The sides nearest to these that are multiples, with no more than ``most_pixels`` and some patches at least.

    The sides keep their ratio where the picture has to become smaller or larger; then they are rounded down, or up.
    """
    wide, high = (max(multiple, round(side / multiple) * multiple) for side in (width, height))
    least = _LEAST_PATCHES * multiple * multiple
    if most_pixels is not None and wide * high > most_pixels:
        shrink = math.sqrt(width * height / most_pixels)
        wide, high = (max(multiple, math.floor(side / shrink / multiple) * multiple) for side in (width, height))
    elif wide * high < least:
        grow = math.sqrt(least / (width * height))
        wide, high = (math.ceil(side * grow / multiple) * multiple for side in (width, height))
    return Size(wide, high)


def _resized(image: Image, multiple: int, most_pixels: int | None) -> Image:
    sides = image.ref.width, image.ref.height
    size = trained_size(*sides, multiple, most_pixels)
    # A picture of such sides is refused by the released code; the model's own processor may take it.
    if size == sides or max(sides) > _MOST_UNEVEN * min(sides):
        return image
    try:
        picture = read_pixels(image.data).resize(size, PIL.Image.Resampling.BICUBIC)
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):
        # The engine that is sent it says what is wrong with it.
        return image
    encoded = io.BytesIO()
    # Without loss, and quickly: it travels to the policy and nowhere else.
    picture.save(encoded, "PNG", compress_level=1)
    data = encoded.getvalue()
    ref = ImageRef(hashlib.sha256(data).hexdigest(), "image/png", *size, len(data))
    return Image(ref, data)
