"""Solves school geometry from a drawn figure with printed numbers.

The words of the question choose a theorem, which is applied to the printed numbers. If it allows several values (which
side is the hypotenuse? does the angle complete a line or a right angle?), the drawing is measured and the nearest
value chosen; if the question lists options, other values are dropped. For expressions such as "3x" and "2x+15" the
usual equations are tried, and the one whose solution is an option is used.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from maestro_eval.embedded.ask import Ask, cannot_tell, match_option, options, parse_number, state
from maestro_eval.embedded.drawn_lines import Drawing, Point, trace_drawing
from maestro_eval.embedded.ocr import TextBox, read_text

__all__ = ["answer"]

_GEOMETRY = re.compile(
    r"\b(?:angles?|triangles?|area|perimeter|circumference|radius|diameter|hypotenuse|length of|how long|side|segment"
    r"|parallel|degrees?|rhombus|trapezoid|parallelogram|tangent|chord|arc|scale factor|quadrilateral|polygon"
    r"|circle with cent\w+)\b|\\(?:angle|triangle|odot|overline|widehat|circ)|\bfind \$?[a-z]{1,2}\b"
    r"|value of \$?[a-z]\b|\bwhat is \$?[a-z]\b",
    re.IGNORECASE,
)
_OTHERS = re.compile(
    r"\b(?:charts?|graph|bars?|pie|legend|how many (?!degrees|units|cm)\w+|colou?r|written|says?|sign|receipt|word"
    r"|cross(?:es)?|intersect\w*|overlap\w*|touch\w*|circled|curly|left or|right side|above or|subway)\b",
    re.IGNORECASE,
)
_LINEAR = re.compile(r"(\d*\.?\d*)([a-z])([+-]\d+(?:\.\d+)?)?|(\d+(?:\.\d+)?)([+-]\d*\.?\d*)([a-z])")
_NAMED_ANGLE = re.compile(r"(?:angle|∠)\s*\$?\s*([A-Z]{1,3})\b")
_NAMED_SIDE = re.compile(
    r"\b(?:length of|side|segment|long is|find|leg|hypotenuse)\b[^A-Z]{0,40}\b([A-Z]{2})\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A printed number and its position."""

    value: float
    degrees: bool
    place: Point


@dataclass(frozen=True, slots=True)
class _Linear:
    """The expression slope * unknown + constant."""

    slope: float
    constant: float


@dataclass(frozen=True, slots=True)
class _Figure:
    numbers: tuple[_Reading, ...]
    letters: tuple[tuple[str, Point], ...]
    expressions: tuple[_Linear, ...]
    drawing: Drawing

    def place_of(self, letter: str) -> Point | None:
        exact = [place for name, place in self.letters if name == letter]
        alike = [place for name, place in self.letters if name.casefold() == letter.casefold()]
        return next(iter([*exact, *alike]), None)

    @property
    def angles(self) -> list[_Reading]:
        return [number for number in self.numbers if number.degrees]

    @property
    def lengths(self) -> list[_Reading]:
        return [number for number in self.numbers if not number.degrees]


@dataclass(frozen=True, slots=True)
class _Solution:
    """The values that a theorem allows, likeliest first, and the same quantity as measured in the drawing, if it is."""

    values: tuple[float, ...]
    because: str
    measured: float | None = None


def answer(ask: Ask) -> str:
    """Return the reply to a question about a geometric figure, or a refusal."""
    question = ask.question
    stem = question.split("\nA", 1)[0].split("(A)", 1)[0]
    if not ask.images:
        return cannot_tell("there is no figure")
    if _OTHERS.search(stem) or not _GEOMETRY.search(stem):
        return cannot_tell("the question is not about a geometric figure")
    figure = _read(ask)
    solution = _solve(stem, figure)
    if solution is None:
        return cannot_tell("the printed numbers do not determine what is asked")
    value = _chosen(solution, options(question))
    if value is None:
        return cannot_tell("what I compute is none of the options")
    decimals = 1 if re.search(r"one decimal|nearest tenth", stem) else 2
    return state(question, f"{round(value, decimals):.10g}", solution.because)


def _chosen(solution: _Solution, listed: dict[str, str]) -> float | None:
    values = [value for value in solution.values if value > 0 and math.isfinite(value)]
    if listed:
        values = [value for value in values if match_option(listed, f"{value:.4f}") is not None]
    if len(values) > 1 and solution.measured is not None:
        measured = solution.measured
        return min(values, key=lambda value: abs(value - measured))
    return values[0] if values else None


def _read(ask: Ask) -> _Figure:
    boxes = read_text(ask.images[0])
    numbers: list[_Reading] = []
    letters: list[tuple[str, Point]] = []
    expressions: list[_Linear] = []
    for box in boxes:
        for piece in box.words or (box,):
            text = piece.text.replace(" ", "").strip(".,;|")
            number = parse_number(text) if re.search(r"\d", text) else None
            if number:  # a lone zero is the letter O
                numbers.append(_Reading(abs(number), bool(re.search(r"[°º˚]", text)), (piece.x, piece.y)))
            elif re.fullmatch(r"[A-Za-z]'?", text):
                letters.append((text, (piece.x, piece.y)))
        expressions += _linear(box)
    drawing = trace_drawing(ask.images[0], boxes)
    return _Figure(tuple(numbers), tuple(letters), tuple(expressions), drawing)


def _linear(box: TextBox) -> list[_Linear]:
    """Return the expressions in one unknown in the text, such as "(2x+15)°" or "20-5x"."""
    tight = re.sub(r"[\s°º˚]", "", box.text).replace("\u2212", "-").replace("\u2013", "-")
    found = []
    for part in re.findall(r"\(([^()]{1,20})\)", tight) or [tight.strip("()")]:
        match = _LINEAR.fullmatch(part)
        if match is None or (match[2] in ("m", "n", "l") and not match[3]):  # "18 m" is a length, "m" a line's name
            continue
        if match[2]:
            found.append(_Linear(_coefficient(match[1]), float(match[3] or 0)))
        else:
            found.append(_Linear(_coefficient(match[5]), float(match[4])))
    return found


def _coefficient(text: str) -> float:
    if text in ("", "+", "."):
        return 1.0
    return -1.0 if text == "-" else float(text)


def _solve(stem: str, figure: _Figure) -> _Solution | None:
    words = stem.casefold()
    if len(figure.expressions) > 1:
        solved = _equations(figure)
        if solved is not None:
            return solved
    if re.search(r"circumference|circle|radius|diameter|odot", words) and not re.search(
        r"angle|widehat|degrees", words
    ):
        return _circle(words, figure)
    if "area" in words:
        return _area(words, figure)
    if "perimeter" in words:
        return _perimeter(words, figure)
    angle = _NAMED_ANGLE.search(stem)
    if angle or "degree" in words or (figure.angles and not figure.lengths):
        return _angle(words, angle[1] if angle else "", figure)
    return _length(stem, figure)


def _angle(words: str, name: str, figure: _Figure) -> _Solution | None:
    """Solve for a third or fourth angle, one of an isosceles triangle, or one at a line, right angle or parallels."""
    given = [reading.value for reading in figure.angles] or [reading.value for reading in figure.lengths]
    corner = figure.place_of(name[len(name) // 2]) if name else None
    sides = 4 if re.search(r"quadrilateral|parallelogram|trapezoid|rhombus|kite", words) else _sides(figure, name)
    whole = 180.0 * (sides - 2)
    if corner is not None:
        measured = figure.drawing.angle_at(corner)
        right = 90.0 if _has_right_angle(figure, corner) else 0.0
        if len(given) >= sides - 1:
            missing = whole - sum(given[: sides - 1])
            return _Solution((missing,), f"The angles of the figure add up to {whole:.0f}°.", measured)
        if len(given) == 1:
            only = given[0]
            allowed = ((180 - only) / 2, 180 - 2 * only, only, 90 - only if right else 0.0, 180 - only)
            return _Solution(allowed, "Equal sides face equal angles, and the three angles add up to 180°.", measured)
        return None
    if not given:
        return None
    unknown = figure.place_of("x") or figure.place_of("X")
    measured = figure.drawing.angle_facing(unknown) if unknown else None
    total = sum(given)
    if "parallel" in words:
        return _Solution((given[0], 180 - given[0]), "At parallel lines angles are equal or add up to 180°.", measured)
    values = (180 - total, 90 - total, total, 360 - total)
    return _Solution(values, "The angles complete a straight line, a right angle or a full turn.", measured)


def _sides(figure: _Figure, name: str) -> int:
    """Count the polygon's corners by their letters, including those that only the question names."""
    capitals = {letter for letter, _ in figure.letters if letter.isupper()} | ({name} if len(name) == 1 else set())
    return min(8, max(3, len(capitals)))


def _has_right_angle(figure: _Figure, but: Point) -> bool:
    angles = [figure.drawing.angle_at(corner) for corner in figure.drawing.corners if math.dist(corner, but) > 40]
    return any(angle is not None and abs(angle - 90) < 3 for angle in angles)


def _length(stem: str, figure: _Figure) -> _Solution | None:
    """Return the third side of a right triangle."""
    given = sorted(reading.value for reading in figure.lengths)
    if len(given) != 2:
        return None
    short, long = given
    values = (math.hypot(short, long), math.sqrt(long**2 - short**2))
    scale = _scale(figure)
    pixels = _asked_pixels(stem, figure)
    measured = pixels * scale if pixels is not None and scale is not None else None
    return _Solution(values, "By the theorem of Pythagoras in the right triangle.", measured)


def _asked_pixels(stem: str, figure: _Figure) -> float | None:
    named = _NAMED_SIDE.search(stem)
    if named:
        ends = [figure.place_of(letter) for letter in named[1].upper()]
        corners = [figure.drawing.corner_at(end) for end in ends if end is not None]
        if len(corners) == 2 and corners[0] is not None and corners[1] is not None and corners[0] != corners[1]:
            return math.dist(corners[0], corners[1])
        return None
    unknown = figure.place_of("x") or figure.place_of("y")
    return figure.drawing.length_beside(unknown) if unknown else None


def _scale(figure: _Figure) -> float | None:
    """Return units per pixel, from the longest printed length and the stroke beside it."""
    longest = max(figure.lengths, key=lambda reading: reading.value, default=None)
    pixels = figure.drawing.length_beside(longest.place) if longest else None
    return longest.value / pixels if longest and pixels else None


def _area(words: str, figure: _Figure) -> _Solution | None:
    given = [reading.value for reading in figure.lengths]
    corners = len(figure.drawing.corners)
    if "triangle" in words or ("rectangle" not in words and "square" not in words and corners == 3):
        pairs = [(a, b) for at, a in enumerate(given) for b in given[at + 1 :]]
        products = tuple(0.5 * a * b for a, b in pairs)
        return _Solution(products, "The area of a triangle is half of base times height.") if products else None
    if len(given) == 1:
        return _Solution((given[0] ** 2,), "The area of a square is its side squared.")
    if len(given) < 2:
        return None
    product = given[0] * given[1]
    if re.search(r"rectangle|square|parallelogram", words):
        return _Solution((product,), "The area is length times width.")
    return _Solution((product, 0.5 * product), "The area is length times width.")


def _perimeter(words: str, figure: _Figure) -> _Solution | None:
    given = [reading.value for reading in figure.lengths]
    if len(given) == 1:
        sides = 3 if "triangle" in words else 4
        return _Solution((sides * given[0],), f"All {sides} sides are equal.")
    if len(given) == 2 and "triangle" not in words:
        return _Solution((2 * sum(given),), "The perimeter is twice the sum of length and width.")
    return _Solution((sum(given),), "The perimeter is the sum of the sides.") if given else None


def _circle(words: str, figure: _Figure) -> _Solution | None:
    """Solve for circumference, area, radius or diameter; the drawing shows whether radius or diameter is given."""
    if not figure.lengths:
        return None
    given = figure.lengths[0]
    radius = given.value
    pixels = figure.drawing.length_beside(given.place)
    whole = figure.drawing.circle
    if (pixels is not None and whole is not None and pixels > 0.75 * whole) or re.search(
        r"diameter (?:of|is) \d", words
    ):
        radius = given.value / 2
    if "circumference" in words:
        return _Solution((math.tau * radius,), f"The radius is {radius:g} and the circumference 2πr.")
    if "area" in words:
        return _Solution((math.pi * radius**2,), f"The radius is {radius:g} and the area πr².")
    asked = 2 * radius if "diameter" in words else radius
    return _Solution((asked,), f"The radius of the circle is {radius:g}.")


def _equations(figure: _Figure) -> _Solution | None:
    """Return the unknown for which the expressions are equal, or add up to 180°, 90° or the polygon's whole."""
    known = [_Linear(0.0, reading.value) for reading in figure.numbers]
    terms = [*figure.expressions, *known]
    slope, constant = sum(term.slope for term in terms), sum(term.constant for term in terms)
    values: list[float] = []
    for at, one in enumerate(figure.expressions):
        for other in terms[at + 1 :]:
            if one.slope != other.slope:
                values.append((other.constant - one.constant) / (one.slope - other.slope))
    for whole in (180.0, 360.0, 540.0, 90.0):
        if slope:
            values.append((whole - constant) / slope)
    return _Solution(tuple(values), "I solved the equation between the printed expressions.") if values else None
