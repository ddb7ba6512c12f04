"""Documents with known text: a folder with ``manifest.jsonl``, a line for each file.

A row has `file`, `kind`, `language` (ISO 639-1) and `text` (the file with the truth, UTF-8, or
null), and `case_insensitive` where the truth is written in capitals only.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

#: Languages in which no spaces tell the words.
UNSPACED = ("ja", "ko", "zh")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A document of the corpus; `truth` is None where nobody wrote its text down."""

    path: Path
    name: str
    kind: str
    language: str
    truth: str | None
    case_insensitive: bool


def read_manifest(corpus: Path, *, kinds: Collection[str] = (), limit: int = 0) -> list[Entry]:
    """The corpus's files in the manifest's order: of these kinds (all), so many of each (all).

    Raises:
        OSError: a file of it cannot be read.
        ValueError, KeyError, TypeError: the manifest is not one.
    """
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


def halves(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The files for fitting and the others: every second of a kind, by the hash of its name."""
    kinds: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        kinds[entry.kind].append(entry)
    fitting: list[Entry] = []
    others: list[Entry] = []
    for members in kinds.values():
        members.sort(key=lambda entry: sha256(entry.name.encode()).digest())
        fitting += members[::2]
        others += members[1::2]
    return fitting, others
