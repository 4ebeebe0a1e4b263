"""Crops and drawings, looked at."""

import pytest

from maestro_eval.records import Image, ImageRef
from maestro_eval.skills.boxes import Box
from maestro_eval.skills.pictures import PictureError, crop, draw_boxes
from tests.unit.skills.skill_worlds import drawn, image_of, pixels_of

RED = (192, 0, 0)
PAGE = drawn(1000, 500)  # its red square is at (400, 200) to (600, 300)


def test_a_crop_holds_the_part_and_nothing_else():
    part = crop(PAGE, Box(410, 210, 590, 290))
    assert (part.ref.width, part.ref.height) == (180, 80)
    assert pixels_of(part).getcolors() == [(180 * 80, RED)]


def test_a_crop_is_a_png_record_that_tells_the_truth_of_itself():
    part = crop(drawn(300, 200, file_type="JPEG"), Box(0, 0, 100, 50))
    assert part == image_of(part.data)
    assert part.ref.media_type == "image/png"


@pytest.mark.parametrize("box", [Box(500, 250, 501, 251), Box(0, 0, 1, 1), Box(999, 499, 1000, 500)])
def test_a_crop_that_is_too_thin_is_widened_inside_the_image(box):
    part = pixels_of(crop(PAGE, box))
    assert part.size == (28, 28)
    inside = pixels_of(PAGE).getpixel((int(box.left), int(box.top)))
    assert inside in [colour for _, colour in part.getcolors()]


def test_a_crop_of_a_tiny_image_is_the_image():
    assert pixels_of(crop(drawn(10, 8), Box(2, 2, 3, 3))).size == (10, 8)


def test_a_picture_of_a_huge_image_is_made_smaller():
    assert pixels_of(crop(drawn(8192, 100), Box(0, 0, 8192, 100))).size == (4096, 50)


def test_boxes_are_outlined_where_they_are():
    picture = pixels_of(draw_boxes(PAGE, [Box(100, 100, 300, 400), Box(700, 50, 900, 450)]))
    before = pixels_of(PAGE)
    assert picture.size == before.size
    for at in ((100, 300), (299, 300), (200, 399), (700, 250)):
        assert picture.getpixel(at) != before.getpixel(at)
    for at in ((200, 300), (50, 50), (500, 250), (800, 250)):
        assert picture.getpixel(at) == before.getpixel(at)


@pytest.mark.parametrize("data", [b"no image at all", b"", drawn().data[:100]])
def test_an_image_that_cannot_be_decoded_is_said_to_be(data):
    broken = Image(ImageRef("0" * 64, "image/png", 280, 140, len(data)), data)
    for make in (lambda: crop(broken, Box(0, 0, 9, 9)), lambda: draw_boxes(broken, [Box(0, 0, 9, 9)])):
        with pytest.raises(PictureError, match=r"^cannot be decoded: [^\n]+$"):
            make()
