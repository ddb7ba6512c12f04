"""Pictures of pages as a PDF holds them: small, and no worse than a reader needs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageChops, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from casola_ocr import documents

#: Pictures with more are scaled down: print is still sharp on a screen and on paper.
MAX_DPI = 200
JPEG_QUALITY = 75
#: What a picture that tells no dpi is taken for: the long side of A4 and Letter, in inches.
PAGE_INCHES = 11.3
MIN_DPI, USUAL_DPI = 72, 300
#: What a file may tell: 72 and 96 are what programs write that do not know.
LEAST_TOLD, MOST_TOLD = 100, 1200
#: A JPEG that takes more bytes for a pixel is written again.
MAX_JPEG_BYTES_PER_PIXEL = 0.5
#: Longest side of a PDF's page, in inches; a higher dpi makes a larger picture fit.
MAX_INCHES = 200
_ROWS_PER_STRIP, _STRIP_OFFSETS, _STRIP_BYTES = 278, 273, 279


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture's compressed bytes, the entries of its dictionary, and the size of its page.

    `width` and `height` are the pixels that a page result's boxes are in, `dpi` what makes them
    inches; the stored picture may have fewer.
    """

    data: bytes
    entries: str
    width: int
    height: int
    dpi: float


def open_picture(data: bytes, media_type: str, page: int, *, max_pixels: int) -> Picture:
    """The picture of a page, compressed for a PDF.

    Raises:
        DamagedDocument, TooManyPixels: it cannot be decoded.
    """
    known = _jpeg(data, max_pixels) if media_type == "image/jpeg" else None
    if known is not None:
        return known
    image = documents.open_page(BytesIO(data), media_type, page, max_pixels=max_pixels)
    dpi = page_dpi(*image.size, _told_dpi(data) if page == 1 else None)
    return _compress(image, dpi)


def page_dpi(width: int, height: int, told: float | None = None) -> float:
    """Pixels for each inch: what the file tells where that can be true, else a usual page's."""
    longest = max(width, height)
    dpi = told if told and LEAST_TOLD <= told <= MOST_TOLD else longest / PAGE_INCHES
    if dpi is not told:
        dpi = min(max(dpi, MIN_DPI), USUAL_DPI)
    return max(dpi, longest / MAX_INCHES)


def _told_dpi(data: bytes) -> float | None:
    try:
        with Image.open(BytesIO(data)) as image:
            told = image.info.get("dpi")
    except UnidentifiedImageError:
        # A document whose pages are no pictures.
        return None
    return float(told[0]) if told else None


def _jpeg(data: bytes, max_pixels: int) -> Picture | None:
    """The source's own bytes, where a PDF can show them as they are; else None."""
    documents.check_header(BytesIO(data), "image/jpeg", max_pixels=max_pixels)
    with Image.open(BytesIO(data), formats=["JPEG"]) as image:
        width, height = image.size
        dpi = page_dpi(width, height, _told_dpi(data))
        # Its tags might say that it has to be turned; to read them is the decoder's business.
        upright = not image.info.get("exif")
        small = len(data) <= width * height * MAX_JPEG_BYTES_PER_PIXEL and dpi <= MAX_DPI
        if image.mode not in ("L", "RGB") or not upright or not small:
            return None
        entries = _entries(width, height, image.mode, "/Filter /DCTDecode")
    return Picture(data=data, entries=entries, width=width, height=height, dpi=dpi)


def _compress(image: Image.Image, dpi: float) -> Picture:
    width, height = image.size
    red, green, blue = image.split()
    grey = not (ImageChops.difference(red, green).getbbox() or
                ImageChops.difference(green, blue).getbbox())  # fmt: skip
    shown = red if grey else image
    if grey and sum(red.histogram()[1:255]) == 0:
        # Two tones compress without any loss, so they keep their resolution.
        data = _group4(red.convert("1", dither=Image.Dither.NONE))
        entries = (
            f"/ColorSpace /DeviceGray /BitsPerComponent 1 /Width {width} /Height {height} "
            "/Filter /CCITTFaxDecode /DecodeParms "
            f"<< /K -1 /Columns {width} /Rows {height} /BlackIs1 true >>"
        )
        return Picture(data=data, entries=entries, width=width, height=height, dpi=dpi)
    if dpi > MAX_DPI:
        size = (max(1, round(width * MAX_DPI / dpi)), max(1, round(height * MAX_DPI / dpi)))
        shown = shown.resize(size, Image.Resampling.LANCZOS, reducing_gap=2)
    buffer = io.BytesIO()
    shown.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    entries = _entries(*shown.size, shown.mode, "/Filter /DCTDecode")
    return Picture(data=buffer.getvalue(), entries=entries, width=width, height=height, dpi=dpi)


def _entries(width: int, height: int, mode: str, filters: str) -> str:
    space = "/DeviceGray" if mode == "L" else "/DeviceRGB"
    return f"/ColorSpace {space} /BitsPerComponent 8 /Width {width} /Height {height} {filters}"


def _group4(image: Image.Image) -> bytes:
    """The bits as CCITT group 4, which Pillow writes only into a TIFF: its one strip."""
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", compression="group4", tiffinfo={_ROWS_PER_STRIP: image.height})
    buffer.seek(0)
    with TiffImageFile(buffer) as written:
        (offset,), (size,) = (written.tag_v2[tag] for tag in (_STRIP_OFFSETS, _STRIP_BYTES))
    return buffer.getvalue()[offset : offset + size]
