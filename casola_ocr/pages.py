"""Page results: the schema that every engine fills, and reading them from JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import ijson
from pydantic import TypeAdapter

from casola_ocr.model import JobError


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word of a line.

    `box` is x0, y0, x1, y1 in pixels of the page image, origin top left. `start` is the offset
    of the word's first character in the text of its line. `confidence` is calibrated where the
    engine has a calibration; `confidence_raw` is what the engine said.
    """

    text: str
    confidence: float | None
    start: int
    box: tuple[int, int, int, int] | None = None
    confidence_raw: float | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of text; `box` is x0, y0, x1, y1 in pixels of the page image, origin top left.

    Lines with the same `row` stand on one printed row, from left to right (from right to left where
    the script runs so). `block` is the index of the page's block that the line belongs to.
    """

    text: str
    confidence: float | None
    box: tuple[int, int, int, int]
    words: tuple[Word, ...] = ()
    block: int = 0
    row: int = 0


@dataclass(frozen=True, kw_only=True)
class Block:
    """Rows that belong together, such as a paragraph, a column or a table.

    `label` is ``text`` or ``table``, or what the engine calls it. `box` as of a line. `span` is
    where in the page's Markdown the block's stands, as start and end; None where it has none, or
    where the page came without Markdown.
    """

    label: str
    box: tuple[int, int, int, int]
    span: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Try:
    """One of several readings of a page within one attempt, and why it was not the last."""

    engine: str
    #: What was different about it, such as ``text``, ``n-gram 20/90`` or ``temperature 0.2``.
    how: str
    #: What was wrong with it; empty for the one whose text the page has.
    flags: tuple[str, ...] = ()
    confidence: float | None = None
    tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class PageResult:
    """What one attempt read on one page: the schema that every engine fills.

    `page` is the page's number in its document, the first is 1.
    `width` and `height` are the pixels of the page image, turned as the reader sees it (EXIF
    honoured). `rotation` is by how many degrees clockwise that image has to be turned before its
    text is upright; boxes are those of the image as it is. Confidences are 0..1, or None where the
    engine gives none; `confidence_raw` is the page's before calibration.
    """

    page: int
    width: int
    height: int
    text: str
    words: int
    confidence: float | None
    #: 5th percentile of the words' confidences.
    confidence_low: float | None
    engine: str
    engine_version: str
    attempts: int
    seconds: float
    lines: tuple[Line, ...]
    flags: tuple[str, ...] = ()
    language: str | None = None
    markdown: str | None = None
    blocks: tuple[Block, ...] = ()
    confidence_raw: float | None = None
    #: How sure a model is of the places and labels that it wrote into its text.
    confidence_layout: float | None = None
    rotation: int = 0
    #: All readings of the page by engines that try again by themselves, the last one last.
    tries: tuple[Try, ...] = ()
    error: JobError | None = field(default=None)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")).encode()


#: A page result of an earlier version misses fields that were added since, with defaults; one of a
#: later version has fields that are left out.
PAGE_RESULT = TypeAdapter(PageResult)


def read_pages(body: Iterator[bytes]) -> Iterator[PageResult]:
    """The page results of a result's JSON, each read when it is asked for."""
    for found in page_values(body):
        yield PAGE_RESULT.validate_python(found)
        # Making a page of a file takes a while, and other greenlets may wait for this thread.
        time.sleep(0)


def page_values(body: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """The same as the values of their JSON."""
    yield from ijson.items(ijson.from_iter(body), "page_results.item", use_float=True)
