"""Keeping the indexes as the jobs are: following changes, comparing all, making one anew.

The records tell which jobs changed, each machine with an index reads that list from where it
stopped, and looks at each of those jobs as it is now. So a change that is told twice, late or out
of order does no harm, and one that is lost with the records is found by comparing the index with
the store, which also makes the first one. Killed at any moment, it goes on where the last finished
step was.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice

import structlog

from casola_ocr import erasure, results
from casola_ocr.errors import (
    CasolaError,
    ObjectNotFound,
    RecordsUnavailable,
    StoreUnavailable,
    Unavailable,
)
from casola_ocr.ids import is_request_id
from casola_ocr.model import Job, JobStatus, queued_job
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.search.index import Document, Index, IndexOutdated
from casola_ocr.search.indexes import Indexes, State
from casola_ocr.service import Service
from casola_ocr.side_by_side import AT_ONCE, each

log = structlog.get_logger(__name__)

#: How often changes are asked for: as long as a document may be missing that was just read.
POLL_SECONDS = 0.5
#: Pause after something failed.
RETRY_SECONDS = 5.0
#: Changes, and jobs, of one step.
STEP = 500
#: How often lists of words are rewritten without what was deleted.
TIDY_SECONDS = 3600.0

_ENDED = {status.value for status in JobStatus if status.terminal}

#: Reads one job: None when there is none.
Read = Callable[[str], Document | None]


class Follower:
    """What one process does. Several on one folder, and a rebuild, take turns."""

    def __init__(self, service: Service, indexes: Indexes):
        self._service = service
        self._indexes = indexes
        #: Tenants of whom something was deleted, and when that is tidied up.
        self._untidy: set[str] = set()
        self._tidy_at = time.monotonic() + TIDY_SECONDS

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop`. Blocks; nothing that fails ends it."""
        while not stop.is_set():
            pause = POLL_SECONDS
            try:
                if self.step():
                    continue
            except CasolaError as error:
                log.warning("cannot index now", action="index_delayed", code=error.code)
                pause = RETRY_SECONDS
            except Exception:
                # A full disk, one bad object: it must not end what keeps all others findable.
                log.exception("indexing failed", action="index_failed")
                pause = RETRY_SECONDS
            stop.wait(pause)

    def step(self) -> bool:
        """Follow some changes; whether more may wait already.

        Raises:
            StoreUnavailable, RecordsUnavailable, sqlite3.Error: nothing is lost, do it again.
        """
        with self._indexes.locked():
            records = self._service.records
            name, state = records.name(), self._indexes.state()
            known = state.complete and state.records == name
            changes = records.changes(state.position, STEP) if known else None
            if changes is None:
                self._compare(name)
                return True
            by_tenant: dict[str, set[str]] = defaultdict(set)
            for change in changes:
                by_tenant[change.tenant].add(change.request_id)
            for tenant, request_ids in by_tenant.items():
                self._update(tenant, sorted(request_ids))
            if changes:
                self._indexes.save(replace(state, position=changes[-1].position))
            self._indexes.touch()
        if time.monotonic() >= self._tidy_at:
            self._tidy()
        return len(changes) == STEP

    def _update(self, tenant: str, request_ids: Sequence[str]) -> None:
        read = partial(_existing, self._service, tenant)
        try:
            with self._indexes.writing(tenant) as index:
                if _look_at(index, request_ids, read):
                    self._untidy.add(tenant)
        except IndexOutdated:
            log.warning("an index is made anew", action="index_outdated", tenant=tenant)
            self._indexes.remove(tenant)
            self._compare_tenant(tenant)

    def _compare(self, name: str) -> None:
        """Bring every index in line with the store, and from then on follow."""
        begun = time.monotonic()
        # What changes meanwhile is told after this position.
        position = self._service.records.last_change()
        self._indexes.save(State())
        tenants = set(self._service.store.folders(keys.TENANTS_PREFIX))
        for tenant in sorted(tenants):
            self._compare_tenant(tenant)
        for tenant in set(self._indexes.tenants()) - tenants:
            self._indexes.remove(tenant)
        self._indexes.save(State(records=name, position=position, complete=True))
        log.info(
            "the indexes were compared with the store",
            action="index_compared",
            tenants=len(tenants),
            seconds=round(time.monotonic() - begun, 1),
        )

    def _compare_tenant(self, tenant: str) -> None:
        read = partial(_existing, self._service, tenant)
        try:
            with self._indexes.writing(tenant) as index, _Seen() as seen:
                for chunk in _chunks(_stored_ids(self._service.store, tenant), STEP):
                    seen.add(chunk)
                    _look_at(index, self._differing(index, chunk), read)
                    self._indexes.touch()
                gone = (name for name in index.request_ids() if not seen.has(name))
                for chunk in _chunks(gone, STEP):
                    _look_at(index, chunk, read)
        except IndexOutdated:
            log.warning("an index is made anew", action="index_outdated", tenant=tenant)
            self._indexes.remove(tenant)
            self._compare_tenant(tenant)

    def _differing(self, index: Index, request_ids: Sequence[str]) -> list[str]:
        """Those that have to be looked at: the index lacks them, or knows them otherwise."""
        known = index.states(request_ids)
        differing = []
        for request_id, job in zip(
            request_ids, self._service.records.jobs(request_ids), strict=True
        ):
            run, status = known.get(request_id, (0, ""))
            same = (job.run, job.status.value) == (run, status) if job else status in _ENDED
            if not same:
                differing.append(request_id)
        return differing

    def _tidy(self) -> None:
        self._tidy_at = time.monotonic() + TIDY_SECONDS
        while self._untidy:
            with self._indexes.locked(), self._indexes.writing(self._untidy.pop()) as index:
                index.tidy()


def rebuild(service: Service, indexes: Indexes, tenant: str, told: Callable[[int], object]) -> int:
    """Make a tenant's index anew from the store alone; returns how many documents it has.

    The old one answers meanwhile, and is then replaced. `told` hears how many are in the new one.
    """
    # With the records down, the next follower compares.
    name, position = "", ""
    with suppress(CasolaError):
        name, position = service.records.name(), service.records.last_change()
    index, path = indexes.beginning(tenant)
    count = 0
    with index:
        read = partial(_stored, service.store, tenant)
        for chunk in _chunks(_stored_ids(service.store, tenant), STEP):
            _look_at(index, chunk, read)
            count += len(chunk)
            told(count)
        count = index.count()
    with indexes.locked():
        indexes.replace(tenant, path)
        state = indexes.state()
        # What changed since then is followed once more, which does no harm.
        again = name == state.records and state.complete
        indexes.save(replace(state, position=position) if again else State())
    return count


def _look_at(index: Index, request_ids: Sequence[str], read: Read) -> bool:
    """Have these jobs in the index as they are now; whether one had to be removed."""
    gone: list[str] = []

    def documents() -> Iterator[Document]:
        looked_at = zip(request_ids, each(read, request_ids), strict=True)
        while chunk := list(islice(looked_at, AT_ONCE)):
            gone.extend(request_id for request_id, document in chunk if document is None)
            found = [document for _, document in chunk if document is not None]
            yield from sorted(found, key=lambda document: document.job.created_at)

    # One change for all: each is one more part of the index, and parts have to be joined.
    return index.replace(documents(), gone) if request_ids else False


def _existing(service: Service, tenant: str, request_id: str) -> Document | None:
    try:
        jobs = service.jobs.existing(tenant, [request_id])
    except Unavailable as error:
        if isinstance(error, (StoreUnavailable, RecordsUnavailable)):
            raise
        # Of a newer version of the service, and not read yet: its end will be told.
        return None
    return _with_text(service.store, jobs[0]) if jobs else None


def _stored(store: ObjectStore, tenant: str, request_id: str) -> Document | None:
    job = results.stored_job(store, tenant, request_id)
    if job is None and (manifest := results.stored_manifest(store, tenant, request_id)):
        # What ended since is told as a change.
        job = queued_job(manifest)
    return _with_text(store, job) if job else None


def _with_text(store: ObjectStore, job: Job) -> Document | None:
    """The job with its text; None where it is being deleted, though something of it is left."""
    if erasure.is_erased(store, job.tenant, job.request_id):
        return None
    # What is read once more keeps the text of before.
    if not job.status.terminal and job.run == 1:
        return Document(job=job)
    try:
        text = store.get(keys.text(job.tenant, job.request_id))
    except ObjectNotFound:
        return Document(job=job)
    return Document(job=job, text=text.decode(errors="replace"))


def _stored_ids(store: ObjectStore, tenant: str) -> Iterator[str]:
    return (name for name in store.folders(keys.jobs_prefix(tenant)) if is_request_id(name))


def _chunks(found: Iterable[str], size: int) -> Iterator[list[str]]:
    names = iter(found)
    while chunk := list(islice(names, size)):
        yield chunk


class _Seen:
    """Request IDs, on the disk where they are many."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("")
        self._db.execute("CREATE TABLE seen(name TEXT PRIMARY KEY) WITHOUT ROWID")

    def __enter__(self) -> _Seen:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add(self, names: Iterable[str]) -> None:
        self._db.executemany("INSERT OR IGNORE INTO seen VALUES(?)", ((name,) for name in names))

    def has(self, name: str) -> bool:
        return bool(self._db.execute("SELECT 1 FROM seen WHERE name = ?", (name,)).fetchone())
