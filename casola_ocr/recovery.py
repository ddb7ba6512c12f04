"""Finding again what was accepted, after the records were lost.

Everything unfinished has an ``inflight/`` marker, so only those are listed, never the bucket. Jobs
that ended are listed again from the heads of their results, in the background.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import structlog

from casola_ocr import documents, erasure
from casola_ocr.errors import DEAD_CODES, InProgress, ObjectNotFound
from casola_ocr.ids import is_batch_id, is_request_id
from casola_ocr.model import SCHEMA_VERSION, Job, JobStatus, Manifest, Marker
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.publisher import Publisher
from casola_ocr.records import Records, Registration
from casola_ocr.results import failures, stored_job
from casola_ocr.selection import Selection
from casola_ocr.settings import Settings
from casola_ocr.side_by_side import at_once

log = structlog.get_logger(__name__)

#: Jobs that are looked at with one round trip.
CHUNK = 200


@dataclass(frozen=True, kw_only=True)
class _Parts:
    settings: Settings
    records: Records
    store: ObjectStore
    publisher: Publisher


def recover(
    settings: Settings,
    records: Records,
    store: ObjectStore,
    publisher: Publisher,
    *,
    thorough: bool = True,
) -> int:
    """Bring the records in line with the markers; returns how many jobs had to be registered.

    Without `thorough` the markers of jobs are not read whose work goes on: enough while the
    records were not lost. Safe to run at any time, by several processes at once: registering again
    changes nothing.

    Raises:
        StoreUnavailable, RecordsUnavailable: nothing is lost; run it again.
    """
    parts = _Parts(settings=settings, records=records, store=store, publisher=publisher)
    found = 0
    names = (key.removeprefix(keys.INFLIGHT_PREFIX) for key in store.list(keys.INFLIGHT_PREFIX))
    while chunk := list(islice(names, CHUNK)):
        jobs = records.jobs([keys.parse_marker(name)[0] for name in chunk])
        doubtful = [
            name
            for name, job in zip(chunk, jobs, strict=True)
            if thorough or not _goes_on(name, job)
        ]
        # One after the other: a batch's own jobs are many enough.
        found += sum(_recover_marker(parts, name) for name in doubtful if is_batch_id(name))
        single = [name for name in doubtful if not is_batch_id(name)]
        found += sum(at_once(partial(_recover_marker, parts), single))
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
    """Register the submission of this manifest, or the retry of it, if it was committed."""
    parts = _Parts(settings=settings, records=records, store=store, publisher=publisher)
    request_id = manifest.request_id
    stored = stored_job(store, manifest.tenant, request_id)
    first = (manifest.batch_id, request_id) if stored is None else ()
    following = keys.marker(request_id, stored.run + 1 if stored else 2)
    for name in (*first, following.removeprefix(keys.INFLIGHT_PREFIX)):
        if name:
            _recover_marker(parts, name)
    if stored is not None and not records.known([request_id])[0]:
        _restore(parts, stored)


def list_ended_jobs(settings: Settings, records: Records, store: ObjectStore) -> Iterator[int]:
    """List every ended job again; yields after each chunk how many it listed.

    A record that has not ended though its result is in the store is behind: the server's machine
    died, and its last second is not in its log.
    """
    keep_seconds = settings.record_seconds
    for tenant in store.folders(keys.TENANTS_PREFIX):
        found = (name for name in store.folders(keys.jobs_prefix(tenant)) if is_request_id(name))
        while ids := list(islice(found, CHUNK)):
            jobs = zip(ids, records.jobs(ids), records.known(ids), strict=True)
            missing = []
            for request_id, job, known in jobs:
                if job is not None and not job.status.terminal and _is_behind(store, job):
                    known = not records.forget(request_id, run=job.run)
                if not known:
                    missing.append(request_id)
            ended = [job for job in at_once(partial(_ended, store, tenant), missing) if job]
            dead = {job.request_id for job, is_dead in ended if is_dead}
            records.restore([job for job, _ in ended], dead, keep_seconds=keep_seconds)
            yield len(ended)


def _is_behind(store: ObjectStore, job: Job) -> bool:
    stored = stored_job(store, job.tenant, job.request_id)
    return stored is not None and stored.run >= job.run


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
    single = documents.is_single_picture(manifest.media_type, Selection.parse(manifest.selection))
    if marker.engine:
        manifest = replace(
            manifest,
            model=marker.model,
            engine=marker.engine,
            mode=marker.mode,
            prompt=marker.prompt,
            fallback=marker.fallback,
        )
    return Registration(
        manifest=manifest,
        pages=1 if single else 0,
        winners=_winners(store, records, manifest),
        run=marker.run,
        cancelled_at=marker.cancelled_at,
    )


def _winners(store: ObjectStore, records: Records, manifest: Manifest) -> dict[int, str]:
    """Position → the attempt that read it: from the record, or where none is from the store."""
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


def _goes_on(name: str, job: Job | None) -> bool:
    """Whether the record says that the marker's job is being worked on."""
    if job is None or job.status.terminal or job.version < SCHEMA_VERSION:
        return False
    # A batch may have been registered without what was decided about this job since.
    return not job.batch_id and keys.inflight(name) == keys.marker(job.request_id, job.run)


def _recover_marker(parts: _Parts, name: str) -> int:
    """Do what the marker with this name says; returns how many jobs were registered."""
    unfinished, suffix = keys.parse_marker(name)
    if not (is_batch_id(unfinished) or is_request_id(unfinished)):
        return 0
    try:
        marker = Marker.from_json(parts.store.get(keys.inflight(name)))
    except ObjectNotFound:
        return 0
    except ValueError as error:
        _unreadable(name, error)
        found = _marker_again(parts.store, name)
        if found is None:
            return 0
        marker = found
    if is_batch_id(unfinished):
        return _recover_batch(parts, marker, unfinished)
    if suffix == keys.DELETED:
        late_ms = parts.settings.lease_seconds * 1000
        erasure.erase(parts.records, parts.store, marker.tenant, unfinished, late_ms=late_ms)
        return 0
    return _recover_job(parts, marker, unfinished)


def _marker_again(store: ObjectStore, name: str) -> Marker | None:
    """The marker of a job whose own is damaged, as when writing it anew was cut off.

    None when nobody has such a job; then nothing was accepted, and the damaged one goes.
    """
    request_id, suffix = keys.parse_marker(name)
    if not is_request_id(request_id):
        return None
    for tenant in store.folders(keys.TENANTS_PREFIX):
        if store.exists(keys.manifest(tenant, request_id)):
            return Marker(tenant=tenant, run=int(suffix) if suffix.isdecimal() else 1)
    store.delete([keys.inflight(name)])
    return None


def _recover_job(parts: _Parts, marker: Marker, request_id: str) -> int:
    records, store = parts.records, parts.store
    job = records.get(request_id)
    if job is not None and job.version < SCHEMA_VERSION and not job.status.terminal:
        # Written by a process of the version before, which nobody of this one would take.
        records.drop(request_id)
        job = None
    if job is not None and not job.status.terminal:
        if marker.cancelled_at and job.run == marker.run:
            # The records lost their last second, and with it the decision.
            parts.publisher.publish(records.cancel(request_id, marker.cancelled_at)[1])
        return 0
    if job is None and erasure.is_erased(store, marker.tenant, request_id):
        store.delete([keys.marker(request_id, marker.run)])
        return 0
    stored = stored_job(store, marker.tenant, request_id)
    if stored is not None and _is_last(stored, marker):
        if job is None:
            _restore(parts, stored)
        store.delete([keys.marker(request_id, marker.run)])
        return 0
    if job is None or job.run < marker.run:
        return _register(parts, marker, request_id)
    if job.status is not JobStatus.CANCELLED:
        # It ended before the decision to cancel it was written down.
        store.delete([keys.marker(request_id, marker.run)])
    return 0


def _recover_batch(parts: _Parts, marker: Marker, batch_id: str) -> int:
    registered, members, unfinished = 0, 0, False
    for start in range(0, len(marker.jobs), CHUNK):
        ids = marker.jobs[start : start + CHUNK]
        known = parts.records.known(ids)
        missing = [name for name, there in zip(ids, known, strict=True) if not there]
        registered += sum(at_once(partial(_recover_member, parts, marker.tenant), missing))
        jobs = parts.records.jobs(ids)
        members += sum(job is not None for job in jobs)
        unfinished = unfinished or any(job and not job.status.terminal for job in jobs)
        doubtful = [
            request_id
            for request_id, job in zip(ids, jobs, strict=True)
            # Of a cancelled one what was read may still be being kept.
            if job is None or job.status is JobStatus.CANCELLED
        ]
        if not unfinished:
            ended = at_once(partial(_has_ended, parts.store, marker.tenant), doubtful)
            unfinished = not all(ended)
    if not unfinished:
        parts.store.delete([keys.inflight(batch_id)])
    elif members == len(marker.jobs):
        parts.records.complete_batch(marker.tenant, batch_id, members)
    return registered


def _has_ended(store: ObjectStore, tenant: str, request_id: str) -> bool:
    """Whether the store proves that nothing is to be done for a job any more."""
    return stored_job(store, tenant, request_id) is not None or erasure.is_erased(
        store, tenant, request_id
    )


def _recover_member(parts: _Parts, tenant: str, request_id: str) -> int:
    """A job of a batch that has no record: it ended, was deleted, or is to run."""
    try:
        # It has one of its own when it was cancelled.
        own = Marker.from_json(parts.store.get(keys.marker(request_id, 1)))
    except (ObjectNotFound, ValueError):
        own = Marker(tenant=tenant)
    return _recover_job(parts, own, request_id)


def _restore(parts: _Parts, ended: Job) -> None:
    parts.records.restore([ended], (), keep_seconds=parts.settings.record_seconds)


def _register(parts: _Parts, marker: Marker, request_id: str) -> int:
    store = parts.store
    try:
        manifest = Manifest.from_json(store.get(keys.manifest(marker.tenant, request_id)))
    except ObjectNotFound:
        # Removed meanwhile, or left by a submission that was refused.
        store.delete([keys.marker(request_id, marker.run)])
        return 0
    except ValueError as error:
        _unreadable(request_id, error)
        return 0
    item = registration(store, parts.records, manifest, marker)
    try:
        hints = parts.records.submit(marker.tenant, [item], window=parts.settings.window_pages)
    except InProgress:
        # A request is submitting it at this moment.
        return 0
    parts.publisher.publish(hints)
    return 1


def _is_last(stored: Job, marker: Marker) -> bool:
    """Whether the stored result is of the run that the marker is about."""
    if stored.run != marker.run:
        return stored.run > marker.run
    return stored.status is JobStatus.CANCELLED or not marker.cancelled_at


def _unreadable(name: str, error: ValueError) -> None:
    log.error(
        "a marker or manifest cannot be read",
        action="manifest_unreadable",
        name=name,
        reason=str(error),
    )
