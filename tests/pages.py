"""Pages drawn with real fonts, and the error rate of what was read from them."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pillow_heif
from PIL import Image, ImageChops, ImageDraw, ImageFont

from benchmarks.scores import error_rate

_FONT_FOLDERS = (
    Path("/usr/share/fonts/truetype/dejavu"),
    Path("/usr/share/fonts/dejavu"),
    Path("/usr/share/fonts/dejavu-sans-fonts"),
    Path("/usr/share/fonts/TTF"),
    Path("/usr/local/share/fonts"),
)


@cache
def load_font(font: str, size: int) -> Any:
    """The named font from a usual place, else the one that comes with Pillow."""
    for folder in _FONT_FOLDERS:
        path = folder / f"{font}.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), size)
    return ImageFont.load_default(size)


def draw_page(
    lines: Sequence[str],
    *,
    width: int = 1240,
    font_size: int = 36,
    rotate: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
    font: str = "DejaVuSans",
) -> Image.Image:
    """Black text on a white RGB page, one line below the other.

    `rotate` is in degrees counter-clockwise (the page grows to hold it); `noise` is the share of
    grey noise, 0..1. The same arguments give the same pixels on the same machine.
    """
    margin = font_size * 2
    step = font_size * 8 // 5
    image = Image.new("RGB", (width, 2 * margin + step * max(1, len(lines))), "white")
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((margin, margin + number * step), line, "black", load_font(font, font_size))
    if rotate:
        image = image.rotate(
            rotate, resample=Image.Resampling.BICUBIC, expand=True, fillcolor="white"
        )
    if noise:
        source = random.Random(seed)
        grain = Image.frombytes("L", image.size, source.randbytes(image.width * image.height))
        grain = grain.point([round(value * noise) for value in range(256)])
        image = ImageChops.subtract(image, Image.merge("RGB", (grain,) * 3))
    return image


def as_bytes(image: Image.Image, format: str = "PNG", **save: Any) -> bytes:
    """The image as a file; `save` goes to Pillow (quality, exif, save_all, append_images, …)."""
    buffer = io.BytesIO()
    image.save(buffer, format, **save)
    return buffer.getvalue()


def heic(image: Image.Image) -> bytes:
    """The image as a HEIC photo; Pillow has no writer of its own."""
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=90)
    return buffer.getvalue()


def broken_second_frame(frames: Sequence[Image.Image] = ()) -> bytes:
    """A TIFF of two frames, the bytes of the second one lost; noise unless `frames` are given."""
    first, second = frames or [Image.effect_noise((64, 64), 50) for _ in range(2)]
    data = bytearray(
        as_bytes(first, "TIFF", save_all=True, append_images=[second], compression="tiff_lzw")
    )
    with Image.open(io.BytesIO(bytes(data))) as image:
        image.seek(1)
        spans = list(zip(image.tag_v2[273], image.tag_v2[279], strict=True))
    for start, length in spans:
        data[start : start + length] = bytes(length)
    return bytes(data)


def cer(truth: str, text: str) -> float:
    """Character error rate: edits per character of `truth`, white space collapsed."""
    return error_rate(" ".join(truth.split()), " ".join(text.split()))
