"""Submitting documents and reading what came of them."""

from __future__ import annotations

from typing import Annotated, Any, cast

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, WithJsonSchema

from api.auth import authenticate, tenant
from api.context import jobs, settings
from api.description import CHOOSING, FORM, JSON, Answer, Description
from api.dialects.common import (
    check_count,
    check_kept_count,
    document_from_file,
    document_from_upload,
    document_from_url,
    json_object,
    wait_for,
)
from api.idempotency import REPLAYED, replayable
from api.params import Look, idempotency_key, preferred_wait, prefers_async, sparse, truth
from api.validation import Body, asked, example, integer, validated
from api.views.batches import render as render_batch
from casola_ocr import shapes
from casola_ocr.errors import (
    BadDataUrl,
    BadSelection,
    BadUrl,
    Conflict,
    DamagedDocument,
    EmptyFile,
    FetchRefused,
    Gone,
    MalformedRequest,
    NoFile,
    NotFound,
    NotUploaded,
    TooManyPages,
    TooManyPixels,
    UnsupportedFormat,
    UnsupportedMediaType,
)
from casola_ocr.exports.schema import EXAMPLE_PAGE, Result
from casola_ocr.jobs import NewDocument, Options
from casola_ocr.model import MODES, TEXT_LAYERS, Job, Lane, Webhook
from casola_ocr.pages import PageResult
from casola_ocr.prompts import MAX_PROMPT

blueprint = Blueprint("jobs", __name__, url_prefix="/api/v1/jobs")
blueprint.before_request(authenticate)

#: How soon a client that polls should ask again.
POLL_SECONDS = "1"
#: Bytes of a PDF's password.
MAX_PASSWORD = 127


def _number(value: object) -> object:
    """A form's fields are text."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class Wanted(Body):
    """What a submission says beside its documents."""

    model: str = "auto"
    """An engine's name, or `auto`."""
    language: str = Field("auto", examples=["auto", "ru,en", "German"])
    """`auto`, or up to ten languages with commas between them, the most important first."""
    lane: Annotated[str, shapes.one_of(Lane)] | None = None
    """`interactive` unless there are several documents."""
    pages: str = Field("", examples=["1-5,8", "3-", "all"])
    """Which pages are read; the first is 1."""
    text_layer: shapes.TextLayer = TEXT_LAYERS[0]
    """`prefer` takes a page's embedded text where it is plausible."""
    mode: shapes.Mode = MODES[0]
    """What a language model is asked for."""
    prompt: str = Field("", json_schema_extra={"maxLength": MAX_PROMPT})
    """Words of your own for a language model, instead of the mode's."""
    fallback: Annotated[bool, BeforeValidator(truth)] = False
    """Whether another engine may read a page that the model's cannot be trusted with."""
    password: str = Field("", max_length=MAX_PASSWORD)
    """Opens an encrypted PDF."""
    expires_in: (
        Annotated[int, Field(ge=60, le=10**9), BeforeValidator(_number), BeforeValidator(integer)]
        | None
    ) = None
    """Seconds after which the jobs are deleted, at most as long as the tenant's retention."""
    webhook_url: str = ""
    """Where the end of each job is told."""


class Form(Wanted):
    """A submission as a form, with one or many documents."""

    file: list[Annotated[Any, WithJsonSchema({"type": "string", "format": "binary"})]] = Field(
        min_length=1
    )
    """The documents; their content tells the format, not their name."""


#: A null or an empty list names no document.
_NAMED: list[JsonValue] = [
    {"required": [name], "properties": {name: {"type": kind, least: 1}}}
    for names, kind, least in (
        (("url", "upload_id", "file_id"), "string", "minLength"),
        (("urls", "upload_ids", "file_ids"), "array", "minItems"),
    )
    for name in names
]


class Submission(Wanted):
    """A submission of what is somewhere already: one document at least."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": _NAMED,
            "examples": [{"url": "https://example.com/scan.pdf", "pages": "1-5,8"}],
        }
    )

    url: str | None = None
    """`https:`, `http:` or `data:`; a worker downloads it."""
    urls: list[str] | None = None
    upload_id: str | None = None
    """Of `POST /api/v1/uploads`."""
    upload_ids: list[str] | None = None
    file_id: str | None = None
    """Of a file that was made on an OpenAI or Mistral route."""
    file_ids: list[str] | None = None


class Again(Body):
    """What a retry changes; what it does not name stays as it was."""

    model_config = example({"model": "tesseract"})

    model: str = ""
    mode: shapes.Mode | None = None
    prompt: str | None = None
    fallback: bool | None = None


@blueprint.post("")
@Description(
    "submit",
    takes={FORM: Form, JSON: Submission},
    headers=("Prefer",),
    keyed=True,
    answers={
        200: Answer(
            "The result, or the batch: all ended within the time of `Prefer: wait=N`.",
            Result | shapes.Batch,
            headers=("Preference-Applied", "Location"),
        ),
        202: Answer(
            "The job, or with several documents the batch.",
            shapes.Job | shapes.Batch,
            headers=("Location", "Retry-After", "Preference-Applied"),
            leads_to={
                "request_id": (
                    "get_job", "follow_job", "get_result", "get_page", "export_job", "get_preview",
                    "get_source", "cancel_job", "retry_job", "delete_job", "list_deliveries",
                ),
                "batch_id": ("get_batch", "export_batch", "cancel_batch", "delete_batch"),
            },
        ),
    },
    raises=(
        NoFile, BadDataUrl, NotFound, NotUploaded, Gone, UnsupportedFormat, EmptyFile,
        DamagedDocument, TooManyPixels, TooManyPages, BadSelection, BadUrl, FetchRefused,
        *CHOOSING,
    ),
)  # fmt: skip
def submit() -> ResponseReturnValue:
    """Submit one or many documents.

    All are accepted, or none. One is answered with its job, several with their batch. When the
    answer is 2xx the documents, and what to do with them, are durable.
    """
    wait = preferred_wait(settings().sync_timeout_seconds)
    made, again = _submitted(wait)
    replayed = {REPLAYED: "true"} if again else {}
    if made[0].batch_id:
        return _answer_batch(made, wait, replayed)
    job = made[0]
    if wait:
        job = jobs().wait(job, wait)
        if job.status.terminal:
            return _result(job, {"Preference-Applied": f"wait={wait}", **replayed})
    headers = {"Location": f"/api/v1/jobs/{job.request_id}", **_later(), **replayed}
    return jobs().placed(job).to_dict(), 202, headers


@blueprint.get("/<request_id>")
@Description(
    "get_job",
    query=Look,
    answers={200: Answer("The job as it stands.", shapes.Job | shapes.SparseJob)},
    raises=(Gone,),
)
def get(request_id: str) -> ResponseReturnValue:
    """Read a job.

    `wait` waits until it ends.
    """
    look = asked(Look)
    seconds = min(look.wait, settings().sync_timeout_seconds)
    if seconds:
        jobs().wait(jobs().get(tenant(), request_id), seconds)
    return cast(dict[str, Any], sparse(jobs().look(tenant(), request_id), look.fields))


@blueprint.get("/<request_id>/result")
@Description(
    "get_result",
    answers={
        200: Answer("The job ended.", Result),
        202: Answer("It still runs; these are the pages so far.", Result, headers=("Retry-After",)),
    },
    raises=(Gone,),
)
def result(request_id: str) -> ResponseReturnValue:
    """Read what was read on a job's pages."""
    return _result(jobs().get(tenant(), request_id), {})


@blueprint.get("/<request_id>/pages/<int:page>")
@Description(
    "get_page",
    answers={200: Answer("The page.", PageResult, example=EXAMPLE_PAGE)},
    raises=(Gone, Conflict),
)
def page(request_id: str, page: int) -> ResponseReturnValue:
    """Read what was read on one page; its number is that in the document."""
    return Response(jobs().page(tenant(), request_id, page), content_type="application/json")


@blueprint.post("/<request_id>/cancel")
@Description("cancel_job", answers={200: Answer("The job.", shapes.Job)}, raises=(Gone,))
def cancel(request_id: str) -> ResponseReturnValue:
    """Stop a job.

    Finished pages stay readable; a job that ended stays as it is.
    """
    return jobs().cancel(tenant(), request_id).to_dict()


@blueprint.post("/<request_id>/retry")
@Description(
    "retry_job",
    takes={JSON: Again},
    needs_body=False,
    answers={202: Answer("The job.", shapes.Job, headers=("Retry-After",))},
    raises=(Gone, Conflict, *CHOOSING),
)
@replayable
def retry(request_id: str) -> ResponseReturnValue:
    """Read the failed pages of an ended job again."""
    again = validated(Again, json_object() if request.get_data() else {})
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
@Description("delete_job", answers={204: Answer("Nothing is left of it.")})
def delete(request_id: str) -> ResponseReturnValue:
    """Remove every byte of a job.

    Deleting it again changes nothing.
    """
    jobs().delete(tenant(), request_id)
    return "", 204


def _result(job: Job, headers: dict[str, str]) -> Response:
    if not job.status.terminal:
        headers = {**headers, "Retry-After": POLL_SECONDS}
    return Response(
        jobs().result_of(job),
        status=200 if job.status.terminal else 202,
        headers=headers,
        content_type="application/json",
    )


def _answer_batch(made: list[Job], wait: int, replayed: dict[str, str]) -> ResponseReturnValue:
    batch_id = made[0].batch_id
    if wait:
        wait_for(made, wait)
    batch = jobs().batch(tenant(), batch_id)
    ended = all(job.status.terminal for job in batch.jobs)
    headers = {"Location": f"/api/v1/batches/{batch_id}", **replayed}
    if wait and ended:
        return render_batch(batch), 200, {**headers, "Preference-Applied": f"wait={wait}"}
    return render_batch(batch), 202, {**headers, **_later()}


def _later() -> dict[str, str]:
    """Headers of an answer that came before its job ended."""
    applied = {"Preference-Applied": "respond-async"} if prefers_async() else {}
    return {"Retry-After": POLL_SECONDS, **applied}


def _submitted(wait: int) -> tuple[list[Job], bool]:
    """As `Jobs.submit_or_find`; whoever waits afterwards holds no document any more."""
    documents, wanted = _parse()
    options = _options(wanted, len(documents), wait)
    accepted = jobs().submit_or_find(tenant(), documents, options)
    for document in documents:
        if document.source is not None and not isinstance(document.source, bytes):
            document.source.close()
    return accepted


def _parse() -> tuple[list[NewDocument], Wanted]:
    if request.mimetype == "multipart/form-data":
        files = request.files.getlist("file") + request.files.getlist("files")
        if not files:
            raise NoFile()
        check_count(len(files))
        documents = [
            NewDocument(file_name=file.filename or "document", source=cast(Any, file.stream))
            for file in files
        ]
        return documents, validated(Form, {**_form(), "file": files})
    if request.mimetype == "application/json":
        body = validated(Submission, json_object())
        return _named(body), body
    raise UnsupportedMediaType("The body is multipart/form-data or application/json.")


def _named(body: Submission) -> list[NewDocument]:
    """The documents that a JSON body names."""
    urls = _together(body.url, body.urls)
    uploaded = _together(body.upload_id, body.upload_ids)
    kept = _together(body.file_id, body.file_ids)
    documents = len(urls) + len(uploaded) + len(kept)
    if not documents:
        raise NoFile()
    check_count(documents)
    check_kept_count(len(uploaded) + len(kept))
    return [
        *(document_from_url(url) for url in urls),
        *(document_from_upload(tenant(), upload_id) for upload_id in uploaded),
        *(document_from_file(tenant(), file_id) for file_id in kept),
    ]


def _together(one: str | None, several: list[str] | None) -> list[str]:
    return [*([one] if one else []), *(several or [])]


def _form() -> dict[str, str]:
    fields = request.form.to_dict(flat=False)
    for name, values in fields.items():
        if len(values) > 1:
            raise MalformedRequest(f"'{name}' is given more than once.", field=name)
    return {name: values[0] for name, values in fields.items()}


def _options(wanted: Wanted, documents: int, wait: int) -> Options:
    if wanted.lane is None:
        lane = Lane.INTERACTIVE if documents == 1 or wait else Lane.BULK
    elif wanted.lane in tuple(Lane):
        lane = Lane(wanted.lane)
    else:
        raise MalformedRequest("'lane' is 'interactive' or 'bulk'.", field="lane")
    return Options(
        model=wanted.model,
        language=wanted.language,
        lane=lane,
        pages=wanted.pages,
        text_layer=wanted.text_layer,
        mode=wanted.mode,
        prompt=wanted.prompt,
        fallback=wanted.fallback,
        password=wanted.password,
        idempotency_key=idempotency_key(),
        expires_in=wanted.expires_in,
        webhook=Webhook(wanted.webhook_url) if wanted.webhook_url else None,
    )
