"""Draws the seven tasks of VLMsAreBlind with the parameters of their authors, and asks them in our own words.

The tasks alternate; within one, the answers are balanced. ``metadata`` describes the drawing as JSON, for people and
tests; no expert sees it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from maestro_eval.embedded.mini import subway
from maestro_eval.embedded.mini.canvas import Canvas, Point, font
from maestro_eval.embedded.mini.stage import Picture, Stage, pick, some
from maestro_eval.embedded.mini.words import SHORT_WORDS

if TYPE_CHECKING:
    from numpy.random import Generator

WORDS = ("Acknowledgement", "Subdermatoglyphic", "tHyUiKaRbNqWeOpXcZvM")
_FACES = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "STIXGeneral")
_PALETTE = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf")
_NUMBER = (
    "Give only the number, in curly brackets, e.g. {4}.",
    "Write the number in curly brackets, like {2}.",
    "Answer with a number in curly brackets, for example {7}.",
)


@dataclass(frozen=True, slots=True)
class BlindRow:
    image: Picture
    task: str
    prompt: str
    groundtruth: str
    metadata: str


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The drawing of a task: the canvas, the task's name, the question, the answer, and the drawing's parameters."""

    canvas: Canvas
    task: str
    prompt: str
    answer: str
    about: dict[str, object]


def make(stage: Stage) -> BlindRow:
    """Make a sample; sample ``index`` is of task ``index % 7``."""
    drawer = TASKS[stage.index % len(TASKS)]
    # A task balances its answers over its own samples, not over those of all seven tasks.
    own = replace(stage, task=f"{stage.task}/{drawer.__name__}", index=stage.index // len(TASKS))
    drawn = drawer(own, own.rng())
    about = json.dumps(drawn.about, sort_keys=True)
    return BlindRow(stage.picture(drawn.canvas.image()), drawn.task, drawn.prompt, drawn.answer, about)


def lines(stage: Stage, rng: Generator) -> _Drawn:
    """Draw two polylines of two pieces over three common x, with y on 12 levels, that cross 0, 1 or 2 times."""
    crossings = stage.deal("crossings", (0, 1, 2))
    while True:
        blue, red = ([int(level) for level in rng.integers(0, 12, 3)] for _line in range(2))
        above = [b - r for b, r in zip(blue, red, strict=True)]
        # The levels differ at every common x, so the lines cross or stay apart, and never just touch.
        if 0 not in above and sum(a * b < 0 for a, b in pairwise(above)) == crossings:
            break
    side, points = pick(rng, (384, 768, 1152)), pick(rng, (2, 4))
    canvas = Canvas(side, side)
    for levels, colour in ((blue, "#0000ff"), (red, "#ff0000")):
        trace = [(x * side / 2, side * (0.94 - 0.08 * level)) for x, level in enumerate(levels)]
        # The authors' width is in points of a figure five inches wide.
        canvas.line(trace, colour, points * side / 360)
    question = pick(
        rng,
        (
            "In how many places do the red line and the blue line cross?",
            "How often does the blue line intersect the red line?",
            "Count the points where the red and blue lines intersect.",
        ),
    )
    about: dict[str, object] = {"blue": blue, "red": red, "width": points, "pixels": side}
    return _Drawn(canvas, "Line Plot Intersections", f"{question} {pick(rng, _NUMBER)}", str(crossings), about)


def circles(stage: Stage, rng: Generator) -> _Drawn:
    """Draw two equal discs, the gap from -0.15 to 0.50 of the diameter in steps of 0.05, in four directions."""
    word = stage.deal("question", ("touch", "overlap"))
    yes = replace(stage, index=stage.index // 2).deal(word, (True, False))
    most = 0 if word == "touch" else -1
    steps = int(rng.integers(-3, most + 1)) if yes else int(rng.integers(most + 1, 11))
    side, part = pick(rng, (384, 769, 1155)), pick(rng, (4, 5, 6, 7))
    direction = pick(rng, ("horizontal", "vertical", "diagonal_1", "diagonal_2"))
    angle = math.radians({"horizontal": 0, "vertical": 90, "diagonal_1": 45, "diagonal_2": 135}[direction])
    diameter = side / part
    reach = diameter * (1 + 0.05 * steps) / 2
    canvas = Canvas(side, side)
    for sign, colour in zip((-1, 1), some(rng, ("#0077ff", "#ee00ff"), 2), strict=True):
        centre = (side / 2 + sign * reach * math.cos(angle), side / 2 + sign * reach * math.sin(angle))
        canvas.ellipse(centre, diameter / 2, diameter / 2, fill=colour)
    question = pick(
        rng,
        ("Do the two circles touch each other?", "Are the two circles in touch with each other?")
        if word == "touch"
        else ("Do the two circles overlap?", "Is there an overlap between the two circles?"),
    )
    about: dict[str, object] = {
        "question": word,
        "gap": round(0.05 * steps, 2),
        "diameter": 1 / part,
        "direction": direction,
        "pixels": side,
    }
    prompt = f"{question} {pick(rng, ('Answer Yes or No.', 'Reply with Yes or No only.'))}"
    return _Drawn(canvas, "Touching Circles", prompt, "Yes" if yes else "No", about)


def letter(stage: Stage, rng: Generator) -> _Drawn:
    """Draw a word with a red ellipse, 1.4 times the glyph, around one of its letters."""
    word = stage.deal("word", WORDS)
    place = replace(stage, index=stage.index // len(WORDS)).deal(word, range(len(word)))
    side, name = 512, pick(rng, _FACES)
    padding, line = int(rng.integers(25, 201)), int(rng.integers(4, 7))
    # The authors pad a word some thousand pixels long, then shrink the square around it.
    shrunk = side / (1000 + 2 * padding)
    size = 10
    while font(name, size + 1).getlength(word) <= 1000 * shrunk:
        size += 1
    face = font(name, size)
    start = (side - face.getlength(word)) / 2
    x0 = start + face.getlength(word[:place])
    left, top, right, bottom = face.getbbox(word[place], anchor="ls")
    base = side / 2 + int(rng.integers(-150, 151))
    middle = (x0 + (left + right) / 2, base + (top + bottom) / 2)
    rx = max(1.4 * (right - left) / 2, 0.28 * size)
    ry = max(1.4 * (bottom - top) / 2, 0.28 * size)
    canvas = Canvas(side, side)
    canvas.text((start, base), word, name, size, anchor="ls")
    # Half the line width is added to the radii, so that the line is outside the letter.
    width = max(2.0, line * shrunk * 1.4)
    canvas.overlay_ellipse(middle, rx + width / 2, ry + width / 2, "#ff0000", width)
    question = pick(
        rng,
        (
            "Which letter has the red oval around it?",
            "Which character of the word is circled in red?",
            "A red ellipse marks one letter. Which one?",
        ),
    )
    hint = pick(rng, ("Answer with that letter only.", "Write the letter in curly brackets, e.g. {k}."))
    about: dict[str, object] = {"word": word, "place": place, "padding": padding, "width": line, "font": name}
    return _Drawn(canvas, "Circled Letter", f"{question} {hint}", word[place], about)


def rings(stage: Stage, rng: Generator) -> _Drawn:
    """Draw five to nine circles or pentagons in two interlocked rows."""
    shape = stage.deal("shape", ("circles", "pentagons"))
    count = replace(stage, index=stage.index // 2).deal(shape, (5, 6, 7, 8, 9))
    side = pick(rng, (384, 769, 1155))
    width = pick(rng, (0.5, 1.0)) * side / 360
    radius = side * pick(rng, (0.05, 1 / 16, 1 / 14) if count > 7 else (0.05, 1 / 14, 1 / 12, 1 / 11))
    upper = (count + 1) // 2
    spacing = radius * (2.2 if shape == "circles" else 2.1)
    # The lower row is in the gaps of a longer upper one; equal rows are shifted by half a place.
    wide = spacing * (upper - 1 + (0.5 if count % 2 == 0 else 0))
    x0, y0 = side / 2 - wide / 2, side / 2 - radius / 2
    if pick(rng, (False, True)) and count % 2 == 0:
        y_upper, y_lower = y0 + radius, y0
    else:
        y_upper, y_lower = y0, y0 + radius
    coloured = pick(rng, (False, True))
    canvas = Canvas(side, side)
    for number in range(count):
        row, place = (0, number) if number < upper else (1, number - upper)
        centre = (x0 + spacing * (place + 0.5 * row), y_lower if row else y_upper)
        edge = pick(rng, _PALETTE[:6]) if coloured else "#000000"
        if shape == "circles":
            canvas.ellipse(centre, radius, radius, edge=edge, width=width)
        else:
            canvas.polygon(_pentagon(centre, radius), edge=edge, width=width)
    question = pick(rng, (f"How many {shape} does the image show?", f"Count all {shape} in the picture."))
    about: dict[str, object] = {"shape": shape, "count": count, "pixels": side, "coloured": coloured}
    return _Drawn(canvas, f"Olympic Counting - {shape.title()}", f"{question} {pick(rng, _NUMBER)}", str(count), about)


def squares(stage: Stage, rng: Generator) -> _Drawn:
    """Draw two to five squares, one within the other, each 0.75 times the last less 0.75."""
    depth = stage.deal("depth", (2, 3, 4, 5))
    unit, clear = 1000 / 40, 0.35
    size = float(rng.uniform(10 if depth < 5 else 12, 20))
    x, y = (float(rng.uniform(2, 38 - size)) for _axis in range(2))
    width = pick(rng, (2, 3, 4)) * 1.5
    canvas, drawn = Canvas(1000, 1000), []
    for _level in range(depth):
        drawn.append((round(x, 4), round(y, 4), round(size, 4)))
        corners = [(x, y), (x + size, y), (x + size, y + size), (x, y + size)]
        canvas.polygon([(a * unit, b * unit) for a, b in corners], edge="#000000", width=width)
        inner = 0.75 * size - 0.75
        x, y = (float(rng.uniform(low + clear, low + size - inner - clear)) for low in (x, y))
        size = inner
    question = pick(rng, ("How many squares are drawn here?", "Count the nested squares in the picture."))
    about: dict[str, object] = {"squares": drawn, "width": width}
    return _Drawn(canvas, "Nested Squares", f"{question} {pick(rng, _NUMBER)}", str(depth), about)


def grid(stage: Stage, rng: Generator) -> _Drawn:
    """Draw a table of 3 to 10 rows and columns that differ by one at most, empty or with a word in each cell."""
    kind = stage.deal("kind", ("Blank", "Word"))
    sizes = [(r, c) for r in range(3, 11) for c in range(3, 11) if abs(r - c) <= 1]
    rows, columns = replace(stage, index=stage.index // 2).deal(kind, sizes)
    side = pick(rng, (500, 1250, 2000))
    width = pick(rng, (5, 10)) * side / 1000
    canvas = Canvas(side, side)
    inset = width / 2
    reach = side - width
    for row in range(rows + 1):
        y = inset + reach * row / rows
        canvas.line([(0, y), (side, y)], "#000000", width)
    for column in range(columns + 1):
        x = inset + reach * column / columns
        canvas.line([(x, 0), (x, side)], "#000000", width)
    if kind == "Word":
        size = max(9, int(side / columns / 5.5))
        for cell in range(rows * columns):
            row, column = divmod(cell, columns)
            middle = (inset + reach * (column + 0.5) / columns, inset + reach * (row + 0.5) / rows)
            canvas.text(middle, pick(rng, SHORT_WORDS), "DejaVuSans", size)
    question = pick(
        rng, ("How many rows and how many columns has the table?", "Count the rows and columns of this grid.")
    )
    hint = pick(
        rng,
        (
            "Answer as (rows, columns), for example (4, 6).",
            "Write rows={number} columns={number}, e.g. rows={4} columns={6}.",
        ),
    )
    about: dict[str, object] = {"rows": rows, "columns": columns, "pixels": side, "width": width}
    return _Drawn(canvas, f"Counting Grid - {kind} Grids", f"{question} {hint}", f"{rows},{columns}", about)


def stations(stage: Stage, rng: Generator) -> _Drawn:
    """Draw a subway map; the question is how many routes of one colour join two of its stations."""
    wanted = stage.deal("routes", (0, 1, 2, 3))
    one, other = some(rng, subway.STATIONS, 2)
    plan = subway.lay_out(rng, _PALETTE[:6], (one, other), wanted)
    side, width = pick(rng, (512, 1024)), pick(rng, (10, 20)) / 1024
    canvas = Canvas(side, side)
    margin = side * 0.11
    step = (side - 2 * margin) / (subway.SIDE - 1)

    def at(node: subway.Node) -> Point:
        return (margin + step * node[0], margin + step * node[1])

    for route in plan.routes:
        canvas.line([at(node) for node in route.nodes], route.colour, width * side * 0.8, cap="projecting")
    edge, middle = margin / 2, side / 2
    for name, place in zip(
        subway.STATIONS, ((middle, edge), (side - edge, middle), (middle, side - edge), (edge, middle)), strict=True
    ):
        canvas.text(place, name, "DejaVuSans-Bold", int(side * 0.06))
    question = pick(
        rng,
        (
            f"How many routes of a single colour lead from {one} to {other}?",
            f"How many one-coloured lines connect station {one} with station {other}?",
            f"Count the paths of one colour between {one} and {other}.",
        ),
    )
    about: dict[str, object] = {"stations": [one, other], **asdict(plan)}
    return _Drawn(canvas, "Subway Connections", f"{question} {pick(rng, _NUMBER)}", str(wanted), about)


def _pentagon(centre: Point, radius: float) -> list[Point]:
    corners = (math.radians(72 * corner - 90) for corner in range(5))
    return [(centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)) for angle in corners]


TASKS: tuple[Callable[[Stage, Generator], _Drawn], ...] = (lines, circles, letter, rings, squares, grid, stations)
