"""fal's run and queue protocols for the app ``fal/ocr``.

Shapes: fal.ai/docs (model-apis/inference/queue, model-apis/errors). `sync_mode` is ours: true
waits for the text, false answers with the queue protocol's object at once.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, jsonify, request
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import jobs, settings
from api.dialects.common import document_from_url, json_object
from api.problems import add_headers
from casola_ocr.errors import CasolaError, MalformedRequest, NotFound, error_by_code
from casola_ocr.jobs import Options
from casola_ocr.model import Job, JobStatus, Lane, is_request_id, new_request_id

blueprint = Blueprint("fal", __name__)
blueprint.before_request(authenticate)

#: Our codes → fal's model error types; these blame the input and answer 422 with a list.
INPUT_ERRORS = {
    "bad_url": "file_download_error",
    "fetch_refused": "file_download_error",
    "fetch_failed": "file_download_error",
    "fetch_timeout": "file_download_error",
    "bad_data_url": "image_load_error",
    "empty_file": "image_load_error",
    "damaged_document": "image_load_error",
    "too_many_pixels": "image_too_large",
    "too_many_pages": "file_too_large",
    "file_too_large": "file_too_large",
    "unsupported_format": "unsupported_image_format",
    "no_page_read": "image_load_error",
}

#: Our codes → the field of the body that names something unknown.
CHOICES = {
    "unknown_model": "model",
    "unknown_language": "language",
    "language_not_installed": "language",
}


@blueprint.post("/fal/ocr")
def run() -> ResponseReturnValue:
    body = _body()
    job = _submit(body)
    if not body.get("sync_mode", False):
        return _queued(job)
    job = jobs().wait(tenant(), job.request_id, settings().sync_timeout_seconds)
    if not job.status.terminal:
        return {"request_id": job.request_id, "status": job.status.value}, 202
    return _output(job)


@blueprint.post("/queue/fal/ocr")
def submit() -> ResponseReturnValue:
    return _queued(_submit(_body()))


@blueprint.get("/queue/fal/ocr/requests/<request_id>/status")
def status(request_id: str) -> ResponseReturnValue:
    job = _get(request_id)
    told: dict[str, Any] = {"request_id": request_id, **_urls(request_id)}
    if job.status is JobStatus.QUEUED:
        return {"status": "IN_QUEUE", "queue_position": 0, **told}, 202
    told["logs"] = []
    if not job.status.terminal:
        return {"status": "IN_PROGRESS", **told}, 202
    seconds = ((job.finished_at or 0) - (job.started_at or job.created_at)) / 1000
    told["metrics"] = {"inference_time": seconds}
    if job.status is not JobStatus.COMPLETED:
        told["error"] = job.error.detail if job.error else "The request was cancelled."
        told["error_type"] = _kind(job.error.code) if job.error else "client_cancelled"
    return {"status": "COMPLETED", **told}


@blueprint.get("/queue/fal/ocr/requests/<request_id>")
@blueprint.get("/queue/fal/ocr/requests/<request_id>/response")
def result(request_id: str) -> ResponseReturnValue:
    job = _get(request_id)
    if not job.status.terminal:
        raise MalformedRequest("The request is still in progress.")
    return _output(job)


@blueprint.put("/queue/fal/ocr/requests/<request_id>/cancel")
def cancel(request_id: str) -> ResponseReturnValue:
    if _get(request_id).status.terminal:
        return {"status": "ALREADY_COMPLETED"}, 400
    jobs().cancel(tenant(), request_id)
    return {"status": "CANCELLATION_REQUESTED"}, 202


@blueprint.after_request
def name_request(response: Response) -> Response:
    # fal's clients read it from every response; its absence makes one of them retry.
    response.headers["x-fal-request-id"] = g.setdefault("fal_request_id", new_request_id())
    return response


def failed(error: CasolaError) -> Response:
    """The error as fal answers it: a list when it blames the input, else a sentence."""
    kind = _kind(error.code)
    if isinstance(error, MalformedRequest) and error.field:
        response = _invalid(error.detail, error.field, error.kind)
    elif error.code in CHOICES:
        response = _invalid(error.detail, CHOICES[error.code], "one_of")
    elif error.code in INPUT_ERRORS:
        response = _invalid(error.detail, "image_url", kind)
    else:
        response = jsonify(detail=error.detail, message=error.detail, error_type=kind)
        response.status_code = error.status
        response.headers["X-Fal-Error-Type"] = kind
    if error.retryable:
        response.headers["X-Fal-Needs-Retry"] = "1"
    add_headers(response, error)
    return name_request(response)


def _body() -> dict[str, Any]:
    values = json_object()
    if "image_url" not in values:
        raise MalformedRequest("Field required", field="image_url", kind="missing")
    for field in ("image_url", "model", "language"):
        if not isinstance(values.get(field, ""), str):
            raise MalformedRequest(
                "Input should be a valid string", field=field, kind="string_type"
            )
    if not isinstance(values.get("sync_mode", False), bool):
        raise MalformedRequest(
            "Input should be a valid boolean", field="sync_mode", kind="bool_type"
        )
    return values


def _submit(body: dict[str, Any]) -> Job:
    document = document_from_url(body["image_url"], settings().max_file_bytes)
    options = Options(
        model=body.get("model", "auto"),
        language=body.get("language", "auto"),
        lane=Lane.INTERACTIVE,
    )
    (job,) = jobs().submit(tenant(), [document], options)
    g.fal_request_id = job.request_id
    return job


def _get(request_id: str) -> Job:
    if is_request_id(request_id):
        g.fal_request_id = request_id
    return jobs().get(tenant(), request_id)


def _urls(request_id: str) -> dict[str, str]:
    base = f"{request.host_url}queue/fal/ocr/requests/{request_id}"
    return {
        "response_url": base,
        "status_url": f"{base}/status",
        "cancel_url": f"{base}/cancel",
    }


def _queued(job: Job) -> ResponseReturnValue:
    told = {"status": "IN_QUEUE", "request_id": job.request_id, "queue_position": 0}
    return {**told, **_urls(job.request_id)}


def _output(job: Job) -> ResponseReturnValue:
    if job.status is JobStatus.COMPLETED:
        text = jobs().text(tenant(), job.request_id)
        return {"request_id": job.request_id, "status": "completed", "text": text}
    if job.error is None:
        raise NotFound("The request was cancelled.")
    raise error_by_code(job.error.code, job.error.detail)


def _kind(code: str) -> str:
    fal = {
        "too_busy": "concurrent_requests_limit",
        "unavailable": "runner_scheduling_failure",
        "engine_unavailable": "runner_scheduling_failure",
        "internal_error": "internal_error",
    }
    return INPUT_ERRORS.get(code) or fal.get(code, code)


def _invalid(message: str, field: str, kind: str) -> Response:
    response = jsonify(
        detail=[{"loc": ["body", field], "msg": message, "type": kind}], message=message
    )
    response.status_code = 422
    return response
