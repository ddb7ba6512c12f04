"""Mistral's batch jobs, under ``/mistral/v1/batch/jobs``.

Shapes: the mistralai package's models. Fields that are not known here are ignored, as there.
What is done is in `casola_ocr.errands`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from api.auth import authenticate, tenant
from api.context import errands, files, settings
from api.dialects.common import json_object
from api.idempotency import replayable
from api.params import idempotency_key, whole_number
from casola_ocr.errands import Errand, ErrandStatus, Report
from casola_ocr.errands.endpoints import Ocr
from casola_ocr.errands.lines import MAX_LINES
from casola_ocr.errands.parts import as_line, spool
from casola_ocr.errors import MalformedRequest, NotFound
from casola_ocr.metadata import check_metadata
from casola_ocr.times import seconds
from casola_ocr.wire.bodies import parsed

blueprint = Blueprint("mistral_batches", __name__, url_prefix="/mistral/v1/batch/jobs")
blueprint.before_request(authenticate)

ENDPOINT = Ocr.path
#: A list looks at this many jobs, the newest.
MAX_JOBS = 10_000
MAX_PAGE_SIZE = 1000
MAX_HOURS = 168

_STATUSES = {
    ErrandStatus.VALIDATING: "QUEUED",
    ErrandStatus.IN_PROGRESS: "RUNNING",
    ErrandStatus.FINALIZING: "RUNNING",
    ErrandStatus.COMPLETED: "SUCCESS",
    ErrandStatus.FAILED: "FAILED",
    ErrandStatus.EXPIRED: "TIMEOUT_EXCEEDED",
    ErrandStatus.CANCELLING: "CANCELLATION_REQUESTED",
    ErrandStatus.CANCELLED: "CANCELLED",
}


class _Inline(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    custom_id: str | None = None
    body: dict[str, Any]


class NewBatchJob(BaseModel):
    """The body of ``POST /v1/batch/jobs``."""

    model_config = ConfigDict(strict=True, extra="ignore")

    endpoint: str
    input_files: Annotated[list[str], Field(max_length=100)] | None = None
    requests: Annotated[list[_Inline], Field(max_length=MAX_LINES)] | None = None
    model: str | None = None
    metadata: Annotated[dict[str, str], BeforeValidator(check_metadata)] = {}
    timeout_hours: int = Field(24, ge=1, le=MAX_HOURS)


@blueprint.post("")
@replayable
def create() -> ResponseReturnValue:
    asked = parse(json_object())
    with spool() as content:
        for inline in asked.requests or ():
            content.write(as_line(inline.model_dump()))
        content.seek(0)
        made = errands().create(
            tenant(),
            endpoint=ENDPOINT,
            input_files=asked.input_files or (),
            content=content if asked.requests else None,
            model=asked.model or "",
            window=f"{asked.timeout_hours}h",
            seconds=asked.timeout_hours * 3600,
            metadata=asked.metadata,
            idempotency_key=idempotency_key(),
        )
    return _told(*made)


@blueprint.get("")
def find() -> ResponseReturnValue:
    page = whole_number("page", 0, high=MAX_JOBS)
    page_size = whole_number("page_size", 100, low=1, high=MAX_PAGE_SIZE)
    found = [_told(*item) for item in islice(errands().list(tenant(), [ENDPOINT]), MAX_JOBS)]
    wanted = [job for job in found if _matches(job)]
    if request.args.get("order_by", "-created") == "created":
        wanted.reverse()
    listed = wanted[page * page_size : (page + 1) * page_size]
    return {"object": "list", "data": listed, "total": len(wanted)}


@blueprint.get("/<job_id>")
def retrieve(job_id: str) -> ResponseReturnValue:
    errand, report = _get(job_id)
    inline = request.args.get("inline", "").lower() == "true"
    outputs = _outputs(report) if inline and report.status.terminal else None
    return {**_told(errand, report), "outputs": outputs}


@blueprint.post("/<job_id>/cancel")
def cancel(job_id: str) -> ResponseReturnValue:
    _get(job_id)
    return _told(*errands().cancel(tenant(), job_id))


@blueprint.delete("/<job_id>")
def delete(job_id: str) -> ResponseReturnValue:
    _get(job_id)
    errands().delete(tenant(), job_id)
    return {"id": job_id, "object": "batch", "deleted": True}


def parse(body: dict[str, Any]) -> NewBatchJob:
    """The request in a body.

    Raises:
        MalformedRequest: it is none, or names another endpoint; `field` and `kind` say what.
    """
    asked = parsed(NewBatchJob, body)
    if asked.endpoint.removeprefix("/mistral") != ENDPOINT:
        raise MalformedRequest(f"'endpoint' is '{ENDPOINT}'.", field="endpoint", kind="unsupported")
    if bool(asked.input_files) == bool(asked.requests):
        raise MalformedRequest(
            "Either 'input_files' or 'requests' says what is to be done.",
            field="input_files",
            kind="missing",
        )
    return asked


def _told(errand: Errand, report: Report) -> dict[str, Any]:
    """A batch job as Mistral tells it."""
    counts, ended = report.counts, report.status.terminal
    return {
        "id": errand.errand_id,
        "object": "batch",
        "input_files": list(errand.input_files),
        "metadata": dict(errand.metadata) or None,
        "endpoint": errand.endpoint,
        "model": errand.model or report.model or None,
        "agent_id": None,
        "output_file": report.output_file_id if ended else None,
        "error_file": report.error_file_id if ended else None,
        "errors": [
            {"message": f"Line {error.line}: {error.message}" if error.line else error.message}
            for error in report.errors
        ],
        "outputs": None,
        "status": _STATUSES[report.status],
        "created_at": seconds(errand.created_at),
        "total_requests": report.total,
        "completed_requests": counts.completed + counts.failed,
        "succeeded_requests": counts.completed,
        "failed_requests": counts.failed,
        "started_at": seconds(report.in_progress_at),
        "completed_at": seconds(report.ended_at),
    }


def _get(job_id: str) -> tuple[Errand, Report]:
    errand, report = errands().get(tenant(), job_id)
    if errand.endpoint != ENDPOINT:
        raise NotFound("There is no batch with this ID.")
    return errand, report


def _outputs(report: Report) -> list[Any] | None:
    """Every line of the job's files; None where they are too large to be answered in one body."""
    names = [name for name in (report.output_file_id, report.error_file_id) if name]
    try:
        if sum(files().get(tenant(), name).size for name in names) > settings().max_file_bytes:
            return None
        return [line for name in names for line in _lines(name)]
    except NotFound:
        # A file expired, or was deleted.
        return None


def _lines(file_id: str) -> Iterator[Any]:
    with files().open(tenant(), file_id) as file:
        for line in file:
            yield json.loads(line)


def _matches(job: dict[str, Any]) -> bool:
    statuses = request.args.getlist("status")
    model, after = request.args.get("model", ""), request.args.get("created_after", "")
    return (
        (not statuses or job["status"] in statuses)
        and model in ("", job["model"])
        and (not after or job["created_at"] >= _moment(after))
    )


def _moment(text: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise MalformedRequest("'created_after' is a time.", field="created_after") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
