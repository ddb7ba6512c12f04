"""The folder with every tenant's index, on each machine that answers searches.

    {folder}/state.json             how far the changes of jobs were followed
    {folder}/lock                   held by whoever changes anything here
    {folder}/{tenant}/{n}.sqlite3   the index; of several the highest number counts

A new one is made beside the old one, which goes on answering; a file's name is never used twice, so
that no log of changes (``-wal``) of an older one can be taken for its own.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from casola_ocr.errors import SearchUnavailable
from casola_ocr.ids import is_tenant_name
from casola_ocr.library import Wanted
from casola_ocr.model import Job
from casola_ocr.search.index import VERSION, Index, IndexOutdated
from casola_ocr.search.query import parse
from casola_ocr.search.snippets import LOOKED_AT, Snippet, snippet
from casola_ocr.selection import Selection

#: Nobody follows any more who was silent this long.
SILENT_SECONDS = 30.0
#: Seconds that one question may take.
MAX_SECONDS = 5.0
_SUFFIX = ".sqlite3"


def _here(question: Callable[[], Any]) -> Any:
    return question()


#: Where a question is worked on from its first to its last step, its connection included. The API
#: puts threads in this place, see `casola_ocr.gunicorn_api.search_beside`.
beside = _here


@dataclass(frozen=True, kw_only=True)
class State:
    """How far the changes were followed."""

    #: `Records.name` of the records whose changes these are; empty = of none yet.
    records: str = ""
    #: The last change that is in the indexes.
    position: str = ""
    #: Whether everything older than that is in them.
    complete: bool = False


class Indexes:
    """The folder. Reading is safe in any thread and process; changing needs `locked`."""

    def __init__(self, folder: Path):
        self._folder = folder

    def cursors(self, tenant: str, wanted: Wanted, limit: int, after: str | None) -> list[str]:
        """Cursors of a tenant's jobs that match `wanted`, newest first, older than `after`.

        Raises:
            SearchUnavailable: there is no index yet.
            SearchTimeout: it takes longer than `MAX_SECONDS`.
        """
        found: list[str] = beside(partial(self._cursors, tenant, wanted, limit, after))
        return found

    def _cursors(self, tenant: str, wanted: Wanted, limit: int, after: str | None) -> list[str]:
        match = parse(wanted.text).to_fts()
        if not match:
            return []
        with self._reading(tenant, until=time.monotonic() + MAX_SECONDS) as index:
            return index.find(match, wanted, limit, after) if index else []

    def snippets(self, tenant: str, text: str, jobs: Sequence[Job]) -> dict[str, Snippet]:
        """Request ID → why each of these jobs was found.

        After `MAX_SECONDS` only the names of those that are left are looked at.
        """
        found: dict[str, Snippet] = beside(partial(self._snippets, tenant, text, jobs))
        return found

    def _snippets(self, tenant: str, text: str, jobs: Sequence[Job]) -> dict[str, Snippet]:
        query, found = parse(text), dict[str, Snippet]()
        until = time.monotonic() + MAX_SECONDS
        with self._reading(tenant) as index:
            # One by one: a page of long documents is more than fits into memory.
            for job in jobs:
                in_time = index is not None and time.monotonic() < until
                stored = index.text(job.request_id, LOOKED_AT) if index and in_time else ""
                made = snippet(query, job.file_name, stored)
                if index and made and made.page is not None:
                    made = _in_document(made, job, index.pages(job.request_id))
                if made:
                    found[job.request_id] = made
        return found

    def complete(self) -> bool:
        """Whether the indexes are as the jobs are, but for the last second or so."""
        return self.state().complete and self.silence() < SILENT_SECONDS

    def silence(self) -> float:
        """Seconds since somebody followed the changes."""
        try:
            return max(0.0, time.time() - self._state_file.stat().st_mtime)
        except FileNotFoundError:
            return float("inf")

    @contextmanager
    def _reading(self, tenant: str, until: float | None = None) -> Iterator[Index | None]:
        """The index of a tenant, None where it has no document."""
        for _ in range(3):
            path = self.path(tenant)
            if path is None:
                if not self._state_file.exists():
                    raise SearchUnavailable()
                yield None
                return
            try:
                index = Index.open(path, until=until)
            except IndexOutdated:
                # A new one took its place in between; or it is about to be made anew.
                continue
            with index:
                try:
                    yield index
                except IndexOutdated as error:
                    raise SearchUnavailable() from error
            return
        raise SearchUnavailable()

    # What follows is for those who change something.

    @property
    def _state_file(self) -> Path:
        return self._folder / "state.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among all who change something here; waits for that."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def state(self) -> State:
        """How far; from the beginning where another version kept the indexes."""
        try:
            values = json.loads(self._state_file.read_text(encoding="utf-8"))
            return State(**values) if values.pop("version", "") == VERSION else State()
        except (OSError, ValueError, TypeError):
            return State()

    def save(self, state: State) -> None:
        temporary = self._state_file.with_suffix(".new")
        values = {"version": VERSION, **asdict(state)}
        temporary.write_text(json.dumps(values), encoding="utf-8")
        temporary.replace(self._state_file)

    def touch(self) -> None:
        """Say that the changes are being followed."""
        if self._state_file.exists():
            os.utime(self._state_file)

    def tenants(self) -> list[str]:
        """Those that have an index."""
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if is_tenant_name(path.name))

    def count(self, tenant: str) -> int:
        """Documents in a tenant's index.

        Raises:
            IndexOutdated: see there.
        """
        path = self.path(tenant)
        if path is None:
            return 0
        with Index.open(path) as index:
            return index.count()

    def path(self, tenant: str) -> Path | None:
        """The file that counts."""
        found = [path for path in self._files(tenant) if path.stem.isdecimal()]
        return max(found, key=lambda path: int(path.stem), default=None)

    def writing(self, tenant: str) -> Index:
        """The index of a tenant, a new one where there is none.

        Raises:
            IndexOutdated: it has to be removed first.
        """
        path = self.path(tenant)
        if path is None:
            # Not made in its place: who reads would find a file without tables.
            new, made = self.beginning(tenant)
            new.close()
            path = self.replace(tenant, made)
        return Index.open(path, writing=True)

    def beginning(self, tenant: str) -> tuple[Index, Path]:
        """A new index that does not count yet, and its file; see `replace`."""
        path = self._folder / tenant / f"new{_SUFFIX}"
        path.parent.mkdir(parents=True, exist_ok=True)
        _unlink(path)
        return Index.create(path), path

    def replace(self, tenant: str, new: Path) -> Path:
        """Let the closed file `new` count from now on; returns where it lies then."""
        old = self.path(tenant)
        with new.open("rb+") as file:
            os.fsync(file.fileno())
        placed = new.rename(new.with_name(f"{int(old.stem) + 1 if old else 1}{_SUFFIX}"))
        if old:
            _unlink(old)
        return placed

    def remove(self, tenant: str) -> None:
        """Remove a tenant's index."""
        for path in self._files(tenant):
            _unlink(path)

    def bytes(self) -> int:
        """What all files take on the disk."""
        return sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file())

    def _files(self, tenant: str) -> list[Path]:
        return list((self._folder / tenant).glob(f"*{_SUFFIX}"))


def _in_document(made: Snippet, job: Job, pages: int) -> Snippet:
    """With the page's number in its document; without where some pages were never read."""
    if made.page is None or pages != job.pages.total:
        return replace(made, page=None)
    return replace(made, page=Selection.parse(job.selection).number(made.page))


def _unlink(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
