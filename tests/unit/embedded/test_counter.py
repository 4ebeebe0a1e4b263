"""The counter on scenes made here, and on anything at all."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from maestro_eval.embedded.ask import Ask
from maestro_eval.embedded.counter import answer

_COLOURS = {
    "red": (214, 39, 40), "blue": (30, 80, 210), "green": (44, 160, 44), "yellow": (240, 210, 30),
    "orange": (250, 140, 20), "purple": (130, 60, 170), "black": (15, 15, 15), "grey": (128, 128, 128),
}  # fmt: skip
_RADII = {
    "triangle": [1.0] * 3, "square": [1.0] * 4, "pentagon": [1.0] * 5, "hexagon": [1.0] * 6, "circle": [1.0] * 60,
    "star": [1.0, 0.42] * 5,
}  # fmt: skip
_SIDES = "\n(A) on the right side\n(B) on the left side"
_ASKED = (
    "How many red triangles are there?",
    "How many large circles are left of the blue square?",
    f"On which side of the green star is the red circle?{_SIDES}",
    "What is the color of the star?",
    "How many shapes are not red?",
)


def _scene(
    *things: tuple[str, str, int, int, float], size: tuple[int, int] = (300, 400), paper: int = 250, noise: float = 0
) -> np.ndarray:
    """Things as (colour, shape, x, y, radius), each turned a little, drawn smooth."""
    image = np.full((*size, 3), paper, np.uint8)
    for at, (colour, shape, x, y, radius) in enumerate(things):
        radii = np.array(_RADII[shape])
        turns = np.arange(len(radii)) * 2 * math.pi / len(radii) + 0.3 * at
        points = np.stack([x + radius * radii * np.cos(turns), y + radius * radii * np.sin(turns)], axis=1)
        cv2.fillPoly(image, [np.rint(points * 16).astype(np.int32)], _COLOURS[colour], cv2.LINE_AA, 4)
    specks = np.random.default_rng(0).normal(0, noise, image.shape) if noise else 0
    return np.clip(image + specks, 0, 255).astype(np.uint8)


def _last(question: str, image: np.ndarray) -> str:
    reply = answer(Ask(question, (image,)))
    return reply.rpartition("Answer: ")[2] if "Answer: " in reply else "refused"


_MIXED = (
    ("red", "triangle", 50, 60, 20), ("red", "triangle", 120, 60, 12), ("red", "circle", 230, 60, 20),
    ("blue", "triangle", 280, 60, 20), ("blue", "square", 200, 200, 24), ("green", "star", 50, 200, 22),
    ("blue", "circle", 330, 230, 12), ("yellow", "circle", 100, 250, 12),
)  # fmt: skip


@pytest.mark.parametrize(
    ("question", "count"),
    [
        ("How many red triangles are there?", 2),
        ("How many triangles can you see in the picture?", 3),
        ("Count the blue shapes.", 3),
        ("How many objects are red?", 3),
        ("What is the number of circles that are not red?", 2),
        ("How many purple stars are there?", 0),
        ("Count the red triangles and red circles together.", 3),
        ("How many small circles are there?", 2),
        ("How many circles are to the left of the blue square?", 1),
        ("How many triangles are above the green star?", 3),
        ("How many circles are smaller than the blue square?", 3),
        ("How many triangles are in the left half of the picture?", 2),
    ],
)
def test_counts_what_the_words_describe(question: str, count: int) -> None:
    assert _last(question, _scene(*_MIXED)) == str(count)


@pytest.mark.parametrize("shape", sorted(_RADII))
@pytest.mark.parametrize("radius", [9, 30])
@pytest.mark.parametrize("noise", [0.0, 6.0])
def test_shapes_are_known_at_any_size_in_noise(shape: str, radius: float, noise: float) -> None:
    things = [("blue", shape, 60 + 90 * at, 80, radius) for at in range(4)]
    assert _last(f"How many {shape}s are there?", _scene(*things, noise=noise)) == "4"


@pytest.mark.parametrize("colour", sorted(_COLOURS))
def test_names_colours(colour: str) -> None:
    image = _scene((colour, "star", 200, 150, 15), ("red", "circle", 80, 80, 20))
    assert _last("What is the color of the star?", image) == colour


def test_picks_the_option_nearest_in_colour() -> None:
    question = "What colour is the star?\n(A) teal\n(B) violet\n(C) gray\n(D) yellow"
    assert _last(question, _scene(("purple", "star", 200, 150, 15))) == "B"


def test_things_that_touch_in_two_colours_are_two() -> None:
    image = _scene(("red", "circle", 100, 100, 30), ("blue", "circle", 157, 100, 30))
    assert _last("How many circles are there?", image) == "2"


@pytest.mark.parametrize(
    ("question", "letter"),
    [
        (f"Is the green star on the left or right side of the blue square?{_SIDES}", "B"),
        (f"On which side of the green star is the blue square?{_SIDES}", "A"),
        ("Is the green star above or below the red circle?\n(A) above\n(B) below", "B"),
        ("Does the red circle lie above or below the green star?\nA. It is above it\nB. It is below it", "A"),
    ],
)
def test_says_where_one_thing_lies_from_another(question: str, letter: str) -> None:
    assert _last(question, _scene(*_MIXED)) == letter


def test_jpeg_does_not_change_the_count() -> None:
    _, coded = cv2.imencode(".jpg", _scene(*_MIXED), [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert _last("How many red triangles are there?", cv2.imdecode(coded, cv2.IMREAD_COLOR)) == "2"


@pytest.mark.parametrize(
    "question",
    [
        "How many bars are blue?",
        "What is the total on the receipt?",
        "What colour is the smallest slice?",
        "Which character is in the red oval?",
        "Find the area of the triangle.",
        "",
    ],
)
def test_refuses_other_questions_by_their_words(question: str) -> None:
    assert answer(Ask(question, ())).startswith("I cannot tell: this is no question about")


def test_counts_outlines_of_one_plain_shape_only() -> None:
    image = np.full((300, 400, 3), 255, np.uint8)
    for at in range(5):
        cv2.circle(image, (80 + 50 * at, 120 + 30 * (at % 2)), 40, (0, 0, 0), 2, cv2.LINE_AA)
    assert _last("How many circles are in the image?", image) == "5"
    assert _last("How many red circles are in the image?", image) == "refused"
    assert _last("What is the color of the circle?", image) == "refused"


def test_refuses_when_the_named_thing_is_not_there() -> None:
    image = _scene(("red", "circle", 80, 80, 20))
    assert _last("What is the color of the star?", image) == "refused"
    assert _last(f"On which side of the blue star is the red circle?{_SIDES}", image) == "refused"


@pytest.mark.parametrize("question", _ASKED)
@pytest.mark.parametrize("shade", [0, 128, 255])
def test_refuses_empty_pictures(question: str, shade: int) -> None:
    for size in ((1, 1), (1, 300), (64, 64)):
        assert _last(question, np.full((*size, 3), shade, np.uint8)) == "refused"


@settings(max_examples=60)
@given(
    question=st.sampled_from(_ASKED) | st.text(max_size=80),
    image=arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=60).map(lambda shape: (*shape, 3))),
)
def test_never_raises(question: str, image: np.ndarray) -> None:
    reply = answer(Ask(question, (image,)))
    assert reply.startswith("I cannot tell: ") or "\nAnswer: " in reply
