"""The diagram inspector on drawings made here, and on anything at all."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from maestro_eval.embedded.ask import Ask
from maestro_eval.embedded.diagram_inspector import answer

_RED, _BLUE, _GREEN, _BLACK = (220, 30, 30), (30, 60, 220), (40, 160, 60), (0, 0, 0)
_KINDS_OF_QUESTION = (
    "How many times do the blue and red lines cross?",
    "Are the two circles touching each other? Answer with Yes/No.",
    "Are the two circles overlapping?",
    "How many squares are in the image?",
    "How many rows and columns are in the table?",
    "Count the pentagons.",
    "How many circles do you see?",
    "How many single-colored paths go from B to D? Answer with a number in curly brackets.",
)


def _paper(height: int = 400, width: int = 400) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def _last(question: str, image: np.ndarray) -> str:
    reply = answer(Ask(question, (image,)))
    return reply.rpartition("Answer: ")[2] if "Answer: " in reply else "refused"


def _polyline(image: np.ndarray, colour: tuple[int, int, int], *heights: int) -> None:
    step = image.shape[1] // (len(heights) - 1)
    points = np.array([(step * at, height) for at, height in enumerate(heights)], np.int32)
    cv2.polylines(image, [points], False, colour, 3, cv2.LINE_AA)


@pytest.mark.parametrize(
    ("blue", "red", "times"),
    [
        ((50, 60, 50), (300, 320, 300), 0),
        ((50, 350), (350, 60), 1),
        ((100, 300, 100), (200, 200, 200), 2),
        ((100, 300, 100), (350, 302, 350), 1),
    ],
    ids=["apart", "once", "twice", "a touch is a meeting"],
)
def test_counts_where_two_lines_meet(blue: tuple[int, ...], red: tuple[int, ...], times: int) -> None:
    image = _paper()
    _polyline(image, _BLUE, *blue)
    _polyline(image, _RED, *red)
    assert _last("How many times do the blue and red lines cross?", image) == str(times)


def test_lines_need_not_be_red_and_blue() -> None:
    image = _paper()
    _polyline(image, _GREEN, 50, 350)
    _polyline(image, (240, 140, 20), 350, 50)
    assert _last("Count the points where the two lines intersect.", image) == "1"


def _discs(gap: float, colours: tuple[tuple[int, int, int], tuple[int, int, int]] = (_RED, _BLUE)) -> np.ndarray:
    image = _paper()
    apart = (80 + gap) / math.sqrt(2)
    for at, colour in zip((0.0, apart), colours, strict=True):
        centre = (round((130 + at) * 16), round((140 + at) * 16))
        cv2.circle(image, centre, 40 * 16, colour, cv2.FILLED, cv2.LINE_AA, 4)
    return image


@pytest.mark.parametrize(("gap", "touch", "overlap"), [(-8, "Yes", "Yes"), (0, "Yes", "No"), (5, "No", "No")])
def test_tells_touching_from_overlapping(gap: float, touch: str, overlap: str) -> None:
    assert _last("Are the two circles touching each other? Answer with Yes/No.", _discs(gap)) == touch
    assert _last("Do the two circles overlap?", _discs(gap)) == overlap


def test_circles_of_one_colour_are_told_apart_too() -> None:
    assert _last("Do the two circles overlap?", _discs(-16, (_BLUE, _BLUE))) == "Yes"
    assert _last("Do the two circles overlap?", _discs(9, (_BLUE, _BLUE))) == "No"


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_counts_nested_squares(depth: int) -> None:
    image = _paper()
    for level in range(depth):
        low, high = 50 + 17 * level, 350 - 31 * level
        cv2.rectangle(image, (low, low), (low + high - 50, low + high - 50), _BLACK, 2)
    assert _last("How many squares are in the image? Answer in curly brackets.", image) == f"{{{depth}}}"


def _ruled(rows: int, columns: int) -> np.ndarray:
    image = _paper(401, 401)
    for row in range(rows + 1):
        cv2.line(image, (0, 400 * row // rows), (400, 400 * row // rows), _BLACK, 4)
    for column in range(columns + 1):
        cv2.line(image, (400 * column // columns, 0), (400 * column // columns, 400), _BLACK, 4)
    return image


@pytest.mark.parametrize(
    ("hint", "reply"),
    [
        ("Answer as a pair (row, column), e.g., (5,6)", "(4,7)"),
        ("answer in curly brackets. For example, rows={5} columns={6}", "rows={4} columns={7}"),
        ("answer with two numbers in curly brackets", "{4}{7}"),
    ],
)
def test_a_grid_is_answered_in_the_form_asked_for(hint: str, reply: str) -> None:
    assert _last(f"Count the rows and columns of the table and {hint}", _ruled(4, 7)) == reply


def test_words_in_the_cells_do_not_matter() -> None:
    image = _ruled(5, 4)
    for row in range(5):
        for column in range(4):
            cv2.putText(image, "word", (20 + 100 * column, 45 + 80 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.7, _BLACK, 2)
    assert _last("How many rows and columns?", image) == "(5,4)"


def _row_of(corners: int, count: int) -> np.ndarray:
    image = _paper(300, 640)
    for at in range(count):
        x, y, radius = 80 + 44 * at, 110 + 40 * (at % 2), 40
        if corners:
            turns = np.arange(corners) * 2 * math.pi / corners - math.pi / 2
            points = np.stack([x + radius * np.cos(turns), y + radius * np.sin(turns)], axis=1)
            cv2.polylines(image, [np.rint(points).astype(np.int32)], True, _BLACK, 2, cv2.LINE_AA)
        else:
            cv2.circle(image, (x, y), radius, _BLACK, 2, cv2.LINE_AA)
    return image


@pytest.mark.parametrize("count", [5, 8])
def test_counts_interlocked_outlines(count: int) -> None:
    assert _last("How many circles are in the image?", _row_of(0, count)) == str(count)
    assert _last("Count the pentagons.", _row_of(5, count)) == str(count)


def _map() -> np.ndarray:
    """A joins C in red and in green; blue runs from A to B and passes C's red line."""
    image = _paper()
    for letter, place in {"A": (185, 32), "B": (370, 215), "C": (185, 393), "D": (5, 215)}.items():
        cv2.putText(image, letter, place, cv2.FONT_HERSHEY_DUPLEX, 1.1, _BLACK, 3, cv2.LINE_AA)
    routes = {
        _RED: [(180, 45), (180, 120), (100, 120), (100, 300), (180, 300), (180, 355)],
        _GREEN: [(200, 45), (200, 355)],
        _BLUE: [(220, 45), (220, 160), (60, 160), (60, 250), (300, 250), (300, 200), (360, 200)],
    }
    for colour, points in routes.items():
        cv2.polylines(image, [np.array(points, np.int32)], False, colour, 5)
    return image


@pytest.mark.parametrize(("one", "other", "count"), [("A", "C", 2), ("A", "B", 1), ("B", "C", 0)])
def test_counts_the_colours_that_join_two_stations(one: str, other: str, count: int) -> None:
    question = f"Count the one-colored routes that go from {one} to {other}. Answer in curly brackets, e.g., {{3}}"
    assert _last(question, _map()) == f"{{{count}}}"


def test_reads_the_circled_letter() -> None:
    image = _paper(300, 500)
    cv2.putText(image, "Network", (60, 160), cv2.FONT_HERSHEY_DUPLEX, 2.4, _BLACK, 4, cv2.LINE_AA)
    before = cv2.getTextSize("Net", cv2.FONT_HERSHEY_DUPLEX, 2.4, 4)[0][0]
    letter = cv2.getTextSize("w", cv2.FONT_HERSHEY_DUPLEX, 2.4, 4)[0][0]
    cv2.ellipse(image, (60 + before + letter // 2, 140), (40, 42), 0, 0, 360, (255, 0, 0), 4, cv2.LINE_AA)
    assert _last("Which letter is circled in red?", image) == "w"


@pytest.mark.parametrize(
    "question",
    [
        "What is the difference between the highest and the lowest bar?",
        "How many red triangles are there?",
        "Find x.",
        "What is the total on the receipt?",
        "What colour is the small star?",
        "Is the circle left of the star?\n(A) yes\n(B) no\nAnswer with the letter of the right option.",
        "",
    ],
)
def test_refuses_other_questions_by_their_words(question: str) -> None:
    assert answer(Ask(question, ())).startswith("I cannot tell: this is no question about")


def test_refuses_scenes_of_filled_shapes() -> None:
    image = _paper()
    for at in range(4):
        cv2.circle(image, (60 + 80 * at, 200), 20, _RED, cv2.FILLED)
        cv2.rectangle(image, (40 + 80 * at, 60), (70 + 80 * at, 90), _BLUE, cv2.FILLED)
    assert _last("How many circles are there?", image) == "refused"
    assert _last("How many squares are there?", image) == "refused"


@pytest.mark.parametrize("question", _KINDS_OF_QUESTION)
@pytest.mark.parametrize("shade", [0, 128, 255])
def test_refuses_empty_pictures(question: str, shade: int) -> None:
    for size in ((1, 1), (1, 300), (64, 64)):
        assert _last(question, np.full((*size, 3), shade, np.uint8)) == "refused"


@settings(max_examples=60)
@given(
    question=st.sampled_from(_KINDS_OF_QUESTION) | st.text(max_size=80),
    image=arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=60).map(lambda shape: (*shape, 3))),
)
def test_never_raises(question: str, image: np.ndarray) -> None:
    reply = answer(Ask(question, (image,)))
    assert reply.startswith("I cannot tell: ") or "\nAnswer: " in reply
