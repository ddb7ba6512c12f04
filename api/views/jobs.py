"""Submitting documents and reading what came of them."""

from __future__ import annotations

import re
import time
from typing import Any, cast

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, ValidationError

from api.auth import authenticate, tenant
from api.context import jobs, settings
from api.dialects.common import document_from_url
from api.views.batches import render as render_batch
from casola_ocr.errors import MalformedRequest, NoFile, UnsupportedFormat
from casola_ocr.jobs import NewDocument, Options
from casola_ocr.model import Job, Lane

blueprint = Blueprint("jobs", __name__, url_prefix="/api/v1/jobs")
blueprint.before_request(authenticate)

#: How soon a client that polls should ask again.
POLL_SECONDS = "1"

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?", re.IGNORECASE)


class SubmitBody(BaseModel):
    """The JSON body of a submission."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: str | None = None
    urls: list[str] | None = None
    model: str = "auto"
    language: str = "auto"
    lane: str | None = None


@blueprint.post("")
def submit() -> ResponseReturnValue:
    documents, body = _parse()
    wait = _prefer_wait()
    made = jobs().submit(tenant(), documents, _options(body, len(documents), wait))
    if made[0].batch_id:
        return _answer_batch(made, wait)
    request_id = made[0].request_id
    if wait:
        job = jobs().wait(tenant(), request_id, wait)
        if job.status.terminal:
            return _result(request_id, {"Preference-Applied": f"wait={wait}"})
        made = [job]
    headers = {"Location": f"/api/v1/jobs/{request_id}", "Retry-After": POLL_SECONDS}
    return made[0].to_dict(), 202, headers


@blueprint.get("/<request_id>")
def get(request_id: str) -> ResponseReturnValue:
    wait = request.args.get("wait", "0")
    if not wait.isdecimal():
        raise MalformedRequest("'wait' is a number of seconds.")
    seconds = min(int(wait), settings().sync_timeout_seconds)
    return jobs().wait(tenant(), request_id, seconds).to_dict()


@blueprint.get("/<request_id>/result")
def result(request_id: str) -> ResponseReturnValue:
    return _result(request_id, {})


@blueprint.get("/<request_id>/pages/<int:page>")
def page(request_id: str, page: int) -> ResponseReturnValue:
    return Response(jobs().page(tenant(), request_id, page), content_type="application/json")


@blueprint.post("/<request_id>/cancel")
def cancel(request_id: str) -> ResponseReturnValue:
    return jobs().cancel(tenant(), request_id).to_dict()


def _result(request_id: str, headers: dict[str, str]) -> Response:
    job, chunks = jobs().result(tenant(), request_id)
    if not job.status.terminal:
        headers = {**headers, "Retry-After": POLL_SECONDS}
    return Response(
        chunks,
        status=200 if job.status.terminal else 202,
        headers=headers,
        content_type="application/json",
    )


def _answer_batch(made: list[Job], wait: int) -> ResponseReturnValue:
    batch_id = made[0].batch_id
    deadline = time.monotonic() + wait
    for job in made if wait else ():
        jobs().wait(tenant(), job.request_id, max(0.0, deadline - time.monotonic()))
    batch = jobs().batch(tenant(), batch_id)
    ended = all(job.status.terminal for job in batch.jobs)
    headers = {"Location": f"/api/v1/batches/{batch_id}"}
    if not ended:
        headers["Retry-After"] = POLL_SECONDS
    return render_batch(batch), 200 if wait and ended else 202, headers


def _parse() -> tuple[list[NewDocument], SubmitBody]:
    if request.mimetype == "multipart/form-data":
        files = request.files.getlist("file") + request.files.getlist("files")
        if not files:
            raise NoFile()
        if len(files) > settings().max_files_per_request:
            limit = settings().max_files_per_request
            raise MalformedRequest(f"One request takes at most {limit} files.")
        documents = [
            NewDocument(file_name=file.filename or "document", source=cast(Any, file.stream))
            for file in files
        ]
        return documents, _validated(request.form.to_dict())
    if request.mimetype == "application/json":
        values = request.get_json()
        if not isinstance(values, dict):
            raise MalformedRequest("The body is a JSON object.")
        body = _validated(values)
        urls = [*([body.url] if body.url else []), *(body.urls or [])]
        if not urls:
            raise NoFile()
        return [document_from_url(url, settings().max_file_bytes) for url in urls], body
    raise UnsupportedFormat("The body is multipart/form-data or application/json.")


def _validated(values: dict[str, Any]) -> SubmitBody:
    try:
        return SubmitBody.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"'{'.'.join(map(str, problem['loc']))}': {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise MalformedRequest(problems) from error


def _options(body: SubmitBody, documents: int, wait: int) -> Options:
    if body.lane is None:
        lane = Lane.INTERACTIVE if documents == 1 or wait else Lane.BULK
    elif body.lane in tuple(Lane):
        lane = Lane(body.lane)
    else:
        raise MalformedRequest("'lane' is 'interactive' or 'bulk'.")
    return Options(model=body.model, language=body.language, lane=lane)


def _prefer_wait() -> int:
    """Seconds of ``Prefer: wait=N`` (RFC 7240), at most what the server allows; 0 without it."""
    match = _WAIT.search(",".join(request.headers.getlist("Prefer")))
    return min(int(match[1]), settings().sync_timeout_seconds) if match else 0
