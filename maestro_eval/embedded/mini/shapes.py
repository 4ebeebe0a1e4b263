"""Draws distinguishable coloured shapes at random places, in easy and hard styles.

Three pictures of five are easy: flat shapes, apart from each other, on a plain ground. The others are hard for programs
and easy for people: overlapping shapes, shading, shapes drawn as outlines only, a varying ground, stronger compression.
At least ``1 - HIDDEN_AT_MOST`` of every shape is visible, and touching shapes differ in colour or have a dark edge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image, ImageColor

from maestro_eval.embedded.mini.canvas import Canvas, Point
from maestro_eval.embedded.mini.stage import Stage, pick

if TYPE_CHECKING:
    from numpy import bool_, float64
    from numpy.random import Generator
    from numpy.typing import NDArray

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
HIDDEN_AT_MOST = 0.3
# A pentagon and a hexagon differ by one corner, so more of them must be visible.
_MANY_CORNERS_HIDDEN_AT_MOST = 0.18
BACKGROUNDS = ("#ffffff", "#f4f4f0", "#eef4fa", "#e9efe6", "#dcdcdc", "#fbf4e6")


@dataclass(frozen=True, slots=True)
class Thing:
    """One shape: ``size`` is the radius of the circle around it, ``turn`` in degrees; ``hollow`` is not filled."""

    shape: str
    colour: str
    x: float
    y: float
    size: float
    turn: float
    hollow: bool = False

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A thing that has no position yet."""

    shape: str
    colour: str
    size: float


@dataclass(frozen=True, slots=True)
class Look:
    """The style of a picture; ``hollow`` is the share of unfilled shapes, ``jpeg`` is a quality (0: any)."""

    edged: bool = False
    touching: bool = False
    hollow: float = 0.0
    shaded: bool = False
    ground: str = "plain"
    small: bool = False
    jpeg: int = 0


def look(stage: Stage) -> Look:
    """Return the style of a sample: two in five are hard."""
    rng = stage.rng("look")
    if not stage.deal("hard", (True, True, False, False, False)):
        return Look(edged=rng.random() < 0.25, ground="striped" if rng.random() < 0.3 else "plain")
    return Look(
        edged=rng.random() < 0.4,
        touching=rng.random() < 0.6,
        hollow=pick(rng, (0.0, 0.0, 0.15)),
        shaded=rng.random() < 0.5,
        ground=pick(rng, ("plain", "striped", "gradient", "gradient", "blotched", "blotched")),
        small=rng.random() < 0.3,
        jpeg=pick(rng, (0, 0, 50, 65)),
    )


def place(
    rng: Generator, kinds: Sequence[Kind], width: int, height: int, taken: Sequence[Thing] = (), style: Look = Look()
) -> list[Thing]:
    """Place the kinds at random inside the border, largest first, later ones on top; omit those without room."""
    pile = _Pile(style)
    for thing in taken:
        pile.add(thing)
    for kind in sorted(kinds, key=lambda kind: -kind.size):
        hollow = bool(style.hollow) and rng.random() < style.hollow
        for _attempt in range(200):
            x, y = _spot(rng, kind, width, height, pile.things if style.touching else ())
            thing = Thing(kind.shape, kind.colour, x, y, kind.size, _turn(rng, kind.shape), hollow)
            if pile.has_room(thing):
                pile.add(thing)
                break
    return pile.things[len(taken) :]


def draw(rng: Generator, things: Sequence[Thing], width: int, height: int, style: Look = Look()) -> Image.Image:
    """Draw the things, the first one at the bottom."""
    canvas = Canvas(width, height, pick(rng, BACKGROUNDS))
    if style.ground != "plain":
        {"striped": _stripes, "gradient": _gradient, "blotched": _blotches}[style.ground](rng, canvas)
    for thing in things:
        paint(canvas, thing, _shade(rng, COLOURS[thing.colour]), style)
    return canvas.image()


def paint(canvas: Canvas, thing: Thing, fill: str, style: Look = Look()) -> None:
    if thing.hollow:
        width = max(2.5, 0.15 * thing.size)
        _fill(canvas, replace(thing, size=thing.size - width), "", fill, width)
        return
    _fill(canvas, thing, fill, "#303030" if style.edged else "", 1.5 if style.edged else 0)
    if style.shaded:
        # Smaller and lighter copies on top of each other look like a soft bulge.
        for step in range(1, 5):
            _fill(canvas, replace(thing, size=thing.size * (1 - step / 5) - 1), _lit(fill, 0.05 * step))


class _Pile:
    """The placed things, and the points of each that others cover."""

    def __init__(self, style: Look) -> None:
        self.things: list[Thing] = []
        self._style = style
        self._points: list[NDArray[float64]] = []
        self._covered: list[NDArray[bool_]] = []

    def has_room(self, thing: Thing) -> bool:
        """Return True if ``thing`` may be placed, on top of those that it overlaps."""
        for number in self._near(thing):
            if not self._may_touch(thing, self.things[number]):
                return False
            covered = self._covered[number] | _inside(thing, self._points[number])
            many = self.things[number].shape in ("pentagon", "hexagon")
            if covered.mean() > (_MANY_CORNERS_HIDDEN_AT_MOST if many else HIDDEN_AT_MOST):
                return False
        return True

    def add(self, thing: Thing) -> None:
        import numpy

        for number in self._near(thing) if self._style.touching else ():
            self._covered[number] = self._covered[number] | _inside(thing, self._points[number])
        self.things.append(thing)
        if self._style.touching:
            points = _points(thing)
            self._points.append(points)
            self._covered.append(numpy.zeros(len(points), dtype=bool))

    def _near(self, thing: Thing) -> list[int]:
        return [
            number
            for number, other in enumerate(self.things)
            if math.hypot(thing.x - other.x, thing.y - other.y) <= thing.size + other.size + 5
        ]

    def _may_touch(self, one: Thing, other: Thing) -> bool:
        """Return True if the edge between the two is visible; a dark edge is not visible on black."""
        apart = one.colour != other.colour or (self._style.edged and one.colour != "black")
        return self._style.touching and apart and not (one.hollow or other.hollow)


def _spot(rng: Generator, kind: Kind, width: int, height: int, others: Sequence[Thing]) -> Point:
    """Return a random place inside the border, sometimes near one of ``others``, to overlap it."""
    edge = kind.size + 4
    if others and rng.random() < 0.3:
        other = pick(rng, others)
        away, angle = (kind.size + other.size) * float(rng.uniform(0.5, 0.95)), float(rng.uniform(0, 2 * math.pi))
        x, y = other.x + away * math.cos(angle), other.y + away * math.sin(angle)
        return min(max(x, edge), width - edge), min(max(y, edge), height - edge)
    return float(rng.uniform(edge, width - edge)), float(rng.uniform(edge, height - edge))


def _points(thing: Thing) -> NDArray[float64]:
    """Return about a hundred points spread evenly over a thing."""
    import numpy

    line = numpy.linspace(-0.97, 0.97, 20) * thing.size
    grid = numpy.stack(numpy.meshgrid(thing.x + line, thing.y + line), axis=-1).reshape(-1, 2)
    return grid[_inside(thing, grid)]


def _inside(thing: Thing, points: NDArray[float64]) -> NDArray[bool_]:
    import numpy
    from matplotlib.path import Path as Outline

    if thing.shape == "circle":
        return numpy.hypot(points[:, 0] - thing.x, points[:, 1] - thing.y) <= thing.size
    return Outline(_outline(thing)).contains_points(points)


def _fill(canvas: Canvas, thing: Thing, fill: str, edge: str = "", width: float = 0) -> None:
    if thing.size <= 0:
        return
    if thing.shape == "circle":
        canvas.ellipse((thing.x, thing.y), thing.size, thing.size, fill=fill, edge=edge, width=width)
    else:
        canvas.polygon(_outline(thing), fill=fill, edge=edge, width=width)


def _outline(thing: Thing) -> list[Point]:
    if thing.shape == "cross":
        arm, edge = 0.94, 0.32
        corners = [(arm, -edge), (arm, edge), (edge, edge)]
        # This is a quarter of the outline, rotated four times.
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
    return _hex(channel + change for channel in ImageColor.getrgb(colour))


def _lit(colour: str, light: float) -> str:
    """Return ``colour`` made darker (``light`` below 0) or lighter by that share."""
    return _hex(
        round(channel * (1 + light) if light < 0 else channel + (255 - channel) * light)
        for channel in ImageColor.getrgb(colour)
    )


def _hex(channels: Iterable[int]) -> str:
    return "#" + "".join(f"{min(255, max(0, channel)):02x}" for channel in channels)


def _stripes(rng: Generator, canvas: Canvas) -> None:
    gap, tilt = int(rng.integers(14, 40)), float(rng.uniform(-0.5, 0.5))
    shift = tilt * canvas.height
    for x in range(-int(abs(shift)), canvas.width + int(abs(shift)), gap):
        canvas.line([(x, 0), (x + shift, canvas.height)], pick(rng, ("#c8c8c8", "#d0c8b8", "#c0ccd4")), 1)


def _gradient(rng: Generator, canvas: Canvas) -> None:
    """Draw a gradient from a light colour to a darker one, sideways or downwards."""
    start, end = pick(
        rng, (("#ffffff", "#a8b6c6"), ("#f6efdc", "#b9ab90"), ("#e6f2e6", "#a3b8a6"), ("#f7f7f7", "#aeb4b4"))
    )
    ends = [(start, end), (end, start)][int(rng.integers(2))]
    first, last = (ImageColor.getrgb(colour) for colour in ends)
    sideways, bands = bool(rng.integers(2)), 60
    reach = canvas.width if sideways else canvas.height
    for band in range(bands):
        fill = _hex(round(one + (other - one) * band / (bands - 1)) for one, other in zip(first, last, strict=True))
        low, high = round(reach * band / bands), round(reach * (band + 1) / bands)
        box = (low, 0, high, canvas.height) if sideways else (0, low, canvas.width, high)
        canvas.polygon([(box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3])], fill=fill)


def _blotches(rng: Generator, canvas: Canvas) -> None:
    """Draw large overlapping stains like those of old paper, too pale to look like a shape."""
    paper = ImageColor.getrgb(pick(rng, ("#e9e4d8", "#dfe5e8", "#e2e6dc")))
    canvas.polygon([(0, 0), (canvas.width, 0), (canvas.width, canvas.height), (0, canvas.height)], fill=_hex(paper))
    for _blotch in range(60):
        centre = float(rng.uniform(0, canvas.width)), float(rng.uniform(0, canvas.height))
        change = int(rng.integers(-6, 7))
        wide, high = float(rng.uniform(40, 160)), float(rng.uniform(40, 160))
        canvas.ellipse(centre, wide, high, fill=_hex(channel + change for channel in paper))
