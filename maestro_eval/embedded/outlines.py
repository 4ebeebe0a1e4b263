"""Measures drawings made of outlines: nested squares, grids, interlocked rings; and the gap between two discs.

All functions expect one plain background. Shapes that touch along a side still count, because closed areas are counted
and not strokes. For other pictures the functions return None, never a guess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from maestro_eval.embedded.colours import Pixels, background, contrast, paints

__all__ = ["Disc", "count_outlines", "count_squares", "grid_size", "ink", "is_line_art", "two_discs"]

_SMALLEST_CELL = 3
_SPECK = 6
_WORKING_WIDTH = 260
_COVERED = 0.93
_OWN_INK = 0.4
_CORNERS = {"circle": 0, "triangle": 3, "square": 4, "pentagon": 5, "hexagon": 6}


@dataclass(frozen=True, slots=True)
class Disc:
    """A round shape, in pixels."""

    x: float
    y: float
    radius: float


def ink(image: Pixels) -> Pixels:
    """Return a mask (0 or 255) of the pixels that differ from the background, without specks of noise."""
    difference = contrast(image, background(image))
    # Specks are removed by their area, because a median filter would erase hairlines.
    seen = np.cumsum(np.bincount(difference.ravel(), minlength=256))
    strongest = int(np.searchsorted(seen, 0.9995 * seen[-1]))
    mask = np.where(difference > max(24.0, 0.35 * strongest), 255, 0).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    kept = np.where(stats[:, cv2.CC_STAT_AREA] < _SPECK, 0, 255).astype(np.uint8)
    kept[0] = 0
    return kept[labels] if count > 1 else mask


def is_line_art(mask: Pixels) -> bool:
    """Return True if the ink is thin strokes around empty areas: most of the area that they enclose is paper."""
    height, width = mask.shape
    inked = np.count_nonzero(mask)
    if not 0 < inked < 0.6 * np.count_nonzero(_filled(mask)):
        return False
    thick = max(3, round(0.03 * max(height, width))) | 1
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return not cv2.erode(padded, np.ones((thick, thick), np.uint8)).any()


def count_squares(mask: Pixels) -> int | None:
    """Count the square outlines, nested or not: closed areas whose hull is a square."""
    found = 0
    for outline in _closed_areas(mask):
        (_, _), (width, height), _ = cv2.minAreaRect(outline)
        if min(width, height) < _SMALLEST_CELL - 1 or max(width, height) > 1.25 * min(width, height) + 2:
            continue
        # Contour points are pixel centres, so half a pixel is missing on each side, which matters for tiny squares.
        hull = float(cv2.contourArea(cv2.convexHull(outline)))
        found += hull > 0.88 * width * height
    return found or None


def grid_size(mask: Pixels) -> tuple[int, int] | None:
    """Return the numbers of rows and columns of a ruled grid; the outer border may be missing."""
    points = cv2.findNonZero(mask)
    if points is None:
        return None
    x, y, width, height = cv2.boundingRect(points)
    part = mask[y : y + height, x : x + width] > 0
    rows, columns = _bands(part.mean(axis=1)), _bands(part.mean(axis=0))
    return (rows, columns) if rows and columns and rows * columns > 1 else None


def count_outlines(mask: Pixels, shape: str) -> int | None:
    """Count the outlines of a regular shape (circle, triangle, … hexagon), overlapping or not.

    Each place and size votes by how much of its outline is inked; upright shapes only, of any size.
    """
    points = cv2.findNonZero(mask)
    if points is None or shape not in _CORNERS:
        return None
    x, y, width, height = cv2.boundingRect(points)
    if min(width, height) < 8:
        return None
    scale = min(4.0, _WORKING_WIDTH / max(width, height))
    part = mask[y : y + height, x : x + width]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    inked = cv2.dilate(np.where(small > 60, 255, 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    candidates: list[_Match] = []
    for turned in (False, True) if _CORNERS[shape] % 2 else (False,):
        candidates += _matches(inked, shape, turned)
    return _strongest(candidates, shape, (inked.shape[0], inked.shape[1])) or None


def two_discs(image: Pixels) -> tuple[Disc, Disc] | None:
    """Return the two round shapes of a picture, filled or outlined, of one colour or two; None if there is no pair."""
    mask = ink(image)
    filled = _filled(mask)
    if not filled.any():
        return None
    kinds = [paint for paint in paints(image, filled, least=0.1) if np.count_nonzero(paint.mask & mask)]
    if len(kinds) == 2:
        pair = [_enclosing(_solid(paint.mask)) for paint in kinds]
        first, second = pair
        if first is not None and second is not None and _alike(first, second):
            return first, second
    return _peaks(filled)


def _closed_areas(mask: Pixels) -> list[NDArray[np.int32]]:
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    outlines, tree = cv2.findContours(padded, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if tree is None:
        return []
    # In the two-level tree a contour with a parent is the edge of a hole.
    return [np.asarray(line, np.int32) for line, node in zip(outlines, tree[0], strict=True) if node[3] >= 0]


def _bands(coverage: NDArray[np.floating]) -> int:
    """Count the cells between ruled lines, along one direction."""
    ruled = coverage > max(0.6, 0.75 * float(coverage.max()))
    edges = np.flatnonzero(np.diff(np.concatenate(([0], (~ruled).astype(np.int8), [0]))))
    lengths = edges[1::2] - edges[::2]
    if not len(lengths):
        return 0
    return int(np.count_nonzero(lengths > 0.4 * np.median(lengths[lengths > 0.3 * lengths.max()])))


@dataclass(frozen=True, slots=True)
class _Match:
    """A place and size at which nearly all of a shape's outline is inked."""

    score: float
    x: int
    y: int
    radius: float
    turned: bool


def _matches(inked: NDArray[np.bool_], shape: str, turned: bool) -> list[_Match]:
    height, width = inked.shape
    found: list[_Match] = []
    for radius in np.arange(6.0, min(height, width) / 1.6 + 2, 1.0):
        offsets = _outline(shape, float(radius), turned)
        low, high = offsets.min(axis=0), offsets.max(axis=0)
        spread_x, spread_y = width - int(high[0] - low[0]), height - int(high[1] - low[1])
        if spread_x < 1 or spread_y < 1:
            continue
        votes = np.zeros((spread_y, spread_x), np.uint16)
        for across, down in offsets - low:
            votes += inked[down : down + spread_y, across : across + spread_x]
        for down, across in np.argwhere(votes >= _COVERED * len(offsets)):
            score = float(votes[down, across]) / len(offsets)
            found.append(_Match(score, int(across - low[0]), int(down - low[1]), float(radius), turned))
    return found


def _outline(shape: str, radius: float, turned: bool) -> NDArray[np.int64]:
    """Return whole-pixel points along the outline, relative to the centre of the circle through its corners."""
    corners = _CORNERS[shape]
    many = max(40, int(2 * math.pi * radius))
    if corners == 0:
        angles = np.linspace(0, 2 * math.pi, many, endpoint=False)
        points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        start = -math.pi / 2 + (math.pi / 4 if corners == 4 else 0.0) + (math.pi if turned else 0.0)
        turn = start + np.arange(corners + 1) * 2 * math.pi / corners
        knots = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        steps = np.linspace(0, 1, max(8, many // corners), endpoint=False)[:, None]
        sides = [knots[at] * (1 - steps) + knots[at + 1] * steps for at in range(corners)]
        points = np.concatenate(sides)
    return np.unique(np.rint(points * radius).astype(np.int64), axis=0)


def _strongest(candidates: list[_Match], shape: str, size: tuple[int, int]) -> int:
    """Count the shapes that explain the ink: large ones first, and each must have ink of its own.

    Where large outlines overlap they enclose small areas that look like small shapes.
    """
    kept: list[_Match] = []
    explained = np.zeros(size, np.uint8)
    for one in sorted(candidates, key=lambda one: -one.score * one.radius):
        if any(_same_place(one, other) for other in kept):
            continue
        points = _outline(shape, one.radius, one.turned) + np.array([one.x, one.y])
        if np.mean(explained[points[:, 1], points[:, 0]] == 0) < _OWN_INK:
            continue
        kept.append(one)
        stroke = np.zeros(size, np.uint8)
        stroke[points[:, 1], points[:, 0]] = 255
        explained |= np.asarray(cv2.dilate(stroke, np.ones((7, 7), np.uint8)), dtype=np.uint8)
    return len(kept)


def _same_place(one: _Match, other: _Match) -> bool:
    apart = math.hypot(one.x - other.x, one.y - other.y)
    return apart < 0.6 * max(one.radius, other.radius) and abs(one.radius - other.radius) < 0.4 * other.radius


def _filled(mask: Pixels) -> Pixels:
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    least = 0.0005 * mask.size
    large = [line for line in outlines if cv2.contourArea(line) > least]
    return np.asarray(cv2.drawContours(np.zeros_like(mask), large, -1, 255, cv2.FILLED), dtype=np.uint8)


def _solid(mask: Pixels) -> Pixels:
    """Return the largest piece of a mask, with its holes filled."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return mask
    largest = max(outlines, key=cv2.contourArea)
    return np.asarray(cv2.drawContours(np.zeros_like(mask), [largest], -1, 255, cv2.FILLED), dtype=np.uint8)


def _enclosing(mask: Pixels) -> Disc | None:
    """Return the disc of which the mask shows more than half; the hidden part must not reach its middle."""
    points = cv2.findNonZero(mask)
    if points is None or len(points) < 20:
        return None
    (x, y), radius = cv2.minEnclosingCircle(points)
    if not 0.6 < len(points) / (math.pi * max(radius, 1) ** 2) < 1.2:
        return None
    # The circle goes through pixel centres, half a pixel inside, but through the faintest pixels of a smooth edge.
    return Disc(x, y, radius)


def _alike(first: Disc, second: Disc) -> bool:
    apart = math.hypot(first.x - second.x, first.y - second.y)
    return apart > 0.3 * max(first.radius, second.radius)


def _peaks(filled: Pixels) -> tuple[Disc, Disc] | None:
    """Return two discs in a mask: the two highest separate peaks of its distance transform."""
    depth = cv2.distanceTransform(cv2.copyMakeBorder(filled, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0), cv2.DIST_L2, 5)
    rest = depth.copy()
    found: list[Disc] = []
    for _ in range(2):
        _, radius, _, (x, y) = cv2.minMaxLoc(rest)
        if radius < 3:
            return None
        found.append(Disc(x - 1.0, y - 1.0, radius - 0.5))
        cv2.circle(rest, (int(x), int(y)), int(0.8 * radius), 0.0, cv2.FILLED)
    first, second = found
    area = float(np.count_nonzero(filled))
    round_enough = 0.75 * area < math.pi * (first.radius**2 + second.radius**2) < 1.2 * area
    return (first, second) if round_enough and second.radius > 0.3 * first.radius and _alike(first, second) else None
