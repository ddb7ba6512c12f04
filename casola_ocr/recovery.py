"""Finding again what was accepted, after the records were lost.

Everything unfinished has an ``inflight/`` marker, so only those are listed, never the bucket. Jobs
that ended are listed again from the heads of their results, in the background.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TypeVar

import structlog

from casola_ocr import documents, erasure
from casola_ocr.errors import DEAD_CODES, InProgress, ObjectNotFound
from casola_ocr.model import (
    SCHEMA_VERSION,
    Job,
    JobStatus,
    Manifest,
    Marker,
    is_batch_id,
    is_request_id,
)
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.publisher import Publisher
from casola_ocr.records import Records, Registration
from casola_ocr.results import failures, stored_job
from casola_ocr.settings import Settings

log = structlog.get_logger(__name__)

#: Jobs that are looked at with one round trip.
CHUNK = 200
#: Jobs that are looked at in the store at once.
THREADS = 16

_Found = TypeVar("_Found")


@dataclass(frozen=True, kw_only=True)
class _Parts:
    settings: Settings
    records: Records
    store: ObjectStore
    publisher: Publisher


def recover(settings: Settings, records: Records, store: ObjectStore, publisher: Publisher) -> int:
    """Bring the records in line with every marker; returns how many jobs had to be registered.

    Safe to run at any time, by several processes at once: registering again changes nothing.

    Raises:
        StoreUnavailable, RecordsUnavailable: nothing is lost; run it again.
    """
    parts = _Parts(settings=settings, records=records, store=store, publisher=publisher)
    found = 0
    names = (key.removeprefix(keys.INFLIGHT_PREFIX) for key in store.list(keys.INFLIGHT_PREFIX))
    while chunk := list(islice(names, CHUNK)):
        doubtful = [
            name
            for name, job in zip(chunk, records.jobs(chunk), strict=True)
            # Work that goes on needs no look at its marker, unless the whole batch was registered
            # and the job's own marker says what was decided later.
            if job is None or job.status.terminal or job.batch_id or job.version < SCHEMA_VERSION
        ]
        # One after the other: a batch's own jobs are many enough.
        found += sum(_recover_marker(parts, name) for name in doubtful if is_batch_id(name))
        single = [name for name in doubtful if not is_batch_id(name)]
        found += sum(_at_once(partial(_recover_marker, parts), single))
    if found:
        log.info("unfinished jobs were recovered", action="jobs_recovered", jobs=found)
    return found


def recover_one(
    settings: Settings,
    records: Records,
    store: ObjectStore,
    publisher: Publisher,
    manifest: Manifest,
) -> None:
    """Register the submission of this manifest, if it was committed."""
    parts = _Parts(settings=settings, records=records, store=store, publisher=publisher)
    for name in (manifest.batch_id, manifest.request_id):
        if name:
            _recover_marker(parts, name)
    stored = stored_job(store, manifest.tenant, manifest.request_id)
    if stored is not None:
        records.restore([stored])


def list_ended_jobs(records: Records, store: ObjectStore) -> Iterator[int]:
    """List every ended job again; yields after each chunk how many it listed."""
    for tenant in store.folders(keys.TENANTS_PREFIX):
        found = (name for name in store.folders(keys.jobs_prefix(tenant)) if is_request_id(name))
        while ids := list(islice(found, CHUNK)):
            missing = [i for i, known in zip(ids, records.known(ids), strict=True) if not known]
            ended = [job for job in _at_once(partial(_ended, store, tenant), missing) if job]
            dead = {job.request_id for job, is_dead in ended if is_dead}
            records.restore([job for job, _ in ended], dead)
            yield len(ended)


def _ended(store: ObjectStore, tenant: str, request_id: str) -> tuple[Job, bool] | None:
    """A job that ended, and whether operators should look at it."""
    job = stored_job(store, tenant, request_id)
    # Deleted meanwhile: its record may have expired, its tombstone has not.
    if job is None or erasure.is_erased(store, tenant, request_id):
        return None
    return job, _is_dead(store, job)


def registration(
    store: ObjectStore, records: Records, manifest: Manifest, marker: Marker
) -> Registration:
    """How an unfinished job is to be registered: what was read stays read."""
    single = bool(manifest.media_type) and documents.is_single_page(manifest.media_type)
    if marker.run > 1:
        manifest = replace(manifest, model=marker.model, engine=marker.engine)
    return Registration(
        manifest=manifest,
        pages=1 if single else 0,
        winners=_winners(store, records, manifest),
        run=marker.run,
    )


def _winners(store: ObjectStore, records: Records, manifest: Manifest) -> dict[int, str]:
    """Page → the attempt that read it: from the record, or where there is none from the store."""
    states = records.page_states(manifest.request_id)
    if states:
        return {page: state[2:] for page, state in states.items() if state.startswith("d:")}
    found = {}
    for key in store.list(keys.pages_prefix(manifest.tenant, manifest.request_id)):
        parsed = keys.parse_page_result(key)
        if parsed is not None and b'"error":null' in store.get(key):
            found[parsed[0]] = parsed[1]
    return found


def _is_dead(store: ObjectStore, job: Job) -> bool:
    """Whether a page of an ended job failed for a reason of ours."""
    if job.error is not None and job.error.code in DEAD_CODES:
        return True
    failed = failures(store, job, {}) if job.pages.failed else ()
    return any(code in DEAD_CODES for _, code, _ in failed)


def _recover_marker(parts: _Parts, name: str) -> int:
    """Do what the marker of this job or batch says; returns how many jobs were registered."""
    try:
        marker = Marker.from_json(parts.store.get(keys.inflight(name)))
    except ObjectNotFound:
        return 0
    except ValueError as error:
        _unreadable(name, error)
        found = _marker_again(parts.store, name) if is_request_id(name) else None
        if found is None:
            return 0
        marker = found
    if is_batch_id(name):
        return _recover_batch(parts, marker, name)
    if is_request_id(name):
        return _recover_job(parts, marker, name)
    return 0


def _marker_again(store: ObjectStore, request_id: str) -> Marker | None:
    """The marker of a job whose own is damaged, as when writing it anew was cut off.

    None when nobody has such a job; then nothing was accepted, and the damaged one goes.
    """
    for tenant in store.folders(keys.TENANTS_PREFIX):
        if store.exists(keys.manifest(tenant, request_id)):
            return Marker(tenant=tenant)
    store.delete([keys.inflight(request_id)])
    return None


def _recover_job(parts: _Parts, marker: Marker, request_id: str) -> int:
    records, store = parts.records, parts.store
    if marker.deleted_at:
        late_ms = parts.settings.lease_seconds * 1000
        erasure.erase(records, store, marker.tenant, request_id, late_ms=late_ms)
        return 0
    job = records.get(request_id)
    if job is not None and job.version < SCHEMA_VERSION and not job.status.terminal:
        # Written by a process of the version before, which nobody of this one would take.
        records.drop(request_id)
        job = None
    registered = 0
    if job is None or (job.status.terminal and job.run < marker.run):
        stored = stored_job(store, marker.tenant, request_id)
        if stored is not None and _is_last(stored, marker):
            records.restore([stored])
            store.delete([keys.inflight(request_id)])
            return 0
        if not _register(parts, marker, request_id):
            return 0
        registered, job = 1, records.get(request_id)
    if marker.cancelled_at:
        cancelled, wakes = records.cancel(request_id, marker.cancelled_at)
        if cancelled:
            parts.publisher.publish(wakes)
            return registered
    if job is not None and job.status.terminal:
        # A cancelled job is terminal at once, its marker goes when its pages are kept.
        stored = stored_job(store, marker.tenant, request_id)
        if stored is not None and _is_last(stored, marker):
            store.delete([keys.inflight(request_id)])
    return registered


def _recover_batch(parts: _Parts, marker: Marker, batch_id: str) -> int:
    registered, open_jobs = 0, 0
    plain = Marker(tenant=marker.tenant)
    for start in range(0, len(marker.jobs), CHUNK):
        ids = marker.jobs[start : start + CHUNK]
        jobs = parts.records.jobs(ids)
        known = parts.records.known(ids)
        missing = [name for name, there in zip(ids, known, strict=True) if not there]
        registered += sum(_at_once(partial(_recover_member, parts, plain), missing))
        open_jobs += len(missing) + sum(1 for job in jobs if job and not job.status.terminal)
    if not open_jobs:
        parts.store.delete([keys.inflight(batch_id)])
    return registered


def _recover_member(parts: _Parts, marker: Marker, request_id: str) -> int:
    """A job of a batch that has no record: it ended, was deleted, or is to run."""
    if erasure.is_erased(parts.store, marker.tenant, request_id):
        return 0
    stored = stored_job(parts.store, marker.tenant, request_id)
    if stored is not None:
        parts.records.restore([stored])
        return 0
    return _register(parts, marker, request_id)


def _register(parts: _Parts, marker: Marker, request_id: str) -> int:
    store = parts.store
    try:
        manifest = Manifest.from_json(store.get(keys.manifest(marker.tenant, request_id)))
    except ObjectNotFound:
        # Removed meanwhile, or left by a submission that was refused.
        store.delete([keys.inflight(request_id)])
        return 0
    except ValueError as error:
        _unreadable(request_id, error)
        return 0
    item = registration(store, parts.records, manifest, marker)
    try:
        wakes = parts.records.submit(marker.tenant, [item], window=parts.settings.window_pages)
    except InProgress:
        # A request is submitting it at this moment.
        return 0
    parts.publisher.publish(wakes)
    return 1


def _is_last(stored: Job, marker: Marker) -> bool:
    """Whether the stored result is of the run that the marker is about."""
    cancelled = stored.status is JobStatus.CANCELLED
    return stored.run >= marker.run and (cancelled or not marker.cancelled_at)


def _at_once(do: Callable[[str], _Found], names: Sequence[str]) -> list[_Found]:
    """Do something with each of the names; most of the time goes to waiting for the store."""
    if len(names) < 2:
        return [do(name) for name in names]
    with ThreadPoolExecutor(THREADS, thread_name_prefix="recover") as pool:
        return list(pool.map(do, names))


def _unreadable(name: str, error: ValueError) -> None:
    log.error(
        "a marker or manifest cannot be read",
        action="manifest_unreadable",
        name=name,
        reason=str(error),
    )
