"""What fal's clients are told: outputs, errors, statuses and logs.

Shapes: fal.ai/docs (model-apis/errors, request-errors, inference/queue) and ``endpoints.d.ts`` of
fal's JavaScript client.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from casola_ocr.errors import CasolaError, Conflict, MalformedRequest, error_by_code
from casola_ocr.exports.document import lines_of
from casola_ocr.exports.markdown import page_markdown
from casola_ocr.model import Job, JobStatus
from casola_ocr.outcomes import Outcomes
from casola_ocr.pages import PageResult, page_values, read_pages
from casola_ocr.results import PAGE_BREAK
from casola_ocr.times import milliseconds, timestamp
from casola_ocr.wire.fal_requests import FLORENCE, GOT, OCR, endpoint_of, location

_Part = TypeVar("_Part")

#: Our codes → fal's model error types: these blame the input, and answer 422 with a list.
_INPUT_ERRORS = {
    "bad_url": "file_download_error",
    "fetch_refused": "file_download_error",
    "fetch_failed": "file_download_error",
    "fetch_timeout": "file_download_error",
    "bad_data_url": "image_load_error",
    "empty_file": "image_load_error",
    "damaged_document": "image_load_error",
    "password_needed": "image_load_error",
    "too_many_pixels": "image_too_large",
    "too_many_pages": "file_too_large",
    "file_too_large": "file_too_large",
    "unsupported_format": "unsupported_image_format",
    "no_page_read": "image_load_error",
}

#: Our codes → the field of the body that names something unknown.
_CHOICES = {
    "unknown_model": "model",
    "unknown_language": "language",
    "language_not_installed": "language",
    "bad_pages": "pages",
    "no_such_pages": "pages",
}

#: Our codes → fal's request error types.
_REQUEST_ERRORS = {
    "too_busy": "concurrent_requests_limit",
    "unavailable": "runner_scheduling_failure",
    "engine_unavailable": "runner_scheduling_failure",
    "internal_error": "internal_error",
    "malformed_request": "bad_request",
    "conflict": "client_cancelled",
    "start_timeout": "startup_timeout",
    "wait_timeout": "request_timeout",
}

#: What fal answers to a request that its client cancelled.
_CANCELLED_STATUS = 499
#: Time is over: sending the same again would only wait again, or read it twice.
_TIMEOUTS = ("start_timeout", "wait_timeout")


def _failure(job: Job) -> CasolaError | None:
    """Why an ended job has no output."""
    if job.status is JobStatus.COMPLETED:
        return None
    if job.error is None:
        return Conflict("The request was cancelled.")
    return error_by_code(job.error.code, job.error.detail)


class OutputTooLarge(Exception):
    """An output has more characters of JSON than it may have."""


def output(outcomes: Outcomes, jobs: Sequence[Job], most: int | None = None) -> dict[str, Any]:
    """The output of a request whose documents all were read, in the shape of its endpoint.

    Pages that could not be read miss in it, and are then counted in ``pages_failed``.

    Raises:
        NotFound, Gone: a job was deleted.
        OutputTooLarge: a document's part of it has more than `most` characters of JSON; no more
            than that was held.
    """
    endpoint, form = endpoint_of(jobs[0].origin)
    if endpoint is OCR:
        (job,) = jobs
        text = _text(outcomes, job, most)
        made: dict[str, Any] = {"request_id": job.request_id, "status": "completed", "text": text}
    elif endpoint is GOT:
        written = "do_format=true" in form
        text_of = _markdown if written else _text
        texts = [text_of(outcomes, job, most) for job in jobs]
        made = {"outputs": [PAGE_BREAK.join(texts)] if "multi_page=true" in form else texts}
    elif endpoint is FLORENCE:
        made = {"results": _text(outcomes, jobs[0], most)}
    else:
        made = {"results": {"quad_boxes": list(_within(most, _boxes(outcomes, jobs[0])))}}
    failed = sum(job.pages.failed for job in jobs)
    return {**made, "pages_failed": failed} if failed else made


def refusal(
    error: CasolaError, where: Sequence[str | int] = ("image_url",)
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers of an error: a list when it blames the input, else a sentence.

    `where` is the place in the body of the document that an error is about.
    """
    kind = _kind(error.code)
    if isinstance(error, MalformedRequest) and error.field:
        if error.field == "webhook_url":
            return _invalid(error.detail, ["query", "fal_webhook"], error.kind or "url_parsing")
        told = [
            _detail(
                one.detail, ["body", *map(_place, one.field.split("."))], one.kind or "value_error"
            )
            for one in (error, *error.others)
        ]
        return 422, {"detail": told, "message": error.detail}, {}
    if error.code in _CHOICES:
        return _invalid(error.detail, ["body", _CHOICES[error.code]], "one_of")
    if error.code in _INPUT_ERRORS:
        return _invalid(error.detail, ["body", *where], kind)
    status = _CANCELLED_STATUS if kind == "client_cancelled" else error.status
    headers = {"X-Fal-Error-Type": kind}
    if error.code in _TIMEOUTS:
        # With it neither client sends the request again.
        headers["X-Fal-Request-Timeout-Type"] = "user"
    elif error.retryable:
        headers["X-Fal-Needs-Retry"] = "1"
    return status, {"detail": error.detail, "message": error.detail, "error_type": kind}, headers


def failed_output(jobs: Sequence[Job]) -> tuple[int, dict[str, Any], dict[str, str]] | None:
    """As `refusal`, for the first document of an ended request that was not read."""
    for index, job in enumerate(jobs):
        if error := _failure(job):
            endpoint, _ = endpoint_of(job.origin)
            return refusal(error, location(endpoint, index))
    return None


def _kind(code: str) -> str:
    """Fal's word for one of our codes."""
    return _INPUT_ERRORS.get(code) or _REQUEST_ERRORS.get(code, code)


def status(
    told: Sequence[Mapping[str, Any]], logs: Sequence[Mapping[str, str]]
) -> tuple[int, dict[str, Any]]:
    """HTTP status and status object of a request whose jobs stand so; see `Job.to_dict`.

    No other words exist: a request that failed or was cancelled is completed, with an error.
    """
    states = {job["status"] for job in told}
    if states == {"queued"}:
        places = [job["queue_position"] for job in told if job["queue_position"] is not None]
        return 202, {"status": "IN_QUEUE", "queue_position": min(places, default=0)}
    if not all(JobStatus(state).terminal for state in states):
        return 202, {"status": "IN_PROGRESS", "logs": logs}
    made: dict[str, Any] = {"status": "COMPLETED", "logs": logs}
    made["metrics"] = {"inference_time": _seconds(told)}
    for job in told:
        if job["status"] != "completed":
            error = job["error"] or {"code": "conflict", "detail": "The request was cancelled."}
            made |= {"error": error["detail"], "error_type": _kind(error["code"])}
            break
    return 200, made


def page_log(page: Mapping[str, Any], at: int) -> dict[str, str]:
    """A page that became terminal at `at`, ms since 1970; see `jobs.Event`."""
    if page["status"] != "done":
        return _log(f"Page {page['page']} could not be read.", at, level="ERROR")
    sure = "" if page["confidence"] is None else f", confidence {page['confidence']:.2f}"
    return _log(f"Page {page['page']}: {page['words']} words{sure}.", at)


def started_log(job: Mapping[str, Any]) -> dict[str, str] | None:
    """Since when a job is worked on."""
    if job["started_at"] is None:
        return None
    return _log("Reading has begun.", milliseconds(job["started_at"]) or 0)


def _log(message: str, at: int, level: str = "INFO") -> dict[str, str]:
    told = timestamp(at) or ""
    return {"timestamp": told, "level": level, "source": "USER", "message": message}


def _seconds(told: Sequence[Mapping[str, Any]]) -> float:
    begun = min(milliseconds(job["started_at"] or job["created_at"]) or 0 for job in told)
    ended = max(milliseconds(job["finished_at"]) or 0 for job in told)
    return max(0, ended - begun) / 1000


def _invalid(
    message: str, where: Sequence[str | int], kind: str
) -> tuple[int, dict[str, Any], dict[str, str]]:
    return 422, {"detail": [_detail(message, where, kind)], "message": message}, {}


def _detail(message: str, where: Sequence[str | int], kind: str) -> dict[str, Any]:
    return {"loc": list(where), "msg": message, "type": kind}


def _place(part: str) -> str | int:
    return int(part) if part.isdecimal() else part


def _text(outcomes: Outcomes, job: Job, most: int | None) -> str:
    if most is None:
        return outcomes.text(job)
    pages = page_values(outcomes.result_of(job))
    return PAGE_BREAK.join(_within(most, (page["text"] for page in pages)))


def _markdown(outcomes: Outcomes, job: Job, most: int | None) -> str:
    read = (page for page in _pages(outcomes, job) if not page.error)
    return PAGE_BREAK.join(_within(most, (page_markdown(page) for page in read)))


def _within(most: int | None, parts: Iterable[_Part]) -> Iterator[_Part]:
    """The same parts, as long as their JSON has no more than `most` characters together."""
    size = 0
    for part in parts:
        if most is not None:
            size += len(json.dumps(part, ensure_ascii=False))
            if size > most:
                raise OutputTooLarge
        yield part


def _boxes(outcomes: Outcomes, job: Job) -> Iterator[dict[str, Any]]:
    """Each line with its box in pixels of its page, of documents of several pages that too."""
    for page in _pages(outcomes, job):
        number = {"page": page.page} if job.pages.total > 1 else {}
        for line in lines_of(page):
            x0, y0, x1, y1 = line.box
            yield {"x": x0, "y": y0, "w": x1 - x0, "h": y1 - y0, "label": line.text, **number}


def _pages(outcomes: Outcomes, job: Job) -> Iterator[PageResult]:
    return read_pages(outcomes.result_of(job))
