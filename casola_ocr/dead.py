"""Dead letters: jobs with pages that failed for a reason of ours, for operators of all tenants."""

from __future__ import annotations

from dataclasses import dataclass

from casola_ocr import results, shapes
from casola_ocr.errors import NotFound
from casola_ocr.jobs import Jobs
from casola_ocr.model import Job
from casola_ocr.objects import ObjectStore
from casola_ocr.records import Records
from casola_ocr.times import timestamp


@dataclass(frozen=True, kw_only=True)
class DeadPage:
    """A page that failed: the code says why; `attempts` is how often it was tried."""

    page: int
    code: str
    attempts: int


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A job that needs an operator; its contents are not told, they are the tenant's."""

    request_id: str
    tenant: str
    engine: str
    #: Milliseconds since 1970.
    failed_at: int
    #: Code of the job's own error; empty when some of its pages were read.
    code: str
    pages: tuple[DeadPage, ...]

    def to_dict(self) -> shapes.DeadLetter:
        """The public shape."""
        return {
            "request_id": self.request_id,
            "tenant": self.tenant,
            "engine": self.engine,
            "failed_at": timestamp(self.failed_at),
            "code": self.code,
            "pages": [
                {"page": page.page, "code": page.code, "attempts": page.attempts}
                for page in self.pages
            ],
        }


class DeadLetters:
    """What operators can do about failures. Safe to share between threads."""

    def __init__(self, records: Records, store: ObjectStore, jobs: Jobs):
        self._records = records
        self._store = store
        self._jobs = jobs

    def list(self, limit: int, after: str = "") -> tuple[list[DeadLetter], str | None]:
        """Newest first, from the cursor `after` on; and the next cursor, if any."""
        found = self._records.dead(limit + 1, after)
        jobs = self._records.jobs([request_id for request_id, _ in found[:limit]])
        letters = []
        for job, (request_id, failed_at) in zip(jobs, found, strict=False):
            if job is None:
                # Nobody looked at it for as long as records are kept.
                self._records.drop_dead(request_id)
            else:
                letters.append(self._letter(job, failed_at))
        if len(found) <= limit:
            return letters, None
        request_id, failed_at = found[limit - 1]
        return letters, f"{failed_at}/{request_id}"

    def retry(self, request_id: str, model: str = "") -> Job:
        """Read the failed pages of a job again; it leaves the list.

        Raises:
            NotFound: there is no such job.
            Conflict, UnknownModel, EngineUnavailable, TooBusy, Overloaded: as `Jobs.retry`.
        """
        return self._jobs.retry(self._tenant(request_id), request_id, model)

    def drop(self, request_id: str) -> None:
        """Take a job off the list; the job stays as it is.

        Raises:
            NotFound: it is not on the list.
        """
        if not self._records.drop_dead(request_id):
            raise NotFound("There is no dead letter with this request ID.")

    def _tenant(self, request_id: str) -> str:
        job = self._records.get(request_id)
        if job is None:
            raise NotFound()
        return job.tenant

    def _letter(self, job: Job, failed_at: int) -> DeadLetter:
        states = self._records.page_states(job.request_id)
        failed = results.failures(self._store, job, states)
        return DeadLetter(
            request_id=job.request_id,
            tenant=job.tenant,
            engine=job.engine,
            failed_at=failed_at,
            code=job.error.code if job.error else "",
            pages=tuple(DeadPage(page=p, code=c, attempts=a) for p, c, a in failed),
        )
