"""Finds the colours of a picture and their names.

Names come from the nearest of a few typical colours for each name, compared in CIE Lab with lightness counted half:
this works for flat, saturated colours, and poorly under tinted light. Distances are in Lab units; 2 is just visible.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["NAMES", "Paint", "background", "contrast", "find_names", "lab", "name_of", "nearest_name", "paints"]

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

_TYPICAL: dict[str, tuple[int, ...]] = {
    "red": (0xFF0000, 0xD62728, 0xDC143C, 0xB22222, 0xE03C31),
    "orange": (0xFF7F0E, 0xFFA500, 0xF28C28, 0xFF8C00),
    "yellow": (0xFFFF00, 0xFFD700, 0xF5D327, 0xE8D21D),
    "green": (0x00FF00, 0x2CA02C, 0x008000, 0x228B22, 0x32CD32, 0x6AA84F),
    "cyan": (0x00FFFF, 0x17BECF, 0x40E0D0, 0x00CED1),
    "teal": (0x008080, 0x20807E),
    "blue": (0x0000FF, 0x1F77B4, 0x1E90FF, 0x4169E1, 0x000080, 0x3070D0),
    "purple": (0x800080, 0x9467BD, 0x8A2BE2, 0x6A3D9A, 0x7030A0),
    "magenta": (0xFF00FF, 0xE000E0),
    "pink": (0xFFC0CB, 0xFF69B4, 0xE377C2, 0xF78FB3),
    "brown": (0x8B4513, 0x8C564B, 0xA0522D, 0x7B4A26),
    "black": (0x000000, 0x202020),
    "grey": (0x808080, 0x7F7F7F, 0xA9A9A9, 0x606060),
    "white": (0xFFFFFF, 0xF2F2F2),
}
_SPELLINGS = {"gray": "grey", "violet": "purple", "turquoise": "cyan"}
NAMES = frozenset(_TYPICAL) | frozenset(_SPELLINGS)


@dataclass(frozen=True, slots=True, eq=False)
class Paint:
    """One flat colour of a picture: its RGB value and where it is (a mask of 0 and 255)."""

    rgb: tuple[int, int, int]
    mask: Pixels


def lab(image: Pixels) -> Floats:
    """Return the picture in CIE Lab, L from 0 to 100."""
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB), dtype=np.float32)


def background(image: Pixels) -> tuple[int, int, int]:
    """Return the commonest colour, to within an eighth of each channel."""
    # One pixel in nine is enough to find the commonest colour.
    some = image[::3, ::3] if min(image.shape[:2]) > 100 else image
    pixels = some.reshape(-1, 3)
    cells = (pixels >> 5).astype(np.int32) @ np.array([64, 8, 1], dtype=np.int32)
    commonest = np.bincount(cells, minlength=512).argmax()
    return _triple(np.median(pixels[cells == commonest], axis=0))


def contrast(image: Pixels, colour: tuple[int, int, int]) -> Pixels:
    """Return how far each pixel is from a colour: the largest difference of its three channels."""
    red, green, blue = cv2.split(cv2.absdiff(np.ascontiguousarray(image), np.array([*colour, 0], dtype=np.float64)))
    return np.asarray(cv2.max(cv2.max(red, green), blue), dtype=np.uint8)


def paints(image: Pixels, where: Pixels, *, reach: float = 20.0, least: float = 0.02, most: int = 16) -> list[Paint]:
    """Return the flat colours among the pixels of ``where``, commonest first.

    Each pixel goes to the first colour within ``reach``; colours with less than ``least`` of the pixels, and those
    that are only the smooth edge between another colour and the background, are omitted.
    """
    inside = where > 0
    pixels = image[inside]
    total = len(pixels)
    found: list[tuple[Floats, NDArray[np.bool_]]] = []
    values = lab(pixels.reshape(-1, 1, 3)).reshape(-1, 3) if total else np.zeros((0, 3), np.float32)
    left = np.ones(total, dtype=bool)
    while len(found) < most and int(left.sum()) > max(4, least * total):
        peak = _peak(values[left])
        near = left & (np.linalg.norm(values - peak, axis=1) < reach)
        if not near.any():
            break
        left &= ~near
        if int(near.sum()) > max(4, least * total):
            found.append((np.median(pixels[near], axis=0).astype(np.float32), near))
    made = [Paint(_triple(rgb), _as_mask(inside, near)) for rgb, near in found]
    return _without_edges(made, background(image))


def name_of(rgb: tuple[int, int, int]) -> str:
    """Return the usual name of a colour."""
    return nearest_name(rgb, list(_TYPICAL))


def nearest_name(rgb: tuple[int, int, int], names: list[str]) -> str:
    """Return the name among ``names``, a part of ``NAMES``, whose typical colours are nearest."""
    return min(names, key=lambda name: _distance(rgb, _SPELLINGS.get(name) or name))


def find_names(text: str) -> list[str]:
    """Return the colour names that a text mentions, in order, in one spelling."""
    words = "".join(letter if letter.isalpha() else " " for letter in text.lower()).split()
    return [_SPELLINGS.get(word, word) for word in words if word in NAMES]


def _triple(rgb: NDArray[np.floating]) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rgb)
    return red, green, blue


def _as_mask(inside: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> Pixels:
    mask = np.zeros(inside.shape, np.uint8)
    mask[inside] = chosen.astype(np.uint8) * 255
    return mask


def _without_edges(found: list[Paint], paper: tuple[int, int, int]) -> list[Paint]:
    """Drop smooth edges, which are blends of a colour and the paper beside that colour; its fuller half joins it."""
    kept: list[Paint] = []
    for paint in found:
        owner = next((at for at, other in enumerate(kept) if _is_edge_of(paint, other, paper)), None)
        if owner is None:
            kept.append(paint)
        elif _share_of(paint.rgb, kept[owner].rgb, paper) > 0.5:
            kept[owner] = Paint(kept[owner].rgb, kept[owner].mask | paint.mask)
    return kept


def _is_edge_of(paint: Paint, other: Paint, paper: tuple[int, int, int]) -> bool:
    share = _share_of(paint.rgb, other.rgb, paper)
    blend = np.array(paper) + share * (np.array(other.rgb) - np.array(paper))
    if not 0.05 < share < 0.97 or np.abs(blend - np.array(paint.rgb)).max() > 24:
        return False
    beside = cv2.dilate(other.mask, np.ones((7, 7), np.uint8)) > 0
    # A third line that crosses has edges of its own, so a part of the edge may be elsewhere.
    return float(np.mean(beside[paint.mask > 0])) > 0.85


def _share_of(rgb: tuple[int, int, int], other: tuple[int, int, int], paper: tuple[int, int, int]) -> float:
    """Return the position of a colour between the paper (0) and another colour (1)."""
    way = np.array(other, dtype=np.float64) - np.array(paper)
    length = float(way @ way)
    return float((np.array(rgb, dtype=np.float64) - np.array(paper)) @ way / length) if length else 0.0


def _peak(values: Floats) -> Floats:
    """Return the centre of the fullest cell of Lab space, refined by one mean over its surroundings."""
    cells = np.floor((values + np.array([0, 128, 128], dtype=np.float32)) / 8).astype(np.int32)
    codes = cells @ np.array([4096, 64, 1], dtype=np.int32)
    kinds, counts = np.unique(codes, return_counts=True)
    start = values[codes == kinds[counts.argmax()]].mean(axis=0)
    near = np.linalg.norm(values - start, axis=1) < 8
    return np.asarray(values[near].mean(axis=0) if near.any() else start, dtype=np.float32)


_LIGHTNESS_COUNTS = np.array([0.5, 1.0, 1.0], dtype=np.float32)
_IN_LAB = {
    name: lab(np.array([[[rgb >> 16, rgb >> 8 & 255, rgb & 255] for rgb in values]], dtype=np.uint8))[0]
    for name, values in _TYPICAL.items()
}


def _distance(rgb: tuple[int, int, int], name: str) -> float:
    here = lab(np.array([[rgb]], dtype=np.uint8))[0, 0]
    return float(np.linalg.norm((_IN_LAB[name] - here) * _LIGHTNESS_COUNTS, axis=1).min())
