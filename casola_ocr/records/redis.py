"""Job records on Redis or Valkey: one method for each Lua script. The only redis-py importer.

The key table stands at the top of ``lua/_prelude.lua``. Every method may be called from any
thread or greenlet, is safe to repeat, and raises `RecordsUnavailable` when Redis cannot be reached,
is loading, full or read-only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from casola_ocr.errors import RecordsUnavailable, TooBusy, error_by_code
from casola_ocr.model import (
    Claim,
    Job,
    JobError,
    JobStatus,
    Lane,
    Manifest,
    PageCounts,
)
from casola_ocr.publisher import pages_queue

#: A worker child that was silent this long is dead: three missed heartbeats of 4 s, and some.
LIVE_MS = 15_000
#: How long a published step may stay unclaimed before somebody looks whether its message is lost.
GRACE_MS = 10_000
#: Longest single XREAD: a dead connection is noticed within this time.
BLOCK_MS = 5_000


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A job to be registered; `pages` is 0 when the document has to be opened first."""

    manifest: Manifest
    pages: int
    #: Page → attempt that already read it; only after the records were lost.
    winners: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A step that was not claimed, and the steps that this made ready."""

    why: Literal["gone", "terminal", "leased", "exhausted"]
    publish: tuple[str, ...] = ()
    pages_queue: str = ""


@dataclass(frozen=True, kw_only=True)
class LostStep:
    """A step that the sweep found without anybody working on it."""

    request_id: str
    step: str
    pages_queue: str
    why: Literal["lease", "lost", "waited"]


class Records:
    """The job records."""

    def __init__(self, url: str):
        options: dict[str, Any] = {
            "decode_responses": True,
            "socket_connect_timeout": 2,
            # Every script is idempotent, so a connection that broke in the middle is retried.
            "retry": Retry(ExponentialBackoff(cap=0.2, base=0.02), 2),
        }
        # Any: redis-py's types do not know that `decode_responses` leaves only str.
        self._client: Any = redis.Redis.from_url(url, socket_timeout=5, **options)
        # A blocking read needs its own client: its socket timeout must exceed the block time.
        options["retry"] = Retry(ExponentialBackoff(cap=0.2, base=0.02), 0)
        self._waiting = redis.Redis.from_url(url, socket_timeout=BLOCK_MS / 1000 + 5, **options)
        lua = resources.files("casola_ocr.records").joinpath("lua")
        prelude = lua.joinpath("_prelude.lua").read_text(encoding="utf-8")
        self._scripts = {
            name: self._client.register_script(
                prelude + lua.joinpath(f"{name}.lua").read_text(encoding="utf-8")
            )
            for name in (
                "submit", "claim", "heartbeat", "settle", "release", "opened", "reject",
                "close", "forget", "sweep", "pulse", "live",
            )
        }  # fmt: skip

    def ping(self) -> None:
        with _translated():
            self._client.ping()

    def info(self) -> dict[str, Any]:
        """Server version, ``maxmemory-policy`` and ``appendonly``: for ``doctor``."""
        with _translated():
            config = self._client.config_get("maxmemory-policy", "appendonly")
            server: Any = self._client.info("server")
            return {**config, "version": server.get("valkey_version") or server["redis_version"]}

    def submit(
        self,
        registrations: Sequence[Registration],
        *,
        window: int,
        max_total: int = 0,
        max_tenant: int = 0,
    ) -> list[tuple[str, str]]:
        """Register jobs of one tenant, all or none; returns (request ID, step) to publish.

        Raises:
            TooBusy: more pages would wait than `max_total` or `max_tenant` (0 = no limit).
        """
        payload = {
            "jobs": [_registration(item, window) for item in registrations],
            "max_total": max_total,
            "max_tenant": max_tenant,
            "grace_ms": GRACE_MS,
        }
        answer = self._run("submit", json.dumps(payload))
        if answer[0] == "busy":
            _, which, pending, limit = answer
            owner = "of yours are" if which == "tenant" else "are"
            raise TooBusy(
                f"{pending} pages {owner} waiting; the limit is {limit}", retry_after_seconds=10
            )
        return list(zip(answer[1::2], answer[2::2], strict=True))

    def claim(
        self, request_id: str, step: str, owner: str, *, lease_ms: int, max_attempts: int
    ) -> Claim | Refused:
        """Take the right to run a step for `lease_ms`."""
        answer = self._run("claim", request_id, step, owner, lease_ms, max_attempts, GRACE_MS)
        if answer[0] == "exhausted":
            return Refused(why="exhausted", pages_queue=answer[1], publish=tuple(answer[2:]))
        if answer[0] != "ok":
            return Refused(why=answer[0])
        _, attempt, fence, ready, flat = answer
        record = dict(zip(flat[::2], flat[1::2], strict=True)) if isinstance(flat, list) else flat
        return Claim(
            job=_job(request_id, record),
            step=step,
            attempt=int(attempt),
            fence=int(fence),
            ready=int(ready or 0),
        )

    def heartbeat(self, claim: Claim, lease_ms: int) -> Literal["ok", "lost", "stopped"]:
        answer: Literal["ok", "lost", "stopped"] = self._run(
            "heartbeat", claim.job.request_id, claim.step, claim.fence, lease_ms
        )
        return answer

    def settle(self, claim: Claim, outcome: str) -> tuple[str, ...] | None:
        """Make the claimed page terminal: ``done`` or an error code.

        Returns the steps to publish, or None when the page was no longer ours: the attempt lost.
        """
        answer = self._run(
            "settle", claim.job.request_id, claim.step, claim.fence, outcome, GRACE_MS
        )
        return tuple(answer[1:]) if answer[0] == "won" else None

    def release(self, claim: Claim, *, delay_ms: int, counts: bool) -> bool:
        """Give the step back; `counts` says whether the attempt is used up."""
        return bool(
            self._run(
                "release", claim.job.request_id, claim.step, claim.fence, delay_ms, int(counts)
            )
        )

    def opened(
        self, claim: Claim, *, total: int, ready: int, media_type: str, file_name: str
    ) -> tuple[str, ...] | None:
        """Tell the document's length and how many page images exist; None when the claim is old."""
        answer = self._run(
            "opened", claim.job.request_id, claim.fence, total, ready, media_type, file_name,
            GRACE_MS,
        )  # fmt: skip
        return tuple(answer[1:]) if answer[0] == "ok" else None

    def reject(self, claim: Claim, error: JobError) -> tuple[str, ...] | None:
        """The document cannot be opened; None when the claim is old."""
        answer = self._run(
            "reject", claim.job.request_id, claim.fence, error.code, error.detail, GRACE_MS
        )
        return tuple(answer[1:]) if answer[0] == "ok" else None

    def close(self, job: Job, fence: int | None) -> bool:
        """Close the record with the status, words, confidence and error of `job`.

        `fence` is the finish step's, or None to cancel. False when it was closed before.
        """
        answer = self._run(
            "close",
            job.request_id,
            "" if fence is None else fence,
            job.status.value,
            job.finished_at or 0,
            "" if job.words is None else job.words,
            "" if job.confidence is None else job.confidence,
            job.error.code if job.error else "",
            job.error.detail if job.error else "",
        )
        return bool(answer == "ok")

    def forget(self, request_id: str) -> None:
        """Remove a job that was never accepted."""
        self._run("forget", request_id)

    def sweep(self, limit: int = 500) -> list[LostStep]:
        """Steps that nobody works on; they are marked as published and must be published."""
        answer = self._run("sweep", limit, GRACE_MS)
        return [
            LostStep(request_id=answer[i], step=answer[i + 1], pages_queue=answer[i + 2],
                     why=answer[i + 3])
            for i in range(0, len(answer), 4)
        ]  # fmt: skip

    def pulse(self, slot: str, capabilities: Sequence[str]) -> None:
        """Say that this worker child lives; no capability means that it leaves."""
        self._run("pulse", slot, ",".join(capabilities), LIVE_MS)

    def capabilities(self) -> set[str]:
        """What the live workers can do: ``engine:NAME``, ``prepare``, ``reconcile``."""
        return {cap for caps in self._run("live", LIVE_MS) if caps for cap in caps.split(",")}

    def get(self, request_id: str) -> Job | None:
        with _translated():
            record = self._client.hgetall(f"job:{request_id}")
        return _job(request_id, record) if record else None

    def exists(self, request_ids: Sequence[str]) -> list[bool]:
        with _translated():
            pipeline = self._client.pipeline(transaction=False)
            for request_id in request_ids:
                pipeline.exists(f"job:{request_id}")
            return [bool(found) for found in pipeline.execute()]

    def jobs(self, request_ids: Sequence[str]) -> list[Job]:
        """The jobs with these IDs that have a record, in the same order."""
        with _translated():
            pipeline = self._client.pipeline(transaction=False)
            for request_id in request_ids:
                pipeline.hgetall(f"job:{request_id}")
            records = pipeline.execute()
        return [
            _job(request_id, record)
            for request_id, record in zip(request_ids, records, strict=True)
            if record
        ]

    def page_state(self, request_id: str, page: int) -> str | None:
        """A page's state as `_prelude.lua` describes it; None before it was published."""
        with _translated():
            state: str | None = self._client.hget(f"job:{request_id}:pages", str(page))
            return state

    def page_states(self, request_id: str) -> dict[int, str]:
        """The states of all pages that were ever published."""
        with _translated():
            states = self._client.hgetall(f"job:{request_id}:pages")
        return {int(step): state for step, state in states.items() if step.isdigit()}

    def batch(self, batch_id: str) -> tuple[str, int, list[str]] | None:
        """Tenant, time of creation in ms, and request IDs of a batch."""
        with _translated():
            head = self._client.hgetall(f"batch:{batch_id}")
            if not head:
                return None
            ids: list[str] = self._client.lrange(f"batch:{batch_id}:jobs", 0, -1)
        return head["tenant"], int(head["created"]), ids

    def library(self, tenant: str, limit: int, after: str | None) -> list[str]:
        """Request IDs of a tenant, newest first, older than `after`."""
        with _translated():
            start = f"({after}" if after else "+"
            found: list[str] = self._client.zrevrangebylex(
                f"lib:{tenant}", start, "-", start=0, num=limit
            )
            return found

    def wait(self, request_id: str, seconds: float) -> None:
        """Return once the job's ``finished`` event is there, or after `seconds`.

        Reads the stream from its beginning, so an event before the call is never missed.
        Outlives a restart of Redis within the time.
        """
        deadline = time.monotonic() + seconds
        last = "0"
        while (left := deadline - time.monotonic()) > 0:
            try:
                block = max(1, min(BLOCK_MS, int(left * 1000)))
                answer: Any = self._waiting.xread({f"ev:{request_id}": last}, block=block)
            except redis.RedisError:
                time.sleep(min(0.2, left))
                continue
            # RESP3 answers a map, RESP2 a list of pairs.
            streams = answer.values() if isinstance(answer, dict) else [s[1] for s in answer or []]
            for entries in streams:
                if (
                    entries
                    and isinstance(entries[0], list)
                    and entries[0]
                    and isinstance(entries[0][0], list | tuple)
                ):
                    entries = entries[0]
                for event_id, fields in entries:
                    last = event_id
                    if fields.get("type") == "finished":
                        return

    def has_epoch(self) -> bool:
        """False after the records were wiped: everything unfinished must be recovered."""
        with _translated():
            return bool(self._client.exists("casola:epoch"))

    def set_epoch(self) -> None:
        with _translated():
            self._client.set("casola:epoch", int(time.time() * 1000))

    def close_connections(self) -> None:
        self._client.close()
        self._waiting.close()

    def _run(self, script: str, *args: Any) -> Any:
        with _translated():
            return self._scripts[script](args=args)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except redis.ResponseError as error:
        # OOM, READONLY and LOADING pass; anything else is a bug of ours and must be seen.
        if str(error).startswith(("OOM", "READONLY", "LOADING", "MISCONF", "NOREPLICAS")):
            raise RecordsUnavailable(retry_after_seconds=5) from error
        raise
    except redis.RedisError as error:
        raise RecordsUnavailable(retry_after_seconds=2) from error


def _registration(item: Registration, window: int) -> dict[str, Any]:
    manifest = item.manifest
    finished = len(item.winners)
    return {
        "id": manifest.request_id,
        "tenant": manifest.tenant,
        "batch": manifest.batch_id,
        "first": "prepare" if item.pages == 0 else "page",
        "owed": max(0, (item.pages or max(1, finished)) - finished),
        "winners": {str(page): attempt for page, attempt in item.winners.items()},
        "fields": {
            "v": str(manifest.version),
            "state": JobStatus.QUEUED.value,
            "model": manifest.model,
            "engine": manifest.engine,
            "language": manifest.language,
            "file_name": manifest.file_name,
            "media_type": manifest.media_type,
            "lane": manifest.lane.value,
            "created": str(manifest.created_at),
            "total": str(item.pages),
            "ready": str(item.pages),
            "window": str(window),
            "queue": pages_queue(manifest.engine, manifest.lane, manifest.tenant),
        },
    }


def _job(request_id: str, record: Mapping[str, str]) -> Job:
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
        error=JobError(code=code, detail=record.get("detail") or error_by_code(code, "").detail)
        if code
        else None,
    )
