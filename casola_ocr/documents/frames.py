"""The structure of picture files, walked without decoding: how many frames, and how large.

Nothing here allocates more than a few bytes for a frame, whatever the file claims. The file is left
anywhere.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from casola_ocr.errors import DamagedDocument


def webp_size(head: bytes) -> tuple[int, int]:
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


def gif_frames(file: BinaryIO) -> Iterator[tuple[int, int]]:
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


def tiff_directories(file: BinaryIO) -> Iterator[int]:
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
