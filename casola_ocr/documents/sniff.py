"""Media type by content: neither the file's name nor the client's header is believed."""

from __future__ import annotations

import codecs

from casola_ocr.errors import EmptyFile, UnsupportedFormat

#: Bytes from the start of a file that `sniff` needs; more does no harm.
HEAD_BYTES = 512

_ACCEPTED = "this server reads PNG, JPEG, WebP, GIF and TIFF"

_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00\x08\x00\x00\x00", "image/tiff"),
    (b"MM\x00+\x00\x08\x00\x00", "image/tiff"),
)

_OTHERS = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"PK\x05\x06", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"BM", "a BMP image"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old office document"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript file"),
)

_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"heif"}
)


def sniff(head: bytes) -> str:
    """The media type of a file whose first bytes are `head`.

    Only the signature is looked at: a file that passes can still be damaged.

    Raises:
        EmptyFile: `head` is empty.
        UnsupportedFormat: the bytes are of no accepted format.
    """
    if not head:
        raise EmptyFile
    for magic, media_type in _IMAGES:
        if head.startswith(magic):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    looks_like = _looks_like(head)
    if looks_like:
        raise UnsupportedFormat(f"The file looks like {looks_like}; {_ACCEPTED}.")
    raise UnsupportedFormat(f"The file's format is not known; {_ACCEPTED}.")


def _looks_like(head: bytes) -> str | None:
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        if head[8:12] in _HEIF_BRANDS:
            return "a HEIC photo"
        return "an AVIF image" if head[8:12] in (b"avif", b"avis") else "a video"
    # PDF readers accept up to a kilobyte of rubbish before the signature.
    if b"%PDF-" in head:
        return "a PDF"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if text.startswith((b"<svg", b"<?xml")):
        return "XML or SVG"
    if all(byte >= 0x20 or byte in b"\t\n\r\f\x1b" for byte in head):
        try:
            # Incremental, because the head may end inside a character.
            codecs.getincrementaldecoder("utf-8")().decode(head)
        except UnicodeDecodeError:
            return None
        return "text"
    return None
