"""Formats beside those of test_images.py, and what scanners make of TIFF."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image, ImageChops

from casola_ocr.documents import is_single_picture, open_document, sniff
from casola_ocr.errors import DamagedDocument, TooManyPixels
from casola_ocr.selection import Selection
from tests.pages import as_bytes, draw_page, heic

LIMIT = 10_000_000
PAGE = draw_page(["Hello, formats"], width=400)


def page_of(data: bytes, page: int = 1, max_pixels: int = LIMIT) -> Image.Image:
    with open_document(data, sniff(data[:1032]), max_pixels=max_pixels) as document:
        return document.page(page)


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    histogram = ImageChops.difference(one, other).convert("L").histogram()
    return sum(level * count for level, count in enumerate(histogram)) / sum(histogram)


@pytest.mark.parametrize(
    "data",
    [
        as_bytes(PAGE, "BMP"),
        as_bytes(PAGE.convert("L"), "BMP"),
        as_bytes(PAGE.convert("1"), "BMP"),
        as_bytes(PAGE.convert("P"), "BMP"),
        as_bytes(PAGE, "AVIF", quality=90),
        as_bytes(PAGE.convert("RGBA"), "AVIF", quality=90),
        heic(PAGE),
        as_bytes(PAGE, "TIFF", compression="tiff_lzw"),
        as_bytes(PAGE.convert("1"), "TIFF", compression="group4"),
        as_bytes(PAGE.convert("1"), "TIFF", compression="group3"),
        as_bytes(PAGE, "TIFF", compression="jpeg", quality=90),
        as_bytes(PAGE.convert("L"), "TIFF", compression="packbits"),
        as_bytes(PAGE.convert("P"), "TIFF"),
    ],
    ids=range(13),
)
def test_the_page_is_what_was_saved(data: bytes) -> None:
    found = page_of(data)
    assert (found.mode, found.size) == ("RGB", PAGE.size)
    assert mean_difference(found, PAGE) < 4


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_16_bit_grey_is_scaled_and_not_clipped(compression: str) -> None:
    levels = [0, 0x4000, 0x8000, 0xC000, 0xFFFF]
    deep = Image.frombytes("I;16", (5, 1), struct.pack("<5H", *levels))
    found = page_of(as_bytes(deep, "TIFF", compression=compression))
    assert [found.getpixel((x, 0))[0] for x in range(5)] == [0, 64, 128, 191, 255]


def test_a_bmp_whose_fourth_byte_means_nothing_is_no_blank_page() -> None:
    pixels = bytes([0, 0, 255, 0]) * 4
    header = struct.pack("<IiiHHIIiiII", 108, 2, 2, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    body = header + masks + b"BGRs" + bytes(48)
    data = b"BM" + struct.pack("<IHHI", 14 + len(body) + 16, 0, 0, 14 + len(body)) + body + pixels
    assert page_of(data).getpixel((0, 0)) == (255, 0, 0)


def test_a_photo_is_turned_as_its_reader_sees_it() -> None:
    upright = Image.new("RGB", (64, 32), "white")
    upright.paste("black", (0, 0, 64, 8))
    exif = upright.getexif()
    exif[0x0112] = 6
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    for data in (
        as_bytes(lying, "AVIF", exif=exif.tobytes(), quality=90),
        heic_with(lying, exif.tobytes()),
    ):
        found = page_of(data)
        assert found.size == (64, 32)
        assert found.getpixel((60, 3))[0] < 60 < 190 < found.getpixel((60, 25))[0]


def heic_with(image: Image.Image, exif: bytes) -> bytes:
    import pillow_heif

    made = pillow_heif.from_pillow(image)
    made[0].info["exif"] = exif
    buffer = io.BytesIO()
    made.save(buffer, quality=90, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data", [as_bytes(PAGE, "BMP"), as_bytes(PAGE, "AVIF"), heic(PAGE)], ids=["bmp", "avif", "heic"]
)
def test_their_pixels_are_counted_before_they_are_decoded(data: bytes) -> None:
    with pytest.raises(TooManyPixels):
        page_of(data, max_pixels=PAGE.width * PAGE.height - 1)
    with pytest.raises(DamagedDocument):
        page_of(data[: len(data) // 3])
    with pytest.raises(DamagedDocument, match="no page 2"):
        page_of(data, 2)


def test_a_tiff_with_a_broken_second_frame_keeps_its_first() -> None:
    noise = [Image.effect_noise((64, 64), 50) for _ in range(3)]
    data = bytearray(
        as_bytes(noise[0], "TIFF", save_all=True, append_images=noise[1:], compression="tiff_lzw")
    )
    with Image.open(io.BytesIO(bytes(data))) as image:
        image.seek(1)
        (start,), (length,) = image.tag_v2[273], image.tag_v2[279]
    data[start : start + length] = bytes(length)
    with open_document(bytes(data), "image/tiff", max_pixels=LIMIT) as document:
        assert document.count(10) == 3
        assert document.page(1).size == (64, 64)
        with pytest.raises(DamagedDocument):
            document.page(2)
        assert document.page(3).tobytes() == noise[2].convert("RGB").tobytes()
        assert document.text(1, (64, 64)).letters == ()


@pytest.mark.parametrize(
    ("media_type", "pages", "single"),
    [
        ("image/png", "", True),
        ("image/png", "all", True),
        ("image/png", "1,4", True),
        ("image/png", "2", False),
        ("image/heic", "", True),
        ("image/gif", "", True),
        ("image/gif", "1", True),
        ("image/gif", "all", False),
        ("image/gif", "1-2", False),
        ("image/tiff", "", False),
        ("image/tiff", "1", False),
        ("application/pdf", "1", False),
        ("", "", False),
    ],
)
def test_only_what_is_one_picture_needs_no_preparing(
    media_type: str, pages: str, single: bool
) -> None:
    assert is_single_picture(media_type, Selection.parse(pages)) is single
