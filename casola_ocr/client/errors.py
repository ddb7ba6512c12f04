"""What can go wrong for a client, in one tree.

    ClientError
    ├── NotReached         no server answers, or it went away and did not come back
    ├── NotCasola          what answers is not Casola OCR
    ├── Refused            the server refused the request, with one of its codes
    │   ├── Unauthorized   401 and 403: the token
    │   ├── NotFound       404 and 410: there is no such job any more, or there never was
    │   └── Busy           it had no room, and had none for as long as the client was patient
    ├── JobFailed          the job ended and no page of it was read
    │   └── JobCancelled   somebody stopped it
    └── StillRunning       the time that the caller waits is over; the job goes on

The classes are few, because they say what a caller may do; `code` says why, by the names of
``docs/errors.md``. A code that this version does not know, because the server is newer, is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from casola_ocr.errors import error_by_code

if TYPE_CHECKING:
    from casola_ocr.client.results import Job

#: Statuses of a proxy in front, or of the service, that are over by themselves.
_PASSING = (429, 502, 503, 504)


class ClientError(Exception):
    """Something did not come about.

    `code` names it for programs, `detail` is a sentence on what happened, `advice` one on what to
    do. None of them holds a token, nor the content of a document.
    """

    def __init__(self, code: str, detail: str, advice: str):
        super().__init__(code, detail, advice)
        self.code = code
        self.detail = detail
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.detail} {self.advice}".strip()


class NotReached(ClientError):
    """No server answers at the address, or it went away while it was needed."""

    def __init__(self, detail: str):
        advice = "Start one with 'casola-ocr serve', or check the address."
        super().__init__("not_reached", detail, advice)


class NotCasola(ClientError):
    """What answers at the address does not speak this API."""

    def __init__(self, status: int):
        detail = f"What answered {status} is not Casola OCR."
        super().__init__("not_casola", detail, "Check the address.")


class Refused(ClientError):
    """The server refused a request.

    `status` is HTTP's. `retryable` says whether the same request can succeed later, and
    `retry_after_seconds` when, where the server told it.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        advice: str,
        *,
        status: int,
        retryable: bool = False,
        retry_after_seconds: int | None = None,
    ):
        super().__init__(code, detail, advice)
        self.status = status
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds


class Unauthorized(Refused):
    """The token is missing, wrong, or not allowed to do this."""


class NotFound(Refused):
    """There is nothing with this ID, or it was deleted (code ``gone``)."""


class Busy(Refused):
    """The server had no room for it, however often it was asked."""


class JobFailed(ClientError):
    """The job ended without a page that was read; `job` is how it ended."""

    def __init__(self, job: Job):
        code, detail = "internal_error", f"The job is {job.status}."
        if job.error is not None:
            code, detail = job.error.code, job.error.detail
        super().__init__(code, detail, error_by_code(code, detail).advice)
        self.job = job


class JobCancelled(JobFailed):
    """The job was cancelled; pages that were finished before can still be had."""

    def __init__(self, job: Job):
        super().__init__(job)
        self.code, self.detail = "cancelled", "The job was cancelled."
        self.advice = "Submit the document again to read it."


class StillRunning(ClientError):
    """The job did not end within the time; `job` is how it stands. It goes on."""

    def __init__(self, job: Job):
        super().__init__(
            "wait_timeout",
            f"The job {job.request_id} is {job.status} still.",
            "Wait for it again; do not submit the document again.",
        )
        self.job = job


def refusal(response: httpx.Response) -> Refused:
    """The error that an answer with a status of 300 and above tells; its body was read."""
    try:
        body = response.json()
    except ValueError:
        body = None
    told = body if isinstance(body, dict) else {}
    status = response.status_code
    kinds = {401: Unauthorized, 403: Unauthorized, 404: NotFound, 410: NotFound}
    retryable = bool(told.get("retryable")) or status in _PASSING
    after = response.headers.get("Retry-After", "")
    return (Busy if retryable else kinds.get(status, Refused))(
        str(told.get("code") or f"http_{status}"),
        str(told.get("detail") or f"The server answered {status}."),
        str(told.get("advice") or "Check the address and what stands between you and the server."),
        status=status,
        retryable=retryable,
        retry_after_seconds=int(after) if after.isdecimal() else None,
    )
