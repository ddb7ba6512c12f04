"""The documents of a corpus, opened as the service opens them."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from casola_ocr import documents
from casola_ocr.corpus import Entry

#: More pages of a file are not read.
MOST_PAGES = 1000
#: As the service by default.
MOST_PIXELS = 100_000_000


def open_entry(entry: Entry) -> documents.Document:
    """The document; a PDF's pages are drawn."""
    data = entry.path.read_bytes()
    media_type = documents.sniff(data[: documents.HEAD_BYTES])
    return documents.open_document(data, media_type, max_pixels=MOST_PIXELS)


def open_picture(data: bytes) -> Image.Image:
    """The one page of a picture, as a worker opens it."""
    media_type = documents.sniff(data[: documents.HEAD_BYTES])
    return documents.open_page(BytesIO(data), media_type, 1, max_pixels=MOST_PIXELS)
