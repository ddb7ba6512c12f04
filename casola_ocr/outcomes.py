"""What came of a job: its result, its text, its pages, whole or so far."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from casola_ocr import results
from casola_ocr.chunks import begun
from casola_ocr.errors import (
    Conflict,
    NotFound,
    ObjectNotFound,
    RecordsUnavailable,
    error_by_code,
)
from casola_ocr.model import Job, JobStatus
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.records import Records
from casola_ocr.selection import Selection


class Outcomes(ABC):
    """The verbs of `Jobs` that read results. Safe to share between threads and greenlets."""

    _records: Records
    _store: ObjectStore

    @abstractmethod
    def get(self, tenant: str, request_id: str) -> Job: ...

    def result(self, tenant: str, request_id: str) -> tuple[Job, Iterator[bytes]]:
        """The job and the body of its result as chunks of JSON; partial while it runs."""
        job = self.get(tenant, request_id)
        return job, self.result_of(job)

    def result_of(self, job: Job) -> Iterator[bytes]:
        """As `result`, of a job that was just looked at."""
        if self._is_kept(job):
            with self._still_there(job):
                return self._store.stream(keys.result(job.tenant, job.request_id))
        # The second chunk is the first page: a store that is down is told at once.
        return begun(self._assembly(job).chunks(), 2)

    def text(self, job: Job) -> str:
        """The text of all pages that were read, joined by form feeds; `job` was just looked at."""
        if self._is_kept(job):
            with self._still_there(job):
                return self._store.get(keys.text(job.tenant, job.request_id)).decode()
        return self._assembly(job).text()

    @contextmanager
    def _still_there(self, job: Job) -> Iterator[None]:
        """Tell `Gone` of a job that was deleted after it was looked up."""
        try:
            yield
        except ObjectNotFound:
            self.get(job.tenant, job.request_id)
            raise

    def _is_kept(self, job: Job) -> bool:
        """Whether the stored result is of this run: of a cancelled job it may still be joined."""
        if job.status is not JobStatus.CANCELLED:
            return job.status.terminal
        stored = results.stored_job(self._store, job.tenant, job.request_id)
        return stored is not None and stored.run == job.run

    def _assembly(self, job: Job) -> results.Assembly:
        states = self._records.page_states(job.request_id)
        return results.assemble(self._store, job, results.winners(states))

    def page(self, tenant: str, request_id: str, page: int) -> bytes:
        """A page's result as JSON; a failed page's carries its error.

        `page` is the number of the page in its document, whatever was selected.

        Raises:
            NotFound: the document has no such page, or it was not asked for.
            Conflict: the page is not finished yet.
        """
        job = self.get(tenant, request_id)
        position = Selection.parse(job.selection).position(page)
        if not position or position < 1 or 0 < job.pages.total < position:
            raise NotFound("The job has no page with this number.")
        try:
            state = self._records.page_state(request_id, position)
        except RecordsUnavailable:
            if not job.status.terminal:
                raise
            state = None
        found = results.winners({position: state} if state else {})
        if position in found:
            return results.page_json(self._store, job, position, found[position])
        if job.status.terminal:
            stored = results.stored_page(self._store, job, page)
            if stored is not None:
                return stored
            raise NotFound("This page was not read before the job ended.")
        raise Conflict("The page is not finished yet.")


def check_read(job: Job) -> None:
    """Raise why a job ended without a result, if it did.

    Raises:
        Conflict: it was cancelled.
        CasolaError: why no page of it could be read.
    """
    if job.status is JobStatus.CANCELLED:
        raise Conflict("The request was cancelled.")
    if job.status is JobStatus.FAILED and job.error is not None:
        raise error_by_code(job.error.code, job.error.detail)
