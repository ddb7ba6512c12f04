"""The lines of a page as regions, blocks and rows, and the text that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from casola_ocr.pages import Block, Line
from casola_ocr.text.grouping import TABLE, around, cells, height_of
from casola_ocr.text.gutters import split_lines
from casola_ocr.text.reading_order import is_upright, read_regions

TEXT = "text"
#: Between the cells of a table's row, which a space would run together.
CELL_BREAK = "\t"

#: A gap between rows that is larger than the usual one by this part of a height ends a block.
_BLOCK_GAP = 0.5
#: Rows of a table are no further apart, in heights.
_TABLE_GAP = 2.5
_TABLE_ROWS = 2

_Row = list[Line]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Lines in reading order with `block` and `row` set, the blocks, and the page's text."""

    lines: tuple[Line, ...]
    blocks: tuple[Block, ...]
    text: str


def lay_out(found: Sequence[Line]) -> Layout:
    """Find columns, blocks, tables and rows of lines in any order.

    Boxes are of a level page: pixels, origin top left. In the text a row is a line; the cells of a
    table's row have tabs between them, other pieces of a row a space.
    """
    upright = is_upright(found)
    lines: list[Line] = []
    blocks: list[Block] = []
    texts: list[str] = []
    for region in read_regions(split_lines(found)):
        parts = [(TEXT, region)] if upright else _blocks(region)
        for label, rows in parts:
            for row in rows:
                placed = [replace(line, block=len(blocks), row=len(texts)) for line in row]
                texts.append(_row_text(row, label))
                lines.extend(placed)
            blocks.append(Block(label=label, box=around([line for row in rows for line in row])))
    return Layout(lines=tuple(lines), blocks=tuple(blocks), text="\n".join(texts))


def _row_text(row: _Row, label: str) -> str:
    if label != TABLE:
        return " ".join(line.text for line in row)
    return CELL_BREAK.join(" ".join(line.text for line in cell) for cell in cells(row))


def _blocks(rows: Sequence[_Row]) -> list[tuple[str, list[_Row]]]:
    """Rows that belong together, in their order, with what they are."""
    made: list[tuple[str, list[_Row]]] = []
    usual = _usual_gap(rows)
    for label, run in _runs(rows):
        if label == TABLE:
            made.append((label, run))
            continue
        part: list[_Row] = []
        for row in run:
            if part and _gap(part[-1], row) > usual + _BLOCK_GAP * height_of(row):
                made.append((TEXT, part))
                part = []
            part.append(row)
        made.append((TEXT, part))
    return made


def _runs(rows: Sequence[_Row]) -> list[tuple[str, list[_Row]]]:
    """Stretches of rows that are a table, and those between them."""
    made: list[tuple[str, list[_Row]]] = []
    at = 0
    while at < len(rows):
        end = at + 1
        while end < len(rows) and _same_table(rows[end - 1], rows[end]):
            end += 1
        is_table = end - at >= _TABLE_ROWS
        if made and not is_table and made[-1][0] == TEXT:
            made[-1][1].extend(rows[at:end])
        else:
            made.append((TABLE if is_table else TEXT, list(rows[at:end])))
        at = end
    return made


def _same_table(above: _Row, below: _Row) -> bool:
    """Whether both rows have cells, at least two of which stand below each other."""
    if _gap(above, below) > _TABLE_GAP * height_of(below):
        return False
    upper, lower = ([around(cell) for cell in cells(row)] for row in (above, below))
    if min(len(upper), len(lower)) < 2:
        return False
    shared = sum(any(min(a[2], b[2]) > max(a[0], b[0]) for a in upper) for b in lower)
    return shared >= 2


def _usual_gap(rows: Sequence[_Row]) -> float:
    gaps = [_gap(above, below) for above, below in pairwise(rows)]
    return max(0.0, median(gaps)) if gaps else 0.0


def _gap(above: _Row, below: _Row) -> int:
    return min(line.box[1] for line in below) - max(line.box[3] for line in above)
