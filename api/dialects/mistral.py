"""Mistral's OCR: ``POST /mistral/v1/ocr``. The words are in `casola_ocr.wire.mistral_ocr`."""

from __future__ import annotations

from dataclasses import replace

from flask import Blueprint, Response, g, jsonify
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import exports, jobs, settings
from api.dialects.common import document_from_file, document_from_url, json_object
from api.problems import add_headers
from casola_ocr.errors import CasolaError, WaitTimeout
from casola_ocr.model import Job, Lane
from casola_ocr.outcomes import check_read
from casola_ocr.wire import mistral_ocr, mistral_pages

blueprint = Blueprint("mistral_ocr", __name__, url_prefix="/mistral/v1")
blueprint.before_request(authenticate)


@blueprint.post("/ocr")
def ocr() -> ResponseReturnValue:
    asked = mistral_ocr.parse(json_object())
    job = _submitted(asked)
    asked = asked.light()
    g.mistral_request_id = job.request_id
    job = jobs().wait(job, settings().sync_timeout_seconds)
    _check(job)
    document = exports().document(tenant(), job.request_id)
    return Response(mistral_pages.answer(asked, document), content_type="application/json")


def _submitted(asked: mistral_ocr.OcrRequest) -> Job:
    # This surface can only wait: better to refuse than to accept what nobody can ask about.
    jobs().check_seats(tenant())
    if asked.file_id:
        source = document_from_file(tenant(), asked.file_id)
    else:
        source = document_from_url(asked.url)
    if asked.file_name:
        source = replace(source, file_name=asked.file_name)
    (job,) = jobs().submit(tenant(), [source], asked.options(Lane.INTERACTIVE))
    return job


@blueprint.after_request
def name_request(response: Response) -> Response:
    if "mistral_request_id" in g:
        response.headers["x-request-id"] = g.mistral_request_id
    return response


def failed(error: CasolaError) -> Response:
    """The error as Mistral answers it."""
    status, body = mistral_ocr.refusal(error)
    response = jsonify(body)
    response.status_code = status
    add_headers(response, error)
    return response


def _check(job: Job) -> None:
    """Whether there is something to answer with.

    Raises:
        WaitTimeout: it did not end in time; it goes on.
        Conflict: it was cancelled meanwhile.
        CasolaError: why no page of it could be read.
    """
    if not job.status.terminal:
        raise WaitTimeout(
            f"The request took too long; it goes on as {job.request_id}, see GET /api/v1/jobs/."
        )
    check_read(job)
