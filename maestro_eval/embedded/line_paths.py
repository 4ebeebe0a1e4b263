"""Follows coloured lines: counts crossings of two lines, and the colours that join two stations of a map.

A line is the set of all pixels of its colour, so two lines of the same colour are one. The line drawn later hides the
other at a crossing, so short gaps are bridged. The letters of a map are recognised by their shape, without OCR.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from maestro_eval.embedded.colours import Paint, Pixels, lab, nearest_name, paints
from maestro_eval.embedded.outlines import ink

__all__ = ["Label", "crossings", "find_labels", "joining_colours", "line_colours"]

_GLYPH = 28
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_GREY = 14.0


@dataclass(frozen=True, slots=True)
class Label:
    """A letter in the picture: its centre and height."""

    letter: str
    x: float
    y: float
    height: float


def line_colours(image: Pixels, names: list[str]) -> list[Paint]:
    """Return the colours of the lines: those with the names, or all saturated ones if there are no names."""
    found = paints(image, ink(image))
    if not names:
        return [paint for paint in found if _colourfulness(paint.rgb) > _GREY]
    choice = sorted({*names, "white", "grey", "black"})
    called = [nearest_name(paint.rgb, choice) for paint in found]
    return [found[called.index(name)] for name in names if name in called]


def crossings(first: Paint, second: Paint) -> int:
    """Count how often two lines cross or touch."""
    one, two = _heights(first.mask), _heights(second.mask)
    if one is None or two is None:
        return _count_overlaps(first.mask, second.mask)
    left, right = max(one.left, two.left), min(one.right, two.right)
    if right - left < 2:
        return _count_overlaps(first.mask, second.mask)
    gap = one.at[left - one.left : right - one.left + 1] - two.at[left - two.left : right - two.left + 1]
    # Distances between touching and clearly apart are ignored; otherwise jagged pixels would count as meetings.
    near = min(one.thickness, two.thickness)
    said = (np.abs(gap) < near) | (np.abs(gap) > 2 * near)
    return _sign_changes(np.where(np.abs(gap) < near, 0, np.sign(gap).astype(int))[said])


def find_labels(image: Pixels, letters: list[str]) -> list[Label]:
    """Return the letters in the picture: the best assignment of dark compact blobs to the wanted letters."""
    mask = ink(image)
    dark = [paint.mask for paint in paints(image, mask, least=0.005) if _colourfulness(paint.rgb) <= _GREY]
    if not dark:
        return []
    # The grey rims of letters belong to them; the rims of coloured lines are ignored.
    blobs = _blobs(np.bitwise_or.reduce(dark), 0.008 * max(mask.shape), 0.15 * max(mask.shape))
    found: list[Label] = []
    likeness = [(box, _likeness(glyph)) for box, glyph in blobs]
    pairs = [(scores[letter], letter, box) for box, scores in likeness for letter in letters if letter in scores]
    for _, letter, (x, y, width, height) in sorted(pairs, key=lambda pair: -pair[0]):
        taken = any(label.letter == letter or (label.x, label.y) == (x + width / 2, y + height / 2) for label in found)
        if not taken:
            found.append(Label(letter, x + width / 2, y + height / 2, float(height)))
    return found


def joining_colours(image: Pixels, start: Label, end: Label) -> int | None:
    """Count the colours of lines that end at both labels; None if no line ends at either."""
    ends = [(_ends_at(paint.mask, start), _ends_at(paint.mask, end)) for paint in line_colours(image, [])]
    if not any(one or two for one, two in ends):
        return None
    return sum(one and two for one, two in ends)


@dataclass(frozen=True, slots=True)
class _Heights:
    """A line as a function: its height at each column from ``left`` to ``right``."""

    left: int
    right: int
    at: NDArray[np.float64]
    thickness: float


def _heights(mask: Pixels) -> _Heights | None:
    """Return the line as a function, or None if it has several heights at a column or is nearly vertical."""
    on = mask > 0
    counts = on.sum(axis=0)
    columns = np.flatnonzero(counts)
    if len(columns) < 8:
        return None
    tops, bottoms = on.argmax(axis=0)[columns], mask.shape[0] - 1 - on[::-1].argmax(axis=0)[columns]
    broken = (bottoms - tops + 1 - counts[columns]) > 0.25 * mask.shape[0]
    if broken.mean() > 0.05:
        return None
    rows = np.arange(mask.shape[0], dtype=np.float64)[:, None]
    centres = (on[:, columns] * rows).sum(axis=0) / counts[columns]
    left, right = int(columns[0]), int(columns[-1])
    at = np.interp(np.arange(left, right + 1), columns, centres)
    return _Heights(left, right, at, max(2.0, float(np.quantile(counts[columns], 0.1))))


def _sign_changes(side: NDArray[np.int_]) -> int:
    """Count the places where the sign changes or is zero."""
    kinds: list[int] = side[np.flatnonzero(np.diff(side, prepend=9))].tolist()
    return kinds.count(0) + sum(a * b < 0 for a, b in pairwise(kinds))


def _count_overlaps(first: Pixels, second: Pixels) -> int:
    block = np.ones((5, 5), np.uint8)
    both = cv2.bitwise_and(cv2.dilate(first, block), cv2.dilate(second, block))
    count, _ = cv2.connectedComponents(cv2.dilate(both, block), connectivity=8)
    return int(count) - 1


def _colourfulness(rgb: tuple[int, int, int]) -> float:
    _, a, b = lab(np.array([[rgb]], dtype=np.uint8))[0, 0]
    return math.hypot(float(a), float(b))


def _blobs(mask: Pixels, least: float, most: float) -> list[tuple[tuple[int, int, int, int], Pixels]]:
    """Return the boxes and pixels of the pieces of a mask that have the size of a letter."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found: list[tuple[tuple[int, int, int, int], Pixels]] = []
    for piece in range(1, count):
        x, y, width, height = (int(value) for value in stats[piece, :4])
        if least <= height <= most and width <= 1.6 * height and stats[piece, cv2.CC_STAT_AREA] > 12:
            part = (labels[y : y + height, x : x + width] == piece).astype(np.uint8) * 255
            found.append(((x, y, width, height), part))
    return sorted(found, key=lambda blob: -blob[0][3])[:40]


def _likeness(glyph: Pixels) -> dict[str, float]:
    """Return a glyph's likeness to each letter, relative to its likeness to the other letters."""
    similar = _templates() @ _normal(glyph)
    scores = similar.reshape(len(_LETTERS), -1).max(axis=1)
    order = np.sort(scores)
    rivals = np.where(scores == order[-1], order[-2], order[-1])
    return dict(zip(_LETTERS, (1.5 * scores - 0.5 * rivals).tolist(), strict=True))


@cache
def _templates() -> NDArray[np.float32]:
    """Return pictures of each letter in a few faces and weights, one per row."""
    rows = [_normal(_mould(letter, font, weight)) for letter in _LETTERS for font in _FONTS for weight in (4, 10, 16)]
    return np.stack(rows)


def _mould(letter: str, font: int, weight: int) -> Pixels:
    canvas = np.zeros((160, 160), np.uint8)
    cv2.putText(canvas, letter, (30, 120), font, 3.5, 255, weight, cv2.LINE_AA)
    x, y, width, height = cv2.boundingRect(cv2.findNonZero(canvas))
    return canvas[y : y + height, x : x + width]


def _normal(glyph: Pixels) -> NDArray[np.float32]:
    """Return a glyph of standard size, blurred, with mean 0 and length 1."""
    scaled = cv2.resize(glyph, (_GLYPH, _GLYPH), interpolation=cv2.INTER_AREA)
    flat = cv2.GaussianBlur(scaled, (5, 5), 0).astype(np.float32).ravel()
    flat -= flat.mean()
    return np.asarray(flat / (np.linalg.norm(flat) + 1e-6), dtype=np.float32)


def _ends_at(mask: Pixels, label: Label) -> bool:
    """Return True if the line ends at the label, instead of passing it.

    The line leaves a small circle around a point once near its end, and twice or more elsewhere.
    """
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    thickness = 2 * float(depth.max())
    rows, columns = np.nonzero(depth >= 0.3 * thickness)
    near = np.hypot(columns - label.x, rows - label.y) < max(0.14 * max(mask.shape), 2.2 * label.height)
    if not near.any():
        return False
    once = _arms(mask, columns[near], rows[near], 2.2 * max(2.0, thickness)) == 1
    return int(np.count_nonzero(once)) >= thickness / 2


def _arms(mask: Pixels, x: NDArray[np.int_], y: NDArray[np.int_], radius: float) -> NDArray[np.int_]:
    """Count how often the line leaves a circle around each of the points."""
    angles = np.linspace(0, 2 * math.pi, 120, endpoint=False)
    edge = math.ceil(radius) + 1
    padded = cv2.copyMakeBorder(mask, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=0)
    columns = np.rint(x[:, None] + radius * np.cos(angles)).astype(int) + edge
    rows = np.rint(y[:, None] + radius * np.sin(angles)).astype(int) + edge
    on = padded[rows, columns] > 0
    return np.asarray(np.count_nonzero(on & ~np.roll(on, 1, axis=1), axis=1))
