"""The sizes in which a policy is shown its pictures."""

import hashlib
import io

import msgspec
import PIL.Image
import pytest

from maestro_eval.records import Image, ImageRef
from maestro_eval.rollout import DEFAULT, RELEASED
from maestro_eval.rollout.loop import policy_pictures


def picture(width, height, mode="RGB", form="PNG"):
    file = io.BytesIO()
    PIL.Image.new(mode, (width, height), (128, 128, 128)).save(file, form)
    data = file.getvalue()
    ref = ImageRef(hashlib.sha256(data).hexdigest(), f"image/{form.lower()}", width, height, len(data))
    return Image(ref, data)


def test_a_picture_is_resized_without_loss_and_named_by_its_new_bytes():
    original = picture(100, 50)
    (shown,) = policy_pictures((original,), RELEASED)
    assert (shown.ref.width, shown.ref.height, shown.ref.media_type) == (112, 56, "image/png")
    assert PIL.Image.open(io.BytesIO(shown.data)).size == (112, 56)
    assert shown.ref.sha256 == hashlib.sha256(shown.data).hexdigest()
    assert PIL.Image.open(io.BytesIO(shown.data)).getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize("regime", [DEFAULT, msgspec.structs.replace(RELEASED, image_multiple=None)])
def test_without_the_rule_pictures_stay_as_they_are(regime):
    images = (picture(101, 51),)
    assert policy_pictures(images, regime) is images


def test_a_picture_that_fits_or_cannot_be_read_stays_as_it_is():
    broken = Image(ImageRef("0" * 64, "image/png", 100, 50, 3), b"???")
    images = (picture(560, 280), broken)
    assert policy_pictures(images, RELEASED) == images
