from __future__ import annotations

import contextlib
import io
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageOps

from casola_ocr.documents import encode_page, sniff
from casola_ocr.documents.images import (
    PageReader,
    check_header,
    count_pages,
    is_single_page,
    open_page,
)
from casola_ocr.errors import (
    DamagedDocument,
    TooManyPixels,
    UnsupportedFormat,
)
from tests.pages import as_bytes, draw_page
from tests.pictures import frames, gif, png_header, tiff, webp_canvas

LIMIT = 1_000_000
TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
}


def page_of(data: bytes, page: int = 1, max_pixels: int = LIMIT) -> Image.Image:
    image = open_page(io.BytesIO(data), sniff(data), page, max_pixels=max_pixels)
    assert image.mode == "RGB"
    return image


def near(pixel, expected, tolerance: int = 6) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(pixel, expected, strict=True))


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """Fail when address space for a decoded bomb was asked for, even if it was not touched."""
    status = Path("/proc/self/status")
    if not status.exists():
        yield
        return

    def peak() -> int:
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmPeak"))
        return int(line.split()[1]) * 1024

    before = peak()
    yield
    assert peak() - before < 500_000_000


def grey_halves(mode: str, left: object, right: object) -> Image.Image:
    image = Image.new(mode, (20, 10), left)
    image.paste(right, (10, 0, 20, 10))
    return image


def ends(image: Image.Image) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return image.getpixel((2, 5)), image.getpixel((17, 5))


BLACK, WHITE = (0, 0, 0), (255, 255, 255)


@pytest.mark.parametrize(
    ("mode", "left", "right", "formats", "expected"),
    [
        ("1", 0, 1, ("PNG", "TIFF"), (BLACK, WHITE)),
        ("L", 10, 200, ("PNG", "JPEG", "TIFF"), ((10,) * 3, (200,) * 3)),
        ("RGB", (255, 0, 0), (0, 0, 255), ("PNG", "TIFF", "WEBP"), ((255, 0, 0), (0, 0, 255))),
        ("LA", (0, 255), (0, 0), ("PNG", "TIFF"), (BLACK, WHITE)),
        ("RGBA", (0, 0, 0, 255), (0, 0, 0, 0), ("PNG", "TIFF", "WEBP"), (BLACK, WHITE)),
        ("RGBA", (0, 0, 0, 128), (255, 0, 0, 0), ("PNG",), ((127,) * 3, WHITE)),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0, 0), ("JPEG", "TIFF"), (BLACK, WHITE)),
        ("YCbCr", (0, 128, 128), (255, 128, 128), ("JPEG", "TIFF"), (BLACK, WHITE)),
        ("LAB", (0, 128, 128), (255, 128, 128), ("TIFF",), (BLACK, WHITE)),
        ("LAB", (138, 209, 198), (255, 128, 128), ("TIFF",), ((255, 0, 0), WHITE)),
        ("I;16", 0x1000, 0xFFFF, ("PNG", "TIFF"), ((0x10,) * 3, WHITE)),
        ("I;16B", 0x1000, 0xFFFF, ("TIFF",), ((0x10,) * 3, WHITE)),
        ("I", 5, 250, ("TIFF",), ((5,) * 3, (250,) * 3)),
        ("I", -70000, 2_000_000_000, ("TIFF",), (BLACK, WHITE)),
        ("F", 0.0, 1.0, ("TIFF",), (BLACK, WHITE)),
        ("F", 5.0, 250.0, ("TIFF",), ((5,) * 3, (250,) * 3)),
        ("F", -3.5, 4096.0, ("TIFF",), (BLACK, WHITE)),
        ("F", float("nan"), float("inf"), ("TIFF",), None),
    ],
)
def test_modes_become_rgb_on_white(mode, left, right, formats, expected):
    for pillow_format in formats:
        save = {"lossless": True} if pillow_format == "WEBP" else {}
        image = page_of(as_bytes(grey_halves(mode, left, right), pillow_format, **save))
        assert image.size == (20, 10)
        if expected:
            found = ends(image)
            assert near(found[0], expected[0]) and near(found[1], expected[1]), pillow_format


def test_palette_with_transparency():
    image = Image.new("P", (20, 10), 0)
    image.putpalette([0, 0, 0, 9, 9, 9, 255, 0, 0])
    image.paste(1, (10, 0, 20, 10))
    assert ends(page_of(as_bytes(image, "PNG"))) == (BLACK, (9, 9, 9))
    assert ends(page_of(as_bytes(image, "PNG", transparency=1))) == (BLACK, WHITE)
    assert ends(page_of(as_bytes(image, "PNG", transparency=bytes([255, 0, 255])))) == (
        BLACK,
        WHITE,
    )
    assert ends(page_of(as_bytes(image, "GIF", transparency=1))) == (BLACK, WHITE)


@pytest.mark.parametrize(
    ("mode", "key", "pixels"), [("L", 7, (0, 7)), ("1", 1, (0, 1)), ("RGB", (1, 2, 3), None)]
)
def test_colour_key_of_png(mode, key, pixels):
    left, right = pixels or ((0, 0, 0), (1, 2, 3))
    data = as_bytes(grey_halves(mode, left, right), "PNG", transparency=key)
    assert ends(page_of(data)) == (BLACK, WHITE)


def test_palette_with_alpha():
    image = Image.new("PA", (20, 10))
    assert image.has_transparency_data
    from casola_ocr.documents.pixels import to_rgb

    for mode in ("PA", "La", "RGBa"):
        assert ends(to_rgb(Image.new(mode, (20, 10)), 16, False)) == (WHITE, WHITE)


@pytest.mark.parametrize(
    ("bits", "photometric", "pixels", "expected"),
    [
        (16, 1, struct.pack("<HH", 0, 0xFFFF), (0, 255)),
        (16, 0, struct.pack("<HH", 0, 0xFFFF), (255, 0)),
        (12, 1, b"\x00\x0f\xff", (0, 255)),
    ],
)
def test_deep_grey_tiff(bits, photometric, pixels, expected):
    image = page_of(tiff(pixels, {258: bits, 262: photometric}))
    assert (image.getpixel((0, 0))[0], image.getpixel((1, 0))[0]) == expected


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(pillow_format, orientation):
    upright = Image.new("RGB", (40, 20), "white")
    upright.paste("black", (0, 0, 20, 10))
    # Turning by the inverse first, so that honouring the tag restores the picture.
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    turned = upright.transpose(stored[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[274] = orientation
    save = {"lossless": True} if pillow_format == "WEBP" else {}
    image = page_of(as_bytes(turned, pillow_format, exif=exif, **save))
    assert image.size == (40, 20)
    assert near(image.getpixel((5, 4)), BLACK, 20)
    for corner in ((35, 4), (5, 16), (35, 16)):
        assert near(image.getpixel(corner), WHITE, 20)


def test_damaged_exif_is_ignored():
    data = as_bytes(Image.new("RGB", (9, 9)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\0\0")
    assert page_of(data).size == (9, 9)
    data = as_bytes(Image.new("RGB", (9, 9)), "PNG", exif=b"Exif\0\0rubbish")
    assert page_of(data).size == (9, 9)


def test_multi_page_tiff(tmp_path):
    first, *rest = frames(5)
    for save in ({}, {"compression": "tiff_deflate"}, {"big_tiff": True}):
        data = as_bytes(first, "TIFF", save_all=True, append_images=rest, **save)
        path = tmp_path / "pages.tiff"
        path.write_bytes(data)
        with path.open("rb") as file:
            assert count_pages(file, "image/tiff", at_most=5) == 5
            assert file.tell() == 0
            with PageReader(file, "image/tiff", max_pixels=LIMIT) as reader:
                for number in (1, 2, 3, 4, 5, 2):
                    image = reader.page(number)
                    assert image.size == (19 + number, 10)
                    assert image.getpixel((0, 0)) == ((number - 1) * 20, 0, 0)
                with pytest.raises(DamagedDocument, match="no page 6"):
                    reader.page(6)
            assert not file.closed
            assert count_pages(file, "image/tiff", at_most=4) == 4
            assert file.tell() == 0


def test_gif_frames_are_composed():
    size = (30, 10)
    pictures = []
    for n in range(4):
        picture = Image.new("RGB", size, "white")
        picture.paste((200, 0, 0), (n * 5, 0, n * 5 + 5, 10))
        pictures.append(picture)
    data = as_bytes(pictures[0], "GIF", save_all=True, append_images=pictures[1:])
    file = io.BytesIO(data)
    assert count_pages(file, "image/gif", at_most=10) == 4
    assert count_pages(file, "image/gif", at_most=3) == 3
    reader = PageReader(file, "image/gif", max_pixels=LIMIT)
    for number in (1, 2, 3, 4, 1, 3):
        image = reader.page(number)
        assert image.size == size
        for n in range(4):
            assert image.getpixel((n * 5 + 2, 5)) == ((200, 0, 0) if n == number - 1 else WHITE)
    with pytest.raises(DamagedDocument, match="no page 5"):
        reader.page(5)
    assert reader.page(4).getpixel((17, 5)) == (200, 0, 0)


@pytest.mark.parametrize("seed", [3, 6, 7])
def test_gif_frame_without_a_palette_of_its_own_is_grey(seed: int):
    # Pillow 13 calls such a frame's mode P and has no palette for it.
    source = random.Random(seed)
    frames = [Image.frombytes("L", (40, 40), source.randbytes(1600)) for _ in range(3)]
    data = as_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])
    for number, frame in enumerate(frames, 1):
        difference = ImageChops.difference(page_of(data, number).convert("L"), frame)
        # Saving merges greys to free one for the pixels that stay.
        assert difference.getextrema()[1] <= 8


def test_damaged_gif_frame_spoils_only_itself_and_later_ones():
    pictures = [Image.effect_noise((60, 60), 90) for _ in range(4)]
    data = as_bytes(pictures[0], "GIF", save_all=True, append_images=pictures[1:])
    data = data[: len(data) * 5 // 8]
    file = io.BytesIO(data)
    assert count_pages(file, "image/gif", at_most=10) == 3
    reader = PageReader(file, "image/gif", max_pixels=LIMIT)
    assert reader.page(2).size == (60, 60)
    for _ in range(2):
        with pytest.raises(DamagedDocument):
            reader.page(3)
    assert reader.page(1).size == (60, 60)


def test_gif_frame_beyond_the_screen_is_refused_before_it_is_allocated():
    with little_memory():
        for data, page in (
            (gif((1, 1), (65000, 65000)), 1),
            (gif((1, 1), (1, 1), (65000, 65000)), 2),
        ):
            file = io.BytesIO(data)
            reader = PageReader(file, "image/gif", max_pixels=LIMIT)
            for number in range(1, page):
                assert reader.page(number).size == (1, 1)
            for _ in range(2):
                with pytest.raises(TooManyPixels, match="65000 x 65000"):
                    reader.page(page)


@pytest.mark.parametrize(
    "data",
    [png_header(60000, 60000), webp_canvas(60000, 60000), gif((60000, 60000), (1, 1)),
     tiff(bytes(8), {322: 60000, 323: 60000})],
    ids=["png", "webp", "gif", "tiff-tile"],
)  # fmt: skip
def test_bombs_are_refused_by_their_header(data):
    file = io.BytesIO(data)
    with little_memory():
        with pytest.raises(TooManyPixels):
            check_header(file, sniff(data), max_pixels=100_000_000)
        assert file.tell() == 0
        with pytest.raises(TooManyPixels):
            open_page(file, sniff(data), 1, max_pixels=100_000_000)


def test_later_tiff_frame_is_checked():
    data = as_bytes(
        Image.new("1", (10, 10)),
        "TIFF",
        save_all=True,
        append_images=[Image.new("1", (2000, 2000))],
    )
    file = io.BytesIO(data)
    check_header(file, "image/tiff", max_pixels=LIMIT)
    reader = PageReader(file, "image/tiff", max_pixels=LIMIT)
    with pytest.raises(TooManyPixels):
        reader.page(2)
    assert reader.page(1).size == (10, 10)


def test_no_pillow_limit_below_ours():
    data = png_header(60000, 60000)
    check_header(io.BytesIO(data), "image/png", max_pixels=60000 * 60000)


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_no_area(size):
    for data in (png_header(*size), gif((0, 0), size)):
        with pytest.raises(DamagedDocument):
            check_header(io.BytesIO(data), sniff(data), max_pixels=LIMIT)
        with pytest.raises(DamagedDocument):
            open_page(io.BytesIO(data), sniff(data), 1, max_pixels=LIMIT)


@pytest.mark.parametrize("pillow_format", TYPES)
def test_cut_off(pillow_format):
    data = as_bytes(Image.effect_noise((300, 300), 90).convert("RGB"), pillow_format)
    half = data[: len(data) // 2]
    with pytest.raises(DamagedDocument):
        page_of(half)
    with pytest.raises(DamagedDocument):
        check_header(io.BytesIO(data[:12]), TYPES[pillow_format], max_pixels=LIMIT)


@pytest.mark.parametrize("pillow_format", TYPES)
def test_header_check_and_count_leave_the_position(pillow_format):
    data = as_bytes(Image.new("RGB", (30, 20)), pillow_format)
    file = io.BytesIO(data)
    file.seek(7)
    check_header(file, TYPES[pillow_format], max_pixels=600)
    assert file.tell() == 0
    with pytest.raises(TooManyPixels, match="30 x 20"):
        check_header(file, TYPES[pillow_format], max_pixels=599)
    assert count_pages(file, TYPES[pillow_format], at_most=1) == 1
    assert file.tell() == 0
    assert not file.closed


def test_only_the_claimed_format_is_opened():
    png = as_bytes(Image.new("RGB", (9, 9)), "PNG")
    with pytest.raises(DamagedDocument):
        check_header(io.BytesIO(png), "image/tiff", max_pixels=LIMIT)
    for call in (
        lambda: check_header(io.BytesIO(png), "image/jxl", max_pixels=LIMIT),
        lambda: count_pages(io.BytesIO(png), "image/jxl", at_most=9),
        lambda: open_page(io.BytesIO(png), "image/jxl", 1, max_pixels=LIMIT),
    ):
        with pytest.raises(UnsupportedFormat):
            call()


def test_page_numbers():
    png = as_bytes(Image.new("RGB", (9, 9)), "PNG")
    with pytest.raises(ValueError, match="from 1"):
        page_of(png, 0)
    with pytest.raises(DamagedDocument, match="no page 2"):
        page_of(png, 2)


def test_single_page_types():
    assert [name for name in TYPES.values() if is_single_page(name)] == [
        "image/png", "image/jpeg", "image/webp",
    ]  # fmt: skip


@pytest.mark.parametrize("big", [False, True])
def test_tiff_loop_ends(big):
    data = bytearray(
        as_bytes(Image.new("L", (4, 4)), "TIFF", save_all=True, big_tiff=big,
                 append_images=[Image.new("L", (4, 4))])
    )  # fmt: skip
    file = io.BytesIO(bytes(data))
    from casola_ocr.documents.frames import tiff_directories

    first, second = list(tiff_directories(file))
    count_size, entry, pointer = (8, 20, "<Q") if big else (2, 12, "<L")
    entries = int.from_bytes(data[second : second + count_size], "little")
    struct.pack_into(pointer, data, second + count_size + entries * entry, first)
    assert count_pages(io.BytesIO(bytes(data)), "image/tiff", at_most=9) == 2
    struct.pack_into(pointer, data, second + count_size + entries * entry, len(data) + 9)
    cut = io.BytesIO(bytes(data))
    assert count_pages(cut, "image/tiff", at_most=9) == 3
    reader = PageReader(cut, "image/tiff", max_pixels=LIMIT)
    assert reader.page(2).size == (4, 4)
    with pytest.raises(DamagedDocument):
        reader.page(3)


@pytest.mark.parametrize("data", [b"II*\0\0\0\0\0", b"II*\0\xff\0\0\0", b"II*\0", b"GIF89a"])
def test_nothing_to_count(data):
    with pytest.raises(DamagedDocument):
        count_pages(io.BytesIO(data), sniff(data + bytes(20)), at_most=9)


def test_encoded_page_is_lossless_and_bare():
    source = as_bytes(draw_page(["Hello"]), "PNG", icc_profile=b"not a profile" * 20)
    image = page_of(source)
    encoded = encode_page(image)
    with Image.open(io.BytesIO(encoded)) as again:
        assert again.format == "PNG"
        assert "icc_profile" not in again.info
        assert ImageOps.invert(again.convert("RGB")).getbbox() is not None
        assert again.mode == "L", "a page without colour is kept as grey"
        assert again.convert("RGB").tobytes() == image.tobytes()
    image.putpixel((3, 3), (255, 254, 255))
    with Image.open(io.BytesIO(encode_page(image))) as again:
        assert again.tobytes() == image.tobytes()


def test_result_does_not_share_the_source():
    file = io.BytesIO(as_bytes(Image.new("RGB", (9, 9), "red"), "PNG"))
    reader = PageReader(file, "image/png", max_pixels=LIMIT)
    reader.page(1).paste("blue", (0, 0, 9, 9))
    assert reader.page(1).getpixel((0, 0)) == (255, 0, 0)
