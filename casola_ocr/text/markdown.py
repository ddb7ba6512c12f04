"""A page as Markdown (CommonMark with the pipe tables of GitHub's dialect)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from casola_ocr.pages import Block, Line
from casola_ocr.text.counts import is_ideograph
from casola_ocr.text.grouping import TABLE, Group, group, table_cells

#: Characters that mean something anywhere in a line; an underscore inside a word does not.
_SPECIAL = re.compile(r"([\\`*\[\]<>|~$]|(?<![^\W_])_|_(?![^\W_]))")
#: An ampersand that would begin a character reference.
_REFERENCE = re.compile(r"&(?=#?\w+;)")
#: What GitHub's dialect makes a link of with all that follows: backslashes too, if there are any.
_LINK = re.compile(r"(https?|ftp|www)(?=(?:://|\.)\S{0,2000}\\)", re.I)
#: What makes a heading, a list, a rule, an underlined title or a table's head of a line that begins
#: with it, or of the line before.
_LINE_START = re.compile(r"^(#{1,6}(?=\s|$)|[-+=]|:(?=-))")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
#: A hyphen at a line's end, after a letter: the word may go on in the next line.
_HYPHENS = "-\u00ad\u2010"


def markdown_of(lines: Sequence[Line], blocks: Sequence[Block]) -> str:
    """The lines of a page, in reading order, as Markdown that is rendered as the text that it is.

    A block is a paragraph whose rows are joined, words divided at a row's end made whole again; a
    block labelled ``table`` is a pipe table whose first row is its head. On a page without blocks
    nobody knows where a paragraph ends, so its rows stay on lines of their own.
    """
    parts = [
        _table(found) if found.label == TABLE else _paragraph(found)
        for found in group(lines, blocks)
    ]
    return "\n\n".join(part for part in parts if part)


def plain(text: str) -> str:
    """Text that came without lines: its lines stay lines, an empty one ends a paragraph."""
    paragraphs = re.split(r"\n\s*\n", text)
    made = ["\n".join(filter(None, map(escape, part.splitlines()))) for part in paragraphs]
    return "\n\n".join(part for part in made if part)


def escape(text: str) -> str:
    """One line of text, such that a Markdown renderer shows just this text."""
    text = _SPECIAL.sub(r"\\\1", " ".join(text.split()))
    text = _REFERENCE.sub(r"\\&", text)
    text = _LINK.sub(r"\1\\", text)
    text = _NUMBERED.sub(r"\1\\\2", text)
    return _LINE_START.sub(r"\\\1", text)


def _paragraph(found: Group) -> str:
    rows = [" ".join(" ".join(line.text for line in row).split()) for row in found.rows]
    rows = [row for row in rows if row]
    if not found.label:
        return "\n".join(escape(row) for row in rows)
    joined = ""
    for row in rows:
        joined = _join(joined, row) if joined else row
    return escape(joined)


def _join(text: str, row: str) -> str:
    last, first = text[-1], row[0]
    if last in _HYPHENS and len(text) > 1 and text[-2].isalpha() and first.isalpha():
        # "Jean-" and "Paul" keep the hyphen; a soft one was only ever a place to divide.
        divided = first.islower() or last == "\u00ad"
        return (text[:-1] if divided else text) + row
    if is_ideograph(last) and is_ideograph(first):
        return text + row
    return f"{text} {row}"


def _table(found: Group) -> str:
    return pipe_table(table_cells(found))


def pipe_table(cells: Sequence[Sequence[str]]) -> str:
    """Rows of plain text as a table of as many columns each; the first row is its head."""
    if not cells:
        return ""
    rows = [[escape(cell) for cell in row] for row in cells]
    head, *body = rows
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))
