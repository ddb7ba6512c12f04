from __future__ import annotations

import random
import time
from collections.abc import Sequence

from casola_ocr.pages import Line
from casola_ocr.text.reading_order import read_regions

HEIGHT = 20


def read_rows(lines: Sequence[Line]) -> list[list[Line]]:
    return [row for region in read_regions(lines) for row in region]


def arrange(lines: Sequence[Line]) -> tuple[tuple[Line, ...], str]:
    rows = read_rows(lines)
    text = "\n".join(" ".join(line.text for line in row) for row in rows)
    return tuple(line for row in rows for line in row), text


def line(text: str, x0: int, y0: int, x1: int | None = None, height: int = HEIGHT) -> Line:
    end = x0 + 10 * len(text) if x1 is None else x1
    return Line(text=text, confidence=0.9, box=(x0, y0, end, y0 + height))


def column(name: str, x: int, rows: int, y: int = 100, pitch: int = 30) -> list[Line]:
    """Justified prose: full lines, the last one short."""
    width = 400
    return [
        line(f"{name}{row}", x, y + pitch * row, x + (width if row < rows - 1 else width // 2))
        for row in range(rows)
    ]


def shuffled(lines: list[Line]) -> list[Line]:
    random.Random(7).shuffle(lines)
    return lines


def texts(lines: list[Line]) -> list[str]:
    return arrange(lines)[1].split("\n")


def test_nothing() -> None:
    assert arrange([]) == ((), "")


def test_one_line() -> None:
    only = line("alone", 5, 5)
    assert arrange([only]) == ((only,), "alone")


def test_the_lines_and_the_text_have_one_order() -> None:
    lines, text = arrange(shuffled(column("a", 50, 9) + column("b", 500, 9)))
    assert " ".join(one.text for one in lines) == text.replace("\n", " ")


def test_two_columns_on_one_grid_are_read_one_after_the_other() -> None:
    lines = shuffled(column("a", 50, 8) + column("b", 500, 8))
    assert texts(lines) == [f"a{row}" for row in range(8)] + [f"b{row}" for row in range(8)]


def test_three_columns_below_a_headline_and_above_a_footer() -> None:
    lines = [line("headline", 50, 20, 1350), line("footer", 50, 500, 1350)]
    for index, name in enumerate("abc"):
        lines += column(name, 50 + 450 * index, 10, y=100 + 7 * index)
    expected = ["headline", *(f"{name}{row}" for name in "abc" for row in range(10)), "footer"]
    assert texts(shuffled(lines)) == expected


def test_a_heading_across_the_middle_divides_the_columns() -> None:
    lines = column("a", 50, 5) + column("b", 500, 5)
    lines += [line("middle", 50, 280, 900)]
    lines += column("c", 50, 5, y=330) + column("d", 500, 5, y=330)
    expected = [f"{name}{row}" for name in "ab" for row in range(5)]
    expected += ["middle", *(f"{name}{row}" for name in "cd" for row in range(5))]
    assert texts(shuffled(lines)) == expected


def test_labels_and_prices_of_a_receipt_stay_on_one_row() -> None:
    names = ["Milk 1 l", "Bread", "Apples, red, 1 kg", "Coffee", "Chocolate", "Total"]
    lines = []
    for row, name in enumerate(names):
        lines += [line(name, 40, 50 + 30 * row), line(f"{row}.50", 600, 52 + 30 * row)]
    assert texts(shuffled(lines)) == [f"{name} {row}.50" for row, name in enumerate(names)]


def test_a_form_is_read_row_by_row() -> None:
    labels = ["Name", "Date of birth", "Street and number", "Town", "Country", "Signature"]
    lines = []
    for row, label in enumerate(labels):
        lines.append(line(label, 40, 60 + 60 * row))
        lines.append(line("value " * (1 + row % 3), 400, 60 + 60 * row))
    found = texts(shuffled(lines))
    assert [row.split(" value")[0] for row in found] == labels


def test_a_table_with_many_cells_is_read_row_by_row() -> None:
    lines = [
        line(f"r{row}c{cell}", 50 + 150 * cell, 50 + 30 * row)
        for row in range(12)
        for cell in range(6)
    ]
    expected = [" ".join(f"r{row}c{cell}" for cell in range(6)) for row in range(12)]
    assert texts(shuffled(lines)) == expected


def test_a_row_may_slope() -> None:
    # 24 pixels over the page: more than a line is high.
    lines = [
        line(f"w{index}", 50 + 100 * index, 50 + 3 * index, 140 + 100 * index) for index in range(9)
    ]
    lines += [
        line(f"v{index}", 50 + 100 * index, 80 + 3 * index, 140 + 100 * index) for index in range(9)
    ]
    expected = [" ".join(f"{name}{index}" for index in range(9)) for name in "wv"]
    assert texts(shuffled(lines)) == expected


def test_a_logo_beside_three_lines_does_not_join_them() -> None:
    lines = [line("LOGO", 40, 40, 200, height=90)]
    lines += [line(f"address{row}", 300, 40 + 30 * row) for row in range(3)]
    assert len(read_rows(lines)) == 4


def test_lines_that_overlap_sideways_are_two_rows() -> None:
    assert texts([line("lower", 50, 59), line("upper", 50, 50)]) == ["upper", "lower"]


def test_upright_japanese_is_read_from_the_right() -> None:
    lines = [
        Line(text="日本語の縦書き", confidence=0.9, box=(300 - 50 * n, 50, 330 - 50 * n, 400))
        for n in range(4)
    ]
    assert [one.box[0] for one in arrange(shuffled(list(lines)))[0]] == [300, 250, 200, 150]


def test_boxes_without_height_do_no_harm() -> None:
    lines = [Line(text=str(n), confidence=None, box=(5, 5, 5, 5)) for n in range(8)]
    assert sorted(arrange(lines)[1].split()) == sorted(one.text for one in lines)


def test_noise_of_two_thousand_boxes_is_fast_and_complete() -> None:
    source = random.Random(3)
    lines = []
    for number in range(2000):
        x, y = source.randrange(2000), source.randrange(3000)
        lines.append(line(str(number), x, y, x + source.randrange(5, 300)))
    start = time.process_time()
    found, _ = arrange(lines)
    assert sorted(one.text for one in found) == sorted(one.text for one in lines)
    assert time.process_time() - start < 5
