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
from types import TracebackType
from typing import BinaryIO, Self

from PIL import ExifTags, Image, ImageCms

from casola_ocr.errors import DamagedDocument, TooManyPages, TooManyPixels, UnsupportedFormat

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
    NotImplementedError,
    RecursionError,
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


def count_pages(file: BinaryIO, media_type: str, *, max_pages: int) -> int:
    """Frames of a GIF, directories of a TIFF, 1 for everything else.

    Counting stops after `max_pages`, and a TIFF whose directories form a loop ends where the
    loop closes. A page that is counted can still turn out to be damaged. `file` must be seekable
    and is left at position 0.

    Raises:
        DamagedDocument: the file has no readable page.
        TooManyPages: it has more than `max_pages`.
        UnsupportedFormat: `media_type` is not one of `sniff`'s.
    """
    _format(media_type)
    if is_single_page(media_type):
        return 1
    count = 0
    try:
        with _damage():
            file.seek(0)
            pages = _gif_frames(file) if media_type == "image/gif" else _tiff_directories(file)
            for _ in pages:
                count += 1
                if count > max_pages:
                    raise TooManyPages(
                        f"The document has more than {max_pages} pages, the limit of this server."
                    )
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
            self._gif_sizes = _gif_frames(self._file)
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
        return _upright(_to_rgb(image, bits, inverted), image)

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
    """The page as PNG with the fastest compression: it is written once and read once."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


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
            _check_pixels(*_webp_size(file.read(30)), max_pixels)
            file.seek(0)
        elif media_type == "image/gif":
            size = next(_gif_frames(file), None)
            if size is None:
                raise DamagedDocument
            _check_pixels(*size, max_pixels)
            file.seek(0)
        image = Image.open(file, formats=[pillow_format])
        _check_size(image, max_pixels)
        return image


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


def _webp_size(head: bytes) -> tuple[int, int]:
    kind = head[12:16]
    if len(head) < 30:
        raise DamagedDocument
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L":
        packed = int.from_bytes(head[21:25], "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise DamagedDocument


def _gif_frames(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Size of the canvas at each frame. Skips what Pillow skips, so both see the same frames."""
    header = file.read(13)
    if len(header) < 13:
        return
    width, height, flags = struct.unpack_from("<HHB", header, 6)
    if flags & 0x80:
        file.seek(3 << (flags & 7) + 1, io.SEEK_CUR)
    while (block := file.read(1)) not in (b"", b";"):
        if block == b"!":
            file.read(1)
            _skip_sub_blocks(file)
        elif block == b",":
            descriptor = file.read(9)
            if len(descriptor) < 9:
                return
            x, y, frame_width, frame_height, flags = struct.unpack("<HHHHB", descriptor)
            width, height = max(width, x + frame_width), max(height, y + frame_height)
            if flags & 0x80:
                file.seek(3 << (flags & 7) + 1, io.SEEK_CUR)
            if not file.read(1):
                return
            # The consumer may have used the file in between.
            position = file.tell()
            yield width, height
            file.seek(position)
            _skip_sub_blocks(file)


def _skip_sub_blocks(file: BinaryIO) -> None:
    while (size := file.read(1)) not in (b"", b"\x00"):
        file.seek(size[0], io.SEEK_CUR)


def _tiff_directories(file: BinaryIO) -> Iterator[int]:
    """Offset of each directory. One that lies beyond the end is the last; opening it fails."""
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = 43 in head[2:4]
    count_format, entry_size, offset_format = ("Q", 20, "Q") if big else ("H", 12, "L")
    (offset,) = struct.unpack_from(order + offset_format, head, 8 if big else 4)
    seen: set[int] = set()
    while offset and offset not in seen:
        seen.add(offset)
        file.seek(offset)
        count = file.read(struct.calcsize(order + count_format))
        if len(count) < struct.calcsize(order + count_format):
            # Without this page the rest of a file that was cut off would seem complete.
            if len(seen) > 1:
                yield offset
            return
        yield offset
        (entries,) = struct.unpack(order + count_format, count)
        file.seek(offset + len(count) + entries * entry_size)
        following = file.read(struct.calcsize(order + offset_format))
        if len(following) < struct.calcsize(order + offset_format):
            return
        (offset,) = struct.unpack(order + offset_format, following)


def _to_rgb(image: Image.Image, bits: int, inverted: bool) -> Image.Image:
    """A new RGB image on white; `bits` and `inverted` describe 16-bit grey of a TIFF."""
    flat: Image.Image = image
    if flat.mode == "P" and flat.palette is None:
        # Pillow 13 says so of a grey GIF's frame that leaves pixels as they were; a copy takes its
        # mode from the pixels.
        flat = flat.copy()
    if flat.mode.startswith("I;16"):
        flat = _scaled(flat.convert("I"), 0, (1 << (bits if 8 < bits < 16 else 16)) - 1)
        if inverted:
            flat = flat.point(lambda value: 255 - value)
    elif flat.mode in ("I", "F"):
        flat = _wide_grey(flat)
    elif flat.mode == "LAB":
        flat = _lab_to_rgb(flat)
    elif flat.has_transparency_data:
        if flat.mode == "La":
            flat = flat.convert("LA")
        rgba = flat.convert("RGBA")
        flat = Image.new("RGB", rgba.size, "white")
        flat.paste(rgba, mask=rgba.getchannel("A"))
    rgb = flat.copy() if flat.mode == "RGB" and flat is image else flat.convert("RGB")
    # Profiles and transparency keys no longer fit these pixels.
    rgb.info = {}
    return rgb


def _wide_grey(image: Image.Image) -> Image.Image:
    """Integer or floating grey to 8 bit: as it is when it fits, else its range is stretched."""
    low, high = (float(value) for value in image.getextrema())  # type: ignore[arg-type]
    if not (abs(low) < 1e30 and abs(high) < 1e30):
        return image.convert("L")
    if image.mode == "F" and low >= 0 and 0 < high <= 1:
        return _scaled(image, 0, 1)
    if (low >= 0 and high <= 255) or low == high:
        return image.convert("L")
    return _scaled(image, low, high)


def _scaled(image: Image.Image, low: float, high: float) -> Image.Image:
    factor = 255 / (high - low)
    # In floating point: a 32-bit range overflows the integer arithmetic of mode I.
    floating = image.convert("F")
    return floating.point(lambda value: value * factor + (0.5 - low * factor)).convert("L")


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    transform = ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None, "applyTransform returns None only for inPlace"  # noqa: S101
    return converted


def _upright(rgb: Image.Image, source: Image.Image) -> Image.Image:
    try:
        # Pillow itself turns TIFF pages when it loads them, and then drops the tag.
        orientation = source.getexif().get(ExifTags.Base.Orientation)
    except _DAMAGE:
        # Unreadable metadata does not make the picture unreadable.
        return rgb
    method = _TRANSPOSE.get(orientation) if isinstance(orientation, int) else None
    return rgb if method is None else rgb.transpose(method)
