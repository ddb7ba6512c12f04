"""Submitting documents and reading what came of them."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, cast

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from werkzeug.exceptions import UnsupportedMediaType

from api.auth import authenticate, tenant
from api.context import jobs, settings
from api.dialects.common import check_count, document_from_url, json_object, wait_for
from api.params import preferred_wait, whole_number
from api.views.batches import render as render_batch
from casola_ocr.errors import MalformedRequest, NoFile
from casola_ocr.jobs import NewDocument, Options
from casola_ocr.model import Job, Lane

blueprint = Blueprint("jobs", __name__, url_prefix="/api/v1/jobs")
blueprint.before_request(authenticate)

#: How soon a client that polls should ask again.
POLL_SECONDS = "1"
MAX_KEY_LENGTH = 255


def _number(value: object) -> object:
    """A form's fields are text."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _truth(value: object) -> object:
    """As `_number`, of ``true`` and ``false``."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


class Fields(BaseModel):
    """What a submission says beside its documents; in multipart, the fields of the form."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str = "auto"
    language: str = "auto"
    lane: str | None = None
    #: Such as ``1-5,8``, ``3-`` or ``all``.
    pages: str = ""
    #: ``prefer`` takes a page's embedded text where it is plausible.
    text_layer: str = "ignore"
    #: What a language model is asked for: ``document``, ``text`` or ``figure``; or in own words.
    mode: str = "document"
    prompt: str = ""
    #: Whether another engine may read a page that the model's cannot be trusted with.
    fallback: Annotated[bool, BeforeValidator(_truth)] = False
    #: Opens an encrypted PDF, where a password has at most 127 bytes.
    password: str = Field("", max_length=127)
    #: Seconds after which the jobs are deleted, at most as long as the tenant's retention.
    expires_in: Annotated[int, BeforeValidator(_number)] | None = Field(None, ge=60, le=10**9)


class JsonBody(Fields):
    """The JSON body of a submission."""

    url: str | None = None
    urls: list[str] | None = None


class Again(BaseModel):
    """The JSON body of a retry, which may be left out; what it does not name stays as it was."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str = ""
    mode: str | None = None
    prompt: str | None = None
    fallback: bool | None = None


_Fields = TypeVar("_Fields", bound=BaseModel)


@blueprint.post("")
def submit() -> ResponseReturnValue:
    documents, fields = _parse()
    wait = preferred_wait(settings().sync_timeout_seconds)
    made = jobs().submit(tenant(), documents, _options(fields, len(documents), wait))
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
    seconds = min(whole_number("wait", 0), settings().sync_timeout_seconds)
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


@blueprint.post("/<request_id>/retry")
def retry(request_id: str) -> ResponseReturnValue:
    again = _validated(Again, json_object() if request.get_data() else {})
    job = jobs().retry(
        tenant(),
        request_id,
        again.model,
        mode=again.mode,
        prompt=again.prompt,
        fallback=again.fallback,
    )
    return job.to_dict(), 202, {"Retry-After": POLL_SECONDS}


@blueprint.delete("/<request_id>")
def delete(request_id: str) -> ResponseReturnValue:
    jobs().delete(tenant(), request_id)
    return "", 204


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
    if wait:
        wait_for(made, wait)
    batch = jobs().batch(tenant(), batch_id)
    ended = all(job.status.terminal for job in batch.jobs)
    headers = {"Location": f"/api/v1/batches/{batch_id}"}
    if wait and ended:
        return render_batch(batch), 200, {**headers, "Preference-Applied": f"wait={wait}"}
    return render_batch(batch), 202, {**headers, "Retry-After": POLL_SECONDS}


def _parse() -> tuple[list[NewDocument], Fields]:
    if request.mimetype == "multipart/form-data":
        files = request.files.getlist("file") + request.files.getlist("files")
        if not files:
            raise NoFile()
        check_count(len(files))
        documents = [
            NewDocument(file_name=file.filename or "document", source=cast(Any, file.stream))
            for file in files
        ]
        return documents, _validated(Fields, _form())
    if request.mimetype == "application/json":
        body = _validated(JsonBody, json_object())
        urls = [*([body.url] if body.url else []), *(body.urls or [])]
        if not urls:
            raise NoFile()
        check_count(len(urls))
        return [document_from_url(url, settings().max_file_bytes) for url in urls], body
    raise UnsupportedMediaType("The body is multipart/form-data or application/json.")


def _form() -> dict[str, str]:
    fields = request.form.to_dict(flat=False)
    for name, values in fields.items():
        if len(values) > 1:
            raise MalformedRequest(f"'{name}' is given more than once.", field=name)
    return {name: values[0] for name, values in fields.items()}


def _validated(record: type[_Fields], values: dict[str, Any]) -> _Fields:
    try:
        return record.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"'{'.'.join(map(str, problem['loc']))}': {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise MalformedRequest(problems) from error


def _options(fields: Fields, documents: int, wait: int) -> Options:
    if fields.lane is None:
        lane = Lane.INTERACTIVE if documents == 1 or wait else Lane.BULK
    elif fields.lane in tuple(Lane):
        lane = Lane(fields.lane)
    else:
        raise MalformedRequest("'lane' is 'interactive' or 'bulk'.", field="lane")
    return Options(
        model=fields.model,
        language=fields.language,
        lane=lane,
        pages=fields.pages,
        text_layer=fields.text_layer,
        mode=fields.mode,
        prompt=fields.prompt,
        fallback=fields.fallback,
        password=fields.password,
        idempotency_key=_idempotency_key(),
        expires_in=fields.expires_in,
    )


def _idempotency_key() -> str:
    """The header's value; the draft's structured string may come with its quotes or without."""
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(key) > MAX_KEY_LENGTH:
        raise MalformedRequest(
            f"'Idempotency-Key' has at most {MAX_KEY_LENGTH} characters.", field="Idempotency-Key"
        )
    return key
