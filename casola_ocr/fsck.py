"""Comparing the store, the records and the indexes, and mending what differs.

The store is right: it holds what was promised. A running service is no hindrance; what looks wrong
only because it happens at this moment is looked at twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from casola_ocr import erasure
from casola_ocr.errands import Errand, Report
from casola_ocr.ids import is_request_id
from casola_ocr.model import Job, Marker
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.records import Records
from casola_ocr.results import stored_job, stored_manifest
from casola_ocr.service import Service

#: Longer than a request takes from its first object to its record.
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that differs; `subject` is an ID or the name of a counter."""

    kind: str
    subject: str
    detail: str


def check(
    service: Service, *, repair: bool, sleep: Callable[[float], object] = time.sleep
) -> list[Finding]:
    """Find what differs, and mend it with `repair`.

    Raises:
        StoreUnavailable, RecordsUnavailable: run it again.
    """
    first = {(f.kind, f.subject) for f in _look(service, repair=False)}
    if not first:
        return []
    sleep(PATIENCE_SECONDS)
    return [f for f in _look(service, repair=repair) if (f.kind, f.subject) in first]


def _look(service: Service, *, repair: bool) -> Iterator[Finding]:
    records, store = service.records, service.store
    yield from _jobs(service, repair=repair)
    yield from _tombs(service, repair=repair)
    yield from _errands(service, repair=repair)
    for tenant in store.folders(keys.TENANTS_PREFIX):
        yield from _library(records, store, tenant, repair=repair)
    for name, field, found, expected in records.recount(repair=repair):
        yield Finding(
            kind="counter", subject=f"{name} {field}", detail=f"is {found}, should be {expected}"
        )
    if repair:
        service.recover()


def _jobs(service: Service, *, repair: bool) -> Iterator[Finding]:
    for tenant in service.store.folders(keys.TENANTS_PREFIX):
        for request_id in service.store.folders(keys.jobs_prefix(tenant)):
            if is_request_id(request_id):
                yield from _job(service, tenant, request_id, repair=repair)


def _job(service: Service, tenant: str, request_id: str, *, repair: bool) -> Iterator[Finding]:
    """One job's folder: it has ended, or is committed, or is rubbish."""
    records, store = service.records, service.store
    keep_seconds = service.settings.record_seconds
    if next(iter(store.list(keys.job_prefix(tenant, request_id))), None) is None:
        # Some S3 servers go on listing a folder for a while that is empty.
        return
    if erasure.is_erased(store, tenant, request_id):
        yield Finding(kind="undeleted", subject=request_id, detail="bytes of a deleted job")
        if repair:
            store.delete(store.list(keys.job_prefix(tenant, request_id)))
        return
    record, ended = records.get(request_id), stored_job(store, tenant, request_id)
    following = keys.marker(request_id, ended.run + 1 if ended else 2)
    if record is None and ended is not None and store.exists(following):
        yield Finding(kind="unregistered", subject=request_id, detail="a retry without record")
        return
    if ended is not None and (record is None or record.run <= ended.run):
        yield from _ended(records, store, ended, record, keep_seconds, repair=repair)
        return
    run = record.run if record else 1
    if not _committed(store, tenant, request_id, run):
        if record is not None and not record.status.terminal:
            yield Finding(kind="unmarked", subject=request_id, detail="unfinished without marker")
            if repair:
                marker = Marker(tenant=tenant, run=run, model=record.model, engine=record.engine)
                store.put(keys.marker(request_id, run), marker.to_json())
        elif record is None:
            yield Finding(kind="orphan", subject=request_id, detail="bytes of no accepted job")
            if repair:
                store.delete(store.list(keys.job_prefix(tenant, request_id)))
    elif record is None:
        yield Finding(kind="unregistered", subject=request_id, detail="unfinished without record")


def _ended(
    records: Records,
    store: ObjectStore,
    ended: Job,
    record: Job | None,
    keep_seconds: int,
    *,
    repair: bool,
) -> Iterator[Finding]:
    request_id = ended.request_id
    if record is not None and not record.status.terminal:
        # Finishing is under way: the result is stored before the record is closed.
        return
    marker = keys.marker(request_id, ended.run)
    if store.exists(marker):
        yield Finding(kind="stale_marker", subject=request_id, detail="marker of an ended job")
        if repair:
            store.delete([marker])
    if not records.is_in_library(ended):
        yield Finding(kind="unlisted", subject=request_id, detail="missing in its library")
        if repair:
            records.restore([ended], (), keep_seconds=keep_seconds)
            records.list_in_library(ended)


def _committed(store: ObjectStore, tenant: str, request_id: str, run: int) -> bool:
    if store.exists(keys.marker(request_id, run)):
        return True
    manifest = stored_manifest(store, tenant, request_id) if run == 1 else None
    if manifest is None or not manifest.batch_id:
        return False
    return store.exists(keys.inflight(manifest.batch_id))


def _tombs(service: Service, *, repair: bool) -> Iterator[Finding]:
    """Records of jobs that were deleted."""
    for key in service.store.list(keys.TOMBSTONES_PREFIX):
        tenant, request_id = keys.parse_tombstone(key)
        if service.records.get(request_id) is not None:
            yield Finding(kind="undeleted", subject=request_id, detail="record of a deleted job")
            if repair:
                erasure.erase(service.records, service.store, tenant, request_id, late_ms=0)


def _errands(service: Service, *, repair: bool) -> Iterator[Finding]:
    """Errands that nobody works on, or whose files are missing."""
    for tenant in service.store.folders(keys.TENANTS_PREFIX):
        for errand_id in service.store.folders(keys.kept_prefix(tenant, keys.ERRANDS)):
            # One without what it is about was never accepted; its expiry removes it.
            if stored := service.errands.stored(tenant, errand_id):
                yield from _errand(service.store, *stored, repair=repair)


def _errand(
    store: ObjectStore, errand: Errand, report: Report, *, repair: bool
) -> Iterator[Finding]:
    tenant, errand_id = errand.tenant, errand.errand_id
    if report.status.terminal:
        for file_id in filter(None, (report.output_file_id, report.error_file_id)):
            # A file that its client deleted, or that expired, has neither of the two.
            kept = store.exists(keys.about(tenant, keys.FILES, file_id))
            if kept and not store.exists(keys.content(tenant, keys.FILES, file_id)):
                detail = f"the bytes of its file {file_id} are missing"
                yield Finding(kind="incomplete", subject=errand_id, detail=detail)
        return
    marker = keys.errand_marker(tenant, errand_id)
    if not store.exists(marker):
        yield Finding(kind="unmarked", subject=errand_id, detail="unfinished without marker")
        if repair:
            store.put(marker, b"")
    content = keys.content(tenant, keys.ERRANDS, errand_id)
    if report.in_progress_at is not None and not store.exists(content):
        yield Finding(kind="incomplete", subject=errand_id, detail="its requests are missing")


def _library(
    records: Records, store: ObjectStore, tenant: str, *, repair: bool
) -> Iterator[Finding]:
    """Entries of jobs that do not exist."""
    after: str | None = None
    while found := records.library(tenant, 500, after):
        after = found[-1]
        ids = [cursor.partition("/")[2] for cursor in found]
        for cursor, job in zip(found, records.jobs(ids), strict=True):
            request_id = cursor.partition("/")[2]
            if job is None and not store.exists(keys.manifest(tenant, request_id)):
                yield Finding(kind="ghost", subject=request_id, detail="listed but not there")
                if repair:
                    records.unlist(tenant, cursor)
