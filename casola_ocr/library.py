"""Which jobs of a library are wanted, and looking for them in bounded steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from casola_ocr.model import Job, JobStatus
from casola_ocr.text.confidence import LOW_CONFIDENCE

#: Jobs that are looked at with one round trip.
STEP = 200
#: Jobs, and seconds, after which a request hands back where it stopped, whatever it found.
MAX_LOOKED_AT = 5_000
MAX_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a listed job has to be; what is empty does not matter."""

    statuses: frozenset[JobStatus] = frozenset()
    #: As the client named it, or the engine that reads it.
    model: str = ""
    #: A code; see `Job.is_in`.
    language: str = ""
    #: Words that are looked for in the text and the file's name; see `casola_ocr.search.query`.
    text: str = ""
    #: Part of the file's name; upper and lower case are the same.
    file_name: str = ""
    #: Milliseconds since 1970, both included; 0 = any.
    created_from: int = 0
    created_to: int = 0
    #: True: confidence below `LOW_CONFIDENCE`; False: not below it.
    low_confidence: bool | None = None

    def takes(self, job: Job) -> bool:
        """Whether the job is one of them; of its time and text the cursors are taken care of."""
        low = job.confidence is not None and job.confidence < LOW_CONFIDENCE
        return (
            (not self.statuses or job.status in self.statuses)
            and (not self.model or self.model in (job.model, job.engine))
            and (not self.language or job.is_in(self.language))
            and (self.file_name.casefold() in job.file_name.casefold())
            and (self.low_confidence is None or low == self.low_confidence)
        )

    @property
    def looks_inside(self) -> bool:
        """Whether a job has to be read before one knows."""
        narrowed = (self.statuses, self.model, self.language, self.file_name)
        return any(narrowed) or self.low_confidence is not None

    def begin(self, after: str | None) -> str | None:
        """The cursor after which to look: of the two bounds the older one."""
        if not self.created_to:
            return after
        # No request ID begins with a sign that sorts after a tilde.
        newest = f"{self.created_to:013}/~"
        return min(after, newest) if after else newest

    def is_before(self, cursor: str) -> bool:
        """Whether a cursor's job, and all that follow, are too old."""
        return bool(self.created_from) and int(cursor[:13]) < self.created_from


#: Nothing is asked of a job.
EVERYTHING = Wanted()


def find(
    wanted: Wanted,
    limit: int,
    after: str | None,
    *,
    cursors: Callable[[int, str | None], Sequence[str]],
    jobs: Callable[[Sequence[str]], Sequence[Job]],
    narrowed: bool = False,
) -> tuple[list[Job], str | None]:
    """At most `limit` wanted jobs, newest first, and the cursor to go on from, None at the end.

    `cursors` gives so many of a library after one; `jobs` those of these IDs that still exist, in
    the same order. When little is wanted the cursor may come back with fewer jobs, or none.
    `narrowed` tells that nearly all the cursors are of wanted jobs.
    """
    found: list[Job] = []
    begun, looked_at = time.monotonic(), 0
    after = wanted.begin(after)
    goes_on = narrowed or wanted.looks_inside
    step = STEP if goes_on and not narrowed else limit
    while True:
        chunk = list(cursors(step + 1, after))
        here = [cursor for cursor in chunk[:step] if not wanted.is_before(cursor)]
        last = len(chunk) <= step or len(here) < step
        by_id = {job.request_id: job for job in jobs([_job_of(cursor) for cursor in here])}
        for index, cursor in enumerate(here):
            job = by_id.get(_job_of(cursor))
            if job is not None and wanted.takes(job):
                found.append(job)
                if len(found) == limit:
                    return found, None if last and index == len(here) - 1 else cursor
        if last:
            return found, None
        after = here[-1]
        looked_at += len(here)
        over = looked_at >= MAX_LOOKED_AT or time.monotonic() - begun > MAX_SECONDS
        if over or not goes_on:
            return found, after


def _job_of(cursor: str) -> str:
    return cursor.partition("/")[2]
