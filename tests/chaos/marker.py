"""The code that the harness draws on every page: what the page is, readable after any format.

A page carries a grid of black and white cells at a fixed place. Nothing scales pages on their way,
so the reader samples the same place; cells of 8 pixels survive JPEG's blocks and GIF's palettes.
"""

from __future__ import annotations

import random
import struct
import zlib
from functools import cache
from typing import NamedTuple

from PIL import Image

CELL = 8
COLUMNS, ROWS = 16, 8
MARGIN = 16
SIZE = (320, 200)
#: In front of the fields, so that any other page is known not to carry a code.
SYNC = b"\xa5\xc3\x96"
_FIELDS = struct.Struct(">IHHB")
_POISON = 1
_BOX = (MARGIN, MARGIN, MARGIN + COLUMNS * CELL, MARGIN + ROWS * CELL)
_WORDS = ("anchor", "birch", "copper", "delta", "ember", "flint", "granite", "harbour", "iris")


class Marker(NamedTuple):
    """What a page is. A `poison` page kills the process that reads it, every time."""

    document: int
    page: int
    milliseconds: int
    poison: bool


class DamagedMarker(Exception):
    """The page has a code whose checksum is wrong: its pixels were damaged on the way."""


def draw(marker: Marker) -> Image.Image:
    """The page as a grey image: the code above some noise that depends on the marker alone."""
    fields = _FIELDS.pack(
        marker.document, marker.page, marker.milliseconds, _POISON if marker.poison else 0
    )
    data = SYNC + fields + zlib.crc32(fields).to_bytes(4)
    cells = bytes(0 if byte >> bit & 1 else 255 for byte in data for bit in range(7, -1, -1))
    grid = Image.frombytes("L", (COLUMNS, ROWS), cells)
    image = Image.new("L", SIZE, 255)
    image.paste(grid.resize((COLUMNS * CELL, ROWS * CELL), Image.Resampling.NEAREST), _BOX[:2])
    grain = random.Random(f"{marker}").randbytes(SIZE[0] // 4 * 20)
    noise = Image.frombytes("L", (SIZE[0] // 4, 20), grain)
    image.paste(noise.resize((SIZE[0], 80), Image.Resampling.NEAREST), (0, SIZE[1] - 80))
    return image


def decode(image: Image.Image) -> Marker | None:
    """What the page says it is; None when it carries no code.

    Raises:
        DamagedMarker: there is a code, and it cannot be right.
    """
    if image.width < _BOX[2] or image.height < _BOX[3]:
        return None
    means = image.convert("L").crop(_BOX).resize((COLUMNS, ROWS), Image.Resampling.BOX).tobytes()
    bits = "".join("1" if mean < 128 else "0" for mean in means)
    data = int(bits, 2).to_bytes(len(bits) // 8)
    if not data.startswith(SYNC):
        return None
    fields, checksum = data[len(SYNC) : -4], data[-4:]
    if zlib.crc32(fields).to_bytes(4) != checksum:
        raise DamagedMarker(data.hex())
    document, page, milliseconds, flags = _FIELDS.unpack(fields)
    return Marker(document, page, milliseconds, bool(flags & _POISON))


@cache
def text(document: int, page: int) -> str:
    """The only right text of a page."""
    words = random.Random(document << 16 | page).sample(_WORDS, 4)
    return f"document {document} page {page}\n{' '.join(words)}"
