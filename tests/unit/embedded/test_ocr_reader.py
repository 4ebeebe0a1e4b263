import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from maestro_eval.embedded.ask import Ask
from maestro_eval.embedded.ocr_reader import answer

_RECEIPT = (
    (120, 40, "Green Corner Store"), (40, 90, "Date: 2021-05-14"), (40, 130, "Tel: 555-0199"),
    (40, 170, "Bread"), (300, 170, "3.20"), (40, 210, "Subtotal"), (300, 210, "10.65"), (40, 250, "Tax"),
    (300, 250, "0.85"), (40, 290, "TOTAL"), (300, 290, "11.50"), (40, 330, "Cashier: Maria"),
    (40, 370, "Open 7:00 - 18:00"),
)  # fmt: skip


def printed(*lines: tuple[int, int, str], scale: float = 0.7) -> NDArray[np.uint8]:
    page = np.full((400, 420, 3), 255, np.uint8)
    for x, y, text in lines:
        cv2.putText(page, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), 2, cv2.LINE_AA)
    return page


def last_line(question: str, page: NDArray[np.uint8]) -> str:
    return answer(Ask(question, (page,))).splitlines()[-1]


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("What is the total on the receipt?", "11.50"),
        ("What is the subtotal?", "10.65"),
        ("How much tax was paid?", "0.85"),
        ("When was this receipt issued?", "2021-05-14"),
        ("Which telephone number is printed on it?", "555-0199"),
        ("What is the name of the store?", "Green Corner Store"),
        ("Who is the cashier?", "Maria"),
        ("What is the price of the bread?", "3.20"),
        ("What time does the store close?", "18:00"),
    ],
)
def test_a_value_is_found_by_its_label_or_its_form(question: str, value: str) -> None:
    assert last_line(question, printed(*_RECEIPT)) == f"Answer: {value}"


def test_a_transcription_is_all_the_text_in_reading_order() -> None:
    page = printed((60, 120, "Willow"), (60, 220, "Lane"), scale=1.5)
    assert last_line("What is written in the image?", page) == "Answer: Willow Lane"


@pytest.mark.parametrize("turn", [cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE])
def test_a_turned_word_is_read(turn: int) -> None:
    page = cv2.rotate(printed((90, 220, "Willow"), scale=1.5), turn).astype(np.uint8)
    assert last_line("Which word does the picture show?", page) == "Answer: Willow"


@pytest.mark.parametrize(
    "question",
    [
        "How many red circles are there?",
        "Which letter is circled?",
        "What is the value of the blue bar in the chart?",
        "Find the measure of angle B.",
    ],
)
def test_other_kinds_of_question_are_refused_unread(question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maestro_eval.embedded.ocr_reader.read_text", lambda image: pytest.fail("read the picture"))
    assert answer(Ask(question, (printed(*_RECEIPT),))).startswith("I cannot tell")


def test_a_page_without_text_is_no_answer() -> None:
    assert answer(Ask("What is written here?", (printed(),))).startswith("I cannot tell")
