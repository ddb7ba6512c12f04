"""Documents as clients send them: what they are, how many pages they have, their pictures."""

from casola_ocr.documents.document import (
    Document,
    check_header,
    is_single_picture,
    open_document,
)
from casola_ocr.documents.embedded_text import EmbeddedText, is_plausible
from casola_ocr.documents.images import encode_page, open_page
from casola_ocr.documents.names import clean_file_name
from casola_ocr.documents.sniff import HEAD_BYTES, sniff

__all__ = [
    "HEAD_BYTES",
    "Document",
    "EmbeddedText",
    "check_header",
    "clean_file_name",
    "encode_page",
    "is_plausible",
    "is_single_picture",
    "open_document",
    "open_page",
    "sniff",
]
