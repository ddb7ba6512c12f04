"""Hostile picture files to plain RGB pages, on Pillow.

Three rules keep a small file from becoming a large process: Pillow is only asked for the one
format that the content claims; a frame's size is compared with the limit before memory for it is
allocated; and pages are counted by walking the file's own structure, never by decoding.

Every function leaves the file open; those that only look leave it at position 0. Nothing here
keeps state between calls, so threads may call it with different files.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import islice
from types import TracebackType
from typing import BinaryIO, Self

from PIL import ExifTags, Image, ImageChops, ImageCms

from casola_ocr.documents.embedded_text import EmbeddedText
from casola_ocr.documents.frames import gif_frames, tiff_directories, webp_size
from casola_ocr.documents.pixels import to_rgb
from casola_ocr.errors import DamagedDocument, TooManyPixels, UnsupportedFormat

# Pillow's own limit warns, then raises, at sizes of its choice, and only for the first frame of
# some formats. The checks here come first, for every frame, against the operator's limit; a second
# limit would only make pages fail that the operator allowed.
Image.MAX_IMAGE_PIXELS = None

_FORMATS = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/tiff": "TIFF",
    "image/bmp": "BMP",
    "image/avif": "AVIF",
    "image/heic": "HEIF",
}
_MULTI_PAGE = frozenset({"image/gif", "image/tiff"})

# What Pillow's parsers raise on damaged files, found by fuzzing and in its issues (#9814). Not
# Exception: Celery's soft time limit must pass through, and so must a MemoryError.
_DAMAGE = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    struct.error,
    zlib.error,
    ImageCms.PyCMSError,
)

_TIFF_BITS = 258
_TIFF_PHOTOMETRIC = 262
_TIFF_TILE_WIDTH = 322
_TIFF_TILE_HEIGHT = 323
_WHITE_IS_ZERO = 0

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def is_single_page(media_type: str) -> bool:
    """Whether files of this type hold exactly one page, so that nothing has to be prepared."""
    return media_type in _FORMATS and media_type not in _MULTI_PAGE


def check_header(file: BinaryIO, media_type: str, *, max_pixels: int) -> None:
    """Look at the first frame's header without decoding; cheap enough for a request.

    `file` must be seekable and is left at position 0.

    Raises:
        DamagedDocument: the header cannot be read, or the picture has no area.
        TooManyPixels: the first frame has more than `max_pixels` pixels.
        UnsupportedFormat: `media_type` is not one of `sniff`'s.
    """
    try:
        _open(file, media_type, max_pixels)
    finally:
        file.seek(0)


def count_pages(file: BinaryIO, media_type: str, *, at_most: int) -> int:
    """Frames of a GIF, directories of a TIFF, 1 for everything else.

    Counting stops at `at_most`, and a TIFF whose directories form a loop ends where the loop
    closes. A page that is counted can still turn out to be damaged. `file` must be seekable and is
    left at position 0.

    Raises:
        DamagedDocument: the file has no readable page.
        UnsupportedFormat: `media_type` is not one of `sniff`'s.
    """
    _format(media_type)
    if is_single_page(media_type):
        return 1
    try:
        with _damage():
            file.seek(0)
            pages = gif_frames(file) if media_type == "image/gif" else tiff_directories(file)
            count = sum(1 for _ in islice(pages, at_most))
    finally:
        file.seek(0)
    if count == 0:
        raise DamagedDocument("The document has no readable page.")
    return count


def open_page(file: BinaryIO, media_type: str, page: int, *, max_pixels: int) -> Image.Image:
    """Decode one page (1-based) as `PageReader.page` does; for many pages use the reader.

    Raises:
        DamagedDocument: the page does not exist, is cut off or cannot be decoded.
        TooManyPixels: the page, or a GIF frame below it, has more than `max_pixels` pixels.
        UnsupportedFormat: `media_type` is not one of `sniff`'s.
        ValueError: `page` is below 1.
    """
    return PageReader(file, media_type, max_pixels=max_pixels).page(page)


class PageReader:
    """Decodes pages of one document; reading them in order costs one pass over the file.

    The file must be seekable, must not be used by others meanwhile, and is not closed. Not
    thread-safe.
    """

    def __init__(self, file: BinaryIO, media_type: str, *, max_pixels: int):
        _format(media_type)
        self._file = file
        self._media_type = media_type
        self._max_pixels = max_pixels
        self._image: Image.Image | None = None
        self._frame = 0
        self._gif_sizes: Iterator[tuple[int, int]] = iter(())
        # GIF frames build on each other: none after a damaged one can be right, and finding
        # that out again for each would decode the whole file each time.
        self._gif_error: tuple[int, DamagedDocument | TooManyPixels] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._image = None

    def count(self, at_most: int) -> int:
        """As `count_pages`."""
        return count_pages(self._file, self._media_type, at_most=at_most)

    def text(self, page: int, size: tuple[int, int]) -> EmbeddedText:
        """Pictures have none."""
        return EmbeddedText()

    def page(self, page: int) -> Image.Image:
        """Page `page` (1-based) as RGB on white, turned upright as EXIF or TIFF tags say.

        An error concerns this page only; the next page can be asked for.

        Raises:
            DamagedDocument: the page does not exist, is cut off or cannot be decoded.
            TooManyPixels: it has more than `max_pixels` pixels.
            ValueError: `page` is below 1.
        """
        if page < 1:
            raise ValueError("pages are counted from 1")
        if page > 1 and is_single_page(self._media_type):
            raise DamagedDocument(f"The document has no page {page}.")
        if self._gif_error and page > self._gif_error[0]:
            error = self._gif_error[1]
            raise type(error)(error.detail)
        try:
            with _damage():
                found = self._decode(page - 1)
        except (DamagedDocument, TooManyPixels) as error:
            if self._media_type == "image/gif":
                self._gif_error = (self._frame, error)
            # Pillow's state after a failure is undefined.
            self._image = None
            raise
        if found is None:
            raise DamagedDocument(f"The document has no page {page}.")
        return found

    def _decode(self, frame: int) -> Image.Image | None:
        if self._image is None or frame < self._frame:
            self._frame = 0
            self._image = _open(self._file, self._media_type, self._max_pixels)
            self._file.seek(0)
            self._gif_sizes = gif_frames(self._file)
            if self._media_type == "image/gif":
                next(self._gif_sizes, None)
        image = self._image
        if self._media_type == "image/gif":
            if not self._seek_gif(image, frame):
                return None
        elif frame:
            try:
                image.seek(frame)
            except EOFError:
                return None
            self._frame = frame
        _check_size(image, self._max_pixels)
        tags = getattr(image, "tag_v2", {})
        bits = _first(tags.get(_TIFF_BITS, 16))
        inverted = tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO
        image.load()
        return _upright(to_rgb(image, bits, inverted), image)

    def _seek_gif(self, image: Image.Image, frame: int) -> bool:
        """Go on frame by frame, `_frame` being the one that an error would be about."""
        while self._frame < frame:
            image.load()
            # Pillow grows the canvas to a frame's extent, and allocates it, while it seeks.
            size = next(self._gif_sizes, None)
            if size is None:
                return False
            self._frame += 1
            _check_pixels(*size, self._max_pixels)
            image.seek(self._frame)
        return True


def encode_page(image: Image.Image) -> bytes:
    """The page as PNG with the fastest compression: it is written once and read once.

    Only runs of equal pixels are looked for: measured on pages, that is a bit faster than zlib's
    usual way, and 15 % smaller. A page without colour becomes grey, which takes less than half of
    the time and two thirds of the bytes.
    """
    buffer = io.BytesIO()
    if image.mode == "RGB":
        red, green, blue = image.split()
        if not _differ(red, green) and not _differ(green, blue):
            image = green
    image.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return buffer.getvalue()


def _differ(one: Image.Image, other: Image.Image) -> bool:
    return ImageChops.difference(one, other).getbbox() is not None


@contextmanager
def _damage() -> Iterator[None]:
    """Turn Pillow's exceptions into ours and keep its warnings about odd metadata quiet."""
    # Threads that race here can at worst leave this one narrow filter behind, or lose it for a
    # moment: a line on standard error, never an exception.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.|casola_ocr\.documents\.")
        try:
            yield
        except _DAMAGE as error:
            raise DamagedDocument from error


def _format(media_type: str) -> str:
    try:
        return _FORMATS[media_type]
    except KeyError:
        raise UnsupportedFormat(f"{media_type!r} is not a type that this server reads.") from None


def _open(file: BinaryIO, media_type: str, max_pixels: int) -> Image.Image:
    pillow_format = _format(media_type)
    with _damage():
        file.seek(0)
        if media_type == "image/webp":
            # Pillow allocates two canvases when it opens a WebP.
            _check_pixels(*webp_size(file.read(30)), max_pixels)
            file.seek(0)
        elif media_type == "image/gif":
            size = next(gif_frames(file), None)
            if size is None:
                raise DamagedDocument
            _check_pixels(*size, max_pixels)
            file.seek(0)
        elif media_type == "image/heic":
            _register_heif()
        image = Image.open(file, formats=[pillow_format])
        _check_size(image, max_pixels)
        return image


@cache
def _register_heif() -> None:
    # Here: most processes never see such a file, and do without its decoder.
    from pillow_heif import register_heif_opener

    register_heif_opener()


def _check_size(image: Image.Image, max_pixels: int) -> None:
    _check_pixels(*image.size, max_pixels)
    tags = getattr(image, "tag_v2", {})
    # A tile may be larger than its page, and is decoded as a whole.
    _check_pixels(
        max(1, _first(tags.get(_TIFF_TILE_WIDTH, 1))),
        max(1, _first(tags.get(_TIFF_TILE_HEIGHT, 1))),
        max_pixels,
    )


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise DamagedDocument("The picture has no area.")
    if width * height > max_pixels:
        raise TooManyPixels(
            f"A page has {width} x {height} pixels; this server reads up to {max_pixels} pixels."
        )


def _first(value: object) -> int:
    if isinstance(value, tuple):
        value = value[0] if value else 0
    return int(value) if isinstance(value, (int, float)) else 0


def _upright(rgb: Image.Image, source: Image.Image) -> Image.Image:
    try:
        # Pillow itself turns TIFF pages when it loads them, and then drops the tag.
        orientation = source.getexif().get(ExifTags.Base.Orientation)
    except _DAMAGE:
        # Unreadable metadata does not make the picture unreadable.
        return rgb
    method = _TRANSPOSE.get(orientation) if isinstance(orientation, int) else None
    return rgb if method is None else rgb.transpose(method)
