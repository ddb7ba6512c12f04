"""The documents of a run: drawn from the seed and the document's number, and nothing else."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from functools import cache
from typing import Literal

from tests.chaos import marker
from tests.chaos.marker import Marker

Format = Literal["PNG", "JPEG", "TIFF", "GIF"]
Damage = Literal["", "cut", "empty", "text"]
Verb = Literal["", "cancel", "delete", "delete-ended", "retry"]
Web = Literal["", "good", "500", "hang"]

#: Kind → how often, of 100 submissions.
_KINDS = {
    "single": 42,
    "frames": 30,
    "batch": 10,
    "url": 8,
    "bad-url": 2,
    "damaged": 5,
    "poison": 3,
}
MOST_PAGES = 40
FILES_PER_SUBMISSION = 8


@dataclass(frozen=True)
class File:
    """One document: `pages` are what its engine will see; empty for what nobody can read."""

    number: int
    format: Format
    pages: tuple[Marker, ...]
    damage: Damage = ""

    @property
    def name(self) -> str:
        return f"document-{self.number}.{self.format.lower()}"

    def content(self) -> bytes:
        return _content(self)


@dataclass(frozen=True)
class Plan:
    """One submission and what its client does afterwards."""

    number: int
    files: tuple[File, ...]
    web: Web = ""
    #: Sent as `Idempotency-Key`.
    key: str = ""
    #: The same request is sent a second time: beside the first, or after its answer.
    again: Literal["", "beside", "after"] = ""
    #: `Prefer: wait`, 0 for none.
    wait: int = 0
    verb: Verb = ""
    #: Seconds between the acceptance, or the end, and the verb.
    after: float = 0.0
    #: Its client wants to be told when each job has ended.
    hook: bool = False

    @property
    def readable(self) -> bool:
        return self.web in ("", "good") and not any(file.damage for file in self.files)


def plan(seed: int, number: int, verbs: frozenset[str]) -> Plan:
    """The submission `number` of a run."""
    source = random.Random(f"{seed}/{number}")
    kind = source.choices([*_KINDS], weights=[*_KINDS.values()])[0]
    first = number * FILES_PER_SUBMISSION
    again: Literal["", "beside", "after"] = ""
    key, verb, web, damage, wait = "", "", "", "", 0
    if source.random() < 1 / 3:
        key = f"{seed}-{number}-{source.getrandbits(48):x}"
        if source.random() < 1 / 3:
            again = source.choice(("beside", "after"))
    if kind == "batch":
        count = source.randint(2, FILES_PER_SUBMISSION)
        files = tuple(_file(source, first + at, _single(source)) for at in range(count))
    elif kind == "frames":
        files = (_file(source, first, source.choice(("TIFF", "TIFF", "GIF"))),)
    elif kind == "poison":
        files = (_file(source, first, source.choice(("PNG", "TIFF")), poison=True),)
        verb = "retry" if source.random() < 0.5 else ""
    elif kind == "damaged":
        damage = source.choice(("cut", "empty", "text"))
        files = (File(first, "PNG", (_page(source, first, 1),), damage),)
    else:
        files = (_file(source, first, _single(source)),)
        wait = 15 if kind == "single" and source.random() < 0.15 else 0
        web = {"url": "good", "bad-url": source.choice(("500", "500", "hang"))}.get(kind, "")
    if kind in ("single", "frames", "batch", "url"):
        verb = source.choices(("", "cancel", "delete", "delete-ended"), (84, 8, 4, 4))[0]
    if verb.removesuffix("-ended") not in verbs:
        verb = ""
    if "idempotency" not in verbs:
        key, again = "", ""
    after = round(source.random() * 3, 2)
    hook = random.Random(f"{seed}/{number}/hook").random() < 1 / 3
    return Plan(number, files, web, key, again, 0 if key else wait, verb, after, hook)


def _single(source: random.Random) -> Format:
    return source.choice(("PNG", "JPEG"))


def _file(source: random.Random, number: int, format: Format, *, poison: bool = False) -> File:
    count = 1
    if format in ("TIFF", "GIF"):
        # Mostly short, sometimes longer than the window of pages that may wait at once.
        count = min(source.randint(2, MOST_PAGES), source.randint(2, MOST_PAGES))
    bad = source.randint(1, count) if poison else 0
    pages = tuple(_page(source, number, page, poison=page == bad) for page in range(1, count + 1))
    return File(number, format, pages)


def _page(source: random.Random, number: int, page: int, *, poison: bool = False) -> Marker:
    low, high = source.choices(((5, 60), (60, 250), (800, 3000)), (70, 27, 3))[0]
    return Marker(number, page, source.randint(low, high), poison)


@cache
def _sample_text() -> bytes:
    return b"This is a letter and no picture.\n" * 40


def _content(file: File) -> bytes:
    if file.damage == "empty":
        return b""
    if file.damage == "text":
        return _sample_text()
    first, *others = (marker.draw(page) for page in file.pages)
    buffer = io.BytesIO()
    if file.format == "JPEG":
        first.save(buffer, "JPEG", quality=75)
    elif file.format == "PNG":
        first.save(buffer, "PNG", compress_level=1)
    elif file.format == "GIF":
        first.save(buffer, "GIF", save_all=True, append_images=others)
    else:
        first.save(
            buffer, "TIFF", save_all=True, append_images=others, compression="tiff_adobe_deflate"
        )
    data = buffer.getvalue()
    return data[: len(data) // 2] if file.damage == "cut" else data
