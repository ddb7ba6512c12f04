"""A page's lines as its blocks and printed rows: what every layout-keeping output starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median

from casola_ocr.pages import Block, Line

#: Label of a block whose rows are a table's.
TABLE = "table"

#: Pieces of a row are cells when they stand at least this far apart, in heights.
_CELL_GAP = 0.8

Box = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Group:
    """A block with its rows; `box` as of a line. `label` is empty where nobody found blocks."""

    label: str
    box: Box
    rows: tuple[tuple[Line, ...], ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        return tuple(line for row in self.rows for line in row)


def group(lines: Sequence[Line], blocks: Sequence[Block]) -> list[Group]:
    """The lines by block, then by row, in the order in which they stand.

    Without blocks all lines are one group. Engines that tell no rows number none, and then each
    line is a row of its own. A block that no line names is left out.
    """
    numbered = any(line.row for line in lines)
    made = []
    for index, members in groupby(lines, key=lambda line: line.block):
        found = tuple(members)
        if numbered:
            rows = tuple(tuple(row) for _, row in groupby(found, key=lambda line: line.row))
        else:
            rows = tuple((line,) for line in found)
        known = blocks[index] if 0 <= index < len(blocks) else None
        label, box = (known.label, known.box) if known else ("", around(found))
        made.append(Group(label=label, box=box, rows=rows))
    return made


def cells(row: Sequence[Line]) -> list[list[Line]]:
    """The pieces of a table's row, those together that stand close."""
    made: list[list[Line]] = []
    for line in row:
        if made and _apart(made[-1][-1], line) < _CELL_GAP * height_of(row):
            made[-1].append(line)
        else:
            made.append([line])
    return made


def table_cells(found: Group) -> list[list[str]]:
    """The text of each row's cells.

    One that misses is empty, found by where the fullest row has its cells.
    """
    split = [cells(row) for row in found.rows]
    columns = [_centre(cell) for cell in max(split, key=len, default=[])]
    rows = []
    for row in split:
        texts: list[list[str]] = [[] for _ in columns]
        for index, cell in enumerate(row):
            column = index
            if len(row) < len(columns):
                distances = [abs(centre - _centre(cell)) for centre in columns]
                column = distances.index(min(distances))
            texts[column].extend(" ".join(line.text.split()) for line in cell)
        rows.append([" ".join(text) for text in texts])
    return rows


def height_of(row: Sequence[Line]) -> float:
    """How high a row's lines usually are, in pixels."""
    return median(line.box[3] - line.box[1] for line in row)


def _apart(one: Line, other: Line) -> int:
    return max(other.box[0] - one.box[2], one.box[0] - other.box[2])


def around(lines: Sequence[Line]) -> Box:
    """The smallest box that holds all lines, of which there is at least one."""
    x0, y0, x1, y1 = zip(*(line.box for line in lines), strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def _centre(cell: Sequence[Line]) -> float:
    x0, _, x1, _ = around(cell)
    return (x0 + x1) / 2
