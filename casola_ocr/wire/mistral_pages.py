"""Page results as Mistral's page objects: Markdown, pictures, tables, blocks, confidences."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from casola_ocr.chunks import begun
from casola_ocr.errors import DamagedDocument, PictureMissing, TooManyPixels
from casola_ocr.exports.document import Document
from casola_ocr.exports.pdf_picture import page_dpi
from casola_ocr.figures import Box, cut_figures
from casola_ocr.model import Job
from casola_ocr.pages import Line, PageResult
from casola_ocr.text.grounding import PICTURES, SUB_TITLE, TITLE
from casola_ocr.text.grouping import TABLE, group, table_cells
from casola_ocr.text.layout import CELL_BREAK, TEXT
from casola_ocr.text.markdown import escape, markdown_of, pipe_table, plain
from casola_ocr.wire.mistral_ocr import OcrRequest

#: What our engines call the parts of a page → what Mistral does; the rest is ``text``.
BLOCK_TYPES = {
    TITLE: "title", SUB_TITLE: "title", TABLE: "table", "signature": "signature",
    "header": "header", "page_header": "header",
    "footer": "footer", "page_footer": "footer", "page_number": "footer",
    "equation": "equation", "formula": "equation", "code": "code", "algorithm": "code",
    "list": "list", "reference": "references", "ref_text": "references",
    "aside_text": "aside_text", "footnote": "aside_text", "image_footnote": "aside_text",
    "table_footnote": "aside_text", "caption": "caption", "image_caption": "caption",
    "figure_caption": "caption", "figure_title": "caption", "table_caption": "caption",
    "chart_caption": "caption",
}  # fmt: skip
_FIGURES = PICTURES - {"signature"}
_BREAK = "\n\n"
#: How many characters of markup may stand between two words.
_MARKUP = 60


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a page, as it stands in the page's Markdown; `box` as of a line."""

    kind: str
    box: Box
    markdown: str
    lines: Sequence[Line] = ()
    #: A table's cells, row by row.
    cells: Sequence[Sequence[str]] = ()


def pieces_of(page: PageResult) -> list[Piece]:
    """The parts of a page in reading order."""
    whole = (0, 0, page.width, page.height)
    if page.markdown is not None and not any(block.span for block in page.blocks):
        # Written by a version that did not keep where a block's Markdown stands.
        return [Piece(kind=TEXT, box=whole, markdown=page.markdown, lines=page.lines)]
    if page.markdown is not None:
        return list(_written(page, page.markdown))
    if not page.lines:
        return [Piece(kind=TEXT, box=whole, markdown=plain(page.text))] if page.text else []
    return [
        Piece(
            kind=_kind(found.label),
            box=found.box,
            markdown=markdown_of(found.lines, page.blocks),
            lines=found.lines,
            cells=table_cells(found) if found.label == TABLE else (),
        )
        for found in group(page.lines, page.blocks)
    ]


def _written(page: PageResult, markdown: str) -> Iterator[Piece]:
    """The blocks of a model, each with its own stretch of what the model wrote."""
    for index, block in enumerate(page.blocks):
        lines = tuple(line for line in page.lines if line.block == index)
        start, end = block.span or (0, 0)
        part, kind = markdown[start:end], _kind(block.label)
        if kind == "table" and not part.startswith("<table>"):
            kind = TEXT
        if part or kind == "image":
            cells = [line.text.split(CELL_BREAK) for line in lines] if kind == "table" else []
            width = max(map(len, cells), default=0)
            cells = [row + [""] * (width - len(row)) for row in cells]
            yield Piece(kind=kind, box=block.box, markdown=part, lines=lines, cells=cells)


def _kind(label: str) -> str:
    return "image" if label in _FIGURES else BLOCK_TYPES.get(label, TEXT)


class Pages:
    """The pages of one answer: its pictures and tables are numbered through all of them."""

    def __init__(self, asked: OcrRequest, document: Document):
        self._asked = asked
        self._document = document
        self._images = 0
        self._tables = 0
        self.read = 0
        #: Numbers of the pages that could not be read, the first is 0.
        self.failed: list[int] = []

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each page when it is asked for; one that could not be read is empty and has `error`."""
        for page in self._document.pages():
            if page.error:
                self.failed.append(page.page - 1)
                error = {"code": page.error.code, "message": page.error.detail}
                empty: dict[str, Any] = {"markdown": "", "images": [], "dimensions": None}
                yield {"index": page.page - 1, **empty, "error": error}
            else:
                self.read += 1
                yield self._page(page)

    def usage(self) -> dict[str, Any]:
        return {"pages_processed": self.read, "doc_size_bytes": self._document.job.size or None}

    def _page(self, page: PageResult) -> dict[str, Any]:
        asked, made = self._asked, _Made()
        for piece in pieces_of(page):
            self._add(made, piece)
        if asked.include_image_base64:
            self._fill(page, made.images)
        told: dict[str, Any] = {
            "index": page.page - 1,
            "markdown": made.markdown,
            "images": made.images,
            "dimensions": {
                "dpi": round(page_dpi(page.width, page.height)),
                "height": page.height,
                "width": page.width,
            },
            "tables": made.tables,
            "header": _BREAK.join(made.header) or None,
            "footer": _BREAK.join(made.footer) or None,
        }
        if asked.include_blocks:
            told["blocks"] = made.blocks
        if asked.confidence_scores_granularity:
            told["confidence_scores"] = _scores(page, made.scores, asked)
        return told

    def _add(self, made: _Made, piece: Piece) -> None:
        asked, extra, content = self._asked, dict[str, Any](), piece.markdown
        scored = asked.confidence_scores_granularity == "word"
        if piece.kind == "image":
            image_id = self._figure(made, piece)
            if image_id is None:
                # A figure that was not asked for is no part of the answer; its text is.
                if piece.lines:
                    made.put(piece.markdown, piece.lines, scored=scored)
                return
            mark = f"![{image_id}]({image_id})"
            content = f"{mark}{_BREAK}{piece.markdown}" if piece.lines else mark
            extra["image_id"] = image_id
        if piece.kind == "table" and asked.table_format and piece.cells:
            content, extra["table_id"] = self._table(made, piece, scored=scored)
            made.put(f"[{extra['table_id']}]({extra['table_id']})", (), scored=False)
        elif piece.kind == "header" and asked.extract_header:
            made.header.append(content)
        elif piece.kind == "footer" and asked.extract_footer:
            made.footer.append(content)
        else:
            made.put(content, piece.lines, scored=scored)
        block = {"type": piece.kind, **_corners(piece.box), "content": content, **extra}
        if asked.confidence_scores_granularity == "block":
            found = _confidences(piece.lines)
            block["confidence_scores"] = {
                "average_content_confidence_score": _mean(found),
                "minimum_content_confidence_score": min(found, default=None),
                "block_type_confidence_score": None,
            }
        made.blocks.append(block)

    def _figure(self, made: _Made, piece: Piece) -> str | None:
        """The ID of a figure that is large enough and within the limit."""
        x0, y0, x1, y1 = piece.box
        limit, least = self._asked.image_limit, self._asked.image_min_size or 1
        if (limit is not None and self._images >= limit) or min(x1 - x0, y1 - y0) < least:
            return None
        image_id = f"img-{self._images}.jpeg"
        self._images += 1
        made.images.append({"id": image_id, **_corners(piece.box), "image_base64": None})
        return image_id

    def _table(self, made: _Made, piece: Piece, *, scored: bool) -> tuple[str, str]:
        """The content and the ID of a table that stands beside the page's Markdown."""
        as_html = self._asked.table_format == "html"
        if not as_html:
            content = pipe_table(piece.cells)
        elif piece.markdown.startswith("<table>"):
            content = piece.markdown
        else:
            content = _html_table(piece.cells)
        table_id = f"tbl-{self._tables}.{'html' if as_html else 'md'}"
        self._tables += 1
        table: dict[str, Any] = {
            "id": table_id,
            "content": content,
            "format": self._asked.table_format,
        }
        if scored:
            table["word_confidence_scores"] = list(_placed(content, piece.lines))
        made.tables.append(table)
        return content, table_id

    def _fill(self, page: PageResult, images: list[dict[str, Any]]) -> None:
        if not images:
            return
        names = ("top_left_x", "top_left_y", "bottom_right_x", "bottom_right_y")
        boxes: list[Box] = [tuple(image[name] for name in names) for image in images]
        try:
            cut = cut_figures(self._document, page.page, boxes)
        except (PictureMissing, DamagedDocument, TooManyPixels):
            # The text is worth having without them; that they miss is told by their null.
            return
        for image, data in zip(images, cut, strict=True):
            image["image_base64"] = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


class _Made:
    """A page as it grows."""

    def __init__(self) -> None:
        self.markdown = ""
        self.images: list[dict[str, Any]] = []
        self.tables: list[dict[str, Any]] = []
        self.blocks: list[dict[str, Any]] = []
        self.scores: list[dict[str, Any]] = []
        self.header: list[str] = []
        self.footer: list[str] = []

    def put(self, content: str, lines: Sequence[Line], *, scored: bool) -> None:
        """Add to the Markdown, and the confidences of its words."""
        if self.markdown and content:
            self.markdown += _BREAK
        if scored:
            self.scores += _placed(content, lines, offset=len(self.markdown))
        self.markdown += content


def answer(asked: OcrRequest, document: Document) -> Iterator[bytes]:
    """The JSON of an answer page by page, without line breaks.

    The first page is made by the call, so that an error before it is told.
    """
    pages = Pages(asked, document)

    def chunks() -> Iterator[bytes]:
        yield b'{"pages":['
        for index, page in enumerate(pages):
            yield (b"," if index else b"") + json.dumps(page, ensure_ascii=False).encode()
        yield b"]," + json.dumps(_closing(document.job, pages)).encode()[1:]

    return begun(chunks(), 2)


def _closing(job: Job, pages: Pages) -> dict[str, Any]:
    """What an answer says beside its pages, once they all were made."""
    told: dict[str, Any] = {"model": job.engine, "usage_info": pages.usage()}
    return {**told, "failed_pages": pages.failed} if pages.failed else told


def _corners(box: Box) -> dict[str, int]:
    x0, y0, x1, y1 = box
    return {"top_left_x": x0, "top_left_y": y0, "bottom_right_x": x1, "bottom_right_y": y1}


def _html_table(cells: Sequence[Sequence[str]]) -> str:
    rows = ["".join(f"<td>{html.escape(cell, quote=False)}</td>" for cell in row) for row in cells]
    return "\n".join(["<table>", *(f"<tr>{row}</tr>" for row in rows), "</table>"])


def _placed(content: str, lines: Sequence[Line], offset: int = 0) -> Iterator[dict[str, Any]]:
    """Words with a confidence, and where they begin; one that markup divides is left out."""
    at = 0
    for line in lines:
        for word in line.words:
            written = (escape(word.text), word.text, html.escape(word.text, quote=False))
            for text in dict.fromkeys(written):
                start = content.find(text, at, at + len(text) + _MARKUP) if text else -1
                if start >= 0:
                    at = start + len(text)
                    if word.confidence is not None:
                        told = {"text": word.text, "confidence": word.confidence}
                        yield {**told, "start_index": offset + start}
                    break


def _confidences(lines: Sequence[Line]) -> list[float]:
    found = [word.confidence for line in lines for word in line.words]
    return [value for value in found if value is not None]


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _scores(
    page: PageResult, words: list[dict[str, Any]], asked: OcrRequest
) -> dict[str, Any] | None:
    """Null where the engine told nothing of how sure it is."""
    if page.confidence is None:
        return None
    told: dict[str, Any] = {
        "average_page_confidence_score": page.confidence,
        "minimum_page_confidence_score": min(_confidences(page.lines), default=page.confidence),
    }
    if asked.confidence_scores_granularity == "word":
        told["word_confidence_scores"] = words
    return told
