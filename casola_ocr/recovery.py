"""Finding again what was accepted, after the records were lost.

Every unfinished job has an ``inflight/`` marker, so only those are listed, never the bucket.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import structlog

from casola_ocr import documents
from casola_ocr.errors import ObjectNotFound
from casola_ocr.model import Manifest, is_request_id
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.publisher import Publisher, pages_queue
from casola_ocr.records import Records, Registration
from casola_ocr.settings import Settings

log = structlog.get_logger(__name__)

#: Markers that are looked at with one round trip.
CHUNK = 200


def recover(settings: Settings, records: Records, store: ObjectStore, publisher: Publisher) -> int:
    """Register every unfinished job that has no record; returns how many.

    Safe to run at any time, by several processes at once: registering again changes nothing.

    Raises:
        StoreUnavailable, RecordsUnavailable: nothing is lost; run it again.
    """
    found = 0
    markers = store.list(keys.INFLIGHT_PREFIX)
    while chunk := list(islice(markers, CHUNK)):
        ids = [key.removeprefix(keys.INFLIGHT_PREFIX) for key in chunk]
        ids = [request_id for request_id in ids if is_request_id(request_id)]
        for request_id, known in zip(ids, records.exists(ids), strict=True):
            if known:
                _tidy(records, store, request_id)
                continue
            registration = _registration(store, request_id)
            if registration is None:
                continue
            manifest = registration.manifest
            steps = records.submit([registration], window=settings.window_pages)
            queue = pages_queue(manifest.engine, manifest.lane, manifest.tenant)
            publisher.publish(request_id, [step for _, step in steps], queue)
            found += 1
    if found:
        log.info("unfinished jobs were recovered", action="jobs_recovered", jobs=found)
    return found


def _tidy(records: Records, store: ObjectStore, request_id: str) -> None:
    """Remove the marker of a job that ended just before its worker died."""
    job = records.get(request_id)
    if job is not None and job.status.terminal:
        store.delete([keys.inflight(request_id)])


def _registration(store: ObjectStore, request_id: str) -> Registration | None:
    marker = keys.inflight(request_id)
    try:
        tenant = store.get(marker).decode()
        manifest = Manifest.from_json(store.get(keys.manifest(tenant, request_id)))
    except ObjectNotFound:
        # Removed meanwhile, or left by a submission that was refused.
        store.delete([marker])
        return None
    except ValueError as error:
        log.error(
            "a manifest cannot be read; its job is left alone",
            action="manifest_unreadable",
            request_id=request_id,
            reason=str(error),
        )
        return None
    single = manifest.media_type and documents.is_single_page(manifest.media_type)
    return Registration(
        manifest=manifest,
        pages=1 if single else 0,
        winners=dict(_read_pages(store, tenant, request_id)),
    )


def _read_pages(store: ObjectStore, tenant: str, request_id: str) -> Iterator[tuple[int, str]]:
    """Pages that were read before; the newest attempt of each, failed ones left out."""
    for key in store.list(keys.pages_prefix(tenant, request_id)):
        parsed = keys.parse_page_result(key)
        if parsed is not None and b'"error":null' in store.get(key):
            yield parsed
