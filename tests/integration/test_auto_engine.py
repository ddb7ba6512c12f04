"""The model ``auto``: which engine reads a page, and that the result fits the page."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from PIL import Image, ImageDraw

from casola_ocr.pages import PageResult
from casola_ocr.text.counts import count_words
from tests.pages import cer, draw_page, load_font
from workers.engines import make_engine
from workers.engines.base import Engine
from workers.engines.scripts import sample_of

pytest.importorskip("rapidocr")

ENGLISH = [
    "The quick brown fox jumps",
    "over the lazy dog at 12:45",
    "and pays $1,499.00 today",
    "to the owner of the house",
]
RUSSIAN = [
    "Съешь же ещё этих мягких",
    "французских булок, да выпей чаю",
    "Счёт на сумму 1499 рублей",
    "Большая квартира в центре",
]
GREEK = [
    "Η γρήγορη καφέ αλεπού πηδάει",
    "πάνω από το μεγάλο σκυλί",
    "και πληρώνει στο σπίτι της",
]
BOTH, FIRST = "pp-ocrv6+tesseract", "pp-ocrv6"

Box = tuple[int, int, int, int]


# For the session: once one of two is freed, OpenVINO (on processors with AMX) leaves a freed stack
# for signal handlers behind, and the next signal that Python handles ends the process.
@pytest.fixture(scope="session")
def engine() -> Engine:
    return make_engine("auto", 2)


def read(engine: Engine, image: Image.Image, language: str = "auto") -> PageResult:
    result = engine.read(image, page=3, attempt=2, language=language)
    check(result, image)
    return result


def check(result: PageResult, image: Image.Image) -> None:
    """What holds for every page, whatever is on it."""
    assert (result.width, result.height) == image.size
    assert (result.page, result.attempts) == (3, 2)
    shares = [result.confidence, result.confidence_low, result.confidence_raw]
    boxes = [block.box for block in result.blocks]
    for line in result.lines:
        boxes += [line.box, *(word.box for word in line.words if word.box)]
        shares += [line.confidence, *(word.confidence for word in line.words)]
        shares += [word.confidence_raw for word in line.words]
        assert 0 <= line.block < len(result.blocks)
        for word in line.words:
            assert line.text[word.start : word.start + len(word.text)] == word.text
        assert "".join(word.text for word in line.words) == "".join(line.text.split())
    for x0, y0, x1, y1 in boxes:
        assert 0 <= x0 < x1 <= result.width and 0 <= y0 < y1 <= result.height
        assert {type(value) for value in (x0, y0, x1, y1)} == {int}
    for share in shares:
        assert share is None or (type(share) is float and 0 <= share <= 1)
        assert share is None or round(share, 4) == share
    rows = [line.row for line in result.lines]
    assert rows == sorted(rows)
    assert len(result.text.splitlines()) == len(set(rows))
    assert "".join(result.text.split()) == "".join(
        "".join(line.text.split()) for line in result.lines
    )
    assert result.words == count_words(result.text)
    assert result.to_json()


def ink(image: Image.Image, box: Box) -> int:
    """Pixels that are rather dark in this part of the page."""
    return sum(image.crop(box).convert("L").histogram()[:128])


def check_on_ink(result: PageResult, image: Image.Image) -> None:
    """The lines lie on what is printed, and leave little of it out."""
    covered = Image.new("L", image.size, 0)
    for line in result.lines:
        assert ink(image, line.box) > 50
        covered.paste(255, line.box)
    white = Image.new("RGB", image.size, "white")
    left = Image.composite(white, image, covered)
    whole = (0, 0, *image.size)
    assert ink(left, whole) < 0.03 * ink(image, whole)


def text_of(lines: Sequence[str]) -> str:
    return "\n".join(lines)


def test_an_english_page_is_read_by_the_first_engine_alone(engine: Engine) -> None:
    result = read(engine, draw_page(ENGLISH))
    assert cer(text_of(ENGLISH), result.text) < 0.02
    assert (result.engine, result.flags, result.language) == (FIRST, ("auto_first",), "en")
    assert result.engine_version == engine.version.split(", ")[0]
    assert result.confidence is not None and result.confidence > 0.9


def test_a_russian_page_is_read_by_both(engine: Engine) -> None:
    result = read(engine, draw_page(RUSSIAN * 2))
    assert cer(text_of(RUSSIAN * 2), result.text) < 0.05
    assert (result.engine, result.flags, result.language) == (BOTH, ("auto_script",), "ru")
    assert result.engine_version == engine.version


def test_a_greek_page_is_read_by_both(engine: Engine) -> None:
    result = read(engine, draw_page(GREEK * 2))
    assert cer(text_of(GREEK * 2), result.text) < 0.06
    assert (result.engine, result.language) == (BOTH, "el")


def test_a_page_in_two_scripts_keeps_all_its_lines(engine: Engine) -> None:
    lines = [*ENGLISH, *RUSSIAN]
    image = draw_page(lines)
    result = read(engine, image)
    assert len(result.lines) == len(lines)
    assert cer(text_of(lines), result.text) < 0.03
    assert result.flags == ("auto_script",)
    check_on_ink(result, image)


@pytest.mark.parametrize(
    ("asked", "lines", "language"),
    [("ru", RUSSIAN, "ru"), ("en,ru", [*ENGLISH[:1], *RUSSIAN], "ru"), ("ru,en", ENGLISH, "en")],
)
def test_a_language_that_only_the_second_knows_is_read_by_both(
    engine: Engine, asked: str, lines: list[str], language: str
) -> None:
    result = read(engine, draw_page(lines), asked)
    assert cer(text_of(lines), result.text) < 0.03
    assert (result.engine, result.flags) == (BOTH, ("auto_language",))
    assert result.language == language


def test_a_language_that_the_first_knows_is_read_by_it_alone(engine: Engine) -> None:
    result = read(engine, draw_page(ENGLISH), "en")
    assert (result.engine, result.flags, result.language) == (FIRST, ("auto_first",), "en")


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (800, 1000), (30, 9000), (9000, 30)])
def test_a_blank_page_has_no_words(engine: Engine, size: tuple[int, int]) -> None:
    for language in ("auto", "ru"):
        result = read(engine, Image.new("RGB", size, "white"), language)
        assert (result.words, result.lines, result.text) == (0, (), "")
        assert (result.confidence, result.confidence_low, result.confidence_raw) == (None,) * 3
        assert "blank" in result.flags


def test_noise_is_no_text(engine: Engine) -> None:
    grain = Image.frombytes("L", (600, 800), random.Random(1).randbytes(480_000))
    assert {"blank", "low_confidence"} & set(read(engine, grain.convert("RGB")).flags)


@pytest.mark.parametrize("clockwise", [90, 180, 270])
@pytest.mark.parametrize(
    ("lines", "asked"), [(ENGLISH, "auto"), (RUSSIAN * 2, "auto"), (RUSSIAN * 2, "ru")]
)
def test_a_turned_page_is_read_and_its_boxes_are_those_of_the_page_as_it_is(
    engine: Engine, lines: list[str], asked: str, clockwise: int
) -> None:
    image = draw_page(lines).rotate(-clockwise, expand=True)
    result = read(engine, image, asked)
    assert result.rotation == 360 - clockwise
    assert cer(text_of(lines), result.text) < 0.05
    check_on_ink(result, image)


@pytest.mark.parametrize("lines", [ENGLISH, RUSSIAN])
@pytest.mark.parametrize("degrees", [-3, 3])
def test_a_skewed_page_keeps_its_order_and_its_boxes(
    engine: Engine, lines: list[str], degrees: int
) -> None:
    image = draw_page(lines * 2, rotate=degrees)
    result = read(engine, image)
    assert cer(text_of(lines * 2), result.text) < 0.03
    check_on_ink(result, image)


def test_tiny_text_is_read(engine: Engine) -> None:
    image = draw_page(ENGLISH, width=420, font_size=10)
    result = read(engine, image)
    assert cer(text_of(ENGLISH), result.text) < 0.05
    check_on_ink(result, image)


def draw_at(*pieces: tuple[int, int, str], size: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for x, y, text in pieces:
        draw.text((x, y), text, "black", load_font("DejaVuSans", 32))
    return image


@pytest.mark.parametrize(("left", "right"), [(ENGLISH, ENGLISH[::-1]), (RUSSIAN, RUSSIAN[::-1])])
def test_two_columns_are_read_one_after_the_other(
    engine: Engine, left: list[str], right: list[str]
) -> None:
    pieces = [
        (x, 50 + 60 * row, text)
        for x, rows in ((50, left), (720, right))
        for row, text in enumerate(rows)
    ]
    result = read(engine, draw_at(*pieces, size=(1400, 400)))
    assert cer(text_of([*left, *right]), result.text) < 0.03
    assert len(result.blocks) >= 2
    assert {block.label for block in result.blocks} == {"text"}


def test_a_table_has_tabs_in_its_text_and_pipes_in_its_markdown(engine: Engine) -> None:
    rows = [
        ["Article", "Amount", "Price"],
        ["Paper", "100", "12.50"],
        ["Pencils", "24", "7.99"],
        ["Stapler", "1", "15.00"],
    ]
    pieces = [
        (60 + 400 * column, 50 + 60 * row, text)
        for row, cells in enumerate(rows)
        for column, text in enumerate(cells)
    ]
    result = read(engine, draw_at(*pieces, size=(1240, 340)))
    assert result.text == "\n".join("\t".join(row) for row in rows)
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    assert result.markdown == "\n".join([head, "| --- | --- | --- |", *body])
    assert [block.label for block in result.blocks] == ["table"]


def test_the_price_on_a_receipt_stays_on_the_row_of_its_article(engine: Engine) -> None:
    rows = [("Whole milk", "1.29"), ("Dark bread", "3.49"), ("Red apples", "2.80")]
    rows += [("Ground coffee", "6.99"), ("TOTAL", "14.57")]
    pieces = [(40, 40 + 50 * row, name) for row, (name, _) in enumerate(rows)]
    pieces += [(440, 42 + 50 * row, price) for row, (_, price) in enumerate(rows)]
    found = read(engine, draw_at(*pieces, size=(580, 320))).text.splitlines()
    assert [" ".join(row.split()) for row in found] == [" ".join(row) for row in rows]


def test_a_word_divided_at_a_line_end_is_whole_in_markdown_alone(engine: Engine) -> None:
    lines = ["We send you the docu-", "ment as soon as it is", "signed by both of us."]
    result = read(engine, draw_page(lines))
    assert result.text == text_of(lines)
    assert result.markdown == "We send you the document as soon as it is signed by both of us."


def test_the_sample_of_a_page_shows_its_longest_lines() -> None:
    level = draw_page(ENGLISH)
    boxes = [
        (0, 0, 10, 10),
        (72, 72, 600, 115),
        (72, 130, 590, 172),
        (0, 5, 20, 15),
        (0, 9, 30, 19),
    ]
    sample = sample_of(level, boxes)
    assert sample.width == 528 + 2 * 16
    assert ink(sample, (0, 0, *sample.size)) == sum(ink(level, box) for box in boxes[1:])
    assert sample_of(level, boxes[:1]).size == (42, 42)
