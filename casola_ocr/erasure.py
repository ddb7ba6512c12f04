"""Deleting a job: every byte goes, only the fact remains, and an interrupted deletion goes on."""

from __future__ import annotations

import time

import structlog

from casola_ocr.errors import ObjectNotFound
from casola_ocr.model import Claim, Marker, now_ms
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.records import Records
from casola_ocr.results import stored_job

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
    marker = Marker(tenant=tenant, deleted_at=now_ms())
    store.put(keys.inflight(request_id), marker.to_json())
    # Before the record goes: who meets no record asks the store.
    store.put(keys.tombstone(tenant, request_id), str(marker.deleted_at).encode())
    job = records.get(request_id) or stored_job(store, tenant, request_id)
    created_at = job.created_at if job else 0
    running, ended_batch = records.erase(
        tenant, request_id, created_at=created_at, delay_ms=max(late_ms, RESUME_MS)
    )
    _remove(store, tenant, request_id)
    if ended_batch:
        store.delete([keys.inflight(ended_batch)])
    if not running:
        store.delete([keys.inflight(request_id)])
        records.erased(request_id)
    log.info("a job was deleted", action="job_deleted", tenant=tenant, request_id=request_id)


def complete(records: Records, store: ObjectStore, claim: Claim) -> None:
    """Remove what was written after the deletion, or what its request could not remove."""
    job = claim.job
    store.put(keys.tombstone(job.tenant, job.request_id), str(now_ms()).encode())
    _remove(store, job.tenant, job.request_id)
    store.delete([keys.inflight(job.request_id)])
    records.erased(job.request_id, claim)


def remove_late(store: ObjectStore, tenant: str, request_id: str) -> None:
    """Remove what was just written for a job if it was deleted meanwhile."""
    if is_erased(store, tenant, request_id):
        _remove(store, tenant, request_id)


def is_erased(store: ObjectStore, tenant: str, request_id: str) -> bool:
    return store.exists(keys.tombstone(tenant, request_id))


def drop_tombstones(store: ObjectStore, *, days: int) -> int:
    """Forget deletions older than `days`; returns how many."""
    oldest = int((time.time() - days * 86_400) * 1000)
    dropped = 0
    for key in list(store.list(keys.TOMBSTONES_PREFIX)):
        try:
            old = int(store.get(key)) < oldest
        except (ObjectNotFound, ValueError):
            continue
        if old:
            store.delete([key])
            dropped += 1
    return dropped


def _remove(store: ObjectStore, tenant: str, request_id: str) -> None:
    store.delete(store.list(keys.job_prefix(tenant, request_id)))
