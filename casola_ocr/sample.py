"""The sample page that comes with the package: a drawn invoice whose text is known."""

from __future__ import annotations

from importlib.resources import files


def sample_image() -> bytes:
    """Return the sample page as PNG."""
    return (files("casola_ocr") / "sample.png").read_bytes()


def sample_text() -> str:
    """Return what is printed on the sample page, one printed row a line."""
    return (files("casola_ocr") / "sample.txt").read_text(encoding="utf-8")
