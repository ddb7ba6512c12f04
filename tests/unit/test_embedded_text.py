"""The text that a PDF has inside: where it stands, and when it is not believed."""

from __future__ import annotations

import io

import pikepdf
import pytest
from PIL import Image, ImageChops, ImageDraw

from casola_ocr.documents import is_plausible
from casola_ocr.documents.embedded_text import EmbeddedText, Letter
from casola_ocr.documents.pdf import PdfReader
from casola_ocr.pages import Line
from casola_ocr.text.page import build_page
from casola_ocr.text.upright import Upright
from tests.pages import draw_page
from tests.pdfs import A4, LETTERS, Page, make_pdf, scan_page, text_page

SPREAD = [f"Line {n} of a page that is full of ordinary words to the end." for n in range(30)]


def read(page: Page) -> tuple[EmbeddedText, tuple[Line, ...], Image.Image]:
    with PdfReader(make_pdf([page]), max_pixels=100_000_000) as document:
        image = document.page(1)
        embedded = document.text(1, image.size)
    return embedded, embedded.lines(image.size), image


def text_of(lines: tuple[Line, ...], image: Image.Image) -> str:
    return build_page(
        lines,
        page=1,
        upright=Upright(image.size),
        engine="",
        engine_version="",
        attempts=1,
        seconds=0,
    ).text


def believed(page: Page) -> bool:
    embedded, lines, image = read(page)
    assert lines
    return is_plausible(embedded, lines, image)


def ink(image: Image.Image) -> Image.Image:
    return ImageChops.invert(image.convert("L")).point(lambda level: 255 * (level > 128))


@pytest.mark.parametrize("crop", ["", "/CropBox [30 400 560 820]"])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_boxes_lie_on_the_ink(turn: int, crop: str) -> None:
    _, lines, image = read(text_page(extra=f"/Rotate {turn} {crop}"))
    assert sorted(line.text for line in lines) == sorted(LETTERS)
    black = ink(image)
    for line in lines:
        for word in line.words:
            assert word.box is not None
            assert line.text[word.start :].startswith(word.text)
            around = black.crop(word.box).getbbox()
            assert around is not None, word
            width, height = word.box[2] - word.box[0], word.box[3] - word.box[1]
            # The box is tight: the ink reaches to within two pixels of each side.
            assert max(around[0], around[1], width - around[2], height - around[3]) <= 2, word
    outside = ImageDraw.Draw(black)
    for line in lines:
        x0, y0, x1, y1 = line.box
        outside.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), fill=0)
    assert black.getbbox() is None, "every letter is in the box of its line"


def test_a_page_of_words_is_believed_and_has_no_confidence() -> None:
    embedded, lines, image = read(text_page(SPREAD))
    assert is_plausible(embedded, lines, image)
    assert text_of(lines, image) == "\n".join(SPREAD)
    assert {line.confidence for line in lines} | {lines[0].words[0].confidence} == {None}
    assert embedded.version[0].isdigit()


def test_what_was_cut_off_by_the_crop_box_is_not_delivered() -> None:
    _, lines, _ = read(text_page(SPREAD, extra="/CropBox [0 700 595 842]"))
    assert 1 <= len(lines) < 10


def test_cells_of_a_row_are_pieces_of_their_own() -> None:
    page = text_page(["Item", "Paper"])
    page.content += "BT /F 12 Tf 300 782 Td (Price) Tj 0 -18 Td (12.50) Tj ET\n"
    _, lines, image = read(page)
    assert sorted(line.text for line in lines) == ["12.50", "Item", "Paper", "Price"]
    assert text_of(lines, image) == "Item\tPrice\nPaper\t12.50"


def test_a_page_without_text_has_no_lines() -> None:
    embedded, lines, _ = read(scan_page(draw_page(["Hello"])))
    assert lines == ()
    assert embedded.letters == ()
    assert embedded.pictured


def test_the_layer_of_a_good_scan_is_believed() -> None:
    image = draw_page(SPREAD[:12], width=1240, font_size=28, font="LiberationSans")
    size = (image.width * 72 / 150, image.height * 72 / 150)
    points = 28 * 72 / 150
    step = (28 * 8 // 5) * 72 / 150
    content = "".join(
        f"BT 3 Tr /F {points} Tf {56 * 72 / 150} {size[1] - (56 + 26) * 72 / 150 - n * step} Td "
        f"({line}) Tj ET\n"
        for n, line in enumerate(SPREAD[:12])
    )
    assert believed(scan_page(image, size=size, over=Page(content, size)))


def test_a_scan_with_only_a_stamped_header_is_not_believed() -> None:
    stamp = text_page(["Received on 12 May 2021, file number 4711"], at=(50, 820), points=10)
    assert not believed(scan_page(draw_page(SPREAD, font_size=24), over=stamp))


def test_hidden_text_is_not_believed() -> None:
    assert not believed(text_page(SPREAD, mode=3)), "invisible on an empty page"
    white = text_page(SPREAD)
    white.content = "1 1 1 rg " + white.content
    assert not believed(white)


def test_text_that_stands_sideways_is_left_to_engines() -> None:
    page = text_page(SPREAD[:8])
    page.content = f"q 0 1 -1 0 {A4[1]} 0 cm {page.content} Q"
    assert not believed(page)


def test_a_page_with_more_letters_than_are_looked_at_is_not_half_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("casola_ocr.documents.pdf._MOST_LETTERS", 500)
    assert believed(text_page(SPREAD[:4]))
    assert not believed(text_page(SPREAD))


def garbled(text: str) -> bool:
    letters = []
    image = Image.new("RGB", (2000, 60), "white")
    draw = ImageDraw.Draw(image)
    for n, letter in enumerate(text):
        if letter == " ":
            letters.append(Letter(text=" "))
            continue
        box = (10 + n * 12, 10, 20 + n * 12, 40)
        draw.rectangle(box, fill="black")
        letters.append(Letter(text=letter, box=box, height=30))
    embedded = EmbeddedText(letters=tuple(letters))
    return not is_plausible(embedded, embedded.lines(image.size), image)


@pytest.mark.parametrize(
    "text",
    [
        "\ue012\ue013\ue014 \ue015\ue016",
        "ordinary words \ufffd\ufffd\ufffd",
        "7KLV\x03LV\x03D\x03WHVW",
        "(cid:12)(cid:45)(cid:7) (cid:3)",
        "GrÃ¼ÃŸe aus MÃ¼nchen",
        "donâ€™t",
        "!§$% &/()= ?`*' #+~",
        "7KLVLVDWHVWDQGLWJRHVRQIRUDOLQHRUWZRVRWKDWWKHUHDUHPDQBOHWWHUVLQLW",
        "word \U000e0fff\U000e0ffe\U000e0ffd",
    ],
)
def test_garbled_encodings_are_not_believed(text: str) -> None:
    assert garbled(text)


@pytest.mark.parametrize(
    "text",
    [
        "Plain words",
        "Contents ........................ 12",
        "12.50 1,250.00 99 % 4711/03",
        "日本語の文章です。",
        "Привет, мир",
        "שלום עולם",
        "مرحبا بالعالم",
        "สวัสดีชาวโลก",
        "नमस्ते दुनिया",
        "Größe, façade, naïve: Ångström §5",
        "strč prst skrz krk",
        "HTTP TLS XML JSON SQL",
    ],
)
def test_every_script_and_numbers_and_leaders_are_believed(text: str) -> None:
    assert not garbled(text)


def test_joined_forms_of_fonts_become_letters_and_hyphens_hyphens() -> None:
    letters = [
        Letter(text=letter, box=(n * 10, 0, n * 10 + 9, 20), height=20)
        for n, letter in enumerate("e\ufb03cient\x02")
    ]
    (line,) = EmbeddedText(letters=tuple(letters)).lines((200, 20))
    assert line.text == "efficient-"


@pytest.mark.parametrize(
    ("written", "character"),
    [("D83DDE00", "😀"), ("D840DC0B", "𠀋"), ("D83D", "\ufffd"), ("DE00", "\ufffd"),
     ("DE00D83D", "\ufffd\ufffd"), ("DBFFDFFF", "\U0010ffff"),
     ("0000", "\ufffd"), ("0007", "\ufffd")],
)  # fmt: skip
def test_a_character_in_halves_is_made_whole_and_what_no_text_may_hold_is_told(
    written: str, character: str
) -> None:
    with pikepdf.open(io.BytesIO(make_pdf([text_page()]))) as changed:
        # What the font says that its letter q is.
        changed.pages[0].Resources.Font.F.ToUnicode = changed.make_stream(
            b"begincmap 1 begincodespacerange <00> <FF> endcodespacerange "
            b"1 beginbfchar <71> <" + written.encode() + b"> endbfchar endcmap"
        )
        data = io.BytesIO()
        changed.save(data)
    with PdfReader(data.getvalue(), max_pixels=100_000_000) as document:
        image = document.page(1)
        lines = document.text(1, image.size).lines(image.size)
    assert lines[0].text == LETTERS[0].replace("q", character)
    assert [word.text for word in lines[0].words] == lines[0].text.split()


def test_words_from_right_to_left_stay_one_line() -> None:
    letters: list[Letter] = []
    for n, letter in enumerate("שלום עולם"):
        at = 200 - 10 * n
        letters.append(
            Letter(text=" ")
            if letter == " "
            else Letter(text=letter, box=(at, 0, at + 9, 20), height=20)
        )
    (line,) = EmbeddedText(letters=tuple(letters)).lines((300, 20))
    assert line.text == "שלום עולם"
    assert [word.box for word in line.words] == [(170, 0, 209, 20), (120, 0, 159, 20)]


def test_words_that_run_the_other_way_stay_in_their_line() -> None:
    """As pdfium gives them: in the order of the text, a glyph of two letters turned round."""
    boxes = [
        ("ك", 200, 209), ("ا", 180, 198), ("ل", 180, 198), (" ", 0, 0), ("و", 165, 170),
        ("P", 80, 98), ("D", 99, 110), ("F", 111, 120), (" ", 0, 0),
        ("A", 122, 140), ("B", 141, 160), (" ", 0, 0), ("م", 60, 70),
    ]  # fmt: skip
    letters = tuple(
        Letter(text=" ") if text == " " else Letter(text=text, box=(x0, 0, x1, 10), height=10)
        for text, x0, x1 in boxes
    )
    (line,) = EmbeddedText(letters=letters).lines((300, 20))
    assert line.text == "كلا و PDF AB م"
    assert line.words[1].start == 4
