from __future__ import annotations

import contextlib
import io

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from casola_ocr.documents import sniff
from casola_ocr.documents.images import check_header, count_pages, open_page
from casola_ocr.errors import CasolaError
from tests.pages import as_bytes, heic
from tests.pictures import frames, gif

MAGICS = [
    b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff",
    b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    b"GIF89a", b"GIF87a\x04\0\x04\0\0\0\0", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08",
    b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0", b"RIFF\x40\0\0\0WEBPVP8 ", b"RIFF\x40\0\0\0WEBPVP8X",
    b"RIFF\x40\0\0\0WEBPVP8L", b"BM" + bytes(12) + b"\x28\0\0\0",
    b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
]  # fmt: skip
SEEDS = [
    as_bytes(Image.effect_noise((24, 16), 50).convert("RGB"), name, **save)
    for name, save in [
        ("PNG", {}), ("JPEG", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}), ("WEBP", {}),
        ("GIF", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}), ("TIFF", {"big_tiff": True}), ("BMP", {}), ("AVIF", {}),
    ]
]  # fmt: skip
SEEDS.append(heic(Image.effect_noise((64, 64), 50).convert("RGB")))
SEEDS.append(gif((4, 4), (4, 4), (5, 5)))
SEEDS.append(as_bytes(frames(2)[0], "TIFF", save_all=True, append_images=frames(2)))


def only_our_errors(data: bytes) -> None:
    file = io.BytesIO(data)
    try:
        media_type = sniff(data)
    except CasolaError:
        return
    for call in (
        lambda: check_header(file, media_type, max_pixels=10_000),
        lambda: count_pages(file, media_type, at_most=20),
        lambda: open_page(file, media_type, 1, max_pixels=10_000),
        lambda: open_page(file, media_type, 2, max_pixels=10_000),
    ):
        with contextlib.suppress(CasolaError):
            call()


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(MAGICS), st.binary(max_size=200))
def test_random_bytes_raise_only_our_errors(magic, rest):
    only_our_errors(magic + rest)


@settings(max_examples=800, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(0, 40),
)
def test_mutated_files_raise_only_our_errors(seed, changes, cut):
    data = bytearray(seed)
    for position, value in changes:
        data[position % len(data)] = value
    only_our_errors(bytes(data[: len(data) - cut]))
