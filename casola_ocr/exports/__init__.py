"""What a result can be exported as. Every format is written from the one stored result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from casola_ocr.errors import UnknownFormat
from casola_ocr.exports import alto, hocr, markdown, pdf, schema, text
from casola_ocr.exports.document import Document
from casola_ocr.exports.schema import result_schema

__all__ = ["FORMATS", "ZIP", "Document", "Format", "find_format", "result_schema"]


@dataclass(frozen=True, kw_only=True)
class Format:
    """`write` gives a document's bytes page by page; `suffix` begins with a dot."""

    name: str
    media_type: str
    suffix: str
    write: Callable[[Document], Iterator[bytes]]
    #: Whether the bytes are compressed already.
    packed: bool = False


FORMATS = {
    made.name: made
    for made in (
        Format(name="txt", suffix=".txt", media_type="text/plain; charset=utf-8", write=text.write),
        Format(
            name="md", suffix=".md", media_type="text/markdown; charset=utf-8", write=markdown.write
        ),
        Format(name="json", suffix=".json", media_type="application/json", write=schema.write),
        # Its own type, because browsers would show text/html as a page of this server.
        Format(
            name="hocr",
            suffix=".hocr",
            media_type="text/vnd.hocr+html; charset=utf-8",
            write=hocr.write,
        ),
        Format(name="alto", suffix=".alto.xml", media_type="application/xml", write=alto.write),
        # Not only .pdf: that may be the name of the document itself.
        Format(
            name="pdf",
            suffix=".ocr.pdf",
            media_type="application/pdf",
            write=pdf.write,
            packed=True,
        ),
    )
}
#: What a batch is exported as: one entry for each document, in one of `FORMATS`.
ZIP = "zip"


def find_format(name: str) -> Format:
    """The format of this name.

    Raises:
        UnknownFormat: there is none; the detail lists all.
    """
    try:
        return FORMATS[name]
    except KeyError:
        raise UnknownFormat(f"'format' is one of: {', '.join(FORMATS)}.") from None
