"""Stands for Geometry3K: a drawn figure with printed numbers, a question that needs them, four choices.

The numbers stand only in the picture. The choices are sorted, as in the original, and the right one's
letter is dealt; the wrong ones are what usual slips would give, where those fit the place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maestro_eval.embedded.mini.canvas import Canvas, Point
from maestro_eval.embedded.mini.stage import Picture, Stage, pick, some

if TYPE_CHECKING:
    from numpy.random import Generator
    from PIL import Image

_LETTERS = ("ABC", "PQR", "XYZ", "KLM", "DEF", "RST", "JKL", "UVW")
_FACES = ("DejaVuSans", "DejaVuSerif", "STIXGeneral", "DejaVuSans-Bold")


@dataclass(frozen=True, slots=True)
class GeometryRow:
    id: str
    images: tuple[Picture, ...]
    problem: str
    choices: tuple[str, ...]
    ground_truth: str


@dataclass(frozen=True, slots=True)
class Label:
    """A text at a point of the figure, moved ``away`` from it by so many letter heights."""

    at: Point
    text: str
    away: Point = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Problem:
    """A figure in units of its own (y upwards), the question and its answer; ``slips`` are likely wrong answers."""

    question: str
    answer: float
    slips: tuple[float, ...]
    lines: tuple[tuple[Point, ...], ...]
    labels: tuple[Label, ...]
    circle: float = 0.0
    marks: tuple[tuple[Point, ...], ...] = ()


def make(stage: Stage) -> GeometryRow:
    rng = stage.rng()
    problem = stage.deal("kind", tuple(KINDS))
    drawn = KINDS[problem](rng)
    letter = stage.deal("letter", (0, 1, 2, 3))
    choices = _choices(rng, drawn.answer, drawn.slips, letter)
    picture = stage.picture(_paint(rng, drawn), jpeg=pick(rng, (0, 0, 85)))
    return GeometryRow(f"mini_{stage.index}", (picture,), drawn.question, tuple(map(_written, choices)), "ABCD"[letter])


def third_angle(rng: Generator) -> Problem:
    """Two angles of a triangle are given."""
    one, two = (int(angle) for angle in rng.integers(32, 78, 2))
    names = pick(rng, _LETTERS)
    corners = _triangle(one, two)
    labels = [*_names(names, corners), _angle(corners, 0, f"{one}°"), _angle(corners, 1, f"{two}°")]
    question = pick(rng, ("Find the measure of angle {}.", "What is the size of angle {} in degrees?")).format(names[2])
    return Problem(
        question, 180 - one - two, (180 - one, 180 - two, one + two, 90 - one), (_ring(corners),), tuple(labels)
    )


def isosceles(rng: Generator) -> Problem:
    """The angle at the top of a triangle with two sides marked as equal."""
    top = 2 * int(rng.integers(16, 50))
    names = pick(rng, _LETTERS)
    base = (180 - top) // 2
    corners = _triangle(base, base)
    ticks = [_tick(corners[2], corners[end]) for end in (0, 1)]
    labels = (*_names(names, corners), _angle(corners, 2, f"{top}°"))
    question = pick(
        rng,
        (
            "The marked sides are equal. Find the measure of angle {}.",
            "Two sides have equal length, as marked. How many degrees has angle {}?",
        ),
    )
    return Problem(
        question.format(names[0]),
        base,
        (180 - top, top, top // 2, 90 - base),
        (_ring(corners),),
        labels,
        marks=tuple(ticks),
    )


def hypotenuse(rng: Generator) -> Problem:
    """Both legs of a right triangle are given."""
    return _right(rng, missing=2)


def leg(rng: Generator) -> Problem:
    """The hypotenuse and one leg of a right triangle are given."""
    return _right(rng, missing=1)


def rectangle_area(rng: Generator) -> Problem:
    """Two sides of a rectangle are given."""
    wide, high = _sides(rng)
    question = pick(rng, ("Find the area of the rectangle.", "What is the area of the figure?"))
    return _rectangle(rng, question, wide, high, wide * high, (2 * (wide + high), wide + high, wide * high / 2))


def rectangle_perimeter(rng: Generator) -> Problem:
    """Two sides of a rectangle are given."""
    wide, high = _sides(rng)
    question = pick(rng, ("Find the perimeter of the rectangle.", "What is the perimeter of the figure?"))
    return _rectangle(rng, question, wide, high, 2 * (wide + high), (wide * high, wide + high, 2 * wide + high))


def triangle_area(rng: Generator) -> Problem:
    """The base of a triangle and the height upon it are given."""
    base, high = (int(length) for length in (rng.integers(8, 22), rng.integers(5, 16)))
    foot = base * float(rng.uniform(0.3, 0.7))
    corners = ((0.0, 0.0), (float(base), 0.0), (foot, float(high)))
    size = base / 18
    corner = ((foot + size, 0.0), (foot + size, size), (foot, size))
    labels = (
        Label((base / 2, 0), str(base), (0, -1.1)),
        Label((foot, high / 2.6), str(high), (0.5 + 0.35 * len(str(high)), 0)),
    )
    question = pick(rng, ("Find the area of the triangle.", "What is the area of the triangle?"))
    slips = (base * high, base + high, base * high / 4)
    return Problem(
        question, base * high / 2, slips, (_ring(corners), ((foot, float(high)), (foot, 0.0))), labels, marks=(corner,)
    )


def circle_area(rng: Generator) -> Problem:
    """The radius or the diameter of a circle is given."""
    return _circle(rng, "area")


def circle_circumference(rng: Generator) -> Problem:
    """The radius or the diameter of a circle is given."""
    return _circle(rng, "circumference")


def straight_line(rng: Generator) -> Problem:
    """One of two angles on a straight line is given."""
    given = int(rng.integers(35, 146))
    ray = (4.5 * math.cos(math.radians(given)), 4.5 * math.sin(math.radians(given)))
    labels = (_beside(0, given, f"{given}°"), _beside(given, 180, "x"))
    return Problem(
        _x(rng), 180 - given, (given, abs(90 - given) + 1, given / 2), (((-5, 0), (5, 0)), ((0, 0), ray)), labels
    )


def right_corner(rng: Generator) -> Problem:
    """A ray splits a right angle; one of the parts is given."""
    given = int(rng.integers(24, 67))
    ray = (4.5 * math.cos(math.radians(given)), 4.5 * math.sin(math.radians(given)))
    labels = (_beside(0, given, f"{given}°", 3.8), _beside(given, 90, "x", 3.8))
    corner = ((0.5, 0.0), (0.5, 0.5), (0.0, 0.5))
    return Problem(
        _x(rng),
        90 - given,
        (180 - given, given, 45),
        (((5, 0), (0, 0), (0, 5)), ((0, 0), ray)),
        labels,
        marks=(corner,),
    )


def parallels(rng: Generator) -> Problem:
    """A line crosses two parallels; the angle at one of them is given."""
    given = int(rng.integers(40, 76)) if rng.random() < 0.5 else int(rng.integers(105, 141))
    lean = 3 / math.tan(math.radians(given))
    upper, lower = (lean / 2, 1.5), (-lean / 2, -1.5)
    out = (math.cos(math.radians(given)) * 2, math.sin(math.radians(given)) * 2)
    lines = (
        ((-5, 1.5), (5, 1.5)),
        ((-5, -1.5), (5, -1.5)),
        ((lower[0] - out[0], lower[1] - out[1]), (upper[0] + out[0], upper[1] + out[1])),
    )
    same = bool(rng.random() < 0.5)
    # Corresponding angles are equal; the neighbour of one adds up with the other to a straight angle.
    sought = _beside(0, given, "x") if same else _beside(given, 180, "x")
    labels = (
        _moved(_beside(0, given, f"{given}°"), upper),
        _moved(sought, lower),
        Label((5, 1.5), "m", (0.9, 0)),
        Label((5, -1.5), "n", (0.9, 0)),
    )
    question = pick(
        rng,
        ("Lines m and n are parallel. Find the value of x in degrees.", "m is parallel to n. How many degrees is x?"),
    )
    answer = given if same else 180 - given
    return Problem(question, answer, (180 - answer, abs(90 - answer), answer / 2), lines, labels)


def fourth_angle(rng: Generator) -> Problem:
    """Three angles of a quadrilateral are given."""
    names = pick(rng, ("ABCD", "PQRS", "WXYZ", "EFGH"))
    while True:
        corners = tuple(
            (x + float(rng.uniform(-1.5, 1.5)), y + float(rng.uniform(-1.2, 1.2)))
            for x, y in ((0, 0), (9, 0), (9, 6), (0, 6))
        )
        angles = [round(_inner(corners, corner)) for corner in range(3)]
        last = 360 - sum(angles)
        if all(55 <= angle <= 130 for angle in (*angles, last)):
            break
    labels = (*_names(names, corners), *(_angle(corners, corner, f"{angle}°") for corner, angle in enumerate(angles)))
    question = pick(rng, ("Find the measure of angle {}.", "How many degrees has angle {}?")).format(names[3])
    return Problem(question, last, (sum(angles) - 180, 180 - angles[0], 180 - angles[2]), (_ring(corners),), labels)


KINDS: dict[str, Callable[[Generator], Problem]] = {
    kind.__name__: kind
    for kind in (
        third_angle, isosceles, hypotenuse, leg, rectangle_area, rectangle_perimeter, triangle_area, circle_area,
        circle_circumference, straight_line, right_corner, parallels, fourth_angle,
    )
}  # fmt: skip


def _right(rng: Generator, missing: int) -> Problem:
    if rng.random() < 0.5:
        shape = pick(rng, ((3, 4, 5), (5, 12, 13), (8, 15, 17), (7, 24, 25), (6, 8, 10), (9, 12, 15), (20, 21, 29)))
        legs: list[float] = [float(side) for side in some(rng, shape[:2], 2)]
    else:
        legs = [float(side) for side in rng.integers(4, 16, 2)]
    long = math.hypot(*legs)
    # The hypotenuse that is printed is rounded where it is not whole, so the leg is found from that.
    printed = [legs[0], legs[1], round(long, 1)]
    answer = [legs[0], math.sqrt(max(0.0, printed[2] ** 2 - legs[0] ** 2)), long][missing]
    names = pick(rng, _LETTERS)
    corners = ((0.0, 0.0), (legs[0], 0.0), (0.0, legs[1]))
    size = min(legs) / 8
    labels = [*_names(names, corners)]
    places = (
        ((legs[0] / 2, 0.0), (0.0, -1.0)),
        ((0.0, legs[1] / 2), (-1.2, 0.0)),
        ((legs[0] / 2, legs[1] / 2), (1.1, 0.9)),
    )
    labels += [Label(at, _written(printed[side]), away) for side, (at, away) in enumerate(places) if side != missing]
    ends = {0: (0, 1), 1: (0, 2), 2: (1, 2)}[missing]
    side = "".join(names[end] for end in ends)
    question = pick(
        rng, ("Find the length of {}.", "How long is side {}?", "What is the length of segment {}?")
    ).format(side)
    known = [printed[side] for side in range(3) if side != missing]
    slips = (sum(known), abs(known[0] - known[1]), math.hypot(*known), max(known) + 2)
    mark = ((size, 0.0), (size, size), (0.0, size))
    return Problem(question, round(answer, 1), slips, (_ring(corners),), tuple(labels), marks=(mark,))


def _rectangle(rng: Generator, question: str, wide: int, high: int, answer: float, slips: tuple[float, ...]) -> Problem:
    corners = ((0.0, 0.0), (float(wide), 0.0), (float(wide), float(high)), (0.0, float(high)))
    unit = pick(rng, ("", " cm", " m"))
    labels = (
        Label((wide / 2, 0), f"{wide}{unit}", (0, -1.1)),
        Label((wide, high / 2), f"{high}{unit}", (0.6 + 0.3 * len(f"{high}{unit}"), 0)),
    )
    return Problem(question, answer, slips, (_ring(corners),), labels)


def _circle(rng: Generator, sought: str) -> Problem:
    radius, whole = int(rng.integers(3, 16)), rng.random() < 0.5
    given = 2 * radius if whole else radius
    area, around = math.pi * radius**2, 2 * math.pi * radius
    angle = float(rng.uniform(-0.6, 0.6))
    end = (radius * math.cos(angle), radius * math.sin(angle))
    start = (-end[0], -end[1]) if whole else (0.0, 0.0)
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    up = (-0.9 * math.sin(angle), 0.9 * math.cos(angle))
    dot = radius / 60
    labels = (Label(middle, str(given), up), Label((0, 0), "O", (-0.2, -0.8)))
    question = pick(
        rng,
        (
            "Find the {} of the circle with centre O, to one decimal.",
            "O is the centre of the circle. What is its {}, rounded to one decimal?",
        ),
    )
    answer, other = (area, around) if sought == "area" else (around, area)
    slips = (other, answer * 4 if sought == "area" else answer * 2, answer / 2, answer / 4)
    return Problem(
        question.format(sought),
        round(answer, 1),
        slips,
        ((start, end), ((-dot, 0.0), (dot, 0.0))),
        labels,
        circle=float(radius),
    )


def _choices(rng: Generator, answer: float, slips: Sequence[float], place: int) -> list[float]:
    """Four different choices in rising order with the answer at ``place``."""
    digits = 0 if float(answer).is_integer() else 1
    rounded = {round(slip, digits) for slip in slips if slip > 0 and abs(slip - answer) > 0.02 * answer}
    below = some(rng, sorted(slip for slip in rounded if slip < answer), place)
    above = some(rng, sorted(slip for slip in rounded if slip > answer), 3 - place)
    for side, count, sign in ((below, place, -1), (above, 3 - place, 1)):
        while len(side) < count:
            other = round(answer * (1 + sign * float(rng.uniform(0.06, 0.8 if sign > 0 else 0.6))), digits)
            if other > 0 and all(abs(other - known) > 0.02 * answer for known in (answer, *side)):
                side.append(other)
            elif answer < 8 and digits == 0:
                digits = 1
    return sorted([*below, float(answer), *above])


def _written(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else f"{number:.1f}"


def _x(rng: Generator) -> str:
    return pick(rng, ("Find the value of x in degrees.", "How many degrees is the angle x?", "What is x (in degrees)?"))


def _sides(rng: Generator) -> tuple[int, int]:
    wide = int(rng.integers(7, 22))
    return wide, int(rng.integers(max(3, wide // 3), wide))


def _triangle(one: int, two: int) -> tuple[Point, ...]:
    """Corners with those angles at the first two, the base ten long."""
    side = 10 * math.sin(math.radians(two)) / math.sin(math.radians(one + two))
    return ((0.0, 0.0), (10.0, 0.0), (side * math.cos(math.radians(one)), side * math.sin(math.radians(one))))


def _ring(corners: Sequence[Point]) -> tuple[Point, ...]:
    return (*corners, corners[0], corners[1])


def _names(names: str, corners: Sequence[Point]) -> list[Label]:
    """The corners' names, outside the figure."""
    centre = _centre(corners)
    return [Label(at, name, _towards(centre, at, 0.95)) for name, at in zip(names, corners, strict=True)]


def _angle(corners: Sequence[Point], corner: int, text: str) -> Label:
    """A text inside the figure at a corner, on the line that halves the angle there."""
    at = corners[corner]
    before, after = corners[corner - 1], corners[(corner + 1) % len(corners)]
    one, two = _towards(at, before, 1), _towards(at, after, 1)
    half = math.radians(_inner(corners, corner)) / 2
    # The narrower the angle, the farther in is there room for the text.
    return Label(at, text, _towards((0, 0), (one[0] + two[0], one[1] + two[1]), 0.75 + 0.75 / math.sin(half)))


def _beside(start: float, end: float, text: str, least: float = 1.2) -> Label:
    """A text at the origin, between two directions in degrees."""
    half, way = math.radians(end - start) / 2, math.radians((start + end) / 2)
    reach = max(least, 0.85 + 0.85 / math.sin(min(half, math.pi / 2)))
    return Label((0, 0), text, (reach * math.cos(way), reach * math.sin(way)))


def _moved(label: Label, at: Point) -> Label:
    return Label(at, label.text, label.away)


def _tick(one: Point, other: Point) -> tuple[Point, ...]:
    middle, way = ((one[0] + other[0]) / 2, (one[1] + other[1]) / 2), _towards(one, other, 0.35)
    return ((middle[0] - way[1], middle[1] + way[0]), (middle[0] + way[1], middle[1] - way[0]))


def _inner(corners: Sequence[Point], corner: int) -> float:
    at, one, two = corners[corner], corners[corner - 1], corners[(corner + 1) % len(corners)]
    turn = math.atan2(one[1] - at[1], one[0] - at[0]) - math.atan2(two[1] - at[1], two[0] - at[0])
    return math.degrees(turn) % 360


def _centre(corners: Sequence[Point]) -> Point:
    return (sum(x for x, _y in corners) / len(corners), sum(y for _x, y in corners) / len(corners))


def _towards(start: Point, end: Point, length: float) -> Point:
    reach = math.dist(start, end) or 1.0
    return ((end[0] - start[0]) / reach * length, (end[1] - start[1]) / reach * length)


def _paint(rng: Generator, problem: Problem) -> Image.Image:
    """The figure turned at random, as large as fits, its texts upright."""
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
