"""Following jobs while they are worked on: wait, events, pages as they come.

Records push what happens; the state of a job is always asked for afresh, so that a wiped Redis, or
a job whose events are gone, is told as it stands.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from casola_ocr import results
from casola_ocr.errors import (
    CasolaError,
    Overloaded,
    RecordsUnavailable,
    StoreUnavailable,
    WaitTimeout,
)
from casola_ocr.model import Job
from casola_ocr.outcomes import Outcomes, check_read
from casola_ocr.records import StreamEvent
from casola_ocr.selection import Selection
from casola_ocr.waiters import Waiters

#: What a request is told that found no seat to wait on.
WAITERS_RETRY_SECONDS = 2
#: How long a follower hears nothing at most: proxies end a silent connection.
QUIET_SECONDS = 5.0
#: The same for who reads along: it looks for its own client then, and stops the work without one.
ALONG_SECONDS = 1.0
#: How often a job is looked at though nothing was told of it: its place in the queue changes, and
#: whatever was lost on the way is found.
LOOK_SECONDS = 10.0
#: Where a stream begins.
BEGINNING = "0"


@dataclass(frozen=True, kw_only=True)
class Event:
    """What a follower of jobs is told.

    ``progress``: the job as it stands; ``page``: a page became terminal, `data` says which and how;
    ``finished``: the job has ended; ``error``: it cannot be followed any more, see `error`.
    `position` is the stream's at the last of these that belong together, else empty. `data` is
    what is sent as JSON. `at` is when a page became terminal, in ms since 1970.
    """

    kind: Literal["progress", "page", "finished", "error"]
    request_id: str
    data: Mapping[str, Any]
    position: str = ""
    error: CasolaError | None = None
    at: int = 0


class Following(Outcomes):
    """The verbs of `Jobs` that wait. Safe to share between threads and greenlets."""

    _waiters: Waiters

    def look(self, tenant: str, request_id: str) -> Job:
        """As `get`, with the job's place in the queue and when it may end."""
        return self.placed(self.get(tenant, request_id))

    def wait(self, job: Job, seconds: float) -> Job:
        """The job once it is terminal, or as it stands after `seconds`.

        `job` is as it was just submitted or looked at. When too many wait already it is answered
        at once as it was.
        """
        if job.status.terminal or seconds <= 0:
            return job
        deadline = time.monotonic() + seconds
        with self._waiters.seat(job.tenant) as seated:
            if not seated:
                return job
            with self._records.watch({job.request_id: BEGINNING}) as watch:
                while (left := deadline - time.monotonic()) > 0:
                    told = watch.next(min(left, LOOK_SECONDS))
                    if told and told[-1].kind != "finished":
                        continue
                    job = self._still(job)
                    if job.status.terminal:
                        return job
        return self.get(job.tenant, job.request_id)

    def check_seats(self, tenant: str) -> None:
        """For surfaces that can only wait: refuse before anything is accepted.

        Raises:
            Overloaded: too many requests wait already, of this tenant or of all.
        """
        if self._waiters.full(tenant):
            raise _no_seat()

    def events(
        self, tenant: str, request_id: str, after: str = "", *, seconds: float
    ) -> Iterator[Event | None]:
        """What happens to a job until it has ended or `seconds` are over; None for a quiet while.

        Begins with a ``progress``, unless it goes on after the position `after`. Ends with
        ``finished``. Pages that became terminal before are told too as long as Redis keeps them:
        some thousand, a minute after the end; the job and its result are always whole.

        Raises:
            NotFound, Gone: there is no such job; told before anything is yielded.
            Overloaded: too many requests wait already.
        """
        return self.events_of_many(tenant, [request_id], {request_id: after}, seconds=seconds)

    def events_of_many(
        self,
        tenant: str,
        request_ids: Sequence[str],
        after: Mapping[str, str] | None = None,
        *,
        seconds: float,
    ) -> Iterator[Event | None]:
        """As `events`, of several jobs; one that is deleted meanwhile is told as an ``error``."""
        self.check_seats(tenant)
        jobs = {name: self.get(tenant, name) for name in dict.fromkeys(request_ids)}
        begins = {name: (after or {}).get(name, "") for name in jobs}
        return self._seated(tenant, self._events(jobs, begins, time.monotonic() + seconds))

    def pages_told(self, tenant: str, request_id: str) -> list[Event]:
        """The ``page`` events so far, for who asks now and then; `events` says which are kept.

        Raises:
            NotFound, Gone: there is no such job.
        """
        job = self.get(tenant, request_id)
        with self._records.watch({request_id: BEGINNING}) as watch:
            return [_page(job, event) for event in watch.next(0) if event.kind == "page"]

    def read_along(self, job: Job, *, seconds: float) -> Iterator[dict[str, Any] | None]:
        """Each terminal page's result, in order, as soon as all before it are terminal.

        None for a quiet while. Ends after the last page of a terminal job. `job` is as it was just
        submitted or looked at.

        Raises:
            Overloaded: too many requests wait already.
            WaitTimeout: the job did not end within `seconds`.
            Conflict: it was cancelled.
            CasolaError: why it failed.
        """
        self.check_seats(job.tenant)
        return self._seated(job.tenant, self._read_along(job, time.monotonic() + seconds))

    def _seated(self, tenant: str, items: Iterator[Any]) -> Iterator[Any]:
        with self._waiters.seat(tenant) as seated:
            if not seated:
                raise _no_seat()
            yield from items

    def _events(
        self, jobs: dict[str, Job], begins: Mapping[str, str], deadline: float
    ) -> Iterator[Event | None]:
        jobs = {name: self.placed(job) for name, job in jobs.items()}
        for name, job in jobs.items():
            if not begins[name]:
                yield _progress(job, "")
        open_jobs = set(jobs)
        with self._records.watch({name: begins[name] or BEGINNING for name in jobs}) as watch:
            looked = time.monotonic()
            told = watch.next(0)
            while True:
                due = time.monotonic() - looked > LOOK_SECONDS
                looked = time.monotonic() if due else looked
                heard = {event.request_id for event in told}
                now = {
                    name: self._looked_at(job)
                    for name, job in jobs.items()
                    if name in open_jobs and (due or name in heard or job.status.terminal)
                }
                ahead: list[StreamEvent] = []
                if _unheard_end(now, told):
                    watch.read_again()
                    again = watch.next(0)
                    told += [event for event in again if event.request_id in now]
                    ahead = [event for event in again if event.request_id not in now]
                for event in told:
                    if event.kind == "page" and event.request_id in open_jobs:
                        yield _page(jobs[event.request_id], event)
                last = {event.request_id: event.position for event in told}
                for name, found in now.items():
                    if isinstance(found, CasolaError):
                        open_jobs.discard(name)
                        yield _error(name, found)
                    elif found.status.terminal:
                        open_jobs.discard(name)
                        yield _finished(found, last.get(name, ""))
                    else:
                        if name in last or found != jobs[name]:
                            yield _progress(found, last.get(name, ""))
                        jobs[name] = found
                left = deadline - time.monotonic()
                if not open_jobs or left <= 0:
                    return
                told = ahead or watch.next(min(left, QUIET_SECONDS))
                if not told:
                    yield None

    def _looked_at(self, job: Job) -> Job | CasolaError:
        try:
            return self.placed(self._still(job))
        except CasolaError as error:
            return error

    def _read_along(self, job: Job, deadline: float) -> Iterator[dict[str, Any] | None]:
        told = 0
        with self._records.watch({job.request_id: BEGINNING}) as watch:
            looked = time.monotonic()
            while True:
                check_read(job)
                for page in self._pages_from(job, told + 1):
                    told += 1
                    yield page
                if job.status.terminal and told >= job.pages.total:
                    return
                left = deadline - time.monotonic()
                if left <= 0:
                    raise WaitTimeout(
                        f"The request took too long; it goes on as {job.request_id}, "
                        "see GET /api/v1/jobs/."
                    )
                events = watch.next(min(left, ALONG_SECONDS))
                if not events:
                    yield None
                due = time.monotonic() - looked > LOOK_SECONDS
                if due or any(event.kind in ("finished", "opened") for event in events):
                    job, looked = self._still(job), time.monotonic()

    def _pages_from(self, job: Job, position: int) -> Iterator[dict[str, Any]]:
        """Results of the pages that are terminal from `position` on, without a gap."""
        while not 0 < job.pages.total < position:
            try:
                state = self._records.page_state(job.request_id, position)
            except RecordsUnavailable:
                state = None
            found = results.winners({position: state} if state else {})
            if found:
                yield json.loads(results.page_json(self._store, job, position, found[position]))
            elif job.status.terminal and position <= job.pages.total:
                number = Selection.parse(job.selection).number(position)
                yield json.loads(self.page(job.tenant, job.request_id, number))
            else:
                return
            position += 1

    def placed(self, job: Job) -> Job:
        """The job with its place in the queue, counted up to 10,000, and when it may end.

        Neither is there when nobody can tell.
        """
        if job.status.terminal:
            return job
        try:
            standing = self._records.standing(job.request_id)
        except RecordsUnavailable:
            return job
        return replace(
            job, queue_position=standing.queue_position, eta_seconds=standing.eta_seconds
        )

    def _still(self, job: Job) -> Job:
        """The job as it stands now; as it was when nobody can tell.

        Raises:
            NotFound, Gone: it was deleted.
        """
        try:
            return self.get(job.tenant, job.request_id)
        except (RecordsUnavailable, StoreUnavailable):
            return job


def _unheard_end(jobs: Mapping[str, Job | CasolaError], told: Sequence[StreamEvent]) -> bool:
    """Whether a job has ended of whose end nothing was heard: so may its pages be."""
    ended = {event.request_id for event in told if event.kind == "finished"}
    return any(
        isinstance(job, Job) and job.status.terminal and name not in ended
        for name, job in jobs.items()
    )


def _no_seat() -> Overloaded:
    return Overloaded(
        "Too many requests wait for their results.", retry_after_seconds=WAITERS_RETRY_SECONDS
    )


def _progress(job: Job, position: str) -> Event:
    return Event(kind="progress", request_id=job.request_id, data=job.to_dict(), position=position)


def _finished(job: Job, position: str) -> Event:
    return replace(_progress(job, position), kind="finished")


def _error(request_id: str, error: CasolaError) -> Event:
    data = {"request_id": request_id, "code": error.code, "detail": error.detail}
    return Event(kind="error", request_id=request_id, data=data, error=error)


def _page(job: Job, event: StreamEvent) -> Event:
    fields = event.fields
    data = {
        "request_id": job.request_id,
        "page": Selection.parse(job.selection).number(int(fields["page"])),
        "status": fields["status"],
        "words": int(fields.get("words") or 0),
        "confidence": float(fields["confidence"]) if fields.get("confidence") else None,
    }
    at = int(event.position.partition("-")[0])
    return Event(kind="page", request_id=job.request_id, data=data, position=event.position, at=at)
