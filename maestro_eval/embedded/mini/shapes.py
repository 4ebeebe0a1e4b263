"""Coloured shapes that can be told apart, and where to put them so that none hides another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from maestro_eval.embedded.mini.canvas import Canvas, Point
from maestro_eval.embedded.mini.stage import pick

if TYPE_CHECKING:
    from numpy.random import Generator

SHAPES = ("circle", "square", "triangle", "star", "pentagon", "hexagon", "cross")
COLOURS = {
    "red": "#d92121",
    "green": "#1f9d3a",
    "blue": "#1f4fd9",
    "yellow": "#f2d21b",
    "orange": "#f28a1b",
    "purple": "#7b2fa8",
    "pink": "#f283b8",
    "brown": "#7a4a21",
    "black": "#161616",
}
BACKGROUNDS = ("#ffffff", "#f4f4f0", "#eef4fa", "#e9efe6", "#dcdcdc", "#fbf4e6")


@dataclass(frozen=True, slots=True)
class Thing:
    """One shape: ``size`` is the radius of the circle around it, ``turn`` degrees."""

    shape: str
    colour: str
    x: float
    y: float
    size: float
    turn: float

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A thing before it has a place."""

    shape: str
    colour: str
    size: float


def place(rng: Generator, kinds: Sequence[Kind], width: int, height: int, taken: Sequence[Thing] = ()) -> list[Thing]:
    """The kinds at random places, largest first, clear of each other and of the border; those with room only."""
    things = list(taken)
    for kind in sorted(kinds, key=lambda kind: -kind.size):
        edge = kind.size + 4
        for _attempt in range(200):
            x, y = float(rng.uniform(edge, width - edge)), float(rng.uniform(edge, height - edge))
            if all(math.hypot(x - other.x, y - other.y) > kind.size + other.size + 5 for other in things):
                things.append(Thing(kind.shape, kind.colour, x, y, kind.size, _turn(rng, kind.shape)))
                break
    return things[len(taken) :]


def draw(rng: Generator, things: Sequence[Thing], width: int, height: int) -> Image.Image:
    """The scene on a random background, with faint lines behind it at times."""
    canvas = Canvas(width, height, pick(rng, BACKGROUNDS))
    if rng.random() < 0.3:
        _stripes(rng, canvas)
    outlined = rng.random() < 0.25
    for thing in things:
        paint(canvas, thing, _shade(rng, COLOURS[thing.colour]), "#303030" if outlined else "")
    return canvas.image()


def paint(canvas: Canvas, thing: Thing, fill: str, edge: str = "") -> None:
    width = 1.5 if edge else 0
    if thing.shape == "circle":
        canvas.ellipse((thing.x, thing.y), thing.size, thing.size, fill=fill, edge=edge, width=width)
    else:
        canvas.polygon(_outline(thing), fill=fill, edge=edge, width=width)


def _outline(thing: Thing) -> list[Point]:
    if thing.shape == "cross":
        arm, edge = 0.94, 0.32
        corners = [(arm, -edge), (arm, edge), (edge, edge)]
        # A quarter of the outline, turned four times.
        polar = [
            (math.hypot(x, y), math.degrees(math.atan2(y, x)) + 90 * quarter)
            for quarter in range(4)
            for x, y in corners
        ]
    elif thing.shape == "star":
        polar = [(0.42 if corner % 2 else 1.0, 36 * corner - 90) for corner in range(10)]
    else:
        sides = {"triangle": 3, "square": 4, "pentagon": 5, "hexagon": 6}[thing.shape]
        polar = [(1.0, 360 * corner / sides - (45 if sides == 4 else 90)) for corner in range(sides)]
    turned = [(radius * thing.size, math.radians(angle + thing.turn)) for radius, angle in polar]
    return [(thing.x + radius * math.cos(angle), thing.y + radius * math.sin(angle)) for radius, angle in turned]


def _turn(rng: Generator, shape: str) -> float:
    # A square on its corner is a diamond to many people, so squares and crosses stay almost upright.
    reach = {"square": 12, "cross": 12, "triangle": 180, "star": 36, "pentagon": 36, "hexagon": 30, "circle": 0}[shape]
    return float(rng.uniform(-reach, reach))


def _shade(rng: Generator, colour: str) -> str:
    change = int(rng.integers(-14, 15))
    channels = [min(255, max(0, int(colour[at : at + 2], 16) + change)) for at in (1, 3, 5)]
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def _stripes(rng: Generator, canvas: Canvas) -> None:
    gap, tilt = int(rng.integers(14, 40)), float(rng.uniform(-0.5, 0.5))
    shift = tilt * canvas.height
    for x in range(-int(abs(shift)), canvas.width + int(abs(shift)), gap):
        canvas.line([(x, 0), (x + shift, canvas.height)], pick(rng, ("#c8c8c8", "#d0c8b8", "#c0ccd4")), 1)
