"""Traces the straight strokes of a figure: where they meet, and the angle or length beside a printed number.

Measurements are those of the drawing, which need not be to scale: they choose among values that a theorem allows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maestro_eval.embedded.ocr import TextBox

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Drawing", "Stroke", "trace_drawing"]

Point = tuple[float, float]
_NEAR = 9.0


@dataclass(frozen=True, slots=True)
class Stroke:
    """A straight stroke from one end to the other."""

    a: Point
    b: Point

    @property
    def length(self) -> float:
        return math.dist(self.a, self.b)

    def distance(self, point: Point) -> float:
        """Return the distance from the point to the stroke."""
        (ax, ay), (bx, by) = self.a, self.b
        along = (point[0] - ax) * (bx - ax) + (point[1] - ay) * (by - ay)
        share = min(1.0, max(0.0, along / max(1e-9, self.length**2)))
        return math.dist(point, (ax + share * (bx - ax), ay + share * (by - ay)))


@dataclass(frozen=True, slots=True)
class Drawing:
    """The strokes of a figure and the points where two of them meet; `circle` is the diameter of the largest circle."""

    strokes: tuple[Stroke, ...]
    corners: tuple[Point, ...]
    circle: float | None

    def corner_at(self, place: Point) -> Point | None:
        return min(self.corners, key=lambda corner: math.dist(corner, place), default=None)

    def angle_facing(self, place: Point) -> float | None:
        """Return the angle in degrees of the rays around the place, at the corner nearest to it."""
        corner = self.corner_at(place)
        if corner is None:
            return None
        rays = self._rays(corner)
        if len(rays) < 2:
            return None
        towards = math.atan2(place[1] - corner[1], place[0] - corner[0]) % math.tau
        following = [ray for ray in rays if ray > towards] or [rays[0] + math.tau]
        before = [ray for ray in rays if ray <= towards] or [rays[-1] - math.tau]
        return math.degrees(following[0] - before[-1])

    def angle_at(self, place: Point) -> float | None:
        """Return the inner angle in degrees at the corner nearest to the place, if exactly two strokes meet there."""
        corner = self.corner_at(place)
        rays = self._rays(corner) if corner is not None else []
        return math.degrees(abs(math.remainder(rays[1] - rays[0], math.tau))) if len(rays) == 2 else None

    def length_beside(self, place: Point) -> float | None:
        """Return the length in pixels, between corners, of the stroke beside the place."""
        nearest = min(self.strokes, key=lambda stroke: stroke.distance(place), default=None)
        return nearest.length if nearest is not None else None

    def _rays(self, corner: Point) -> list[float]:
        """Return the directions, ascending, in which strokes leave the corner."""
        rays: list[float] = []
        for stroke in self.strokes:
            if stroke.distance(corner) > _NEAR + 3:
                continue
            for end in (stroke.a, stroke.b):
                direction = math.atan2(end[1] - corner[1], end[0] - corner[0]) % math.tau
                known = any(abs(math.remainder(direction - ray, math.tau)) < math.radians(7) for ray in rays)
                if math.dist(end, corner) > 2 * _NEAR and not known:
                    rays.append(direction)
        return sorted(rays)


def trace_drawing(image: NDArray[np.uint8], texts: Sequence[TextBox]) -> Drawing:
    """Return the strokes of the picture without its text and without short marks (ticks, right-angle squares)."""
    import cv2
    import numpy as np

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    paper = float(np.median(grey))
    # OCR's boxes are a little larger than the letters; strokes beside a letter must stay.
    for box in texts:
        inset = 0.15 * box.height
        x0, y0, x1, y1 = (
            max(0, int(edge)) for edge in (box.x0 + inset, box.y0 + inset, box.x1 - inset, box.y1 - inset)
        )
        grey[y0:y1, x0:x1] = int(paper)
    ink = (np.abs(grey.astype(np.float32) - paper) > 40).astype(np.uint8) * 255
    size = float(np.hypot(*grey.shape))
    circle = _circle(ink)
    found = cv2.HoughLinesP(ink, 1, np.pi / 360, int(0.045 * size), minLineLength=0.07 * size, maxLineGap=0.02 * size)
    ends = [] if found is None else found.reshape(-1, 4).astype(float).tolist()
    raw = [Stroke((x0, y0), (x1, y1)) for x0, y0, x1, y1 in ends]
    if circle is not None:
        raw = [stroke for stroke in raw if stroke.length > 0.3 * circle]
    strokes = _merged(raw)
    return Drawing(tuple(strokes), tuple(_corners(strokes, size)), circle)


def _merged(raw: Sequence[Stroke]) -> list[Stroke]:
    """Merge strokes on the same line into one."""
    merged: list[Stroke] = []
    for stroke in sorted(raw, key=lambda one: -one.length):
        for at, whole in enumerate(merged):
            if _on_one_line(whole, stroke) and min(whole.distance(stroke.a), whole.distance(stroke.b)) < 25:
                ends = [whole.a, whole.b, stroke.a, stroke.b]
                pairs = [(math.dist(p, q), p, q) for p in ends for q in ends]
                _, a, b = max(pairs)
                merged[at] = Stroke(a, b)
                break
        else:
            merged.append(stroke)
    return merged


def _on_one_line(whole: Stroke, piece: Stroke) -> bool:
    (ax, ay), (bx, by) = whole.a, whole.b
    return all(
        abs((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / max(1e-9, whole.length) < 5 for x, y in (piece.a, piece.b)
    )


def _corners(strokes: Sequence[Stroke], size: float) -> list[Point]:
    corners: list[Point] = []
    for at, one in enumerate(strokes):
        for other in strokes[at + 1 :]:
            point = _intersection(one, other)
            if point is None or max(one.distance(point), other.distance(point)) > 0.02 * size + _NEAR:
                continue
            if all(math.dist(point, known) > _NEAR for known in corners):
                corners.append(point)
    return corners


def _intersection(one: Stroke, other: Stroke) -> Point | None:
    """Return where the two lines meet; None if they are nearly parallel."""
    (ax, ay), (bx, by) = one.a, one.b
    (cx, cy), (dx, dy) = other.a, other.b
    turn = (bx - ax) * (dy - cy) - (by - ay) * (dx - cx)
    if abs(turn) < 0.1 * one.length * other.length:
        return None
    share = ((cx - ax) * (dy - cy) - (cy - ay) * (dx - cx)) / turn
    return (ax + share * (bx - ax), ay + share * (by - ay))


def _circle(ink: NDArray[np.uint8]) -> float | None:
    """Return the diameter of the largest outline that is as wide as high and fills its square as a disc does."""
    import cv2

    outlines, _ = cv2.findContours(ink, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for outline in sorted(outlines, key=lambda one: -cv2.boundingRect(one)[2]):
        _, _, width, height = cv2.boundingRect(outline)
        filled = cv2.contourArea(cv2.convexHull(outline)) / (width * height)
        if width > 40 and 0.9 < width / height < 1.1 and abs(filled - math.pi / 4) < 0.04:
            return (width + height) / 2
    return None
