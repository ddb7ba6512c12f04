"""Documents as callers name them, and the readable ones of a folder."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from casola_ocr.errors import CasolaError

#: A file's path; a URL, if it is a string that begins as one (``https:``, ``http:``, ``data:``); or
#: the bytes of a document.
Source: TypeAlias = str | os.PathLike[str] | bytes

_URL = re.compile(r"(https?|data):", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Document:
    """A document that is about to be sent: one of `url`, `path` and `data`."""

    name: str = ""
    url: str = ""
    path: Path | None = None
    data: bytes = b""

    def open(self) -> BinaryIO:
        """Its bytes from their beginning; the caller closes it.

        Raises:
            OSError: the file cannot be read.
        """
        return self.path.open("rb") if self.path else io.BytesIO(self.data)

    def size(self) -> int:
        """Its bytes; of a URL 0.

        Raises:
            OSError: the file cannot be looked at.
        """
        return self.path.stat().st_size if self.path else len(self.data)


def document(source: Source, name: str | None = None) -> Document:
    """What a caller named; `name` is the file name that the server is told instead of its own."""
    if isinstance(source, bytes):
        return Document(name=name or "document", data=source)
    if isinstance(source, str) and _URL.match(source):
        return Document(url=source)
    path = Path(source)
    return Document(name=name or path.name, path=path)


def documents_below(folder: Path, skipped: Path | None = None) -> Iterator[Path]:
    """The documents in a folder and its folders; hidden ones and the folder `skipped` are not."""
    skipped = skipped.absolute() if skipped else None
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and Path(place, name).absolute() != skipped
        )
        for name in sorted(names):
            if not name.startswith(".") and is_document(Path(place, name)):
                yield Path(place, name)


def is_document(path: Path) -> bool:
    """Whether a file is in a readable format, by its content; a PDF that we wrote is not."""
    # Only here, because they bring the libraries of all formats.
    from casola_ocr.documents import HEAD_BYTES, sniff
    from casola_ocr.exports import FORMATS

    if path.name.endswith(FORMATS["pdf"].suffix):
        return False
    try:
        with path.open("rb") as file:
            sniff(file.read(HEAD_BYTES))
    except (OSError, CasolaError):
        return False
    return True
