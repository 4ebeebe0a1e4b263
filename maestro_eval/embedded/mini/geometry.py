"""Generates the substitute for Geometry3K: a drawn figure with printed numbers, a question about them, four choices.

The numbers are only in the picture. The choices are sorted, as in the original, and the right one's
letter is balanced; the wrong ones come from usual mistakes, if those fit the place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maestro_eval.embedded.mini.figure import (
    Label,
    Problem,
    angle_label,
    corner_names,
    inner_angle,
    label_beside,
    moved,
    paint,
    ring,
    tick,
    triangle,
)
from maestro_eval.embedded.mini.stage import Picture, Stage, pick, some

if TYPE_CHECKING:
    from numpy.random import Generator

_LETTERS = ("ABC", "PQR", "XYZ", "KLM", "DEF", "RST", "JKL", "UVW")


@dataclass(frozen=True, slots=True)
class GeometryRow:
    id: str
    images: tuple[Picture, ...]
    problem: str
    choices: tuple[str, ...]
    ground_truth: str


def make(stage: Stage) -> GeometryRow:
    rng = stage.rng()
    problem = stage.deal("kind", tuple(KINDS))
    drawn = KINDS[problem](rng)
    letter = stage.deal("letter", (0, 1, 2, 3))
    choices = _choices(rng, drawn.answer, drawn.slips, letter)
    picture = stage.picture(paint(rng, drawn), jpeg=pick(rng, (0, 0, 85)))
    return GeometryRow(f"mini_{stage.index}", (picture,), drawn.question, tuple(map(_written, choices)), "ABCD"[letter])


def third_angle(rng: Generator) -> Problem:
    """Ask for the third angle of a triangle with two given angles."""
    one, two = (int(angle) for angle in rng.integers(32, 78, 2))
    names = pick(rng, _LETTERS)
    corners = triangle(one, two)
    labels = [*corner_names(names, corners), angle_label(corners, 0, f"{one}°"), angle_label(corners, 1, f"{two}°")]
    question = pick(rng, ("Find the measure of angle {}.", "What is the size of angle {} in degrees?")).format(names[2])
    return Problem(
        question, 180 - one - two, (180 - one, 180 - two, one + two, 90 - one), (ring(corners),), tuple(labels)
    )


def isosceles(rng: Generator) -> Problem:
    """Ask for a base angle of an isosceles triangle with a given angle at the top."""
    top = 2 * int(rng.integers(16, 50))
    names = pick(rng, _LETTERS)
    base = (180 - top) // 2
    corners = triangle(base, base)
    ticks = [tick(corners[2], corners[end]) for end in (0, 1)]
    labels = (*corner_names(names, corners), angle_label(corners, 2, f"{top}°"))
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
        (ring(corners),),
        labels,
        marks=tuple(ticks),
    )


def hypotenuse(rng: Generator) -> Problem:
    """Ask for the hypotenuse of a right triangle with given legs."""
    return _right(rng, missing=2)


def leg(rng: Generator) -> Problem:
    """Ask for a leg of a right triangle with a given hypotenuse and other leg."""
    return _right(rng, missing=1)


def rectangle_area(rng: Generator) -> Problem:
    """Ask for the area of a rectangle with two given sides."""
    wide, high = _sides(rng)
    question = pick(rng, ("Find the area of the rectangle.", "What is the area of the figure?"))
    return _rectangle(rng, question, wide, high, wide * high, (2 * (wide + high), wide + high, wide * high / 2))


def rectangle_perimeter(rng: Generator) -> Problem:
    """Ask for the perimeter of a rectangle with two given sides."""
    wide, high = _sides(rng)
    question = pick(rng, ("Find the perimeter of the rectangle.", "What is the perimeter of the figure?"))
    return _rectangle(rng, question, wide, high, 2 * (wide + high), (wide * high, wide + high, 2 * wide + high))


def triangle_area(rng: Generator) -> Problem:
    """Ask for the area of a triangle with given base and height."""
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
        question, base * high / 2, slips, (ring(corners), ((foot, float(high)), (foot, 0.0))), labels, marks=(corner,)
    )


def circle_area(rng: Generator) -> Problem:
    """Ask for the area of a circle with given radius or diameter."""
    return _circle(rng, "area")


def circle_circumference(rng: Generator) -> Problem:
    """Ask for the circumference of a circle with given radius or diameter."""
    return _circle(rng, "circumference")


def straight_line(rng: Generator) -> Problem:
    """Ask for the other of two angles on a straight line."""
    given = int(rng.integers(35, 146))
    ray = (4.5 * math.cos(math.radians(given)), 4.5 * math.sin(math.radians(given)))
    labels = (label_beside(0, given, f"{given}°"), label_beside(given, 180, "x"))
    return Problem(
        _x(rng), 180 - given, (given, abs(90 - given) + 1, given / 2), (((-5, 0), (5, 0)), ((0, 0), ray)), labels
    )


def right_corner(rng: Generator) -> Problem:
    """Ask for the other part of a right angle that a ray splits."""
    given = int(rng.integers(24, 67))
    ray = (4.5 * math.cos(math.radians(given)), 4.5 * math.sin(math.radians(given)))
    labels = (label_beside(0, given, f"{given}°", 3.8), label_beside(given, 90, "x", 3.8))
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
    """Ask for an angle at one of two parallels that a line crosses; one at the other is given."""
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
    # Corresponding angles are equal; the neighbour of one and the other add up to 180°.
    sought = label_beside(0, given, "x") if same else label_beside(given, 180, "x")
    labels = (
        moved(label_beside(0, given, f"{given}°"), upper),
        moved(sought, lower),
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
    """Ask for the fourth angle of a quadrilateral with three given angles."""
    names = pick(rng, ("ABCD", "PQRS", "WXYZ", "EFGH"))
    while True:
        corners = tuple(
            (x + float(rng.uniform(-1.5, 1.5)), y + float(rng.uniform(-1.2, 1.2)))
            for x, y in ((0, 0), (9, 0), (9, 6), (0, 6))
        )
        angles = [round(inner_angle(corners, corner)) for corner in range(3)]
        last = 360 - sum(angles)
        if all(55 <= angle <= 130 for angle in (*angles, last)):
            break
    labels = (
        *corner_names(names, corners),
        *(angle_label(corners, corner, f"{angle}°") for corner, angle in enumerate(angles)),
    )
    question = pick(rng, ("Find the measure of angle {}.", "How many degrees has angle {}?")).format(names[3])
    return Problem(question, last, (sum(angles) - 180, 180 - angles[0], 180 - angles[2]), (ring(corners),), labels)


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
    # The printed hypotenuse may be rounded, so the leg is computed from the rounded value.
    printed = [legs[0], legs[1], round(long, 1)]
    answer = [legs[0], math.sqrt(max(0.0, printed[2] ** 2 - legs[0] ** 2)), long][missing]
    names = pick(rng, _LETTERS)
    corners = ((0.0, 0.0), (legs[0], 0.0), (0.0, legs[1]))
    size = min(legs) / 8
    labels = [*corner_names(names, corners)]
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
    return Problem(question, round(answer, 1), slips, (ring(corners),), tuple(labels), marks=(mark,))


def _rectangle(rng: Generator, question: str, wide: int, high: int, answer: float, slips: tuple[float, ...]) -> Problem:
    corners = ((0.0, 0.0), (float(wide), 0.0), (float(wide), float(high)), (0.0, float(high)))
    unit = pick(rng, ("", " cm", " m"))
    labels = (
        Label((wide / 2, 0), f"{wide}{unit}", (0, -1.1)),
        Label((wide, high / 2), f"{high}{unit}", (0.6 + 0.3 * len(f"{high}{unit}"), 0)),
    )
    return Problem(question, answer, slips, (ring(corners),), labels)


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
    """Return four different choices in rising order with the answer at ``place``."""
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
