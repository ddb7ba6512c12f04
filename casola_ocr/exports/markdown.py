"""Markdown: pages with a rule between them."""

from __future__ import annotations

from collections.abc import Iterator

from casola_ocr.exports.document import Document
from casola_ocr.pages import PageResult
from casola_ocr.text.markdown import markdown_of, plain

#: A thematic break; no page of ours holds one, since its dashes would be escaped.
_PAGE_BREAK = "\n---\n\n"


def write(document: Document) -> Iterator[bytes]:
    for index, page in enumerate(document.pages()):
        yield (_PAGE_BREAK * (index > 0) + _page(page)).encode()


def _page(page: PageResult) -> str:
    if page.error:
        return f"<!-- page {page.page} could not be read: {page.error.code} -->\n"
    return f"{page_markdown(page)}\n"


def page_markdown(page: PageResult) -> str:
    """A page that was read: what the engine wrote, or its lines as Markdown."""
    if page.markdown is not None:
        text = page.markdown
    elif page.lines:
        text = markdown_of(page.lines, page.blocks)
    else:
        text = plain(page.text)
    return text.strip()
