"""Between the domain's records and the strings of a Redis hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from casola_ocr.errors import error_by_code
from casola_ocr.model import MODES, Job, JobError, JobStatus, Lane, Manifest, PageCounts
from casola_ocr.publisher import pages_pool


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A job to be registered; `pages` is 0 when the document has to be opened first."""

    manifest: Manifest
    pages: int
    #: Page → attempt that already read it: after the records were lost, and for a retry.
    winners: Mapping[int, str] = field(default_factory=dict)
    #: 1, and one more for each retry of failed pages.
    run: int = 1
    #: Marks the request that submits it, where several may at once: one idempotency key.
    nonce: str = ""
    #: When it was cancelled, in ms since 1970: then nothing more is read; 0 = not.
    cancelled_at: int = 0


def registration_row(item: Registration, window: int) -> dict[str, Any]:
    manifest = item.manifest
    finished = len(item.winners)
    owed = 0 if item.cancelled_at else max(0, (item.pages or max(1, finished)) - finished)
    return {
        "id": manifest.request_id,
        "batch": manifest.batch_id,
        "first": "prepare" if item.pages == 0 else "page",
        "run": item.run,
        "nonce": item.nonce,
        "pages": owed,
        "bytes": manifest.size,
        "expires": manifest.expires_at,
        "dead": False,
        "cancelled": item.cancelled_at,
        "start_by": manifest.start_by if item.run == 1 else 0,
        "ttl": 0,
        "winners": {str(page): attempt for page, attempt in item.winners.items()},
        "fields": {
            **_common(manifest),
            "state": JobStatus.QUEUED.value,
            "model": manifest.model,
            "engine": manifest.engine,
            "lane": manifest.lane.value,
            "total": str(item.pages),
            "ready": str(item.pages),
            "window": str(window),
            "pool": pages_pool(manifest.engine),
        },
    }


def closed_row(job: Job, *, dead: bool, ttl_seconds: int) -> dict[str, Any]:
    """A job that ended, to be listed again after the records were lost."""
    values: dict[str, Any] = {
        "state": job.status.value,
        "model": job.model,
        "engine": job.engine,
        "lane": job.lane.value,
        "total": job.pages.total,
        "done": job.pages.done,
        "failed": job.pages.failed,
        "words": job.words,
        "confidence": job.confidence,
        "languages": ",".join(job.languages_found) or None,
        "started": job.started_at,
        "finished": job.finished_at,
        "error": job.error.code if job.error else None,
        "detail": job.error.detail if job.error else None,
    }
    return {
        "id": job.request_id,
        "batch": job.batch_id,
        "first": "",
        "run": job.run,
        "nonce": "",
        "pages": 0,
        "bytes": 0,
        "expires": job.expires_at or 0,
        "dead": dead,
        "cancelled": 0,
        "start_by": 0,
        "ttl": max(0, ttl_seconds),
        "winners": {},
        "fields": {
            **_common(job),
            **{name: str(value) for name, value in values.items() if value is not None},
        },
    }


def _common(made: Manifest | Job) -> dict[str, str]:
    return {
        "v": str(made.version),
        "language": made.language,
        "file_name": made.file_name,
        "media_type": made.media_type,
        "created": str(made.created_at),
        "expires": str(made.expires_at or 0),
        "size": str(made.size),
        "fingerprint": made.fingerprint,
        "position": str(made.position),
        # Most jobs have none of these: each byte of a record counts.
        **({"selection": made.selection} if made.selection else {}),
        **({"text_layer": made.text_layer} if made.text_layer != "ignore" else {}),
        **({"mode": made.mode} if made.mode != MODES[0] else {}),
        **({"prompt": made.prompt} if made.prompt else {}),
        **({"fallback": "1"} if made.fallback else {}),
        **({"origin": made.origin} if made.origin else {}),
        **({"hook": made.hook} if made.hook else {}),
    }


def job_of(request_id: str, record: Mapping[str, str]) -> Job | None:
    """The job of a record; None when there is none, or only the note that it was deleted."""
    if not record or record["state"] == "deleted":
        return None

    def number(name: str) -> int | None:
        return int(record[name]) if name in record else None

    code = record.get("error", "")
    return Job(
        request_id=request_id,
        tenant=record["tenant"],
        status=JobStatus(record["state"]),
        model=record["model"],
        engine=record["engine"],
        language=record["language"],
        file_name=record["file_name"],
        media_type=record["media_type"],
        lane=Lane(record["lane"]),
        batch_id=record["batch"],
        pages=PageCounts(
            total=int(record["total"]), done=int(record["done"]), failed=int(record["failed"])
        ),
        words=number("words"),
        confidence=float(record["confidence"]) if "confidence" in record else None,
        created_at=int(record["created"]),
        started_at=number("started"),
        finished_at=number("finished"),
        expires_at=number("expires") or None,
        run=number("run") or 1,
        size=number("size") or 0,
        fingerprint=record.get("fingerprint", ""),
        position=number("position") or 0,
        selection=record.get("selection", ""),
        text_layer=record.get("text_layer", "ignore"),
        mode=record.get("mode", MODES[0]),
        prompt=record.get("prompt", ""),
        fallback="fallback" in record,
        origin=record.get("origin", ""),
        hook=record.get("hook", ""),
        languages_found=tuple(filter(None, record.get("languages", "").split(","))),
        error=JobError(code=code, detail=record.get("detail") or error_by_code(code, "").detail)
        if code
        else None,
        version=int(record.get("v", 1)),
    )
