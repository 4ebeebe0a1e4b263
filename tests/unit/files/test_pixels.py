"""A picture reads the same whichever way its file says it."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from maestro_eval.files import is_plain, is_plain_file, plain_file, read_pixels

UPRIGHT = Image.new("RGB", (60, 100), "white")
ImageDraw.Draw(UPRIGHT).rectangle((0, 0, 29, 29), fill="red")
ImageDraw.Draw(UPRIGHT).rectangle((30, 80, 59, 99), fill="blue")
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def saved(picture: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


def turned(orientation: int, file_format: str = "PNG") -> bytes:
    """The upright picture as a camera stores it with that note."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = UPRIGHT.transpose(_STORED[orientation]) if orientation in _STORED else UPRIGHT
    options = {"quality": 95} if file_format == "JPEG" else {"lossless": True} if file_format == "WEBP" else {}
    return saved(stored, file_format, exif=exif, **options)


def close(one: Image.Image, other: Image.Image, by: float) -> bool:
    return one.size == other.size and np.abs(np.asarray(one, float) - np.asarray(other, float)).mean() <= by


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_upright(orientation: int, file_format: str) -> None:
    data = turned(orientation, file_format)
    assert close(read_pixels(data), UPRIGHT, 3 if file_format == "JPEG" else 0)
    with Image.open(BytesIO(data)) as picture:
        picture.load()
        assert is_plain(picture) == (orientation == 1)
        plain, media_type = plain_file(picture)
    assert media_type == ("image/jpeg" if file_format == "JPEG" else "image/png")
    # Whoever reads the new file with or without heed to notes sees the same.
    read = Image.open(BytesIO(plain))
    assert close(read.convert("RGB"), UPRIGHT, 3 if file_format == "JPEG" else 0)
    assert ImageOps.exif_transpose(read).size == UPRIGHT.size


@pytest.mark.parametrize("noted", [0, 9, 77])
def test_an_unknown_note_changes_nothing(noted: int) -> None:
    assert close(read_pixels(turned(noted)), UPRIGHT, 0)


def test_a_damaged_note_costs_no_picture() -> None:
    assert close(read_pixels(saved(UPRIGHT, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09garbage")), UPRIGHT, 0)


def test_transparency_shows_white_whatever_it_hides() -> None:
    pixels = np.zeros((10, 20, 4), np.uint8)
    pixels[4:6, :, 3] = 255
    rgba = Image.fromarray(pixels)
    files = [saved(rgba), saved(rgba.convert("LA")), saved(rgba, "WEBP", lossless=True)]
    palette = Image.new("P", (20, 10), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    files += [saved(palette, transparency=0), saved(palette, "GIF", transparency=0)]
    grey = saved(Image.new("L", (20, 10), 7), transparency=7)
    for number, data in enumerate([*files, grey]):
        seen = read_pixels(data)
        assert seen.mode == "RGB"
        assert seen.getpixel((0, 0)) == (255, 255, 255), number
        with Image.open(BytesIO(data)) as picture:
            picture.load()
            assert not is_plain(picture)
    assert read_pixels(files[0]).getpixel((0, 5)) == (0, 0, 0)


def test_an_opaque_picture_is_plain_though_it_could_be_transparent() -> None:
    with Image.open(BytesIO(saved(Image.new("RGBA", (4, 4), (1, 2, 3, 255))))) as picture:
        picture.load()
        assert is_plain(picture)


def test_sixteen_bits_are_scaled_to_eight() -> None:
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (4, 1))
    data = saved(Image.fromarray(ramp))
    seen = np.asarray(read_pixels(data))
    assert (seen[..., 0] == ramp >> 8).all()
    with Image.open(BytesIO(data)) as picture:
        picture.load()
        assert not is_plain(picture)
        plain, _ = plain_file(picture)
    assert Image.open(BytesIO(plain)).mode == "L"


def opened(data: bytes) -> tuple[Image.Image, bytes]:
    return Image.open(BytesIO(data)), data


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_a_whole_plain_file_is_known_without_its_pixels(file_format: str) -> None:
    for data in (turned(1, file_format), saved(UPRIGHT, file_format, **{"progressive": True})):
        assert is_plain_file(*opened(data)) == (file_format == "JPEG" or b"eXIf" not in data)
        for cut in (1, 2, 20) if file_format == "JPEG" else (5, 20):
            assert not is_plain_file(*opened(data[:-cut]))
    assert not is_plain_file(*opened(turned(6, file_format)))
    if file_format == "PNG":
        for mode in ("LA", "RGBA"):
            assert not is_plain_file(*opened(saved(UPRIGHT.convert(mode))))
        broken = bytearray(saved(UPRIGHT))
        broken[len(broken) // 2] ^= 1
        assert not is_plain_file(*opened(bytes(broken)))


def test_the_end_of_a_thumbnail_is_not_that_of_the_picture() -> None:
    thumbnail = b"Exif\0\0" + saved(UPRIGHT, "JPEG")
    data = saved(Image.effect_noise((64, 64), 50), "JPEG", exif=thumbnail)
    assert is_plain_file(*opened(data))
    assert not is_plain_file(*opened(data[:-300]))


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "CMYK", "P"])
def test_other_modes_are_read_as_pillow_reads_them(mode: str) -> None:
    data = saved(UPRIGHT.convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    with Image.open(BytesIO(data)) as picture:
        picture.load()
        assert is_plain(picture)
        assert close(read_pixels(data), picture.convert("RGB"), 0)
