"""The desk at which a line of an errand becomes jobs, and ended jobs become a line of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from errno import ENOSPC
from typing import Any

import structlog

from casola_ocr.errands.endpoints import Asked, Endpoint, close
from casola_ocr.errands.lines import Request
from casola_ocr.errands.model import Counts, Errand
from casola_ocr.errands.parts import Answered, Kind
from casola_ocr.errors import CasolaError, Gone, NotFound, Unavailable
from casola_ocr.exports.exporter import Exporter
from casola_ocr.ids import new_request_id
from casola_ocr.jobs import Jobs
from casola_ocr.model import Job, JobStatus
from casola_ocr.outcomes import check_read
from casola_ocr.sources import Sources
from casola_ocr.submission import ids_of_key

log = structlog.get_logger(__name__)

#: How long a line waits that was not accepted for now, where the refusal does not say it.
RETRY_SECONDS = 2

#: Why a line was not carried out → the sentence for it; the codes are OpenAI's.
UNEXECUTED = {
    "batch_expired": "This request could not be executed before the completion window expired.",
    "batch_cancelled": "This request was not executed, because the batch was cancelled.",
}


@dataclass
class Line:
    """A line on its way: submitted when it has `ids`, decided when it has `ended`."""

    number: int
    custom_id: str
    part: int
    #: Without its documents.
    asked: Asked | None = None
    ids: Sequence[str] = ()
    error: CasolaError | None = None
    #: A code of `UNEXECUTED`.
    unexecuted: str = ""
    ended: bool = False
    #: Whether its jobs were read.
    completed: bool = False


class Desk:
    """Of one errand. Safe to share between threads, each of which has its own lines."""

    def __init__(
        self, jobs: Jobs, exports: Exporter, sources: Sources, errand: Errand, endpoint: Endpoint
    ):
        self._jobs = jobs
        self._exports = exports
        self._sources = sources
        self._errand = errand
        self._endpoint = endpoint

    def submit(self, line: Line, request: Request) -> int:
        """Make jobs of a line, or find why not; else the seconds to wait before trying again.

        Submitting a line again gives it the same jobs.
        """
        tenant = self._errand.tenant
        try:
            asked = self._endpoint.parse(request, self._errand.model)
            line.asked = asked.light()
            documents = asked.open(self._sources, tenant)
            try:
                options = replace(asked.options(self._jobs), idempotency_key=self._key(line))
                line.ids = [job.request_id for job in self._jobs.submit(tenant, documents, options)]
            finally:
                close(documents)
        except CasolaError as error:
            if error.retryable:
                return error.retry_after_seconds or RETRY_SECONDS
            # What it asked for may have changed since it was submitted, such as a file's existence.
            if not self._find(line):
                line.error, line.ended = error, True
        except Exception as error:
            _check_room(error)
            # One line must not hold up all others, for good.
            log.exception("a line cannot be submitted", **self._named(line))
            line.error, line.ended = CasolaError(), True
        return 0

    def find(self, line: Line, request: Request) -> bool:
        """Whether the line was submitted, perhaps by a runner that died; its jobs if so.

        Raises:
            Unavailable: nobody can tell now.
        """
        try:
            line.asked = self._endpoint.parse(request, self._errand.model).light()
        except CasolaError:
            return False
        except Exception:
            # It failed the same way when it was submitted, so no job was made of it.
            log.exception("a line cannot be looked for", **self._named(line))
            return False
        return self._find(line)

    def look(self, line: Line, jobs: Sequence[Job | None]) -> Sequence[Job]:
        """The line's jobs as they stand; it has ended when all of them have.

        `jobs` are their records, None for one without.

        Raises:
            Unavailable: nobody can tell now.
        """
        try:
            known = [
                job or self._jobs.get(self._errand.tenant, request_id)
                for request_id, job in zip(line.ids, jobs, strict=True)
            ]
        except (NotFound, Gone) as error:
            line.error, line.ended = error, True
            return ()
        line.ended = all(job.status.terminal for job in known)
        return known

    def cancel(self, line: Line) -> None:
        """Stop the line's jobs."""
        for request_id in line.ids:
            try:
                self._jobs.cancel(self._errand.tenant, request_id)
            except (NotFound, Gone) as error:
                line.error, line.ended = error, True

    def answer(self, line: Line) -> Answered:
        """What came of a line that has ended.

        Raises:
            Unavailable: the store or the records do not answer.
        """
        if line.unexecuted:
            error = {"code": line.unexecuted, "message": UNEXECUTED[line.unexecuted]}
            return self._answered(line, "error", None, error, Counts(failed=1))
        refused = line.error
        if refused is None:
            try:
                return self._read(line)
            except Unavailable:
                raise
            except CasolaError as found:
                refused = found
            except _JobFailed as found:
                refused = found.error
            except Exception as found:
                _check_room(found)
                # The errand goes on, and says so of this line.
                log.exception("a line cannot be answered", **self._named(line))
                refused = CasolaError()
        status, body = self._endpoint.refusal(refused)
        response = self._response(line, status, body)
        return self._answered(line, "error", response, None, Counts(failed=1))

    def _read(self, line: Line) -> Answered:
        made = [self._jobs.get(self._errand.tenant, request_id) for request_id in line.ids]
        for job in made:
            try:
                check_read(job)
            except CasolaError as error:
                raise _JobFailed(error) from error
        if line.asked is None:
            raise AssertionError("a line with jobs was parsed")
        body, counts = line.asked.answer(self._jobs, self._exports, made)
        answered = self._answered(
            line, "output", self._response(line, 200, None), None, counts + Counts(completed=1)
        )
        return replace(answered, body=body)

    def _named(self, line: Line) -> dict[str, Any]:
        """For the log, of a line that failed in a way that nobody thought of."""
        return {"action": "line_failed", "errand_id": self._errand.errand_id, "line": line.number}

    def _answered(
        self, line: Line, kind: Kind, response: Any, error: Any, counts: Counts
    ) -> Answered:
        name = new_request_id(f"{self._key(line)}\nanswer").removeprefix("req_")
        values = {
            "id": f"batch_req_{name}",
            "custom_id": line.custom_id,
            "error": error,
            # The last, see `Answered`.
            "response": response,
        }
        return Answered(kind=kind, values=values, counts=counts)

    def _response(self, line: Line, status: int, body: Any) -> dict[str, Any]:
        request_id = line.ids[0] if line.ids else None
        return {"status_code": status, "request_id": request_id, "body": body}

    def _find(self, line: Line) -> bool:
        if line.asked is None:
            return False
        ids = ids_of_key(self._errand.tenant, self._key(line), line.asked.documents)
        try:
            self._jobs.get(self._errand.tenant, ids[0])
        except NotFound:
            return False
        except Gone as error:
            line.error, line.ended = error, True
            return True
        line.ids = ids
        return True

    def _key(self, line: Line) -> str:
        # No client can send a line break in its own key.
        return f"{self._errand.errand_id}\n{line.number}"


class _JobFailed(Exception):
    """A line's job ended without a result: its error is the line's, however it reads."""

    def __init__(self, error: CasolaError):
        self.error = error


def is_cancelled(jobs: Sequence[Job]) -> bool:
    """Whether any of these was stopped."""
    return any(job.status is JobStatus.CANCELLED for job in jobs)


def _check_room(error: Exception) -> None:
    """Raise what is no fault of a line, but of a full disk: the errand waits for room."""
    if isinstance(error, OSError) and error.errno == ENOSPC:
        raise error
