"""Lines in any order as blocks, rows and text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casola_ocr.pages import Line, Word
from casola_ocr.text.layout import Layout, lay_out
from casola_ocr.text.markdown import markdown_of

WIDTH, HEIGHT, PITCH = 10, 20, 28


def line(text: str, x: int = 50, y: int = 50, height: int = HEIGHT) -> Line:
    words, at = [], 0
    for part in text.split():
        box = (x + WIDTH * at, y, x + WIDTH * (at + len(part)), y + height)
        words.append(Word(text=part, confidence=0.9, start=at, box=box))
        at += len(part) + 1
    box = (x, y, x + WIDTH * len(text), y + height)
    return Line(text=text, confidence=0.9, box=box, words=tuple(words))


def rows(*texts: str, x: int = 50, y: int = 50) -> list[Line]:
    return [line(text, x, y + PITCH * number) for number, text in enumerate(texts)]


def labels(layout: Layout) -> list[str]:
    return [block.label for block in layout.blocks]


def check(layout: Layout) -> None:
    numbers = [one.row for one in layout.lines]
    assert numbers == sorted(numbers)
    blocks = [one.block for one in layout.lines]
    assert blocks == sorted(blocks)
    assert set(blocks) == set(range(len(layout.blocks)))
    assert len(layout.text.split("\n")) == len(set(numbers)) or not layout.lines
    for index, block in enumerate(layout.blocks):
        boxes = [one.box for one in layout.lines if one.block == index]
        lefts, tops, rights, bottoms = zip(*boxes, strict=True)
        assert block.box == (min(lefts), min(tops), max(rights), max(bottoms))


def test_nothing_is_no_block_and_no_text() -> None:
    assert lay_out([]) == Layout(lines=(), blocks=(), text="")


def test_one_line_is_one_block() -> None:
    layout = lay_out([line("alone")])
    assert layout.text == "alone"
    assert [(block.label, block.box) for block in layout.blocks] == [("text", (50, 50, 100, 70))]


def test_rows_are_lines_of_the_text_and_a_wider_gap_ends_a_block() -> None:
    found = rows("one two three", "four five") + rows("six seven", "eight", y=150)
    layout = lay_out(found[::-1])
    assert layout.text == "one two three\nfour five\nsix seven\neight"
    assert [one.block for one in layout.lines] == [0, 0, 1, 1]
    assert [one.row for one in layout.lines] == [0, 1, 2, 3]
    check(layout)


def test_pieces_of_a_row_have_a_space_between_them() -> None:
    layout = lay_out([line("left"), line("right", x=95)])
    assert layout.text == "left right"
    assert [one.row for one in layout.lines] == [0, 0]


def test_cells_below_each_other_are_a_table_with_tabs() -> None:
    found = []
    for number, cells in enumerate((("Article", "Price"), ("Paper", "12.50"), ("Ink", "7.99"))):
        found += [line(cell, 50 + 300 * n, 50 + PITCH * number) for n, cell in enumerate(cells)]
    layout = lay_out(found)
    assert layout.text == "Article\tPrice\nPaper\t12.50\nInk\t7.99"
    assert labels(layout) == ["table"]
    check(layout)


def test_a_cell_of_several_pieces_is_one_cell() -> None:
    found = [line("Red"), line("wine", x=85), line("12.50", x=400)]
    found += [line("Beer", y=78), line("7.99", x=400, y=78)]
    layout = lay_out(found)
    assert layout.text == "Red wine\t12.50\nBeer\t7.99"
    markdown = markdown_of(layout.lines, layout.blocks)
    assert markdown == "| Red wine | 12.50 |\n| --- | --- |\n| Beer | 7.99 |"


def test_text_above_and_below_a_table_is_no_part_of_it() -> None:
    found = rows("Dear Sir or Madam,", "we send you what you ordered:")
    for number in range(3):
        y = 106 + PITCH * number
        found += [line(f"Article {number}", y=y), line("12.50", x=400, y=y)]
    found += rows("Kind regards", y=190)
    layout = lay_out(found)
    assert labels(layout) == ["text", "table", "text"]
    check(layout)


def test_one_row_with_cells_is_no_table() -> None:
    found = [*rows("Letter head"), line("Berlin", y=78), line("3 May", x=400, y=78)]
    layout = lay_out([*found, *rows("Dear Sir", y=106)])
    assert set(labels(layout)) == {"text"}
    assert "\t" not in layout.text


def test_columns_are_blocks_of_their_own() -> None:
    prose = "prose that fills its column"
    layout = lay_out(rows(*[prose] * 5) + rows(*[prose] * 5, x=400))
    assert [one.box[0] for one in layout.lines] == [50] * 5 + [400] * 5
    assert labels(layout) == ["text", "text"]
    check(layout)


def test_a_row_of_hebrew_is_read_from_the_right() -> None:
    layout = lay_out([line("שלום", x=300), line("עולם", x=250)])
    assert layout.text == "שלום עולם"


def test_upright_chinese_is_one_block_read_from_the_right() -> None:
    found = [
        Line(text=text, confidence=0.9, box=(300 - 50 * n, 50, 330 - 50 * n, 400))
        for n, text in enumerate(("天地玄黃", "宇宙洪荒", "日月盈昃"))
    ]
    layout = lay_out(found[::-1])
    assert layout.text == "天地玄黃\n宇宙洪荒\n日月盈昃"
    assert labels(layout) == ["text"]


def test_a_line_across_a_gutter_becomes_one_in_each_column() -> None:
    prose = "prose that fills its column"
    found = rows(*[prose] * 7) + rows(*[prose] * 7, x=360)
    across = [one for one in found if one.box[1] == 50 + 3 * PITCH]
    joined = line(f"{prose}    {prose}", y=50 + 3 * PITCH)
    words = tuple(
        Word(text=word.text, confidence=0.9, start=start + word.start, box=word.box)
        for start, one in zip((0, 31), across, strict=True)
        for word in one.words
    )
    joined = Line(text=joined.text, confidence=0.9, box=joined.box, words=words)
    layout = lay_out([*(one for one in found if one not in across), joined])
    assert layout.text == "\n".join([prose] * 14)
    check(layout)


@pytest.mark.parametrize("height", [0, 1])
def test_boxes_without_height_do_no_harm(height: int) -> None:
    check(lay_out([line("a b", 50, 50, height), line("c", 50, 50, height)] * 4))


BOXES = st.tuples(
    st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 40), st.integers(0, 60)
)


@st.composite
def pages(draw: st.DrawFn) -> list[Line]:
    return [
        line(" ".join(f"w{number}_{n}" for n in range(words % 4 + 1)), x, y, height)
        for number, (x, y, words, height) in enumerate(draw(st.lists(BOXES, max_size=40)))
    ]


def every_word(lines: Sequence[Line]) -> Counter[str]:
    return Counter(word.text for one in lines for word in one.words)


@given(pages())
def test_every_word_is_there_exactly_once(found: list[Line]) -> None:
    layout = lay_out(found)
    check(layout)
    assert every_word(layout.lines) == every_word(found)
    assert Counter(layout.text.split()) == every_word(found)
    for one in layout.lines:
        spoken = [one.text[word.start : word.start + len(word.text)] for word in one.words]
        assert spoken == [word.text for word in one.words]
