"""One way to read every format: open a document, count its pages, take their pictures."""

from __future__ import annotations

from io import BytesIO
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from PIL import Image

from casola_ocr.documents import images
from casola_ocr.documents.embedded_text import EmbeddedText
from casola_ocr.selection import Selection

PDF = "application/pdf"
GIF = "image/gif"


class Document(Protocol):
    """An opened document; a context, which closes it. Not thread-safe."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def count(self, at_most: int) -> int:
        """How many pages it has; counting may stop at `at_most`. One may still be damaged.

        Raises:
            DamagedDocument: it has no readable page.
        """

    def page(self, page: int) -> Image.Image:
        """Page `page` (1-based) as RGB on white, turned as its reader sees it.

        An error concerns this page only; the next can be asked for.

        Raises:
            DamagedDocument: the page does not exist or cannot be decoded.
            TooManyPixels: it has more than is allowed.
        """

    def text(self, page: int, size: tuple[int, int]) -> EmbeddedText:
        """The text embedded in the page, in pixels of its image of `size`; often nothing.

        Raises:
            DamagedDocument: the page cannot be read.
        """


def open_document(data: bytes, media_type: str, *, max_pixels: int, password: str = "") -> Document:
    """Open a document of a type that `sniff` found. Pages have at most `max_pixels` pixels.

    Raises:
        PasswordNeeded, WrongPassword: it is encrypted.
        DamagedDocument: it cannot be opened.
        UnsupportedFormat: `media_type` is not one of `sniff`'s.
    """
    if media_type == PDF:
        # Here: processes that open no PDF, as the API's, do without pdfium.
        from casola_ocr.documents.pdf import PdfReader

        return PdfReader(data, max_pixels=max_pixels, password=password)
    return images.PageReader(BytesIO(data), media_type, max_pixels=max_pixels)


def check_header(file: BinaryIO, media_type: str, *, max_pixels: int) -> None:
    """As `images.check_header`; a PDF is not looked at: to open one is no work for a request."""
    if media_type != PDF:
        images.check_header(file, media_type, max_pixels=max_pixels)


def is_single_picture(media_type: str, selection: Selection) -> bool:
    """Whether the source itself is the one page image that is wanted, so nothing is prepared."""
    if media_type == GIF and str(selection) not in ("", "1"):
        return False
    single = media_type == GIF or images.is_single_page(media_type)
    return single and selection.count(1) == 1
