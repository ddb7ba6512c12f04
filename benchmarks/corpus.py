"""Documents with known text: a folder with ``manifest.jsonl``, a line for each file.

A row has `file`, `kind`, `language` (ISO 639-1) and `text` (the file with the truth, UTF-8, or
null), and `case_insensitive` where the truth is written in capitals only.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from casola_ocr import documents

#: More pages of a file are not read.
MOST_PAGES = 1000
#: As the service by default.
MOST_PIXELS = 100_000_000


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A document of the corpus; `truth` is None where nobody wrote its text down."""

    path: Path
    name: str
    kind: str
    language: str
    truth: str | None
    case_insensitive: bool

    def open(self) -> documents.Document:
        """The document, opened as the service opens it: a PDF's pages are drawn."""
        data = self.path.read_bytes()
        media_type = documents.sniff(data[: documents.HEAD_BYTES])
        return documents.open_document(data, media_type, max_pixels=MOST_PIXELS)


def open_picture(data: bytes) -> Image.Image:
    """The one page of a picture, as a worker opens it."""
    media_type = documents.sniff(data[: documents.HEAD_BYTES])
    return documents.open_page(BytesIO(data), media_type, 1, max_pixels=MOST_PIXELS)


def read_manifest(corpus: Path, *, kinds: Collection[str] = (), limit: int = 0) -> list[Entry]:
    """The corpus's files in the manifest's order: of these kinds (all), so many of each (all)."""
    entries: list[Entry] = []
    for row in map(json.loads, (corpus / "manifest.jsonl").read_text("utf-8").splitlines()):
        kind = row["kind"]
        if kinds and kind not in kinds:
            continue
        if limit and sum(entry.kind == kind for entry in entries) >= limit:
            continue
        entries.append(
            Entry(
                path=corpus / row["file"],
                name=Path(row["file"]).name,
                kind=kind,
                language=row["language"],
                truth=(corpus / row["text"]).read_text("utf-8") if row["text"] else None,
                case_insensitive=bool(row.get("case_insensitive")),
            )
        )
    return entries
