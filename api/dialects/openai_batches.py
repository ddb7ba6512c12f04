"""OpenAI's batches, under ``/openai/v1/batches`` and ``/v1/batches``.

Shapes: the openai package's types. What is done is in `casola_ocr.errands`.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import errands
from api.dialects import openai
from api.dialects.common import json_object, sdk_try
from api.dialects.openai_files import MAX_EXPIRY_SECONDS, MIN_EXPIRY_SECONDS
from api.idempotency import replayable
from api.params import idempotency_key, whole_number
from casola_ocr.errands import Errand, ErrandStatus, Report
from casola_ocr.errands.endpoints import ChatCompletions, Responses
from casola_ocr.errors import CasolaError, MalformedRequest, NotFound
from casola_ocr.metadata import check_metadata
from casola_ocr.times import seconds
from casola_ocr.wire.openai_parts import checked, whole

blueprint = Blueprint("openai_batches", __name__)
blueprint.before_request(authenticate)
blueprint.after_request(openai.name_request)

#: Where the lines of a batch can go.
ENDPOINTS = (ChatCompletions.path, Responses.path)
MAX_LIST = 100
#: OpenAI knows ``24h`` alone; here a client may be in more of a hurry, or in less.
MAX_WINDOW_HOURS = 168
_WINDOW = re.compile("([1-9][0-9]{0,2})h")
#: Statuses in whose field, such as ``completed_at``, the end of a batch stands.
_ENDS = (
    ErrandStatus.COMPLETED, ErrandStatus.FAILED, ErrandStatus.EXPIRED, ErrandStatus.CANCELLED,
)  # fmt: skip


@blueprint.post("")
@replayable
def create() -> ResponseReturnValue:
    body = json_object()
    endpoint = (checked(body, "endpoint", str, "a string") or "").removeprefix("/openai")
    if endpoint not in ENDPOINTS:
        known = " or ".join(f"'{path}'" for path in ENDPOINTS)
        raise MalformedRequest(f"'endpoint' is {known}.", field="endpoint")
    window = checked(body, "completion_window", str, "a string")
    match = _WINDOW.fullmatch(window or "")
    if match is None or int(match[1]) > MAX_WINDOW_HOURS:
        raise MalformedRequest(
            f"'completion_window' is '24h', or hours from '1h' to '{MAX_WINDOW_HOURS}h'.",
            field="completion_window",
        )
    input_file = checked(body, "input_file_id", str, "a string")
    if not input_file:
        raise MalformedRequest("'input_file_id' is the ID of a file.", field="input_file_id")
    made = errands().create(
        tenant(),
        endpoint=endpoint,
        input_files=[input_file],
        window=match[0],
        seconds=int(match[1]) * 3600,
        metadata=check_metadata(body.get("metadata")),
        output_expires_in=_output_expiry(body),
        attempt=sdk_try(),
        idempotency_key=idempotency_key(),
    )
    return _render(*made)


@blueprint.get("")
def find() -> ResponseReturnValue:
    limit = whole_number("limit", 20, low=1, high=MAX_LIST)
    listed = errands().list(tenant(), ENDPOINTS, after=request.args.get("after", ""))
    found = [_render(*item) for item in islice(listed, limit + 1)]
    page = found[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(found) > limit,
    }


@blueprint.get("/<batch_id>")
def retrieve(batch_id: str) -> ResponseReturnValue:
    return _render(*_get(batch_id))


@blueprint.post("/<batch_id>/cancel")
def cancel(batch_id: str) -> ResponseReturnValue:
    _get(batch_id)
    return _render(*errands().cancel(tenant(), batch_id))


@blueprint.errorhandler(CasolaError)
def failed(error: CasolaError) -> Response:
    """As elsewhere on this surface; what is not found is the batch."""
    told = error
    if isinstance(error, NotFound):
        told = NotFound(error.detail)
        told.__dict__.update(field="id")
    return openai.failed(told)


def _get(batch_id: str) -> tuple[Errand, Report]:
    errand, report = errands().get(tenant(), batch_id)
    if errand.endpoint not in ENDPOINTS:
        raise NotFound("There is no batch with this ID.")
    return errand, report


def _output_expiry(body: dict[str, Any]) -> int | None:
    name = "output_expires_after"
    asked = checked(body, name, dict, "an object")
    if asked is None:
        return None
    if asked.get("anchor") != "created_at":
        raise MalformedRequest(f"'{name}.anchor' is 'created_at'.", field=f"{name}.anchor")
    lifetime = whole(asked, "seconds", MIN_EXPIRY_SECONDS, MAX_EXPIRY_SECONDS)
    if lifetime is None:
        raise MalformedRequest(f"'{name}.seconds' is missing.", field=f"{name}.seconds")
    return lifetime


def _render(errand: Errand, report: Report) -> dict[str, Any]:
    counts = report.counts
    ended = {
        f"{status}_at": seconds(report.ended_at) if report.status is status else None
        for status in _ENDS
    }
    errors = [
        {"code": error.code, "line": error.line, "message": error.message, "param": error.param}
        for error in report.errors
    ]
    return {
        "id": errand.errand_id,
        "object": "batch",
        "endpoint": errand.endpoint,
        "model": report.model or None,
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": errand.input_files[0],
        "completion_window": errand.window,
        "status": report.status.value,
        "output_file_id": report.output_file_id if report.status.terminal else None,
        "error_file_id": report.error_file_id if report.status.terminal else None,
        "created_at": seconds(errand.created_at),
        "in_progress_at": seconds(report.in_progress_at),
        "expires_at": seconds(errand.deadline_at),
        "finalizing_at": seconds(report.finalizing_at),
        "cancelling_at": seconds(report.cancelling_at),
        **ended,
        "request_counts": {
            "total": report.total,
            "completed": counts.completed,
            "failed": counts.failed,
        },
        "usage": {
            "input_tokens": counts.input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": counts.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": counts.input_tokens + counts.output_tokens,
        },
        "metadata": dict(errand.metadata) or None,
    }
