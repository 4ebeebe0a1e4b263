"""Finds the marks of a chart (bars, slices and lines) by shape and colour alone, before any text is read.

A bar is a solid rectangle with one end on a common base line, a slice is a part of a disc, a line is a thin
region across the picture. Three-dimensional charts, areas and hatched fills are not supported.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Kind", "Patch", "Rgb", "Shapes", "find_shapes", "foot_of"]

Kind = Literal["vertical bars", "horizontal bars", "lines", "pie"]
Rgb = tuple[int, int, int]

# Colours nearer than this are one fill; no chart's palette has more fills than this.
_TOLERANCE = 22
_MOST_COLOURS = 14


@dataclass(frozen=True, slots=True)
class Patch:
    """A region of one colour: its rectangle (exclusive right and lower edge), its centre of mass.

    `solidity` is the share of the rectangle inside the outline, `inked` the share of that which has the colour: the
    blended rim of a bar is an empty outline.
    """

    colour: Rgb
    x0: int
    y0: int
    x1: int
    y1: int
    area: int
    solidity: float
    mass_x: float
    mass_y: float
    inked: float

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def x(self) -> float:
        return (self.x0 + self.x1) / 2

    @property
    def y(self) -> float:
        return (self.y0 + self.y1) / 2


@dataclass(frozen=True, slots=True)
class Shapes:
    """The shapes of a picture before any text is read; `traces` are masks of the lines' colours."""

    kind: Kind
    marks: tuple[Patch, ...]
    others: tuple[Patch, ...]
    traces: tuple[tuple[Rgb, NDArray[np.bool_]], ...] = ()


def find_shapes(image: NDArray[np.uint8]) -> Shapes | None:
    """Return the chart's marks by shape and colour alone; None if the picture shows no known kind of chart."""
    import numpy as np

    masks = _masks(image)
    patches = [patch for colour, mask in masks for patch in _patches(colour, mask)]
    pie = _pie(patches, image.shape[1])
    if pie is not None:
        return pie
    bars, size = _bars(patches), image.shape[0] * image.shape[1]
    if bars is not None and sum(patch.area for patch in bars.marks) > 0.02 * size:
        return bars
    paper = np.median(image, axis=(0, 1))
    # The colour of a stroke's rim is between the stroke's and the paper's, so strokes are sorted first.
    masks.sort(key=lambda entry: -float(np.abs(paper - entry[0]).sum()))
    return _lines(masks, patches, image.shape[1]) or bars


def foot_of(patch: Patch, upright: bool) -> int:
    """Return where a bar begins: its lower edge, or the left edge of a horizontal bar."""
    return patch.y1 if upright else patch.x0


def _masks(image: NDArray[np.uint8]) -> list[tuple[Rgb, NDArray[np.bool_]]]:
    """Return the picture's few fill colours, most frequent first and without the background, each with its pixels."""
    import cv2
    import numpy as np

    coarse = (image >> 3).astype(np.int32)
    codes = (coarse[..., 0] << 10) | (coarse[..., 1] << 5) | coarse[..., 2]
    counts = np.bincount(codes.ravel(), minlength=1 << 15)
    order = np.argsort(counts)[::-1]
    enough = max(40, int(0.00012 * codes.size))
    found: list[tuple[Rgb, NDArray[np.bool_]]] = []
    known: list[NDArray[np.int16]] = []
    for at in order[:120]:
        if counts[at] < enough or len(found) == _MOST_COLOURS:
            break
        exact = np.median(image[codes == at], axis=0).astype(np.int16)
        if any(int(np.abs(exact - other).max()) <= _TOLERANCE for other in known):
            continue
        known.append(exact)
        if len(known) > 1:
            low, high = (exact - _TOLERANCE).clip(0, 255), (exact + _TOLERANCE).clip(0, 255)
            mask = cv2.inRange(image, low.astype(np.uint8), high.astype(np.uint8)) > 0
            found.append(((int(exact[0]), int(exact[1]), int(exact[2])), mask))
    return found


def _patches(colour: Rgb, mask: NDArray[np.bool_]) -> list[Patch]:
    import cv2
    import numpy as np

    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    found = []
    for outline in outlines:
        x, y, width, height = cv2.boundingRect(outline)
        if width * height < 12:
            continue
        # A contour goes through the centres of the edge pixels, so half its length is missing from its area.
        area = cv2.contourArea(outline) + cv2.arcLength(outline, True) / 2 + 1
        moments = cv2.moments(outline)
        mass = moments["m00"] or 1.0
        centre = (moments["m10"] / mass, moments["m01"] / mass) if moments["m00"] else (x + width / 2, y + height / 2)
        solidity = min(1.0, area / (width * height))
        inked = float(mask[y : y + height, x : x + width].sum()) / max(1.0, area)
        found.append(Patch(colour, x, y, x + width, y + height, int(area), solidity, *centre, min(1.0, inked)))
    return found


def _pie(patches: Sequence[Patch], width: int) -> Shapes | None:
    """Find slices: large, not rectangular, together as wide as high, and filling a disc or a ring."""
    full = [patch for patch in patches if patch.inked > 0.6]
    slices = [patch for patch in full if patch.area > 0.0008 * width * width and 0.15 < patch.solidity < 0.93]
    slices = [patch for patch in slices if min(patch.width, patch.height) > 0.015 * width]
    if not 2 <= len(slices) <= 16:
        return None
    x0, x1 = min(patch.x0 for patch in slices), max(patch.x1 for patch in slices)
    y0, y1 = min(patch.y0 for patch in slices), max(patch.y1 for patch in slices)
    middle, radius = ((x0 + x1) / 2, (y0 + y1) / 2), (x1 - x0) / 2
    inside = [
        patch
        for patch in full
        if patch.area > 20
        and not _is_in_slice(patch, slices)
        and (x0 <= patch.x0 and patch.x1 <= x1 and y0 <= patch.y0 and patch.y1 <= y1)
        and math.dist((patch.x, patch.y), middle) < radius
    ]
    filled = sum(patch.area for patch in slices) / ((x1 - x0) * (y1 - y0))
    squareness = (x1 - x0) / (y1 - y0)
    if not (0.9 < squareness < 1.11 and 0.4 < filled < 0.85):
        return None
    others = tuple(patch for patch in patches if patch not in inside)
    marks = tuple(patch for patch in inside if patch.area > 0.01 * (x1 - x0) * (y1 - y0))
    return Shapes("pie", marks, others)


def _is_in_slice(patch: Patch, slices: Sequence[Patch]) -> bool:
    """Return True if the patch is the box of a printed number: a rectangle well inside that of a slice."""
    return patch.solidity > 0.8 and any(
        s.x0 < patch.x0 and patch.x1 < s.x1 and s.y0 < patch.y0 and patch.y1 < s.y1 and patch.area < 0.3 * s.area
        for s in slices if s is not patch
    )  # fmt: skip


def _bars(patches: Sequence[Patch]) -> Shapes | None:
    """Find solid rectangles on a common base line, and the rectangles stacked on them."""
    solid = [
        p for p in patches if p.solidity > 0.85 and p.inked > 0.55 and p.width >= 4 and p.height >= 2 and p.area >= 16
    ]
    solid = [p for p in solid if min(p.width, p.height) >= 4 or max(p.width, p.height) < 60]
    best: tuple[float, Kind, list[Patch]] | None = None
    for kind in ("vertical bars", "horizontal bars"):
        upright = kind == "vertical bars"
        for anchor in solid:
            standing = [p for p in solid if abs(foot_of(p, upright) - foot_of(anchor, upright)) <= 2]
            size = _across(anchor, upright)
            standing = [p for p in standing if abs(_across(p, upright) - size) <= 2 + 0.08 * size]
            weight = sum(p.area for p in standing) * (1 + 0.2 * min(5, len(standing)))
            if len(standing) >= 2 and (best is None or weight > best[0]):
                best = (weight, kind, standing)
    if best is None:
        return None
    _, kind, standing = best
    upright = kind == "vertical bars"
    if max(_along(p, upright) for p in standing) < 25:
        return None
    spots = {(p.x0, p.x1) if upright else (p.y0, p.y1) for p in standing}
    stacked = [
        p for p in solid
        if p not in standing and any(
            abs((p.x0 if upright else p.y0) - low) <= 2 and abs((p.x1 if upright else p.y1) - high) <= 2
            for low, high in spots
        )
    ]  # fmt: skip
    marks = tuple(sorted([*standing, *stacked], key=lambda p: (p.x, -p.y) if upright else (p.y, p.x)))
    return Shapes(kind, marks, tuple(p for p in patches if p not in marks))


def _lines(masks: Iterable[tuple[Rgb, NDArray[np.bool_]]], patches: Sequence[Patch], width: int) -> Shapes | None:
    """Find colours with a thin region that spans much of the picture and is not straight."""
    import cv2
    import numpy as np

    traces: list[tuple[Rgb, NDArray[np.bool_]]] = []
    around: NDArray[np.bool_] | None = None
    for colour, mask in masks:
        mine = [p for p in patches if p.colour == colour]
        grey = max(colour) - min(colour) < 25
        long = [p for p in mine if p.width > 0.2 * width and p.solidity < 0.6 and p.height > 3]
        if grey and any(_is_frame(mask, p) for p in long):
            continue
        spread = sum(p.width for p in mine if p.width > 6 and p.height > 3)
        if long or (not grey and spread > 0.4 * width):
            columns = mask.sum(axis=0)
            drawn = columns[columns > 0]
            # A stroke's blended rim is a region of another colour beside the stroke.
            rim = around is not None and _is_along(mask, mine, around)
            if drawn.size and float(median(drawn.tolist())) <= 14 and not rim:
                traces.append((colour, mask))
                grown = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
                around = grown if around is None else grown | around
    if not traces:
        return None
    return Shapes("lines", (), tuple(patches), tuple(traces))


def _is_along(mask: NDArray[np.bool_], parts: Sequence[Patch], around: NDArray[np.bool_]) -> bool:
    """Return True if most of the colour's longest region is beside known strokes."""
    longest = max(parts, key=lambda part: part.width)
    part = (slice(longest.y0, longest.y1), slice(longest.x0, longest.x1))
    return float((mask[part] & around[part]).sum()) > 0.6 * float(mask[part].sum())


def _is_frame(mask: NDArray[np.bool_], patch: Patch) -> bool:
    """Return True if the region is an axis or a frame: nearly all its columns have their ink at one height."""
    import numpy as np

    part = mask[patch.y0 : patch.y1, patch.x0 : patch.x1]
    columns = part.sum(axis=0)
    heights = (np.arange(part.shape[0])[:, None] * part).sum(axis=0)[columns > 0] / columns[columns > 0]
    level = float(np.median(heights))
    return float((np.abs(heights - level) <= 2).mean()) > 0.7


def _across(patch: Patch, upright: bool) -> int:
    return patch.width if upright else patch.height


def _along(patch: Patch, upright: bool) -> int:
    return patch.height if upright else patch.width
