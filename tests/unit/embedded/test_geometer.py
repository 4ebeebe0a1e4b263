import math
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from maestro_eval.embedded.ask import Ask
from maestro_eval.embedded.geometer import answer

Label = tuple[int, int, str]


def drawn(corners: Sequence[tuple[int, int]], labels: Sequence[Label], *, closed: bool = True) -> NDArray[np.uint8]:
    page = np.full((420, 520, 3), 255, np.uint8)
    cv2.polylines(page, [np.array(corners, np.int32)], closed, (30, 30, 30), 2, cv2.LINE_AA)
    for x, y, text in labels:
        cv2.putText(page, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (30, 30, 30), 2, cv2.LINE_AA)
    return page


_RIGHT = [(100, 320), (340, 320), (100, 140)]
_RIGHT_LETTERS = [(70, 345, "P"), (355, 335, "Q"), (75, 125, "R")]


def test_hypotenuse_and_leg_are_told_apart_by_the_drawing() -> None:
    legs = drawn(_RIGHT, [*_RIGHT_LETTERS, (205, 355, "8"), (65, 240, "6")])
    assert answer(Ask("Find the length of QR.", (legs,))).endswith("Answer: 10")
    slanted = drawn(_RIGHT, [*_RIGHT_LETTERS, (205, 355, "8"), (230, 215, "10")])
    assert answer(Ask("What is the length of segment PR?", (slanted,))).endswith("Answer: 6")


def test_values_that_are_no_option_are_left_out() -> None:
    figure = drawn(_RIGHT, [(205, 355, "8"), (65, 240, "6")])
    question = "Find the length of the missing side.\nA. 2\nB. 10\nC. 14\nD. 100"
    assert answer(Ask(question, (figure,))).endswith("Answer: B")
    assert answer(Ask(question.replace("10", "11"), (figure,))).startswith("I cannot tell")


def test_area_and_perimeter_of_a_rectangle() -> None:
    box = drawn([(120, 120), (400, 120), (400, 300), (120, 300)], [(245, 335, "14"), (80, 220, "9")])
    assert answer(Ask("Find the area of the rectangle.", (box,))).endswith("Answer: 126")
    assert answer(Ask("What is the perimeter of the rectangle?", (box,))).endswith("Answer: 46")


@pytest.mark.parametrize(("reach", "radius"), [(1, 6.0), (2, 3.0)])
def test_a_stroke_through_the_circle_is_its_diameter(reach: int, radius: float) -> None:
    page = drawn([(110 if reach == 2 else 250, 210), (390, 210)], [(310, 195, "6")], closed=False)
    cv2.circle(page, (250, 210), 140, (30, 30, 30), 2, cv2.LINE_AA)
    reply = answer(Ask("Find the circumference of the circle, to one decimal.", (page,)))
    assert reply.endswith(f"Answer: {round(math.tau * radius, 1)}")


@pytest.mark.parametrize(
    "question",
    ["What is the total on the receipt?", "How many triangles are red?", "What is the highest bar in the chart?"],
)
def test_other_kinds_of_question_are_refused_unread(question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maestro_eval.embedded.geometer.read_text", lambda image: pytest.fail("read the picture"))
    assert answer(Ask(question, (drawn(_RIGHT, []),))).startswith("I cannot tell")


def test_a_figure_without_numbers_is_no_answer() -> None:
    assert answer(Ask("Find the area of the triangle.", (drawn(_RIGHT, []),))).startswith("I cannot tell")
