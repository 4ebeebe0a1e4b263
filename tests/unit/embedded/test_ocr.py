import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from maestro_eval.embedded import ocr
from maestro_eval.embedded.ocr import TextBox, in_lines, read_text


def lettered(*lines: tuple[int, int, str], size: tuple[int, int] = (200, 400)) -> NDArray[np.uint8]:
    page = np.full((*size, 3), 255, np.uint8)
    for x, y, text in lines:
        cv2.putText(page, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (20, 20, 20), 2, cv2.LINE_AA)
    return page


def test_words_are_found_where_they_stand() -> None:
    boxes = read_text(lettered((30, 60, "Willow"), (200, 150, "4071")))
    assert [box.text for box in boxes] == ["Willow", "4071"]
    assert 20 < boxes[0].x0 < 40
    assert 120 < boxes[1].y < 160


def test_small_pictures_are_enlarged() -> None:
    small = cv2.resize(lettered((30, 60, "Willow"), size=(100, 160)), (64, 40), interpolation=cv2.INTER_AREA)
    (box,) = read_text(small.astype(np.uint8))
    assert box.text == "Willow"
    assert box.x1 < 66


def test_a_joined_line_knows_its_words_places() -> None:
    boxes = read_text(lettered((10, 60, "north south west")))
    words = [word for box in boxes for word in (box.words or (box,))]
    assert [word.text for word in words] == ["north", "south", "west"]
    assert words[0].x1 <= words[1].x0 + 2 <= words[2].x0


def test_an_empty_page_has_no_text() -> None:
    assert read_text(np.full((80, 80, 3), 255, np.uint8)) == ()


def test_a_picture_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    page = lettered((30, 60, "Once"))
    first = read_text(page)
    monkeypatch.setattr(ocr, "_read", lambda image: pytest.fail("read again"))
    assert read_text(page.copy()) is first


def test_lines_are_grouped_by_overlap_and_ordered_by_place() -> None:
    left, right = TextBox("Total", 1, 0, 10, 40, 20), TextBox("5", 1, 90, 12, 99, 22)
    below = TextBox("Thanks", 1, 0, 40, 40, 50)
    assert in_lines((below, right, left)) == [[left, right], [below]]
