"""Generates the substitute for TallyQA: how many things of a kind are in a scene of coloured shapes.

Simple questions name a kind (colour, shape or both); complex ones add a relation, a size, a negation or a
second kind. The answers are balanced, 0–15 for simple and 0–9 for complex questions, and the scene is built to
fit; then it is counted again in the finished scene, which also contains near misses.
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


@dataclass(frozen=True, slots=True)
class CountingRow:
    image: Picture
    question: str
    answer: int
    issimple: bool
    image_id: int
    question_id: int


@dataclass(frozen=True, slots=True)
class Scene:
    """The things in the picture, the words for those to count, and the test for them."""

    width: int
    height: int
    things: tuple[Thing, ...]
    wanted: str
    counts: Callable[[Thing], bool]
    look: Look

    @property
    def answer(self) -> int:
        return sum(map(self.counts, self.things))


def make(stage: Stage) -> CountingRow:
    rng = stage.rng()
    simple = stage.deal("simple", (True, False))
    scene = compose(stage, rng, simple)
    grain = float(pick(rng, (0, 0, 3, 7)))
    image = with_noise(draw(rng, scene.things, scene.width, scene.height, scene.look), rng, grain)
    phrase = pick(
        rng,
        (
            "How many {} are there?",
            "How many {} can you see in the picture?",
            "Count the {}.",
            "What is the number of {} in the image?",
        ),
    )
    # Grain makes a PNG ten times as large, and slow to write.
    jpeg = scene.look.jpeg or pick(rng, (0, 0, 85, 92)) or (94 if grain else 0)
    picture = stage.picture(image, jpeg=jpeg)
    return CountingRow(picture, phrase.format(scene.wanted), scene.answer, simple, stage.index, stage.index)


def compose(stage: Stage, rng: Generator, simple: bool) -> Scene:
    """Return a scene with the answer that balances the samples."""
    kind = "simple" if simple else "complex"
    half = Stage(stage.seed, f"{stage.task}/{kind}", stage.index // 2)
    target = half.deal("answer", range(16) if simple else range(10))
    form = half.deal("form", ("both", "shape", "colour") if simple else ("left", "large", "not", "two"))
    style = look(stage)
    while True:
        scene = _FORMS[form](rng, target, style)
        if scene is not None and scene.answer == target:
            return scene


def _plain(rng: Generator, target: int, style: Look, form: str) -> Scene | None:
    shape, colour = pick(rng, SHAPES), pick(rng, tuple(COLOURS))

    def counts(thing: Thing) -> bool:
        return (form == "colour" or thing.shape == shape) and (form == "shape" or thing.colour == colour)

    wanted = {"both": f"{colour} {_many(shape)}", "shape": _many(shape), "colour": f"{colour} shapes"}[form]
    shapes, colours = (shape, *_others(rng, SHAPES, shape)), (colour, *_others(rng, tuple(COLOURS), colour))
    return _scene(rng, target, style, shapes, colours, wanted, counts)


def _not(rng: Generator, target: int, style: Look) -> Scene | None:
    shape, colour = pick(rng, SHAPES), pick(rng, tuple(COLOURS))
    shapes, colours = (shape, *_others(rng, SHAPES, shape)), (colour, *_others(rng, tuple(COLOURS), colour))
    wanted = f"{_many(shape)} that are not {colour}"
    return _scene(
        rng, target, style, shapes, colours, wanted, lambda thing: thing.shape == shape and thing.colour != colour
    )


def _two(rng: Generator, target: int, style: Look) -> Scene | None:
    (one, other), colour = some(rng, SHAPES, 2), pick(rng, tuple(COLOURS))
    shapes = (one, other, *_others(rng, SHAPES, one, other))
    colours = (colour, *_others(rng, tuple(COLOURS), colour))
    wanted = f"{colour} {_many(one)} and {colour} {_many(other)} together"
    return _scene(
        rng,
        target,
        style,
        shapes,
        colours,
        wanted,
        lambda thing: thing.shape in (one, other) and thing.colour == colour,
    )


def _large(rng: Generator, target: int, style: Look) -> Scene | None:
    shape, large = pick(rng, SHAPES), pick(rng, (True, False))
    shapes = (shape, *_others(rng, SHAPES, shape))
    sizes = (34.0, 14.0)
    wanted = f"{'large' if large else 'small'} {_many(shape)}"
    return _scene(
        rng,
        target,
        style,
        shapes,
        tuple(some(rng, tuple(COLOURS), 4)),
        wanted,
        lambda thing: thing.shape == shape and (thing.size > 24) == large,
        sizes,
    )


def _left(rng: Generator, target: int, style: Look) -> Scene | None:
    shape, anchor_shape = some(rng, SHAPES, 2)
    colour, anchor_colour = some(rng, tuple(COLOURS), 2)
    side = pick(rng, ("left", "right"))
    width, height = _size(rng)
    share = 0.7 if side == "left" else 0.3
    spot = Thing(anchor_shape, anchor_colour, width * share, height * float(rng.uniform(0.3, 0.7)), 26.0, 0.0)
    shapes, colours = (
        (shape, *_others(rng, SHAPES, shape, anchor_shape)),
        (colour, *_others(rng, tuple(COLOURS), colour)),
    )

    def counts(thing: Thing) -> bool:
        return thing.name == f"{colour} {shape}" and (thing.x < spot.x) == (side == "left")

    wanted = f"{colour} {_many(shape)} to the {side} of the {spot.name}"
    kinds = _kinds(rng, min(target + 3, 12), shapes, colours, (22.0, 18.0, 15.0), at_least=target)
    # Things are far enough from the anchor's middle that left and right are obvious.
    things = [thing for thing in place(rng, kinds, width, height, [spot], style) if abs(thing.x - spot.x) > 45]
    return Scene(width, height, (spot, *things), wanted, counts, style)


def _scene(
    rng: Generator,
    target: int,
    style: Look,
    shapes: tuple[str, ...],
    colours: tuple[str, ...],
    wanted: str,
    counts: Callable[[Thing], bool],
    sizes: tuple[float, ...] = (),
) -> Scene | None:
    """Return a scene in which exactly ``target`` things count, among others that do not."""
    width, height = _size(rng)
    sizes = (
        sizes
        or ((12.0, 15.0) if style.small else ())
        or pick(rng, ((24.0,), (16.0,), (30.0, 22.0), (28.0, 20.0, 14.0), (12.0, 18.0)))
    )
    chosen: list[Kind] = []
    others = int(rng.integers(2, 16))
    for kind in _kinds(rng, 500, shapes, colours, sizes):
        if counts(Thing(kind.shape, kind.colour, 0, 0, kind.size, 0)):
            if target > 0:
                target -= 1
                chosen.append(kind)
        elif others > 0:
            others -= 1
            chosen.append(kind)
    things = place(rng, chosen, width, height, style=style)
    return Scene(width, height, tuple(things), wanted, counts, style) if len(things) == len(chosen) else None


def _kinds(
    rng: Generator,
    count: int,
    shapes: tuple[str, ...],
    colours: tuple[str, ...],
    sizes: tuple[float, ...],
    at_least: int = 0,
) -> list[Kind]:
    """Return random kinds; the first ``at_least`` are of the first shape and colour."""
    kinds = []
    for number in range(count + at_least):
        asked = number < at_least
        # Half of all have the requested shape, half the colour, so near misses are common.
        shape = shapes[0] if asked or rng.random() < 0.4 else pick(rng, shapes)
        colour = colours[0] if asked or rng.random() < 0.4 else pick(rng, colours)
        kinds.append(Kind(shape, colour, pick(rng, sizes)))
    return kinds


def _others(rng: Generator, options: tuple[str, ...], *known: str) -> list[str]:
    return some(rng, [option for option in options if option not in known], 3)


def _size(rng: Generator) -> tuple[int, int]:
    return pick(rng, ((480, 480), (560, 420), (640, 480), (520, 600)))


def _many(shape: str) -> str:
    return "crosses" if shape == "cross" else f"{shape}s"


_FORMS: dict[str, Callable[[Generator, int, Look], Scene | None]] = {
    "both": lambda rng, target, style: _plain(rng, target, style, "both"),
    "shape": lambda rng, target, style: _plain(rng, target, style, "shape"),
    "colour": lambda rng, target, style: _plain(rng, target, style, "colour"),
    "left": _left,
    "large": _large,
    "not": _not,
    "two": _two,
}
