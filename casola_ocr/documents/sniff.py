"""Media type by content: neither the file's name nor the client's header is believed."""

from __future__ import annotations

import codecs

from casola_ocr.errors import EmptyFile, UnsupportedFormat

#: Bytes from the start of a file that `sniff` needs; more does no harm.
HEAD_BYTES = 1032

_ACCEPTED = "this server reads PDF, PNG, JPEG, WebP, GIF, TIFF, BMP, AVIF and HEIC"

_PDF = b"%PDF-"
#: Readers of PDF accept so much rubbish before the signature.
_PDF_WITHIN = 1024

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
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"PK\x05\x06", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old office document"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript file"),
)

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"heif"}
)
#: Two letters are no signature; the size of a BMP's second header is.
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


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
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "image/bmp"
    if head[4:8] == b"ftyp" and (photo := _photo(head)):
        return photo
    looks_like = _container(head)
    if looks_like is None and _PDF in head[: _PDF_WITHIN + len(_PDF)]:
        return "application/pdf"
    looks_like = looks_like or _writing(head)
    if looks_like:
        raise UnsupportedFormat(f"The file looks like {looks_like}; {_ACCEPTED}.")
    raise UnsupportedFormat(f"The file's format is not known; {_ACCEPTED}.")


def _photo(head: bytes) -> str | None:
    """AVIF or HEIC by the brands in the first box, of which the first may be that of both."""
    end = max(16, int.from_bytes(head[:4], "big"))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(end, len(head)), 4))}
    if brands & _AVIF_BRANDS:
        return "image/avif"
    return "image/heic" if brands & _HEIF_BRANDS else None


def _container(head: bytes) -> str | None:
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return name
    return "a video" if head[4:8] == b"ftyp" else None


def _writing(head: bytes) -> str | None:
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
