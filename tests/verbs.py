"""The records' verbs as tests say them: with defaults for all that does not matter."""

from __future__ import annotations

import time
from dataclasses import replace

import redis

from casola_ocr.ids import new_request_id
from casola_ocr.model import Claim, JobStatus, Lane, Manifest
from casola_ocr.records import Records, Registration, Settled

POOL = "pages.pp-ocrv6"
OPENED = {"media_type": "image/tiff", "file_name": "scan.tif", "size": 10}


def manifest(**changes: object) -> Manifest:
    made = Manifest(
        request_id=new_request_id(),
        tenant="acme",
        file_name="scan.png",
        media_type="image/png",
        url="",
        model="auto",
        engine="pp-ocrv6",
        language="auto",
        lane=Lane.INTERACTIVE,
        batch_id="",
        created_at=int(time.time() * 1000),
        size=10,
    )
    return replace(made, **changes)


def submit(records: Records, pages: int = 1, window: int = 32, **changes: object) -> str:
    made = manifest(**changes)
    registration = Registration(manifest=made, pages=pages)
    records.submit(made.tenant, [registration], window=window)
    return made.request_id


def take(
    records: Records, pool: str = POOL, owner: str = "w1", *,
    lease_ms: int = 20_000, max_attempts: int = 3, share: float = 1.0,
) -> Claim | None:  # fmt: skip
    taken = records.take(pool, owner, lease_ms=lease_ms, max_attempts=max_attempts, share=share)
    return taken.claim


def claim(records: Records, pool: str = POOL, owner: str = "w1", **given: int) -> Claim:
    got = take(records, pool, owner, **given)
    assert got is not None
    return got


def settle(records: Records, got: Claim, outcome: str = "done") -> Settled | None:
    return records.settle(got, outcome, dead=False, inline_pages=0, lease_ms=20_000)


def close(records: Records, got: Claim, **changes: object) -> str | None:
    ended = {"status": JobStatus.COMPLETED, "words": 3, "confidence": 0.5, "finished_at": 1}
    job = replace(got.job, **{**ended, **changes})
    return records.close(got, job, keep_seconds=3600)


def finish(records: Records) -> None:
    assert close(records, claim(records, "finish")) is not None


def sweep(records: Records) -> list[tuple[str, str, str]]:
    return list(records.sweep(max_attempts=3).lost)


def pending(raw: redis.Redis) -> dict[str, int]:
    return {name: int(count) for name, count in raw.hgetall("casola:pending").items()}
