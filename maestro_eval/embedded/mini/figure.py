"""Places the texts of a geometric figure and paints it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maestro_eval.embedded.mini.canvas import Canvas, Point
from maestro_eval.embedded.mini.stage import pick

if TYPE_CHECKING:
    from numpy.random import Generator
    from PIL import Image

_FACES = ("DejaVuSans", "DejaVuSerif", "STIXGeneral", "DejaVuSans-Bold")


@dataclass(frozen=True, slots=True)
class Label:
    """A text at a point of the figure, moved ``away`` from it, in letter heights."""

    at: Point
    text: str
    away: Point = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Problem:
    """A figure in its own units (y upwards), the question and its answer; ``slips`` are likely wrong answers."""

    question: str
    answer: float
    slips: tuple[float, ...]
    lines: tuple[tuple[Point, ...], ...]
    labels: tuple[Label, ...]
    circle: float = 0.0
    marks: tuple[tuple[Point, ...], ...] = ()


def triangle(one: int, two: int) -> tuple[Point, ...]:
    """Return the corners of a triangle with these angles at the first two and a base of length 10."""
    side = 10 * math.sin(math.radians(two)) / math.sin(math.radians(one + two))
    return ((0.0, 0.0), (10.0, 0.0), (side * math.cos(math.radians(one)), side * math.sin(math.radians(one))))


def ring(corners: Sequence[Point]) -> tuple[Point, ...]:
    """Return the outline through the corners, whose first side is drawn twice so that its joint is closed."""
    return (*corners, corners[0], corners[1])


def corner_names(names: str, corners: Sequence[Point]) -> list[Label]:
    """Return labels with the corners' names, outside the figure."""
    centre = _centre(corners)
    return [Label(at, name, _towards(centre, at, 0.95)) for name, at in zip(names, corners, strict=True)]


def angle_label(corners: Sequence[Point], corner: int, text: str) -> Label:
    """Return a label inside the figure at a corner, on the bisector of its angle."""
    at = corners[corner]
    before, after = corners[corner - 1], corners[(corner + 1) % len(corners)]
    one, two = _towards(at, before, 1), _towards(at, after, 1)
    half = math.radians(inner_angle(corners, corner)) / 2
    # The narrower the angle, the farther from the corner is there room for the text.
    return Label(at, text, _towards((0, 0), (one[0] + two[0], one[1] + two[1]), 0.75 + 0.75 / math.sin(half)))


def label_beside(start: float, end: float, text: str, least: float = 1.2) -> Label:
    """Return a label at the origin, between two directions in degrees."""
    half, way = math.radians(end - start) / 2, math.radians((start + end) / 2)
    reach = max(least, 0.85 + 0.85 / math.sin(min(half, math.pi / 2)))
    return Label((0, 0), text, (reach * math.cos(way), reach * math.sin(way)))


def moved(label: Label, at: Point) -> Label:
    """Return the label at another point."""
    return Label(at, label.text, label.away)


def tick(one: Point, other: Point) -> tuple[Point, ...]:
    """Return the short mark across the middle of a side."""
    middle, way = ((one[0] + other[0]) / 2, (one[1] + other[1]) / 2), _towards(one, other, 0.35)
    return ((middle[0] - way[1], middle[1] + way[0]), (middle[0] + way[1], middle[1] - way[0]))


def inner_angle(corners: Sequence[Point], corner: int) -> float:
    """Return the angle in degrees at a corner."""
    at, one, two = corners[corner], corners[corner - 1], corners[(corner + 1) % len(corners)]
    turn = math.atan2(one[1] - at[1], one[0] - at[0]) - math.atan2(two[1] - at[1], two[0] - at[0])
    return math.degrees(turn) % 360


def _centre(corners: Sequence[Point]) -> Point:
    return (sum(x for x, _y in corners) / len(corners), sum(y for _x, y in corners) / len(corners))


def _towards(start: Point, end: Point, length: float) -> Point:
    reach = math.dist(start, end) or 1.0
    return ((end[0] - start[0]) / reach * length, (end[1] - start[1]) / reach * length)


def paint(rng: Generator, problem: Problem) -> Image.Image:
    """Paint the figure rotated at random, as large as fits, with upright texts."""
    width, height = pick(rng, ((420, 360), (480, 400), (520, 420), (600, 480)))
    turn = math.radians(float(pick(rng, (0, 0, 0, 90, 180, 270)) + rng.uniform(-12, 12)))
    flip = pick(rng, (1, -1))
    letter = int(rng.integers(17, 24))

    def turned(point: Point) -> Point:
        x, y = flip * point[0], -point[1]
        return (x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn))

    points = [turned(point) for line in problem.lines for point in line]
    reach = problem.circle
    low = [min(-reach, *axis) if reach else min(axis) for axis in zip(*points, strict=True)]
    high = [max(reach, *axis) if reach else max(axis) for axis in zip(*points, strict=True)]
    room = 3.2 * letter
    scale = min((width - 2 * room) / (high[0] - low[0] or 1), (height - 2 * room) / (high[1] - low[1] or 1))

    def at(point: Point) -> Point:
        x, y = turned(point)
        return (width / 2 + scale * (x - (low[0] + high[0]) / 2), height / 2 + scale * (y - (low[1] + high[1]) / 2))

    canvas = Canvas(width, height, pick(rng, ("#ffffff", "#ffffff", "#fbf8ee", "#eef3f8")))
    ink, pen = pick(rng, ("#000000", "#000000", "#1a3a6e", "#333333")), float(pick(rng, (1.5, 2, 2.5)))
    face = pick(rng, _FACES)
    if problem.circle:
        canvas.ellipse(at((0, 0)), scale * problem.circle, scale * problem.circle, edge=ink, width=pen)
    for line in problem.lines:
        canvas.line([at(point) for point in line], ink, pen)
    for mark in problem.marks:
        canvas.line([at(point) for point in mark], ink, 1.2)
    for label in problem.labels:
        (x, y), (dx, dy) = at(label.at), turned(label.away)
        canvas.text((x + dx * letter, y + dy * letter), label.text, face, letter, ink)
    return canvas.image()
