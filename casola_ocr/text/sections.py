"""From the passages of a model's output to the page's blocks: their lines and their Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from casola_ocr.text.grounding import PICTURES, SUB_TITLE, TITLE, Grounding, Passage
from casola_ocr.text.grouping import TABLE, Box
from casola_ocr.text.html_table import read_table, table_html, table_lines, tables_in
from casola_ocr.text.traced import Traced

#: What stands for a picture in Markdown: nothing is shown, and a reader of it can find the place.
PICTURE_MARK = "<!-- image -->"

_HEADING = {TITLE: "# ", SUB_TITLE: "## "}
#: DeepSeek-OCR's own script writes these two as characters (``run_dpsk_ocr_image.py``).
_COMMANDS = {"coloneqq": ":=", "eqqcolon": "=:"}
_COMMAND = re.compile(r"\\(coloneqq|eqqcolon)(?![A-Za-z])")
#: The model puts captions in the middle.
_CENTRE = re.compile(r"</?center>")
_HASHES = re.compile(r"^#{1,6}[ \t]+", re.M)
_BOLD = re.compile(r"\*\*(?=\S)([^*\n]+)(?<=\S)\*\*")
#: What a browser may take for a tag, a comment or an address.
_TAG_START = re.compile(r"<(?=[A-Za-z/!?])")
#: The end of a link's or a picture's text; an escaped bracket is none.
_LINK = re.compile(r"(?<!\\)((?:\\\\)*)\](?=[(\[:])")
#: A rule, which in an export parts pages.
_RULE = re.compile(r"^[ \t]*(?=(?:-[ \t]*){3,}$)", re.M)
#: What begins or ends a block of code: the fence, and what stands behind it.
_FENCE = re.compile(r"^ {0,3}(?=(`{3,}|~{3,})[ \t]*(.*)$)", re.M)
_EMPTY_LINES = re.compile(r"\n\s*\n")


@dataclass(frozen=True, kw_only=True)
class Section:
    """A block with a label and its places (none = nobody knows); a table is one of its own.

    `lines` may be empty ones, which part paragraphs; a picture has no line.
    """

    label: str
    boxes: tuple[Box, ...]
    lines: tuple[Traced, ...]
    markdown: str

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)


def sections_of(output: str, grounding: Grounding) -> Iterator[Section]:
    """The blocks in the order of the output. Empty passages without a place are left out."""
    for passage in grounding.passages:
        content = Traced.of(output, passage.start, passage.end)
        if content.text.strip():
            yield from _parts(content, passage)
        else:
            mark = PICTURE_MARK if passage.label in PICTURES else ""
            yield Section(label=passage.label, boxes=passage.boxes, lines=(), markdown=mark)


def _parts(content: Traced, passage: Passage) -> Iterator[Section]:
    """The tables of a passage and what stands around them."""
    for is_table, start, end in tables_in(content.text, whole=passage.label == TABLE):
        part = content.slice(start, end).replaced(_COMMAND, lambda found: _COMMANDS[found[1]])
        if is_table:
            rows = read_table(part)
            lines, markdown, label = tuple(table_lines(rows)), table_html(rows), TABLE
        else:
            label = passage.label
            part = part.replaced(_CENTRE, "").clean().strip()
            lines, markdown = _plain(part, label), _markdown(part.text, label)
        if markdown:
            yield Section(label=label, boxes=passage.boxes, lines=lines, markdown=markdown)


def _plain(prose: Traced, label: str) -> tuple[Traced, ...]:
    """The lines as they were printed, with at most one empty line between two others."""
    if label in _HEADING:
        prose = prose.replaced(_HASHES, "")
    lines = [line.strip() for line in prose.unwrapped(_BOLD).clean().strip().lines()]
    return tuple(
        line for index, line in enumerate(lines) if line.text or (index and lines[index - 1].text)
    )


def _markdown(prose: str, label: str) -> str:
    """The model's own Markdown, in which HTML, links and pictures are text.

    A document may have anything printed on it, and whoever shows its Markdown must neither run a
    script nor call an address because of it.
    """
    safe = _TAG_START.sub("&lt;", prose)
    safe = _LINK.sub(r"\1\\]", safe)
    safe = _RULE.sub(r"\\", safe)
    safe = _EMPTY_LINES.sub("\n\n", safe)
    return _without_open_fence(safe if safe.startswith("#") else _HEADING.get(label, "") + safe)


def _without_open_fence(markdown: str) -> str:
    """The same with the fences escaped from one on that nothing closes.

    All that follows it would be code, on the pages after it too.
    """
    opened: re.Match[str] | None = None
    for found in _FENCE.finditer(markdown):
        fence, behind = found[1], found[2]
        if opened is None:
            # With such a mark behind it, it is code inside a line.
            opened = None if fence[0] == "`" and "`" in behind else found
        elif fence.startswith(opened[1]) and not behind:
            opened = None
    if opened is None:
        return markdown
    start = opened.start()
    return markdown[:start] + _FENCE.sub(r"\g<0>\\", markdown[start:])
