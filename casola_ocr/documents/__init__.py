"""Documents as clients send them: what they are, how many pages they have, their pictures."""

from casola_ocr.documents.images import (
    PageReader,
    check_header,
    count_pages,
    encode_page,
    is_single_page,
    open_page,
)
from casola_ocr.documents.names import clean_file_name
from casola_ocr.documents.sniff import HEAD_BYTES, sniff

__all__ = [
    "HEAD_BYTES",
    "PageReader",
    "check_header",
    "clean_file_name",
    "count_pages",
    "encode_page",
    "is_single_page",
    "open_page",
    "sniff",
]
