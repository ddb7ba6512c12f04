"""Searchable PDFs, as poppler, PDFium and qpdf see them."""

from __future__ import annotations

import io
import re
import runpy
import subprocess
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pikepdf
import pypdfium2
import pytest
from lxml import etree
from PIL import Image, ImageDraw

from casola_ocr.errors import PictureMissing
from casola_ocr.exports import FORMATS
from casola_ocr.exports.pdf_picture import MAX_DPI, page_dpi
from casola_ocr.exports.pdf_text import font_file
from casola_ocr.pages import Line, PageResult
from tests.exported import document, exported, failed, line, page
from tests.pages import as_bytes, draw_page

ROOT = Path(__file__).parents[2]
#: At this dpi a pixel is a point.
POINTS = (72, 72)
TEXTS = ("Hello wörld 12,50 office", "Привет мир", "漢字 かな 𠀋")
HEBREW = ("שלום עולם 2024 טוב", "אחד שתיים 3,5 שלוש")
LINES = tuple(line(text, y=40 + 80 * n) for n, text in enumerate(TEXTS))
PICTURE = Image.new("RGB", (800, 400), "white")


def picture(image: Image.Image = PICTURE, **save: Any) -> bytes:
    return as_bytes(image, "PNG", dpi=POINTS, **save)


def pdf(pages: list[PageResult], *pictures: bytes, **more: Any) -> bytes:
    made = exported("pdf", document(pages, pictures, **more))
    with pikepdf.open(io.BytesIO(made)) as opened:
        assert opened.check_pdf_syntax() == []
    return made


def poppler(made: bytes, *options: str) -> str:
    done = subprocess.run(
        ["pdftotext", *options, "-", "-"], input=made, capture_output=True, check=True
    )
    assert done.stderr == b""
    # Poppler brackets text from right to left with marks that change how a terminal shows it.
    return re.sub("[\u202a-\u202e]", "", done.stdout.decode())


def pdfium(made: bytes, number: int = 0) -> str:
    with pypdfium2.PdfDocument(made) as opened:
        return opened[number].get_textpage().get_text_range().replace("\r\n", "\n")


def boxes(made: bytes) -> dict[str, tuple[float, ...]]:
    """Words and their boxes in points as a reader sees the page, origin top left."""
    found = etree.fromstring(poppler(made, "-bbox").encode(), etree.HTMLParser(encoding="utf-8"))
    return {
        word.text: tuple(float(word.get(name)) for name in ("xmin", "ymin", "xmax", "ymax"))
        for word in found.iter("word")
    }


def turned(found: PageResult, image: Image.Image, degrees: int) -> tuple[PageResult, Image.Image]:
    """The page as if it lay turned counter-clockwise on the scanner."""
    width, height = image.size

    def box(old: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        x0, y0, x1, y1 = old
        return {
            0: old,
            90: (y0, width - x1, y1, width - x0),
            180: (width - x1, height - y1, width - x0, height - y0),
            270: (height - y1, x0, height - y0, x1),
        }[degrees]

    def moved(line: Line) -> Line:
        words = tuple(replace(word, box=box(word.box)) for word in line.words if word.box)
        return replace(line, box=box(line.box), words=words)

    image = image.rotate(degrees, expand=True)
    lines = tuple(map(moved, found.lines))
    size = {"width": image.width, "height": image.height}
    return replace(found, lines=lines, rotation=degrees, **size), image


@pytest.mark.parametrize("texts", [TEXTS, HEBREW])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_text_of_every_script_is_found_where_it_is_printed_however_the_page_lies(
    degrees: int, texts: tuple[str, ...]
) -> None:
    lines = tuple(line(text, y=40 + 80 * n) for n, text in enumerate(texts))
    found, image = turned(page(*lines), PICTURE, degrees)
    made = pdf([found], picture(image))
    # Poppler loses the space between a number and Hebrew, in every PDF.
    assert "".join(poppler(made).split()) == "".join(texts).replace(" ", "")
    assert pdfium(made).split() == " ".join(texts).split()
    placed = boxes(made)
    for printed in lines:
        for word in printed.words:
            # Poppler tells Hebrew in the order in which it stands.
            hebrew = "\u0590" <= word.text[0] <= "\u05ff"
            assert placed[word.text[::-1] if hebrew else word.text] == pytest.approx(
                word.box, abs=1
            )


def test_pdfium_marks_a_character_where_it_is_printed() -> None:
    made = pdf([page(LINES[0])], picture())
    with pypdfium2.PdfDocument(made) as opened:
        left, bottom, right, top = opened[0].get_textpage().get_charbox(0)
    assert (left, 400 - top, right, 400 - bottom) == pytest.approx((50, 40, 68, 76), abs=1)


def test_the_text_is_not_seen() -> None:
    made = pdf([page(*LINES)], picture())
    with pypdfium2.PdfDocument(made) as opened:
        shown = opened[0].render(scale=1).to_pil().convert("L")
    assert shown.getextrema() == (255, 255)


def test_a_line_without_word_boxes_is_written_over_its_box() -> None:
    made = pdf([page(line("no word boxes", words=False))], picture())
    assert poppler(made).strip() == "no word boxes"
    assert boxes(made)["no"] == pytest.approx((50, 40, 86, 76), abs=1)


def test_numbers_inside_hebrew_keep_their_order() -> None:
    made = pdf([page(line("סך 12,50 שקל", words=False))], picture())
    assert pdfium(made).split() == ["סך", "12,50", "שקל"]


def test_control_characters_do_no_harm() -> None:
    made = pdf([page(line("bell\x07 (x) \\ <y> \x00", words=False))], picture())
    assert poppler(made).split() == ["bell\ufffd", "(x)", "\\", "<y>", "\ufffd"]


def test_pages_keep_their_order_and_a_page_that_was_not_read_is_there() -> None:
    pages = [page(line(f"page {n}"), number=n) for n in (1, 2, 3)]
    pages[1] = failed(2)
    made = pdf(pages, picture(), b"damaged", picture())
    assert [part.strip() for part in poppler(made).split("\f")] == ["page 1", "", "page 3", ""]
    with pypdfium2.PdfDocument(made) as opened:
        assert opened[1].get_size()[1] > 800


def test_a_picture_that_is_gone_is_told_before_anything_is_written() -> None:
    chunks = FORMATS["pdf"].write(document([page(line("a"))]))
    with pytest.raises(PictureMissing):
        next(chunks)


def test_the_title_is_the_files_name() -> None:
    with pikepdf.open(io.BytesIO(pdf([page()], picture(), file_name="Größe (1)\\.png"))) as made:
        assert str(made.docinfo.Title) == "Größe (1)\\.png"
        assert str(made.docinfo.Producer).startswith("Casola OCR")


def image_of(made: bytes) -> Any:
    with pikepdf.open(io.BytesIO(made)) as opened:
        found = opened.pages[0].Resources.XObject.I
        return dict(found.items()), found.read_raw_bytes()


@pytest.mark.parametrize("media_type", ["image/png", "image/tiff"])
def test_two_tones_keep_every_pixel(media_type: str, tmp_path: Path) -> None:
    image = draw_page(["black on white"], width=600).convert("1", dither=Image.Dither.NONE)
    data = as_bytes(image, media_type.removeprefix("image/"), dpi=(300, 300))
    made = pdf([page(width=600, height=image.height)], data, media_type=media_type)
    entries, raw = image_of(made)
    assert (entries["/Filter"], entries["/BitsPerComponent"]) == ("/CCITTFaxDecode", 1)
    assert len(raw) < 2000
    (tmp_path / "a.pdf").write_bytes(made)
    subprocess.run(["pdfimages", "-png", tmp_path / "a.pdf", tmp_path / "a"], check=True)
    with Image.open(tmp_path / "a-000.png") as kept:
        assert kept.convert("L").tobytes() == image.convert("L").tobytes()


def test_grey_and_colour_are_scaled_to_what_a_reader_needs() -> None:
    image = draw_page(["grey"], width=1200, noise=0.2)
    entries, _ = image_of(pdf([page()], as_bytes(image, "PNG", dpi=(300, 300))))
    assert (entries["/ColorSpace"], entries["/Filter"]) == ("/DeviceGray", "/DCTDecode")
    assert entries["/Width"] == 1200 * MAX_DPI // 300
    ImageDraw.Draw(image).rectangle((0, 0, 50, 50), fill="red")
    entries, _ = image_of(pdf([page()], as_bytes(image, "PNG", dpi=(300, 300))))
    assert entries["/ColorSpace"] == "/DeviceRGB"


def test_a_small_jpeg_is_taken_as_it_is_and_others_are_written_again() -> None:
    image = draw_page(["photo"], width=1000)
    data = as_bytes(image, "JPEG", dpi=(150, 150), quality=60)
    found = page(width=1000, height=image.height)
    assert image_of(pdf([found], data, media_type="image/jpeg"))[1] == data
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = as_bytes(image, "JPEG", dpi=(150, 150), exif=exif)
    entries, _ = image_of(pdf([found], lying, media_type="image/jpeg"))
    assert (entries["/Width"], entries["/Height"]) == (image.height, 1000)
    inks = as_bytes(image.convert("CMYK"), "JPEG", dpi=(150, 150))
    entries, _ = image_of(pdf([found], inks, media_type="image/jpeg"))
    assert entries["/ColorSpace"] != "/DeviceCMYK"


@pytest.mark.parametrize(
    ("size", "told", "dpi"),
    [((2480, 3508), 300, 300), ((2480, 3508), None, 300), ((1240, 1754), None, 155),
     ((2480, 3508), 1, 300), ((2480, 3508), 72, 300), ((500, 300), None, 72),
     ((40_000, 100), None, 300), ((90_000, 100), 300, 450)],
)  # fmt: skip
def test_the_size_of_a_page_is_what_the_file_tells_or_a_usual_one(
    size: tuple[int, int], told: float | None, dpi: float
) -> None:
    assert page_dpi(*size, told) == pytest.approx(dpi, abs=1)


def test_memory_does_not_grow_with_the_document() -> None:
    # A picture that compresses to far more than is held for a page.
    noise = as_bytes(draw_page(["x"], width=700, noise=1.0), "JPEG", dpi=POINTS, quality=90)
    peaks = []
    for count in (10, 100):
        pages = [page(LINES[0], number=n) for n in range(1, count + 1)]
        made = document(pages, [noise] * count, media_type="image/jpeg")
        tracemalloc.start()
        size = sum(map(len, FORMATS["pdf"].write(made)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert size > count * 10_000
    assert peaks[1] < peaks[0] * 2


def test_a_document_of_many_characters_keeps_them_all() -> None:
    characters = [chr(0x4E00 + n) for n in range(3000)]
    lines = [
        line("".join(characters[at : at + 30]), y=10 + at // 30 * 3, height=3, words=False)
        for at in range(0, 3000, 30)
    ]
    made = pdf([page(*lines)], picture())
    assert "".join(poppler(made).split()) == "".join(characters)


def test_the_font_is_what_its_maker_writes() -> None:
    make = runpy.run_path(str(ROOT / "docs" / "make_font.py"))["make"]
    assert make() == font_file()
