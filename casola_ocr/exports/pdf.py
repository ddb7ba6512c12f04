"""A PDF of the page images with their text, invisible, over the words.

Written from the first byte to the last while the pages come, so that neither a page's picture nor
anything but an object's offset is held longer than it takes to send it: see docs/why.md.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime

import structlog

from casola_ocr import __version__
from casola_ocr.errors import DamagedDocument, PictureMissing, TooManyPixels, UnsupportedFormat
from casola_ocr.exports.document import Document, lines_of
from casola_ocr.exports.pdf_picture import Picture, open_picture, page_dpi
from casola_ocr.exports.pdf_text import (
    ASCENT,
    DESCENT,
    WIDTH,
    Alphabet,
    font_file,
    number,
    text_operators,
)
from casola_ocr.pages import PageResult

log = structlog.get_logger(__name__)

#: The second line tells programs that guess at the kind of a file that this one is binary.
_HEAD = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
#: Objects that all pages share; those of the pages follow, three for each.
_CATALOG, _PAGES, _INFO, _FONT, _CID_FONT, _DESCRIPTOR, _FONT_FILE, _GLYPHS, _UNICODE = range(1, 10)
_FIRST_FREE = 10
#: Pixels of a page of which nobody knows any: A4 at 100 dpi.
_BLANK = (827, 1169)
#: A page of which no picture can be made was not read either, so it may be blank.
_NO_PICTURE = (DamagedDocument, TooManyPixels, UnsupportedFormat)


class _Objects:
    """Numbers and bytes of a PDF's objects; remembers at which byte each begins."""

    def __init__(self) -> None:
        self._offsets: dict[int, int] = {}
        self._next = _FIRST_FREE
        self._position = len(_HEAD)

    def number(self) -> int:
        self._next += 1
        return self._next - 1

    def object(self, which: int, body: str) -> bytes:
        return self._add(which, body.encode("ascii"))

    def stream(self, which: int, data: bytes, entries: str = "") -> bytes:
        """A stream; without `entries` that name a filter it is deflated."""
        if "/Filter" not in entries:
            data, entries = zlib.compress(data), f"{entries} /Filter /FlateDecode"
        head = f"<< {entries} /Length {len(data)} >>\nstream\n".encode("ascii")
        return self._add(which, head + data + b"\nendstream")

    def _add(self, which: int, body: bytes) -> bytes:
        self._offsets[which] = self._position
        made = b"%d 0 obj\n%b\nendobj\n" % (which, body)
        self._position += len(made)
        return made

    def end(self) -> bytes:
        """The table of all objects, which is why nothing else need be known in advance."""
        rows = "".join(f"{self._offsets[which]:010} 00000 n \n" for which in range(1, self._next))
        return (
            f"xref\n0 {self._next}\n0000000000 65535 f \n{rows}"
            f"trailer\n<< /Size {self._next} /Root {_CATALOG} 0 R /Info {_INFO} 0 R >>\n"
            f"startxref\n{self._position}\n%%EOF\n"
        ).encode("ascii")


def write(document: Document) -> Iterator[bytes]:
    objects, alphabet = _Objects(), Alphabet()
    pages: list[int] = []
    # With the first page, so that whatever keeps it from being made is told before an answer began.
    head = _HEAD
    for page in document.pages():
        picture = _picture(document, page)
        which = objects.number()
        pages.append(which)
        yield head + _page(objects, which, page, picture, alphabet)
        head = b""
    yield head + _shared(objects, document, pages, alphabet) + objects.end()


def _picture(document: Document, page: PageResult) -> Picture | None:
    try:
        return open_picture(*document.picture(page.page), max_pixels=document.max_pixels)
    except (*_NO_PICTURE, PictureMissing) as error:
        if isinstance(error, PictureMissing) and page.error is None:
            # It was read, so it had one: a blank page would hide that it was lost.
            raise
        log.info("a page has no picture", action="page_blank", page=page.page, code=error.code)
        return None


def _page(
    objects: _Objects, which: int, page: PageResult, picture: Picture | None, alphabet: Alphabet
) -> bytes:
    if picture is not None:
        width, height, dpi = picture.width, picture.height, picture.dpi
    else:
        width, height = (page.width, page.height) if page.width and page.height else _BLANK
        dpi = page_dpi(width, height)
    scale = 72 / dpi
    across, high = number(width * scale), number(height * scale)
    operators, made, shown = [], b"", ""
    if picture is not None:
        image = objects.number()
        made = objects.stream(
            image, picture.data, f"/Type /XObject /Subtype /Image {picture.entries}"
        )
        shown = f"/XObject << /I {image} 0 R >> "
        operators.append(f"q {across} 0 0 {high} 0 0 cm /I Do Q")
    # Mode 3 draws nothing, and is still text.
    operators += ["BT 3 Tr"]
    operators += text_operators(
        lines_of(page), alphabet, height=height * scale, scale=scale, rotation=page.rotation
    )
    operators += ["ET"]
    content = objects.number()
    made += objects.stream(content, "\n".join(operators).encode("ascii"))
    return made + objects.object(
        which,
        f"<< /Type /Page /Parent {_PAGES} 0 R /MediaBox [0 0 {across} {high}] "
        f"/Rotate {page.rotation % 360} /Contents {content} 0 R "
        f"/Resources << {shown}/Font << /F {_FONT} 0 R >> >> >>",
    )


def _shared(objects: _Objects, document: Document, pages: list[int], alphabet: Alphabet) -> bytes:
    kids = " ".join(f"{page} 0 R" for page in pages)
    font = font_file()
    made_at = datetime.fromtimestamp((document.job.finished_at or 0) / 1000, tz=UTC)
    title = b"\xfe\xff" + document.job.file_name.encode("utf-16-be", errors="replace")
    width, ascent, descent = (round(1000 * part) for part in (WIDTH, ASCENT, DESCENT))
    return b"".join(
        [
            objects.object(_CATALOG, f"<< /Type /Catalog /Pages {_PAGES} 0 R >>"),
            objects.object(_PAGES, f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>"),
            objects.object(
                _INFO,
                f"<< /Title <{title.hex()}> /Producer (Casola OCR {__version__}) "
                f"/CreationDate (D:{made_at:%Y%m%d%H%M%S}Z) >>",
            ),
            objects.object(
                _FONT,
                "<< /Type /Font /Subtype /Type0 /BaseFont /Glyphless /Encoding /Identity-H "
                f"/DescendantFonts [{_CID_FONT} 0 R] /ToUnicode {_UNICODE} 0 R >>",
            ),
            objects.object(
                _CID_FONT,
                "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /Glyphless /DW "
                f"{width} /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >>"
                f" /FontDescriptor {_DESCRIPTOR} 0 R /CIDToGIDMap {_GLYPHS} 0 R >>",
            ),
            objects.object(
                _DESCRIPTOR,
                "<< /Type /FontDescriptor /FontName /Glyphless /Flags 5 "
                f"/FontBBox [0 {descent} {width} {ascent}] /Ascent {ascent} /Descent {descent} "
                f"/CapHeight {ascent} /ItalicAngle 0 /StemV 80 /FontFile2 {_FONT_FILE} 0 R >>",
            ),
            objects.stream(_FONT_FILE, font, f"/Length1 {len(font)}"),
            # Every code is shown by glyph 1; glyph 0 means that something is wrong.
            objects.stream(_GLYPHS, b"\x00\x01" * 0x10000),
            objects.stream(_UNICODE, alphabet.to_unicode()),
        ]
    )
