"""``casola-ocr read``: files and folders through a running server."""

from casola_ocr.reading.command import read

__all__ = ["read"]
