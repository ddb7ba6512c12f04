from __future__ import annotations

import pytest
from PIL import Image

from casola_ocr.documents.names import MAX_NAME_LENGTH, clean_file_name
from casola_ocr.documents.sniff import HEAD_BYTES, sniff
from casola_ocr.errors import EmptyFile, UnsupportedFormat
from tests.pages import as_bytes


@pytest.mark.parametrize(
    ("pillow_format", "save", "media_type"),
    [
        ("PNG", {}, "image/png"),
        ("JPEG", {}, "image/jpeg"),
        ("WEBP", {}, "image/webp"),
        ("GIF", {}, "image/gif"),
        ("TIFF", {}, "image/tiff"),
        ("TIFF", {"big_tiff": True}, "image/tiff"),
        ("BMP", {}, "image/bmp"),
        ("AVIF", {}, "image/avif"),
        ("PDF", {}, "application/pdf"),
    ],
)
def test_accepted_formats(pillow_format, save, media_type):
    data = as_bytes(Image.new("RGB", (8, 8)), pillow_format, **save)
    assert sniff(data[:HEAD_BYTES]) == media_type


@pytest.mark.parametrize(
    "head", [b"MM\x00*\x00\x00\x00\x08", b"MM\x00+\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10"]
)
def test_big_endian_tiff(head):
    assert sniff(head) == "image/tiff"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00iso2mp41", "video"),
        (b"BM just some words that begin so", "text"),
        (b" " * 1025 + b"%PDF-1.7", "text"),
        (b"PK\x03\x04 a.pdf %PDF-1.7", "ZIP"),
        (b"PK\x03\x04\x14\x00", "ZIP"),
        (b"just some words", "text"),
        ("größer ä".encode()[:-1], "text"),
        (b"\xef\xbb\xbf<!DOCTYPE html>", "web page"),
        (b"<svg xmlns=''>", "SVG"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "not known"),
        (b"\x00\x01\x02\x03", "not known"),
        (b"\xff", "not known"),
    ],
)
def test_refused_formats_are_named(head, name):
    with pytest.raises(UnsupportedFormat) as caught:
        sniff(head)
    assert name in caught.value.detail
    assert "PDF, PNG, JPEG, WebP, GIF, TIFF, BMP, AVIF and HEIC" in caught.value.detail


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"%PDF-1.7\n", "application/pdf"),
        (b"\r\n\x00%PDF-1.7\n", "application/pdf"),
        (b"<!-- a mail program put this here -->" + b"\n" * 980 + b"%PDF-1.4", "application/pdf"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "image/heic"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", "image/heic"),
        (b"\x00\x00\x00\x1cftypavif", "image/avif"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf", "image/avif"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic....avif", "image/heic"),
    ],
)
def test_signatures_that_are_not_at_the_start_or_share_it(head, media_type):
    assert len(head) <= HEAD_BYTES
    assert sniff(head) == media_type


def test_empty():
    with pytest.raises(EmptyFile):
        sniff(b"")


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("scan.png", "scan.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\scan.png", "scan.png"),
        ("a\x00b\nc\x7f.png", "abc.png"),
        ("invoice\u202egnp.exe", "invoicegnp.exe"),
        ("a\u200b\u2066b\u2028\ud800.png", "ab.png"),
        ("e\u0301t\u00e9.png", "\u00e9t\u00e9.png"),
        ("日本語.tif", "日本語.tif"),
        ("", "document"),
        ("..", "document"),
        ("folder/", "document"),
        (" \t ", "document"),
    ],
)
def test_clean_file_name(name, clean):
    assert clean_file_name(name) == clean


def test_long_name_keeps_its_extension():
    clean = clean_file_name("x" * 500 + ".tiff")
    assert len(clean) == MAX_NAME_LENGTH
    assert clean.endswith("x.tiff")
    assert len(clean_file_name("x" * 500)) == MAX_NAME_LENGTH
    assert len(clean_file_name("x." + "y" * 500)) == MAX_NAME_LENGTH
