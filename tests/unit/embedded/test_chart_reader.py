from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from maestro_eval.embedded.ask import Ask
from maestro_eval.embedded.chart_marks import number_in
from maestro_eval.embedded.chart_reader import answer

_FLOOR, _TOP, _UNIT = 340, 40, 3  # pixels; three a unit
_BLUE, _RED = (50, 110, 190), (200, 50, 50)


def put(page: NDArray[np.uint8], x: int, y: int, text: str) -> None:
    cv2.putText(page, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (40, 40, 40), 1, cv2.LINE_AA)


def framed(names: Sequence[str], *, step: int = 110) -> NDArray[np.uint8]:
    page = np.full((430, 620, 3), 255, np.uint8)
    cv2.line(page, (80, _TOP), (80, _FLOOR), (40, 40, 40), 1)
    cv2.line(page, (80, _FLOOR), (600, _FLOOR), (40, 40, 40), 1)
    for tick in (0, 20, 40, 60, 80, 100):
        put(page, 36, _FLOOR - tick * _UNIT + 6, str(tick))
    for at, name in enumerate(names):
        put(page, 120 + at * step - 5 * len(name), _FLOOR + 26, name)
    return page


def bars(values: dict[str, int], *, printed: bool) -> NDArray[np.uint8]:
    page = framed(list(values))
    for at, value in enumerate(values.values()):
        x, y = 120 + at * 110, _FLOOR - value * _UNIT
        cv2.rectangle(page, (x - 25, y), (x + 25, _FLOOR - 1), _BLUE, -1)
        if printed:
            put(page, x - 10, y - 8, str(value))
    return page


def said(question: str, page: NDArray[np.uint8]) -> str:
    return answer(Ask(question, (page,))).rpartition("Answer: ")[2]


_VALUES = {"Apples": 35, "Pears": 70, "Plums": 20, "Figs": 55}


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("What is the value of Pears?", "70"),
        ("Which fruit has the lowest harvest?", "Plums"),
        ("What is the highest value?", "70"),
        ("What is the difference between Pears and Figs?", "15"),
        ("What is the sum of Apples and Plums?", "55"),
        ("What is the average of all values?", "45"),
        ("How many bars are shown in the chart?", "4"),
        ("For how many fruits is the harvest more than 30?", "3"),
        ("Is the value of Apples larger than the value of Figs?", "No"),
    ],
)
def test_printed_values_are_taken_as_printed(question: str, value: str) -> None:
    assert said(question, bars(_VALUES, printed=True)) == value


def test_bars_without_values_are_measured_on_the_axis() -> None:
    page = bars(_VALUES, printed=False)
    assert float(said("What is the value of Figs?", page)) == pytest.approx(55, abs=1.5)
    assert said("Which fruit has the second highest harvest?", page) == "Figs"


def test_grouped_bars_are_told_apart_by_the_legend() -> None:
    page = framed(["Apples", "Pears"], step=250)
    for at, (men, women) in enumerate(((30, 50), (80, 60))):
        for side, (value, colour) in enumerate(((men, _BLUE), (women, _RED))):
            x, y = 100 + at * 250 + side * 42, _FLOOR - value * _UNIT
            cv2.rectangle(page, (x - 20, y), (x + 20, _FLOOR - 1), colour, -1)
    for x, colour, name in ((150, _BLUE, "North"), (330, _RED, "South")):
        cv2.rectangle(page, (x, 392), (x + 14, 404), colour, -1)
        put(page, x + 22, 405, name)
    assert float(said("What is the harvest of Pears in the South?", page)) == pytest.approx(60, abs=1.5)
    assert said("Which fruit has the highest harvest in the South?", page) == "Pears"


def test_a_line_is_measured_at_its_ticks() -> None:
    page = framed(["2016", "2017", "2018", "2019"])
    points = [(120 + at * 110, _FLOOR - value * _UNIT) for at, value in enumerate((20, 60, 45, 90))]
    cv2.polylines(page, [np.array(points, np.int32)], False, _RED, 2, cv2.LINE_AA)
    assert float(said("What was the value in 2017?", page)) == pytest.approx(60, abs=2)
    assert said("In which year was the value lowest?", page) == "2016"


@pytest.mark.parametrize(
    "question",
    ["How many red triangles are there?", "What is written on the sign?", "Find the area of the circle."],
)
def test_other_kinds_of_question_are_refused_unread(question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maestro_eval.embedded.chart_reader.read_text", lambda image: pytest.fail("read the picture"))
    assert answer(Ask(question, (bars(_VALUES, printed=True),))).startswith("I cannot tell")


def test_a_picture_without_marks_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maestro_eval.embedded.chart_reader.read_text", lambda image: pytest.fail("read the picture"))
    blank = np.full((300, 300, 3), 255, np.uint8)
    assert answer(Ask("What is the value of Pears?", (blank,))).startswith("I cannot tell")


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("60 000", 60000),
        ("3.5k", 3500),
        ("65 million tonnes", 65e6),
        ("-4%", -4),
        ("$1,200", 1200),
        ("4 million ha", 4e6),
    ],
)
def test_axis_and_value_labels_state_numbers(label: str, value: float) -> None:
    assert number_in(label) == pytest.approx(value)


@pytest.mark.parametrize("label", ["Apples", "Q3", "16-24 years old people", "2010/11", ""])
def test_other_labels_do_not(label: str) -> None:
    assert number_in(label) is None
