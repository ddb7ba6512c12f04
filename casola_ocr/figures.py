"""Figures cut out of the picture of a page."""

from __future__ import annotations

import io
from collections.abc import Sequence

from casola_ocr import documents
from casola_ocr.errors import DamagedDocument
from casola_ocr.exports.document import Document

JPEG_QUALITY = 85

Box = tuple[int, int, int, int]


def cut_figures(document: Document, page: int, boxes: Sequence[Box]) -> list[bytes]:
    """What a page shows inside of each box, as JPEG; `page` is its number in the document.

    Raises:
        PictureMissing: the page's picture is not in the store any more.
        DamagedDocument, TooManyPixels: it cannot be decoded.
    """
    data, media_type, number = document.picture(page)
    image = documents.open_page(
        io.BytesIO(data), media_type, number, max_pixels=document.max_pixels
    )
    made = []
    for box in boxes:
        buffer = io.BytesIO()
        try:
            image.crop(box).save(buffer, "JPEG", quality=JPEG_QUALITY)
        except (OSError, ValueError) as error:
            # Such as one of more pixels in a side than a JPEG has.
            raise DamagedDocument() from error
        made.append(buffer.getvalue())
    return made
