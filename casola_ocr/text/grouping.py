"""A page's lines as its blocks and printed rows: what every layout-keeping output starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from casola_ocr.model import Block, Line

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


def around(lines: Sequence[Line]) -> Box:
    """The smallest box that holds all lines, of which there is at least one."""
    x0, y0, x1, y1 = zip(*(line.box for line in lines), strict=True)
    return min(x0), min(y0), max(x1), max(y1)
