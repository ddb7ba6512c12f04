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
        (b"%PDF-1.7\n", "PDF"),
        (b"\r\n\x00%PDF-1.7\n", "PDF"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC"),
        (b"\x00\x00\x00\x1cftypavif", "AVIF"),
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
    assert "PNG, JPEG, WebP, GIF and TIFF" in caught.value.detail


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
