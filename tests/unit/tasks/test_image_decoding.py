"""Images either decode or say in one line why not."""

import gc
import hashlib
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from maestro_eval.records import Image as RecordedImage
from maestro_eval.tasks.image_decoding import MAX_PIXELS, BadImageError, EncodedImage, decode
from maestro_eval.tasks.json_rows import open_pictures
from tests.unit.tasks.parquet_rows import png


@pytest.mark.parametrize(
    ("file_format", "media_type"),
    [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp"), ("GIF", "image/gif"), ("BMP", "image/bmp")],
)
def test_the_bytes_are_kept_and_measured(file_format: str, media_type: str) -> None:
    data = png(8, 6, file_format=file_format)
    image = decode(EncodedImage(data))
    assert image.data == data
    assert image.ref.sha256 == hashlib.sha256(data).hexdigest()
    assert (image.ref.media_type, image.ref.width, image.ref.height, image.ref.size) == (media_type, 8, 6, len(data))


def test_a_camera_jpeg_with_a_second_picture_is_a_jpeg() -> None:
    encoded = BytesIO()
    first, second = Image.new("RGB", (8, 6)), Image.new("RGB", (4, 3))
    first.save(encoded, "MPO", save_all=True, append_images=[second])
    assert decode(EncodedImage(encoded.getvalue())).ref.media_type == "image/jpeg"


def test_a_truncated_image_is_refused_although_its_header_is_whole() -> None:
    data = png(200, 200, file_format="JPEG")
    with pytest.raises(BadImageError, match=r"^a\.jpg: cannot be decoded"):
        decode(EncodedImage(data[: len(data) * 2 // 3], "a.jpg"))


def test_a_flipped_byte_in_the_pixels_is_refused() -> None:
    data = bytearray(png(64, 64))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(BadImageError, match="cannot be decoded"):
        decode(EncodedImage(bytes(data)))


def test_what_engines_read_differently_is_made_plain_under_the_hash_of_the_dataset() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = BytesIO()
    Image.new("RGB", (8, 6)).save(encoded, "JPEG", exif=exif)
    image = decode(EncodedImage(encoded.getvalue()))
    assert image.ref.sha256 == hashlib.sha256(encoded.getvalue()).hexdigest()
    assert (image.ref.width, image.ref.height, image.ref.size) == (6, 8, len(encoded.getvalue()))
    with Image.open(BytesIO(image.data)) as sent:
        assert (sent.size, sent.getexif().get(0x0112)) == ((6, 8), None)


def test_a_long_name_is_cut_in_messages() -> None:
    with pytest.raises(BadImageError) as refused:
        decode(EncodedImage(b"", "a\n" * 5000, "no such image file"))
    assert len(str(refused.value)) < 150
    assert "\n" not in str(refused.value)


def test_text_is_no_image() -> None:
    with pytest.raises(BadImageError, match="not an image of a known format"):
        decode(EncodedImage(b"<html>404</html>"))


def test_a_format_that_endpoints_do_not_read_is_refused() -> None:
    with pytest.raises(BadImageError, match="not an image of a known format"):
        decode(EncodedImage(png(8, 8, file_format="TIFF")))


def test_an_empty_image_is_refused() -> None:
    with pytest.raises(BadImageError, match="no bytes"):
        decode(EncodedImage(b""))


def test_what_the_source_could_not_read_is_passed_on() -> None:
    with pytest.raises(BadImageError, match=r"^a\.png: no such image file$"):
        decode(EncodedImage(b"", "a.png", "no such image file"))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_500, 30_000])
def test_a_decompression_bomb_is_refused_by_its_header(side: int) -> None:
    assert side * side > MAX_PIXELS
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    body = b"IDAT" + zlib.compress(b"\0" * 100)
    bomb = start + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    with pytest.raises(BadImageError, match="pixels"):
        decode(EncodedImage(bomb))


def test_a_file_is_read_once_while_its_picture_is_in_use_and_again_once_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, read = tmp_path / "a.png", []
    whole = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or whole(path))
    pictures = open_pictures(tmp_path, "")

    def decoded() -> RecordedImage:
        return decode(pictures.get("a.png"))

    file.write_bytes(png(8, 6))
    with ThreadPoolExecutor(8) as threads:
        images = [future.result() for future in [threads.submit(decoded) for _ in range(32)]]
    assert len({id(image) for image in images}) == len(read) == 1
    file.write_bytes(png(9, 6))
    assert (decoded().ref.width, images[0].ref.width) == (9, 8)
    del images
    gc.collect()
    file.unlink()
    with pytest.raises(BadImageError, match="no such image file"):
        decoded()


def test_a_file_that_vanishes_before_it_is_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    found = open_pictures(tmp_path, "").get("a.png")
    (tmp_path / "a.png").unlink()
    with pytest.raises(BadImageError, match=r"^a\.png: cannot be read \(No such file"):
        decode(found)
