"""Job records on Redis or Valkey: one method for each Lua script.

The key table stands at the top of ``lua/_prelude.lua``. Every method may be called from any
thread or greenlet, is safe to repeat, and raises `RecordsUnavailable` when Redis cannot be reached,
is loading, full or read-only.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal
from uuid import uuid4

from casola_ocr.errors import InProgress, Overloaded, TooBusy
from casola_ocr.model import Claim, Job, JobError
from casola_ocr.records.connection import Connection, translated
from casola_ocr.records.events import EventStreams
from casola_ocr.records.rows import Registration, closed_row, job_of, registration_row
from casola_ocr.records.schedule import Schedule
from casola_ocr.records.upkeep import Upkeep
from casola_ocr.times import now_ms

#: How long one request may take to store what it submits under an idempotency key.
RESERVED_MS = 20_000
#: How long the record remembers by itself that a job was deleted; the store remembers longer.
DELETED_SECONDS = 86_400

#: Pool → hints to publish for it.
Hints = Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What may wait at once, in pages and in bytes of unfinished documents; 0 is no limit."""

    total_pages: int = 0
    tenant_pages: int = 0
    total_bytes: int = 0
    tenant_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a worker got: a claim, or None when nothing waits in the pool."""

    claim: Claim | None
    hints: Hints


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A page that became terminal; `finish` is set when the caller is to finish the job."""

    finish: Claim | None
    hints: Hints


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What a sweep found: (request ID, step, why) of each lost step, and (tenant, ID) expired.

    `late` are the IDs of jobs that were to be begun by now; some were.
    """

    lost: Sequence[tuple[str, str, str]] = ()
    hints: Hints = field(default_factory=dict)
    expired: Sequence[tuple[str, str]] = ()
    late: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class BatchRecord:
    """A batch; until it is `whole` after the records were lost, jobs of it may be missing."""

    tenant: str
    created_at: int
    request_ids: Sequence[str]
    whole: bool


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Steps that will be taken before a queued job's first one, and when a job may end."""

    queue_position: int | None = None
    eta_seconds: float | None = None


class Records(Upkeep):
    """The job records."""

    def __init__(self, url: str):
        self._connection = Connection(url)
        super().__init__(self._connection)
        self._events = EventStreams(self._connection)
        self.watch = self._events.watch
        self.schedule = Schedule(self._connection)
        self.memory_share = self._connection.memory_share

    def check(self) -> None:
        """Prove that something can be written: for readiness and ``doctor``."""
        with translated():
            self._client.set("casola:probe", 1, px=1000)

    def info(self) -> dict[str, Any]:
        """Server version, ``maxmemory``, its policy and ``appendonly``: for ``doctor``."""
        with translated():
            config = self._client.config_get("maxmemory", "maxmemory-policy", "appendonly")
            server: Any = self._client.info("server")
            return {**config, "version": server.get("valkey_version") or server["redis_version"]}

    def admit(self, tenant: str, *, pages: int, size: int, limits: Limits) -> None:
        """Ask whether `pages` and `size` bytes would be accepted now.

        Raises:
            TooBusy: too much of this tenant waits.
            Overloaded: too much waits in the whole service.
        """
        payload = {"tenant": tenant, "pages": pages, "bytes": size, "limits": asdict(limits)}
        _admitted(self._run("admit", json.dumps(payload)))

    def submit(
        self,
        tenant: str,
        registrations: Sequence[Registration],
        *,
        window: int,
        limits: Limits | None = None,
    ) -> Hints:
        """Register jobs of one tenant, all or none; a job that is known stays as it is.

        Raises:
            TooBusy, Overloaded: as `admit`.
            InProgress: another request is submitting one of these jobs now.
        """
        rows = [registration_row(item, window) for item in registrations]
        payload: dict[str, Any] = {"tenant": tenant, "jobs": rows}
        if limits is not None:
            # A new submission is complete; what is recovered comes piece by piece.
            payload["limits"] = asdict(limits)
            payload["whole"] = {"batch": rows[0]["batch"], "members": len(rows)}
        return _hints(_admitted(self._run("submit", json.dumps(payload)))[1])

    def restore(self, jobs: Sequence[Job], dead: Container[str], *, keep_seconds: int) -> None:
        """List jobs of one tenant again that ended before the records were lost.

        Those with an ID in `dead` come back to the list that operators look at. A record is kept
        for what is left of `keep_seconds` since its job ended; older ones are only listed.
        """
        now = now_ms()
        rows = [
            closed_row(
                job,
                dead=job.request_id in dead,
                ttl_seconds=keep_seconds - (now - (job.finished_at or 0)) // 1000,
            )
            for job in jobs
        ]
        if rows:
            self._run("submit", json.dumps({"tenant": jobs[0].tenant, "jobs": rows}))

    def complete_batch(self, tenant: str, batch_id: str, members: int) -> None:
        """Say that a batch has as many jobs as are registered now, if those are `members`."""
        whole = {"batch": batch_id, "members": members}
        self._run("submit", json.dumps({"tenant": tenant, "jobs": [], "whole": whole}))

    def reserve(self, request_id: str, nonce: str) -> bool:
        """Take or keep the right to submit this job for some seconds; False: another has it."""
        with translated():
            key = f"idem:{request_id}"
            made = self._client.set(key, nonce, nx=True, px=RESERVED_MS, get=True)
            if made == nonce:
                self._client.pexpire(key, RESERVED_MS)
        return made is None or made == nonce

    def recall(self, name: str) -> Sequence[str]:
        """The request IDs under this name, none when they were forgotten."""
        with translated():
            found: str | None = self._client.get(f"again:{name}")
        return found.split() if found else []

    def recollect(self, name: str, request_ids: Sequence[str], *, seconds: int) -> None:
        """Keep request IDs under a name for a while."""
        with translated():
            self._client.set(f"again:{name}", " ".join(request_ids), ex=seconds)

    def unreserve(self, request_id: str, nonce: str) -> None:
        with translated():
            if self._client.get(f"idem:{request_id}") == nonce:
                self._client.delete(f"idem:{request_id}")

    def take(
        self,
        pool: str,
        owner: str,
        *,
        lease_ms: int,
        max_attempts: int,
        share: float = 1.0,
        many: bool = False,
    ) -> Taken:
        """Take the next step of a pool for `lease_ms`: tenants and their jobs take turns.

        `share` is the part of the pool's claims above which a tenant lets others go first. `many`
        tells that the owner's process reads other pages beside this one; the last attempt of a
        page then counts from `enter`.
        """
        nonce = uuid4().hex
        answer = self._run("take", pool, owner, nonce, lease_ms, max_attempts, share, int(many))
        if answer[0] == "none":
            return Taken(claim=None, hints=_hints(answer[1]))
        _, request_id, step, attempt, fence, ready, flat, hints = answer
        job = job_of(request_id, _record(flat)) or _deleted(request_id, _record(flat))
        claim = Claim(
            job=job,
            step=step,
            attempt=int(attempt),
            fence=int(fence),
            ready=int(ready),
            pool=pool,
            lent="lent" in _record(flat),
        )
        return Taken(claim=claim, hints=_hints(hints))

    def enter(self, claim: Claim) -> bool:
        """Begin the last attempt of a page, alone in its process; False when the claim was lost."""
        return bool(self._run("enter", claim.job.request_id, claim.step, claim.fence))

    def heartbeat(self, claims: Sequence[Claim], lease_ms: int) -> list[bool]:
        """Keep claims alive; False for each that was lost or whose job ended."""
        flat = [part for c in claims for part in (c.job.request_id, c.step, c.fence)]
        return [answer == "ok" for answer in self._run("heartbeat", lease_ms, *flat)]

    def settle(
        self,
        claim: Claim,
        outcome: str,
        *,
        dead: bool,
        inline_pages: int,
        lease_ms: int,
        words: int = 0,
        confidence: float | None = None,
    ) -> Settled | None:
        """Make the claimed page terminal: ``done`` or an error code.

        `dead` puts it on the list that operators look at. The caller finishes a document of at
        most `inline_pages`. `words` and `confidence` are for those who follow the job. None when
        the page was no longer ours: the attempt lost.
        """
        answer = self._run(
            "settle", claim.job.request_id, claim.step, claim.fence, outcome, int(dead),
            inline_pages, lease_ms, words, "" if confidence is None else confidence,
        )  # fmt: skip
        if answer[0] != "won":
            return None
        fence = answer[1]
        finish = replace(claim, step="finish", attempt=1, fence=int(fence)) if fence else None
        return Settled(finish=finish, hints=_hints(answer[2]))

    def release(self, claim: Claim, *, delay_ms: int, counts: bool, first: bool = False) -> Hints:
        """Give the step back; `counts` says whether the attempt is used up.

        With `first` it is taken again before the tenant's other jobs.
        """
        answer = self._run(
            "release", claim.job.request_id, claim.step, claim.fence, delay_ms, int(counts),
            int(first),
        )  # fmt: skip
        return _hints(answer[1]) if answer[0] == "ok" else {}

    def lend(self, claim: Claim, pool: str, *, wait_ms: int) -> Hints | None:
        """Lend the claimed page to another pool, without using up the attempt.

        It comes back when it was not taken there within `wait_ms`, or when whoever took it gives it
        back or is lost. None when it was not ours any more.
        """
        answer = self._run("lend", claim.job.request_id, claim.step, claim.fence, pool, wait_ms)
        return _hints(answer[1]) if answer[0] == "ok" else None

    def opened(
        self, claim: Claim, *, total: int, ready: int, media_type: str, file_name: str, size: int
    ) -> tuple[Literal["more", "parked", "ended", "lost"], Hints]:
        """Tell the document's length and how many page images exist.

        Only after ``more`` the claim still holds and more pages are wanted now.
        """
        answer = self._run(
            "opened", claim.job.request_id, claim.fence, total, ready, media_type, file_name, size
        )
        return answer[0], _hints(answer[1]) if len(answer) > 1 else {}

    def reject(self, claim: Claim, error: JobError) -> Hints:
        """The document cannot be opened."""
        answer = self._run("reject", claim.job.request_id, claim.fence, error.code, error.detail)
        return _hints(answer[1]) if answer[0] == "ok" else {}

    def close(self, claim: Claim, job: Job, *, keep_seconds: int) -> str | None:
        """Close the record with the status, words, confidence, languages and error of `job`.

        Returns the batch that has no open job any more, or an empty string; None when the claim
        of ``finish`` is old: another attempt closed it, or it was cancelled.
        """
        answer = self._run(
            "close",
            job.request_id,
            claim.fence,
            job.status.value,
            job.finished_at or 0,
            "" if job.words is None else job.words,
            "" if job.confidence is None else job.confidence,
            ",".join(job.languages_found),
            job.error.code if job.error else "",
            job.error.detail if job.error else "",
            keep_seconds,
        )
        return answer[1] if answer[0] == "ok" else None

    def cancel(
        self, request_id: str, finished_at: int, error: str = ""
    ) -> tuple[Literal["ok", "again", "lost", "unknown"], Hints]:
        """Stop a job: ``ok``, and ``again`` until its result is in the store.

        ``lost``: it had ended, or is about to. ``unknown``: it has no record. With the code of an
        `error` it is stopped only if nothing of it was begun, and ``lost`` otherwise.
        """
        answer = self._run("cancel", request_id, finished_at, error)
        return answer[0], _hints(answer[1]) if len(answer) > 1 else {}

    def erase(
        self, tenant: str, request_id: str, *, created_at: int, run: int, delay_ms: int
    ) -> tuple[int, str]:
        """Forget a job; ``erase`` is taken by a worker after `delay_ms`, unless `erased` comes.

        Returns how many claims were running, and the batch that has no open job any more.
        """
        answer = self._run("erase", tenant, request_id, created_at, delay_ms, DELETED_SECONDS, run)
        return int(answer[0]), answer[1]

    def erased(self, request_id: str, claim: Claim | None = None) -> None:
        """All bytes of a deleted job are gone."""
        self._run("erased", request_id, claim.fence if claim else "")

    def forget(self, request_id: str, run: int | None = None) -> bool:
        """Remove a job that was never accepted.

        Or, with `run`, one that the store knows to have ended: unless it is being finished, or its
        record says another run by now, which is told by False.
        """
        return bool(self._run("forget", request_id, "" if run is None else run))

    def sweep(self, *, max_attempts: int, limit: int = 500) -> Swept:
        """Give back what nobody works on, and find what has no hint or has expired."""
        lost, hints, expired, late = self._run("sweep", limit, max_attempts)
        return Swept(
            lost=_lost(lost),
            hints=_hints(hints),
            expired=[(tenant, found) for tenant, _, found in (m.partition("/") for m in expired)],
            late=late,
        )

    def bury(self, owner: str, *, max_attempts: int) -> Swept:
        """Give back at once what a worker child held that is dead."""
        lost, hints = self._run("bury", owner, max_attempts)
        return Swept(lost=_lost(lost), hints=_hints(hints))

    def hints_waiting(self, pools: Sequence[str]) -> int:
        """How many hints lie in the queues of these pools."""
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            for pool in pools:
                pipeline.llen(pool)
            return sum(pipeline.execute())

    def get(self, request_id: str) -> Job | None:
        with translated():
            record = self._client.hgetall(f"job:{request_id}")
        return job_of(request_id, record)

    def standing(self, request_id: str) -> Standing:
        """How much is ahead of a job that has not ended, as far as the records can tell."""
        position, milliseconds = self._run("standing", request_id)
        return Standing(
            queue_position=int(position) if position != "" else None,
            eta_seconds=round(int(milliseconds) / 1000, 1) if milliseconds != "" else None,
        )

    def room(self, tenant: str) -> tuple[int, int, float, float]:
        """Pages that wait of all and of a tenant, and how many of each are read in a second."""
        pages, mine, rate, my_rate = self._run("room", tenant)
        return int(pages), int(mine), float(rate), float(my_rate)

    def known(self, request_ids: Sequence[str]) -> list[bool]:
        """Whether each has a record, be it only that it was deleted."""
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            for request_id in request_ids:
                pipeline.exists(f"job:{request_id}")
            return [bool(found) for found in pipeline.execute()]

    def jobs(self, request_ids: Sequence[str]) -> list[Job | None]:
        """The jobs with these IDs, in the same order; None for one without a record."""
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            for request_id in request_ids:
                pipeline.hgetall(f"job:{request_id}")
            records = pipeline.execute()
        return [job_of(found, record) for found, record in zip(request_ids, records, strict=True)]

    def page_state(self, request_id: str, page: int) -> str | None:
        """A page's state as `_prelude.lua` describes it; None before it was taken."""
        with translated():
            state: str | None = self._client.hget(f"job:{request_id}:pages", str(page))
            return state

    def page_states(self, request_id: str) -> dict[int, str]:
        """The states of all pages that were ever taken."""
        with translated():
            states = self._client.hgetall(f"job:{request_id}:pages")
        return {int(step): state for step, state in states.items() if step.isdigit()}

    def batch(self, batch_id: str) -> BatchRecord | None:
        """What is known of a batch."""
        with translated():
            head = self._client.hgetall(f"batch:{batch_id}")
            if not head:
                return None
            ids: list[str] = self._client.zrange(f"batch:{batch_id}:jobs", 0, -1)
        return BatchRecord(
            tenant=head["tenant"],
            created_at=int(head["created"]),
            request_ids=ids,
            whole=head.get("whole") == "1",
        )

    def library(self, tenant: str, limit: int, after: str | None) -> list[str]:
        """Cursors ``{created}/{request ID}`` of a tenant, newest first, older than `after`."""
        with translated():
            start = f"({after}" if after else "+"
            found: list[str] = self._client.zrevrangebylex(
                f"lib:{tenant}", start, "-", start=0, num=limit
            )
            return found

    def close_connections(self) -> None:
        self._events.close()
        self._connection.close()


def _record(flat: Any) -> Mapping[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True)) if isinstance(flat, list) else flat


def _deleted(request_id: str, record: Mapping[str, str]) -> Job:
    """What a deleted job's record still tells, for the step that removes its bytes."""
    blank = dict.fromkeys(("model", "engine", "language", "file_name", "media_type", "batch"), "")
    zeros = dict.fromkeys(("total", "done", "failed", "created"), "0")
    job = job_of(request_id, {**blank, **zeros, **record, "state": "cancelled"})
    if job is None:
        raise AssertionError("a record with a state is a job")
    return job


def _lost(flat: Sequence[str]) -> list[tuple[str, str, str]]:
    return [(flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat), 3)]


def _hints(flat: Sequence[Any]) -> Hints:
    return {flat[i]: int(flat[i + 1]) for i in range(0, len(flat), 2)}


def _admitted(answer: list[Any]) -> list[Any]:
    if answer[0] == "replay":
        raise InProgress(retry_after_seconds=1)
    if answer[0] == "busy":
        _, which, unit, pending, limit, seconds = answer
        amount, most = (
            (f"{pending} pages", f"{limit} pages")
            if unit == "pages"
            else (f"{int(pending) / 1e6:.0f} MB", f"{int(limit) / 1e6:.0f} MB")
        )
        if which == "tenant":
            raise TooBusy(
                f"{amount} of yours are waiting; the limit is {most}.",
                retry_after_seconds=int(seconds),
            )
        raise Overloaded(
            f"{amount} are waiting; the limit is {most}.", retry_after_seconds=int(seconds)
        )
    return answer
