"""Picture files that no library writes: odd tags, frames beyond the screen, huge headers."""

from __future__ import annotations

import struct
import zlib

from PIL import Image

from tests.pages import as_bytes


def tiff(pixels: bytes, tags: dict[int, int]) -> bytes:
    pixels += bytes(len(pixels) % 2)
    entries = {256: 2, 257: 1, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(pixels)}
    entries.update(tags)
    directory = struct.pack("<H", len(entries))
    directory += b"".join(
        struct.pack("<HHLL", tag, 4, 1, value) for tag, value in sorted(entries.items())
    )
    return b"II*\0" + struct.pack("<L", 8 + len(pixels)) + pixels + directory + bytes(4)


def frames(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (20 + n, 10), (n * 20, 0, 0)) for n in range(count)]


def gif(screen: tuple[int, int], *extents: tuple[int, int]) -> bytes:
    parts = [b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + bytes(6)]
    for extent in extents:
        parts.append(b"!\xf9\x04\x08\0\0\0\0")
        parts.append(b"," + struct.pack("<HHHHB", 0, 0, *extent, 0) + b"\x02\x02\x4c\x01\0")
    return b"".join(parts) + b";"


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def webp_canvas(width: int, height: int) -> bytes:
    data = bytearray(as_bytes(Image.new("RGBA", (8, 8), (1, 2, 3, 4)), "WEBP", lossless=False))
    assert data[12:16] == b"VP8X"
    data[24:27] = (width - 1).to_bytes(3, "little")
    data[27:30] = (height - 1).to_bytes(3, "little")
    return bytes(data)
