"""Deleting a job: every byte goes, only the fact remains, and an interrupted deletion goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator

import structlog

from casola_ocr.errors import ObjectNotFound
from casola_ocr.model import Claim, Marker
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.records import Records
from casola_ocr.results import stored_job
from casola_ocr.times import now_ms

log = structlog.get_logger(__name__)

#: When a worker completes a deletion whose request died.
RESUME_MS = 5_000


def erase(
    records: Records, store: ObjectStore, tenant: str, request_id: str, *, late_ms: int
) -> None:
    """Delete a job. When it returns its bytes are gone and its ID is answered with `Gone`.

    A claim that still ran may write once more: `late_ms` later a worker deletes that too.
    Safe to repeat.

    Raises:
        StoreUnavailable, RecordsUnavailable: repeat it; what was begun is completed anyway.
    """
    store.put(keys.deletion(request_id), Marker(tenant=tenant).to_json())
    # Before the record goes: who meets no record asks the store.
    store.put(keys.tombstone(tenant, request_id), str(now_ms()).encode())
    job = records.get(request_id) or stored_job(store, tenant, request_id)
    run = job.run if job else 1
    running, ended_batch = records.erase(
        tenant,
        request_id,
        created_at=job.created_at if job else 0,
        run=run,
        delay_ms=max(late_ms, RESUME_MS),
    )
    _remove(store, tenant, request_id)
    # A retry may have been asked for at this moment.
    markers = [keys.marker(request_id, n) for n in range(1, run + 2)]
    store.delete([*markers, *([keys.inflight(ended_batch)] if ended_batch else [])])
    if not running:
        store.delete([keys.deletion(request_id)])
        records.erased(request_id)
    log.info("a job was deleted", action="job_deleted", tenant=tenant, request_id=request_id)


def complete(records: Records, store: ObjectStore, claim: Claim) -> None:
    """Remove what was written after the deletion, or what its request could not remove."""
    job = claim.job
    store.put(keys.tombstone(job.tenant, job.request_id), str(now_ms()).encode())
    _remove(store, job.tenant, job.request_id)
    markers = [keys.marker(job.request_id, n) for n in range(1, job.run + 2)]
    store.delete([*markers, keys.deletion(job.request_id)])
    records.erased(job.request_id, claim)


def remove_late(store: ObjectStore, tenant: str, request_id: str) -> None:
    """Remove what was just written for a job if it was deleted meanwhile."""
    if is_erased(store, tenant, request_id):
        _remove(store, tenant, request_id)


def is_erased(store: ObjectStore, tenant: str, request_id: str) -> bool:
    return store.exists(keys.tombstone(tenant, request_id))


def tend_tombstones(
    records: Records, store: ObjectStore, *, days: int, late_ms: int
) -> Iterator[int]:
    """Forget deletions older than `days`, and repeat those that the records do not know.

    Yields after each that it looked at whether it was forgotten.
    """
    oldest = int((time.time() - days * 86_400) * 1000)
    for key in store.list(keys.TOMBSTONES_PREFIX):
        try:
            old = int(store.get(key)) < oldest
        except (ObjectNotFound, ValueError):
            continue
        tenant, request_id = keys.parse_tombstone(key)
        if old:
            store.delete([key])
        elif records.get(request_id) is not None:
            # A server whose machine died forgets the last second.
            erase(records, store, tenant, request_id, late_ms=late_ms)
        yield int(old)


def _remove(store: ObjectStore, tenant: str, request_id: str) -> None:
    store.delete(store.list(keys.job_prefix(tenant, request_id)))
