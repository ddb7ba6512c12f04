"""The HTML tables that a model writes: their cells, as text in columns and as safe HTML.

Only the tags of a table are read as markup. All else in it, comments and scripts too, is text that
was printed on the page; ``html.parser`` would drop the first and swallow what follows the second,
and it does not tell where a cell's characters stood.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from casola_ocr.text.layout import CELL_BREAK
from casola_ocr.text.traced import Traced

#: A cell covers no more rows or columns than this, so that no table is larger than what tells it.
MOST_SPAN = 50
#: Columns up to which cells that cover several keep the others in their places.
MOST_COLUMNS = 200

_TAG = re.compile(r"<(/?)(table|caption|thead|tbody|tfoot|tr|td|th)\b([^<>]{0,200})>", re.I)
_TABLE_TAG = re.compile(r"<(/?)table\b[^<>]{0,200}>", re.I)
_SPAN = re.compile(r"\b(row|col)span\s*=\s*[\"']?\s*(\d{1,4})", re.I)
_LINE_BREAK = re.compile(r"<br\s*/?>", re.I)
_REFERENCE = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_SPACES = re.compile(r"\s+")
_NOTHING = Traced("", ())


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell's text on one line, and how many rows and columns it covers."""

    text: Traced
    head: bool = False
    rows: int = 1
    columns: int = 1


@dataclass(frozen=True, kw_only=True)
class Row:
    #: ``thead``, ``tbody`` or ``tfoot``; empty outside them.
    section: str
    cells: list[Cell] = field(default_factory=list)


def tables_in(text: str, *, whole: bool) -> list[tuple[bool, int, int]]:
    """Stretches of a text as (is a table, start, end), in their order, without gaps.

    A table inside a table is part of it, and one that is cut off lasts to the end. With `whole`
    rows that no table is around are one.
    """
    found: list[tuple[bool, int, int]] = []
    depth = start = end = 0
    for tag in _TABLE_TAG.finditer(text):
        if not tag[1]:
            start = start if depth else tag.start()
            depth += 1
        elif depth:
            depth -= 1
            if not depth:
                found += [(False, end, start), (True, start, tag.end())]
                end = tag.end()
    if depth:
        found += [(False, end, start), (True, start, len(text))]
    elif whole and not found and _TAG.search(text):
        found.append((True, 0, len(text)))
    else:
        found.append((False, end, len(text)))
    return [(is_table, first, last) for is_table, first, last in found if first < last]


def without_tags(text: str) -> str:
    """The text with a space for each tag of a table."""
    return _TAG.sub(" ", text)


def read_table(table: Traced) -> list[Row]:
    """The rows that have cells. Text between cells, such as a caption, is a cell as well."""
    rows: list[Row] = []
    section, attributes, name, end = "", "", "", 0
    row: Row | None = None

    def add(text: Traced) -> None:
        nonlocal row
        cleaned = _cell_text(text)
        if name not in ("td", "th") and not cleaned.text:
            return
        if row is None:
            row = Row(section=section)
            rows.append(row)
        spans = {kind.lower(): int(number) for kind, number in _SPAN.findall(attributes)}
        row.cells.append(
            Cell(
                text=cleaned,
                head=name == "th",
                rows=min(MOST_SPAN, max(1, spans.get("row", 1))),
                columns=min(MOST_SPAN, max(1, spans.get("col", 1))),
            )
        )

    for tag in _TAG.finditer(table.text):
        add(table.slice(end, tag.start()))
        end = tag.end()
        closing, opened = bool(tag[1]), tag[2].lower()
        name = attributes = ""
        if opened in ("td", "th"):
            if not closing:
                name, attributes = opened, tag[3]
            continue
        row = None
        if opened in ("thead", "tbody", "tfoot"):
            section = "" if closing else opened
    add(table.slice(end, len(table.text)))
    return rows


def _cell_text(text: Traced) -> Traced:
    text = text.replaced(_LINE_BREAK, " ")
    text = text.replaced(_REFERENCE, lambda match: html.unescape(match[0]))
    return text.clean().replaced(_SPACES, " ").strip()


def table_lines(rows: Sequence[Row]) -> Iterator[Traced]:
    """A line for each row that has text, tabs between its cells.

    Where a cell covers several columns or rows, the others of them are empty, so that all cells of
    a column have as many tabs before them. Tabs behind the last cell are left out.
    """
    covered: dict[int, int] = {}
    for row in rows:
        pieces: list[Traced] = []
        begun: dict[int, int] = {}
        for cell in row.cells:
            while len(pieces) in covered:
                pieces.append(_NOTHING)
            first = len(pieces)
            pieces.append(cell.text)
            if first < MOST_COLUMNS:
                pieces += [_NOTHING] * (cell.columns - 1)
                if cell.rows > 1:
                    begun |= dict.fromkeys(range(first, len(pieces)), cell.rows - 1)
        covered = {column: left - 1 for column, left in covered.items() if left > 1} | begun
        while pieces and not pieces[-1].text:
            pieces.pop()
        if pieces:
            yield Traced.join(pieces, CELL_BREAK)


def table_html(rows: Sequence[Row]) -> str:
    """The table as HTML in which whatever is no tag of a table is text.

    It has no empty line, with which a block of HTML would end in Markdown.
    """
    parts = ["<table>"]
    for section, members in groupby(rows, key=lambda row: row.section):
        parts += [f"<{section}>"] if section else []
        parts += [f"<tr>{''.join(map(_cell_html, row.cells))}</tr>" for row in members]
        parts += [f"</{section}>"] if section else []
    return "\n".join([*parts, "</table>"]) if rows else ""


def _cell_html(cell: Cell) -> str:
    name = "th" if cell.head else "td"
    rows = f' rowspan="{cell.rows}"' if cell.rows > 1 else ""
    columns = f' colspan="{cell.columns}"' if cell.columns > 1 else ""
    return f"<{name}{rows}{columns}>{html.escape(cell.text.text, quote=False)}</{name}>"
