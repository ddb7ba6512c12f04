from __future__ import annotations

from casola_ocr.pages import Block
from casola_ocr.text.grouping import group
from tests.exported import line


def test_without_blocks_and_rows_all_lines_are_one_group_of_single_rows() -> None:
    lines = (line("a", y=0), line("b", y=50))
    (found,) = group(lines, ())
    assert found.label == ""
    assert found.rows == ((lines[0],), (lines[1],))
    assert found.box == (50, 0, 68, 86)


def test_lines_of_a_row_stay_together_and_blocks_keep_their_own_box() -> None:
    blocks = (Block(label="text", box=(1, 2, 3, 4)), Block(label="table", box=(5, 6, 7, 8)))
    lines = (
        line("intro", row=0),
        line("a", row=1, block=1),
        line("b", row=1, block=1),
        line("c", row=2, block=1),
    )
    first, second = group(lines, blocks)
    assert (first.label, first.box) == ("text", (1, 2, 3, 4))
    assert [len(row) for row in second.rows] == [2, 1]
    assert second.lines == lines[1:]


def test_a_block_that_the_page_does_not_have_is_taken_as_its_lines() -> None:
    (found,) = group((line("a", block=7),), (Block(label="text", box=(0, 0, 1, 1)),))
    assert found.label == ""


def test_no_lines_are_no_groups() -> None:
    assert group((), ()) == []
