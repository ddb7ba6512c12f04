"""PDF to page images and embedded text, on pdfium: the only module that knows it.

pdfium is not thread-safe, not even for different documents: one lock is held around every call, so
threads may use readers of their own, one call at a time in the whole process. What pdfium allocates
is given back when a page or the reader is closed, never later by the garbage collector, which would
not hold the lock. A damaged page can end the process or never return; `casola_ocr.work` sees to it
that only that page suffers.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, Self

import pypdfium2
from PIL import Image
from pypdfium2 import raw

from casola_ocr.documents.embedded_text import EmbeddedText, Letter
from casola_ocr.documents.resolution import (
    MAINLY,
    POINTS_PER_INCH,
    choose_scale,
    picture_dpi,
)
from casola_ocr.errors import DamagedDocument, PasswordNeeded, TooManyPixels, WrongPassword

#: What is kept with every text that was read here.
_VERSION = str(pypdfium2.PYPDFIUM_INFO.version)

_PDFIUM = threading.RLock()

#: Objects of a page that are looked at to choose its resolution; a map can have a million.
_MOST_OBJECTS = 5_000
#: Letters of one page that are looked at; more is no page but an attack or a plot.
_MOST_LETTERS = 100_000
#: Of a character that UTF-16 writes with two numbers.
_FIRST_HALVES, _SECOND_HALVES = range(0xD800, 0xDC00), range(0xDC00, 0xE000)
#: Of a picture, in pixels.
_LARGEST_SIDE = 2**31 - 1
#: Reference points are transformed at so many times the image's size: pdfium answers whole pixels.
_FINER = 64


@dataclass(frozen=True, kw_only=True)
class _Contents:
    """What a page is made of."""

    #: Dots per inch, and the part of the page that it covers, of each picture.
    pictures: tuple[tuple[float, float], ...]
    #: The part of the page that text covers which is really drawn.
    text: float

    @property
    def pictured(self) -> bool:
        return sum(share for _, share in self.pictures) >= MAINLY


class PdfReader:
    """Pages of one PDF. Not thread-safe; different readers may be used by different threads.

    It is a context, and closed with it. `data` is kept as long.

    Raises:
        PasswordNeeded, WrongPassword: it is encrypted.
        DamagedDocument: it cannot be opened even by repairing it, or has no pages.
    """

    def __init__(self, data: bytes, *, max_pixels: int, password: str = ""):
        self._max_pixels = max_pixels
        #: The page that was used last, and its number.
        self._page: Any = None
        self._number = 0
        # pdfium reads from it as long as the document is open.
        self._data = data
        with _PDFIUM:
            self._pdf = _open(data, password)
            # Before the first page is loaded, or its form fields are not drawn.
            with suppress(pypdfium2.PdfiumError):
                self._pdf.init_forms()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _PDFIUM:
            self._close_page()
            self._pdf.close()

    def count(self, at_most: int) -> int:
        """Pages of the document; counting them costs nothing, so `at_most` is not looked at."""
        with _PDFIUM:
            return len(self._pdf)

    def page(self, page: int) -> Image.Image:
        """Page `page` (1-based) as RGB on white, turned as /Rotate says, cut to its crop box.

        Annotations and form fields are drawn. An error concerns this page only.

        Raises:
            DamagedDocument: the page does not exist or cannot be drawn.
            TooManyPixels: a picture in it has more than is allowed.
        """
        with _PDFIUM, _damage(page):
            found = self._load(page)
            width, height = _size(found)
            contents = _look(found, width * height, self._max_pixels)
            scale = choose_scale(
                width,
                height,
                scan_dpi=picture_dpi(contents.pictures),
                text_share=contents.text,
                max_pixels=self._max_pixels,
            )
            bitmap = found.render(scale=scale)
            try:
                # A copy, because the order of the colours is another.
                image: Image.Image = bitmap.to_pil()
            finally:
                bitmap.close()
        return image

    def text(self, page: int, size: tuple[int, int]) -> EmbeddedText:
        """The letters that are embedded in a page, in pixels of its image of `size`.

        What lies outside of the image is left out.

        Raises:
            DamagedDocument: the page cannot be read.
        """
        with _PDFIUM, _damage(page):
            found = self._load(page)
            width, height = _size(found)
            contents = _look(found, width * height, self._max_pixels)
            text = found.get_textpage()
            try:
                letters = tuple(_letters(text, _Grid(found, size), size))
                whole = text.count_chars() <= _MOST_LETTERS
            finally:
                text.close()
        return EmbeddedText(
            letters=letters, pictured=contents.pictured, whole=whole, version=_VERSION
        )

    def _load(self, page: int) -> Any:
        """The page, kept open until another is asked for."""
        if not 1 <= page <= len(self._pdf):
            raise DamagedDocument(f"The document has no page {page}.")
        if self._number != page:
            self._close_page()
            self._page = self._pdf[page - 1]
            self._number = page
        return self._page

    def _close_page(self) -> None:
        page, self._page, self._number = self._page, None, 0
        if page is not None:
            page.close()


def _look(page: Any, area: float, max_pixels: int) -> _Contents:
    """What a page is made of, before it is drawn.

    Raises:
        TooManyPixels: a picture in it has more than `max_pixels` pixels.
    """
    pictures, text = [], 0.0
    # An object that cannot be told apart may still be drawn.
    with suppress(pypdfium2.PdfiumError):
        for item in islice(page.get_objects(), _MOST_OBJECTS):
            if item.type == raw.FPDF_PAGEOBJ_IMAGE:
                pictures.append(_picture(item, area, max_pixels))
            elif item.type == raw.FPDF_PAGEOBJ_TEXT:
                text += _text_area(item) / area
    return _Contents(pictures=tuple(pictures), text=text)


def _picture(item: Any, area: float, max_pixels: int) -> tuple[float, float]:
    """Its dots per inch, and the part of the page that it covers."""
    try:
        columns, rows = item.get_px_size()
        matrix = _matrix(item)
    except pypdfium2.PdfiumError:
        return 0.0, 0.0
    if max(columns, rows) > _LARGEST_SIDE:
        # A negative number; such a picture is not drawn.
        return 0.0, 0.0
    if columns * rows > max_pixels:
        raise TooManyPixels(
            f"A page holds a picture of {columns} x {rows} pixels; "
            f"this server reads up to {max_pixels} pixels."
        )
    across, down = math.hypot(matrix.a, matrix.b), math.hypot(matrix.c, matrix.d)
    if not across or not down:
        return 0.0, 0.0
    dpi = max(columns / across, rows / down) * POINTS_PER_INCH
    return dpi, min(1.0, across * down / area)


def _text_area(item: Any) -> float:
    """Square points that a text covers; none if it is not drawn."""
    if raw.FPDFTextObj_GetTextRenderMode(item) == raw.FPDF_TEXTRENDERMODE_INVISIBLE:
        return 0.0
    left, bottom, right, top = item.get_bounds()
    scale = 1.0
    if item.container is not None:
        matrix = _matrix(item.container)
        scale = abs(matrix.a * matrix.d - matrix.b * matrix.c)
    return float(abs((right - left) * (top - bottom)) * scale)


def _matrix(item: Any) -> Any:
    """From the object's own square to the page, through the forms around it."""
    matrix, around = item.get_matrix(), item.container
    while around is not None:
        matrix = matrix.multiply(around.get_matrix())
        around = around.container
    return matrix


def _open(data: bytes, password: str) -> Any:
    # Not through pypdfium2: pdfium keeps the last error, so there a document without pages seems
    # to have failed as the one before it did.
    given = f"{password}\0".encode() if password else None
    handle = raw.FPDF_LoadMemDocument64(data, len(data), given)
    if not handle:
        error = raw.FPDF_GetLastError()
        if error == raw.FPDF_ERR_PASSWORD:
            raise WrongPassword() if password else PasswordNeeded()
        if error == raw.FPDF_ERR_SECURITY:
            raise DamagedDocument(
                "The document is protected in a way that this server cannot open."
            )
        raise DamagedDocument()
    document = pypdfium2.PdfDocument(handle)
    if len(document) < 1:
        document.close()
        raise DamagedDocument("The document has no pages.")
    return document


@contextmanager
def _damage(page: int) -> Iterator[None]:
    try:
        yield
    except (pypdfium2.PdfiumError, ArithmeticError, ValueError, LookupError) as error:
        raise DamagedDocument(f"Page {page} of the document cannot be drawn.") from error


def _size(page: Any) -> tuple[float, float]:
    """Width and height in points, after /Rotate."""
    width, height = page.get_size()
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise DamagedDocument("The page has no area.")
    return width, height


class _Grid:
    """From points of the page's own space to pixels of its image."""

    def __init__(self, page: Any, size: tuple[int, int]):
        origin = self._ask(page, size, 0, 0)
        right = self._ask(page, size, 1000, 0)
        up = self._ask(page, size, 0, 1000)
        self._origin = origin
        self._right = ((right[0] - origin[0]) / 1000, (right[1] - origin[1]) / 1000)
        self._up = ((up[0] - origin[0]) / 1000, (up[1] - origin[1]) / 1000)

    @staticmethod
    def _ask(page: Any, size: tuple[int, int], x: float, y: float) -> tuple[float, float]:
        across, down = ctypes.c_int(), ctypes.c_int()
        fine = (size[0] * _FINER, size[1] * _FINER)
        if not raw.FPDF_PageToDevice(page, 0, 0, *fine, 0, x, y, across, down):
            raise ValueError("no such point")
        return across.value / _FINER, down.value / _FINER

    def direction(self, x: float, y: float) -> tuple[float, float]:
        return (
            x * self._right[0] + y * self._up[0],
            x * self._right[1] + y * self._up[1],
        )

    def box(
        self, left: float, bottom: float, right: float, top: float
    ) -> tuple[float, float, float, float]:
        x0, y0 = self.direction(left, bottom)
        x1, y1 = self.direction(right, top)
        (x0, x1), (y0, y1) = sorted((x0, x1)), sorted((y0, y1))
        x, y = self._origin
        return x0 + x, y0 + y, x1 + x, y1 + y


def _character(text: Any, index: int) -> str:
    """The character at an index of PDFium's, which tells halves of what UTF-16 writes with two.

    It is empty where the second half is, and U+FFFD for a half alone, which nothing can write.
    """
    code = raw.FPDFText_GetUnicode(text, index)
    if code in _FIRST_HALVES:
        second = raw.FPDFText_GetUnicode(text, index + 1)
        if second in _SECOND_HALVES:
            return chr(0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00))
    elif code in _SECOND_HALVES and raw.FPDFText_GetUnicode(text, index - 1) in _FIRST_HALVES:
        return ""
    half = code in _FIRST_HALVES or code in _SECOND_HALVES
    return "\ufffd" if half or code > 0x10FFFF else chr(code)


def _letters(text: Any, grid: _Grid, size: tuple[int, int]) -> Iterator[Letter]:
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    loose, matrix = raw.FS_RECTF(), raw.FS_MATRIX()
    for index in range(min(text.count_chars(), _MOST_LETTERS)):
        letter = _character(text, index)
        if not letter:
            continue
        if letter.isspace() or raw.FPDFText_IsGenerated(text, index) == 1:
            yield Letter(text=letter)
            continue
        if not raw.FPDFText_GetCharBox(text, index, left, right, bottom, top):
            continue
        box = grid.box(left.value, bottom.value, right.value, top.value)
        if box[2] <= 0 or box[3] <= 0 or box[0] >= size[0] or box[1] >= size[1]:
            continue
        line = box
        if raw.FPDFText_GetLooseCharBox(text, index, loose):
            line = grid.box(loose.left, loose.bottom, loose.right, loose.top)
        across, down = 1.0, 0.0
        if raw.FPDFText_GetMatrix(text, index, matrix):
            across, down = grid.direction(matrix.a, matrix.b)
        yield Letter(
            text="-" if raw.FPDFText_IsHyphen(text, index) == 1 else letter,
            box=box,
            height=line[3] - line[1],
            upright=across > 2 * abs(down),
            unmapped=raw.FPDFText_HasUnicodeMapError(text, index) == 1,
        )
