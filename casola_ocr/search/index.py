"""The full-text index of one tenant's library: one SQLite file with FTS5.

It holds nothing that the object store does not have, and can be thrown away at any time. One
process writes it, any number read it meanwhile (WAL); killed in mid-write, it is as it was before.
"""

from __future__ import annotations

import codecs
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from casola_ocr.errors import SearchTimeout
from casola_ocr.library import Wanted
from casola_ocr.model import Job, JobStatus
from casola_ocr.results import PAGE_BREAK
from casola_ocr.search import words
from casola_ocr.text.confidence import LOW_CONFIDENCE

#: Changed with the tables or with what is in them.
VERSION = f"2.{words.VERSION}"

#: A document's place is its time in ms and, in the lowest bits, its number within that millisecond:
#: newest first is then the order in which FTS5 goes through a list anyway, and it stops early.
_PLACE_BITS = 20
#: How long a reader or the writer waits for the other, in seconds; they hardly ever have to.
_BUSY_SECONDS = 5.0
#: Bytes of words that are collected before they are written as one more part of the index.
_COLLECTED_BYTES = 8_000_000
#: Pages of the index that one step of tidying rewrites.
_TIDY_PAGES = 500
#: Steps of SQLite's machine between two looks at the clock; far below a millisecond.
_STEPS = 1000
#: Bytes of a text that are unpacked at once where the whole of it is not kept.
_PART_BYTES = 1 << 20

_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN)

_TABLES = f"""
CREATE TABLE about(version TEXT);
CREATE TABLE documents(
    place INTEGER PRIMARY KEY, request_id TEXT UNIQUE, run INTEGER, status TEXT, model TEXT,
    engine TEXT, languages TEXT, file_name TEXT, confidence REAL
);
CREATE TABLE texts(place INTEGER PRIMARY KEY, text BLOB);
CREATE VIRTUAL TABLE words USING fts5(
    name, text, content='', tokenize="unicode61 remove_diacritics 0 categories 'L* N* Co M*'"
);
INSERT INTO words(words, rank) VALUES('hashsize', {_COLLECTED_BYTES});
INSERT INTO about VALUES('{VERSION}');
"""


class IndexOutdated(Exception):
    """The file is of another version, damaged, or not there: it has to be made anew."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """A job and its text, empty while there is none."""

    job: Job
    text: str = ""


class Index:
    """One file, opened. Belongs to one thread; `close` it."""

    def __init__(self, connection: sqlite3.Connection):
        self._db = connection

    @classmethod
    def create(cls, path: Path) -> Index:
        """A new, empty one, which a machine that dies may leave damaged; see `Indexes.replace`."""
        made = cls(_connect(path, "rwc"))
        made._db.execute("PRAGMA synchronous = OFF")
        made._db.execute("PRAGMA journal_mode = WAL")
        made._db.executescript(_TABLES)
        return made

    @classmethod
    def open(cls, path: Path, *, writing: bool = False, until: float | None = None) -> Index:
        """The index in this file. What takes longer than `until`, in monotonic time, is given up.

        Raises:
            IndexOutdated: see there.
        """
        with _checked():
            found = cls(_connect(path, "rw"))
            version = found._db.execute("SELECT version FROM about").fetchone()
        if version != (VERSION,):
            found.close()
            raise IndexOutdated
        if not writing:
            found._db.execute("PRAGMA query_only = ON")
        if until is not None:
            found._db.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
        return found

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def replace(self, documents: Iterable[Document], gone: Iterable[str] = ()) -> bool:
        """Put these documents in place of what was there, then remove those with the IDs `gone`.

        All or none. Returns whether something was removed. In ascending time it is
        fastest: FTS5 writes a part for each step back.
        """
        with _checked(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            for document in documents:
                self._remove(document.job.request_id)
                self._add(document)
            removed = [request_id for request_id in gone if self._remove(request_id)]
        if removed:
            # What was overwritten must not lie in the log of changes.
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return bool(removed)

    def _remove(self, request_id: str) -> bool:
        row = self._db.execute(
            "SELECT place, file_name, text FROM documents JOIN texts USING(place) "
            "WHERE request_id = ?",
            (request_id,),
        ).fetchone()
        if row is None:
            return False
        place, name, packed = row
        # FTS5 keeps no text: it has to be told the same words again.
        self._db.execute(
            "INSERT INTO words(words, rowid, name, text) VALUES('delete', ?, ?, ?)",
            (place, _listed(name), _listed(_unpacked(packed))),
        )
        for table in ("documents", "texts"):
            self._db.execute(f"DELETE FROM {table} WHERE place = ?", (place,))  # noqa: S608
        return True

    def _add(self, document: Document) -> None:
        job, text = document.job, words.tidy(document.text)
        name = words.tidy(job.file_name)
        first = job.created_at << _PLACE_BITS
        ((place,),) = self._db.execute(
            "SELECT coalesce(max(place) + 1, ?) FROM documents WHERE place BETWEEN ? AND ?",
            (first, first, first + (1 << _PLACE_BITS) - 1),
        )
        self._db.execute(
            "INSERT INTO documents VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                place, job.request_id, job.run, job.status.value, job.model, job.engine,
                ",".join(job.languages), name, job.confidence,
            ),
        )  # fmt: skip
        self._db.execute("INSERT INTO texts VALUES(?, ?)", (place, _packed(text)))
        self._db.execute(
            "INSERT INTO words(rowid, name, text) VALUES(?, ?, ?)",
            (place, _listed(name), _listed(text)),
        )

    def tidy(self) -> None:
        """Rewrite the lists of words without what was deleted. Done in steps; others may read."""
        with _checked():
            # https://www.sqlite.org/fts5.html#the_merge_command
            self._db.execute("INSERT INTO words(words, rank) VALUES('merge', ?)", (-_TIDY_PAGES,))
            while True:
                before = self._db.total_changes
                self._db.execute(
                    "INSERT INTO words(words, rank) VALUES('merge', ?)", (_TIDY_PAGES,)
                )
                if self._db.total_changes - before < 2:
                    break
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def find(self, match: str, wanted: Wanted, limit: int, after: str | None) -> list[str]:
        """Cursors ``{created}/{request ID}`` of what matches, newest first, older than `after`.

        Raises:
            SearchTimeout: it took longer than the index was opened for.
        """
        conditions, values = _conditions(wanted)
        with _checked():
            found = self._db.execute(
                # CROSS: the words lead, and the search stops with the last row that is asked for.
                "SELECT d.place, d.request_id FROM words CROSS JOIN documents d "  # noqa: S608
                "ON d.place = words.rowid WHERE words MATCH ? AND words.rowid < ? "
                f"{conditions} ORDER BY words.rowid DESC LIMIT ?",
                (match, self._before(after), *values, limit),
            ).fetchall()
        return [f"{place >> _PLACE_BITS:013}/{request_id}" for place, request_id in found]

    def _before(self, cursor: str | None) -> int:
        if cursor is None:
            return (1 << 63) - 1
        created, _, request_id = cursor.partition("/")
        row = self._db.execute(
            "SELECT place FROM documents WHERE request_id = ?", (request_id,)
        ).fetchone()
        # Of one that was deleted meanwhile: rather tell its millisecond twice than not at all.
        return int(row[0]) if row else (int(created) + 1) << _PLACE_BITS

    def text(self, request_id: str, characters: int) -> str:
        """So much of a document's text, from its beginning; empty where there is none."""
        packed = self._packed_text(request_id)
        stream, decoder = zlib.decompressobj(), codecs.getincrementaldecoder("utf-8")()
        text = ""
        # A character has at least a byte: never more is unpacked than is wanted.
        while left := characters - len(text):
            part = stream.decompress(packed, left)
            if not part:
                break
            packed = stream.unconsumed_tail
            text += decoder.decode(part)
        return text

    def pages(self, request_id: str) -> int:
        """Pages of a document's whole text, counted in bounded memory."""
        packed = self._packed_text(request_id)
        stream, breaks = zlib.decompressobj(), 0
        while part := stream.decompress(packed, _PART_BYTES):
            packed = stream.unconsumed_tail
            breaks += part.count(PAGE_BREAK.encode())
        return breaks + 1

    def _packed_text(self, request_id: str) -> bytes:
        with _checked():
            row = self._db.execute(
                "SELECT text FROM documents JOIN texts USING(place) WHERE request_id = ?",
                (request_id,),
            ).fetchone()
        return row[0] if row else b""

    def states(self, request_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
        """The run and the status of each of these that is there."""
        marks = ",".join("?" * len(request_ids))
        with _checked():
            rows = self._db.execute(
                f"SELECT request_id, run, status FROM documents WHERE request_id IN ({marks})",  # noqa: S608
                tuple(request_ids),
            )
            return {request_id: (run, status) for request_id, run, status in rows}

    def request_ids(self) -> Iterator[str]:
        """All that are there, oldest first, in bounded memory."""
        last = -1
        while rows := self._db.execute(
            "SELECT place, request_id FROM documents WHERE place > ? ORDER BY place LIMIT 1000",
            (last,),
        ).fetchall():
            yield from (request_id for _, request_id in rows)
            last = rows[-1][0]

    def count(self) -> int:
        with _checked():
            return int(self._db.execute("SELECT count(*) FROM documents").fetchone()[0])


@contextmanager
def _checked() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_INTERRUPT:
            raise SearchTimeout() from error
        # Of one that was not made whole a table misses.
        if code in _BROKEN or "no such table" in str(error):
            raise IndexOutdated from error
        raise


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=_BUSY_SECONDS,
        isolation_level=None,
    )  # fmt: skip
    connection.create_function("casefold", 1, str.casefold, deterministic=True)
    # Deleted rows are overwritten; a change that was told stays, even when the machine dies.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _conditions(wanted: Wanted) -> tuple[str, list[object]]:
    """What `Wanted.takes` asks, of an entry that may be a moment behind; nothing is left out."""
    asked: list[tuple[str, tuple[object, ...]]] = []
    if wanted.statuses:
        # Between the unfinished ones a job moves without a sign.
        unfinished = {status for status in JobStatus if not status.terminal}
        statuses = wanted.statuses | (unfinished if wanted.statuses & unfinished else set())
        asked.append((f"d.status IN ({','.join('?' * len(statuses))})", tuple(statuses)))
    if wanted.model:
        asked.append(("? IN (d.model, d.engine)", (wanted.model,)))
    if wanted.language:
        # As `Job.is_in`.
        asked.append(
            ("instr(',' || replace(d.languages, ',', '-,') || '-', ?)", (f",{wanted.language}-",))
        )
    if wanted.file_name:
        asked.append(
            ("instr(casefold(d.file_name), ?)", (words.tidy(wanted.file_name).casefold(),))
        )
    if wanted.created_from:
        asked.append(("words.rowid >= ?", (wanted.created_from << _PLACE_BITS,)))
    if wanted.low_confidence is not None:
        asked.append(
            ("coalesce(d.confidence < ?, 0) = ?", (LOW_CONFIDENCE, int(wanted.low_confidence)))
        )
    text = "".join(f"AND {condition} " for condition, _ in asked)
    return text, [value for _, values in asked for value in values]


def _listed(text: str) -> str:
    return " ".join(word for word, _, _ in words.words(text))


def _packed(text: str) -> bytes:
    return zlib.compress(text.encode(), 1)


def _unpacked(data: bytes) -> str:
    return zlib.decompress(data).decode()
