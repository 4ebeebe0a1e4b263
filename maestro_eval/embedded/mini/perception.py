"""Generates the substitute for V*: find one small thing in a large, crowded picture, and name its colour or position.

Direct attributes: the colour of the only star, or of the only large cross. Relative position: on which side
of a second thing it is. The letter of the right option is balanced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maestro_eval.embedded.mini.canvas import with_noise
from maestro_eval.embedded.mini.shapes import COLOURS, SHAPES, Kind, Look, Thing, draw, look, place
from maestro_eval.embedded.mini.stage import Picture, Stage, pick, some

if TYPE_CHECKING:
    from numpy.random import Generator

_SIDES = {
    "left or right": ("on the left side", "on the right side"),
    "above or below": ("above", "below"),
}


@dataclass(frozen=True, slots=True)
class PerceptionRow:
    image: Picture
    text: str
    category: str
    label: str
    question_id: str


@dataclass(frozen=True, slots=True)
class Search:
    """The crowd, the question, its options and the number of the right one."""

    things: tuple[Thing, ...]
    question: str
    options: tuple[str, ...]
    right: int
    look: Look


def make(stage: Stage) -> PerceptionRow:
    rng = stage.rng()
    category = stage.deal("category", ("direct_attributes", "relative_position"))
    half = Stage(stage.seed, f"{stage.task}/{category}", stage.index // 2)
    width, height = pick(rng, ((1200, 900), (1280, 720), (1000, 1000), (900, 1200)))
    search = (attribute if category == "direct_attributes" else position)(half, rng, width, height)
    options = "\n".join(f"({letter}) {option}" for letter, option in zip("ABCD", search.options, strict=False))
    grain = float(pick(rng, (0, 0, 4)))
    image = with_noise(draw(rng, search.things, width, height, search.look), rng, grain)
    return PerceptionRow(
        # Grain makes a PNG ten times as large, and slow to write.
        stage.picture(image, jpeg=search.look.jpeg or pick(rng, (0, 88, 93)) or (93 if grain else 0)),
        f"{search.question}\n{options}\nAnswer with the letter of the right option.",
        category,
        "ABCD"[search.right],
        f"{category}_{stage.index}",
    )


def attribute(stage: Stage, rng: Generator, width: int, height: int) -> Search:
    """Ask for the colour of the only thing of its shape."""
    right = stage.deal("label", range(4))
    shape, colour = pick(rng, SHAPES), pick(rng, tuple(COLOURS))
    size = float(pick(rng, (13, 15, 18, 24)))
    style = look(stage)
    (target,) = place(rng, [Kind(shape, colour, size)], width, height, style=style)
    crowd = _crowd(rng, width, height, [target], style, lambda kind: kind.shape != shape)
    options = some(rng, [other for other in COLOURS if other != colour], 3)
    options.insert(right, colour)
    question = pick(
        rng,
        (f"What colour is the {shape}?", f"What is the color of the {shape}?", f"Which colour does the {shape} have?"),
    )
    return Search((target, *crowd), question, tuple(options), right, style)


def position(stage: Stage, rng: Generator, width: int, height: int) -> Search:
    """Ask on which side of another thing a thing is; each is the only one of its name."""
    right = stage.deal("label", range(2))
    axis = pick(rng, tuple(_SIDES))
    names = [(shape, colour) for shape in SHAPES for colour in COLOURS]
    (shape, colour), (other_shape, other_colour) = some(rng, names, 2)
    kinds = [
        Kind(shape, colour, float(pick(rng, (12, 16, 22)))),
        Kind(other_shape, other_colour, float(pick(rng, (12, 16, 22)))),
    ]
    style = look(stage)
    while True:
        things = place(rng, kinds, width, height, style=style)
        target = next(thing for thing in things if thing.name == f"{colour} {shape}")
        mark = next(thing for thing in things if thing.name == f"{other_colour} {other_shape}")
        away = (target.x - mark.x) / width if axis == "left or right" else (target.y - mark.y) / height
        if abs(away) > 0.08:
            break
    first = 0 if away < 0 else 1
    options = _SIDES[axis] if first == right else _SIDES[axis][::-1]
    question = pick(
        rng,
        (
            f"Is the {target.name} on the left or right side of the {mark.name}?",
            f"On which side of the {mark.name} is the {target.name}?",
        )
        if axis == "left or right"
        else (
            f"Is the {target.name} above or below the {mark.name}?",
            f"Does the {target.name} lie above or below the {mark.name}?",
        ),
    )
    ends = tuple(
        f"The {target.name} is {option} {'of ' if 'side' in option else ''}the {mark.name}" for option in options
    )
    crowd = _crowd(
        rng, width, height, things, style, lambda kind: f"{kind.colour} {kind.shape}" not in (target.name, mark.name)
    )
    return Search((*things, *crowd), question, ends if pick(rng, (True, False)) else options, right, style)


def _crowd(
    rng: Generator, width: int, height: int, taken: list[Thing], style: Look, allowed: Callable[[Kind], bool]
) -> list[Thing]:
    """Return forty to a hundred other things; some are similar to the one in question, none is the same."""
    kinds = [
        Kind(pick(rng, SHAPES), pick(rng, tuple(COLOURS)), float(rng.uniform(12, 34)))
        for _thing in range(int(rng.integers(40, 100)))
    ]
    return place(rng, [kind for kind in kinds if allowed(kind)], width, height, taken, style)
