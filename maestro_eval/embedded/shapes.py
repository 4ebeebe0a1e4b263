"""Finds the things in a scene of flat coloured shapes: the position, size, colour and shape of each.

A shape is named by its radius as a function of direction, compared with those of ideal shapes in all directions: that
uses every edge pixel, so it works down to a radius of about eight pixels. Things must be on a plain background, except
for faint thin lines, and things of one colour must not touch. A thing that resembles no known shape, or is only an
outline, has no shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from maestro_eval.embedded.colours import Floats, Pixels, background, contrast, paints

__all__ = ["SHAPES", "Thing", "find_things"]

SHAPES = (
    "circle", "triangle", "square", "pentagon", "hexagon", "star", "cross", "rectangle", "diamond", "ellipse",
)  # fmt: skip
_DIRECTIONS = 120
_UNLIKE = 0.1
_SOLID = 0.6
_LEAST_RADIUS, _MOST_THINGS = 4.0, 400


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing: its middle and the radius of the circle around it in pixels, its colour, and its shape if known.

    ``errors`` is the distance of its outline from each shape's, as a share of its mean radius.
    """

    x: float
    y: float
    radius: float
    rgb: tuple[int, int, int]
    shape: str | None
    errors: dict[str, float]


def find_things(image: Pixels) -> list[Thing]:
    """Return the things of the picture, in no order; empty if they are too many for a scene of shapes."""
    smooth = np.asarray(cv2.medianBlur(image, 3), dtype=np.uint8)
    paper = background(smooth)
    apart = contrast(smooth, paper)
    mask = np.where(apart > 45, 255, 0).astype(np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)), dtype=np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    found: list[Thing] = []
    large = [piece for piece in range(1, count) if min(stats[piece, 2:4]) >= 2 * _LEAST_RADIUS]
    if len(large) > _MOST_THINGS:
        return []
    for piece in large:
        x, y, width, height = (int(value) for value in stats[piece, :4])
        top, bottom = max(0, y - 3), min(mask.shape[0], y + height + 3)
        left, right = max(0, x - 3), min(mask.shape[1], x + width + 3)
        window = (slice(top, bottom), slice(left, right))
        for part in _parts(smooth[window], labels[window] == piece):
            thing = _describe(smooth[window], apart[window], part, left, top)
            if thing is not None:
                found.append(thing)
    return found


def _parts(image: Pixels, here: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Return a connected piece as it is, or cut by colour where things of several colours touch or overlap."""
    whole = here.astype(np.uint8) * 255
    core = np.asarray(cv2.erode(whole, np.ones((5, 5), np.uint8)), dtype=np.uint8)
    block = np.ones((3, 3), np.uint8)
    kinds = paints(image, core, reach=30.0, least=0.12)
    opened = [cv2.morphologyEx(kind.mask, cv2.MORPH_OPEN, block) for kind in kinds]
    # The drawn edge of a thing is a thin paint, its noise a scattered one; only a solid area is a thing of its own.
    solid = [mask for mask in opened if np.count_nonzero(mask) > 0.1 * np.count_nonzero(whole)]
    if len(solid) < 2:
        return [here]
    return [(cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0) & here for mask in solid]


def _describe(image: Pixels, apart: Pixels, part: NDArray[np.bool_], left: int, top: int) -> Thing | None:
    """Return the thing of one piece of the mask, from a window of the picture at (left, top)."""
    filled = _filled(part)
    hollow = np.count_nonzero(part) < _SOLID * np.count_nonzero(filled)
    depth = cv2.distanceTransform(cv2.copyMakeBorder(filled, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0), cv2.DIST_L2, 3)
    depth = depth[1:-1, 1:-1]
    deep = part & (depth >= 0.6 * depth.max())
    pixels = image[deep if deep.any() else part]
    if not len(pixels):
        return None
    red, green, blue = (int(value) for value in np.median(pixels, axis=0))
    full = max(45.0, float(np.median(apart[deep if deep.any() else part])))
    soft = np.minimum(apart.astype(np.float32) / full, 1.0)
    soft[(filled > 0) & (depth >= 2)] = 1.0
    soft[cv2.dilate(filled, np.ones((3, 3), np.uint8)) == 0] = 0.0
    scale = float(np.clip(72.0 / max(part.shape), 1.0, 6.0))
    outline = _outline(soft, scale)
    if outline is None:
        return None
    moments = cv2.moments(outline)
    if moments["m00"] <= 0:
        return None
    x, y = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
    radii = _radii(outline, x, y)
    if radii is None:
        return None
    errors = _errors(radii)
    best = min(errors, key=lambda name: errors[name])
    shape = best if errors[best] < _UNLIKE and not hollow else None
    return Thing(left + x / scale, top + y / scale, float(radii.max()) / scale, (red, green, blue), shape, errors)


def _filled(part: NDArray[np.bool_]) -> Pixels:
    outlines, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    blank = np.zeros(part.shape, np.uint8)
    return np.asarray(cv2.drawContours(blank, outlines, -1, 255, cv2.FILLED), dtype=np.uint8)


def _outline(soft: Floats, scale: float) -> NDArray[np.int32] | None:
    """Return the longest edge of a soft mask, at ``scale`` times its size."""
    padded = cv2.copyMakeBorder(soft, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    fine = cv2.resize(padded, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(fine, (0, 0), max(0.5, 0.35 * scale))
    outlines, _ = cv2.findContours((fine > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    # The padding of one pixel is subtracted.
    return np.asarray(max(outlines, key=cv2.contourArea), dtype=np.int32) - round(scale)


def _radii(outline: NDArray[np.int32], x: float, y: float) -> Floats | None:
    """Return the outline's distance from its middle in each direction; the farthest where there are several."""
    points = outline.reshape(-1, 2).astype(np.float64) - (x, y)
    lengths = np.hypot(points[:, 0], points[:, 1])
    places = (np.arctan2(points[:, 1], points[:, 0]) / (2 * math.pi) * _DIRECTIONS) % _DIRECTIONS
    if len(points) < 16 or lengths.max() < 2:
        return None
    radii = np.full(_DIRECTIONS, np.nan)
    for place, length in zip(places.astype(int), lengths, strict=True):
        at = place % _DIRECTIONS
        radii[at] = length if np.isnan(radii[at]) else max(radii[at], length)
    known = np.flatnonzero(~np.isnan(radii))
    if len(known) < _DIRECTIONS // 4:
        return None
    every = np.interp(np.arange(_DIRECTIONS), known, radii[known], period=_DIRECTIONS)
    return np.asarray(every, dtype=np.float32)


def _errors(radii: Floats) -> dict[str, float]:
    """Return the root mean square distance to each shape's radii, in the best direction, both with mean 1."""
    spectrum = np.fft.rfft(radii / radii.mean())
    power = float(np.mean((radii / radii.mean()) ** 2))
    errors = dict.fromkeys(SHAPES, math.inf)
    for name, ideal_spectrum, ideal_power in _ideals():
        together = np.fft.irfft(spectrum * ideal_spectrum, _DIRECTIONS).max() / _DIRECTIONS
        errors[name] = min(errors[name], math.sqrt(max(0.0, power + ideal_power - 2 * float(together))))
    return errors


@cache
def _ideals() -> tuple[tuple[str, NDArray[np.complex128], float], ...]:
    made = []
    for name, polygon in _polygons():
        radii = _profile(polygon)
        radii = radii / radii.mean()
        made.append((name, np.conj(np.fft.rfft(radii)), float(np.mean(radii**2))))
    return tuple(made)


def _polygons() -> list[tuple[str, NDArray[np.float64]]]:
    """Return ideal shapes by their corners; stars, crosses and oblong shapes in a few proportions."""
    names = {3: "triangle", 4: "square", 5: "pentagon", 6: "hexagon", 90: "circle"}
    made = [(name, _star([1.0] * corners)) for corners, name in names.items()]
    made += [("star", _star([1.0, inner] * 5)) for inner in (0.35, 0.42, 0.5)]
    made += [("star", _star([1.0, inner] * points)) for inner in (0.4, 0.5) for points in (4, 6)]
    made += [("cross", _cross(arm)) for arm in (0.25, 0.33, 0.42)]
    for ratio in (1.4, 1.8, 2.4):
        made.append(("rectangle", np.array([(ratio, 1), (-ratio, 1), (-ratio, -1), (ratio, -1)], dtype=np.float64)))
        made.append(("diamond", np.array([(ratio, 0), (0, 1), (-ratio, 0), (0, -1)], dtype=np.float64)))
        made.append(("ellipse", _star([1.0] * 90) * np.array([ratio, 1.0])))
    return made


def _star(radii: list[float]) -> NDArray[np.float64]:
    angles = np.arange(len(radii)) * 2 * math.pi / len(radii)
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array(radii)[:, None]
    return np.asarray(corners, dtype=np.float64)


def _cross(arm: float) -> NDArray[np.float64]:
    quarter = np.array([(1, -arm), (1, arm), (arm, arm)], dtype=np.float64)
    turn = np.array([(0, 1), (-1, 0)], dtype=np.float64)
    corners = [quarter]
    for _ in range(3):
        corners.append(corners[-1] @ turn)
    return np.concatenate(corners)


def _profile(polygon: NDArray[np.float64]) -> Floats:
    """Return the radii of a polygon, drawn large and measured like any thing, so that both are blurred alike."""
    canvas = np.zeros((96, 96), np.float32)
    unit = polygon / np.abs(polygon).max() * 42 + 48
    cv2.fillPoly(canvas, [np.rint(unit * 16).astype(np.int32)], 1.0, cv2.LINE_8, 4)
    outline = _outline(np.asarray(cv2.GaussianBlur(canvas, (0, 0), 1.5), dtype=np.float32), 1.0)
    assert outline is not None, "an ideal shape has an outline"
    moments = cv2.moments(outline)
    radii = _radii(outline, moments["m10"] / moments["m00"], moments["m01"] / moments["m00"])
    assert radii is not None, "an ideal shape has radii"
    return radii
