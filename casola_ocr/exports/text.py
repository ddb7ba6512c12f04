"""Plain text: pages with a form feed between them."""

from __future__ import annotations

from collections.abc import Iterator

from casola_ocr.exports.document import Document
from casola_ocr.results import PAGE_BREAK


def write(document: Document) -> Iterator[bytes]:
    for index, page in enumerate(document.pages()):
        yield (PAGE_BREAK * (index > 0) + page.text).encode()
