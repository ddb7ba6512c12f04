"""OpenAI's files, under ``/openai/v1/files`` and ``/v1/files``. Shapes: the openai package's types.

A file made here, or under ``/mistral/v1``, can be used on every surface.
"""

from __future__ import annotations

from typing import Any, cast

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import files
from api.dialects import openai
from api.dialects.common import file_object, uploaded_file
from api.params import whole_number
from api.serving import attachment
from casola_ocr.errors import CasolaError, EmptyFile, FileTooLarge, MalformedRequest, NotFound
from casola_ocr.files import BATCH, File

blueprint = Blueprint("openai_files", __name__)
blueprint.before_request(authenticate)
blueprint.after_request(openai.name_request)

#: What a client may send; files that a batch wrote have purposes of their own.
PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
MAX_LIST = 10_000
MIN_EXPIRY_SECONDS = 3_600
MAX_EXPIRY_SECONDS = 2_592_000
#: Of files of requests, where the client says nothing else.
BATCH_EXPIRY_SECONDS = MAX_EXPIRY_SECONDS


@blueprint.post("")
def create() -> ResponseReturnValue:
    file, purpose = uploaded_file(), request.form.get("purpose")
    if purpose not in PURPOSES:
        raise MalformedRequest(f"'purpose' is one of {', '.join(PURPOSES)}.", field="purpose")
    if file is None:
        raise MalformedRequest("'file' is a file with a name.", field="file")
    made = files().create(
        tenant(),
        cast(Any, file.stream),
        file_name=file.filename or "file",
        purpose=purpose,
        expires_in=_expiry(purpose),
    )
    return _render(made)


@blueprint.get("")
def find() -> ResponseReturnValue:
    order = request.args.get("order", "desc")
    if order not in ("asc", "desc"):
        raise MalformedRequest("'order' is 'asc' or 'desc'.", field="order")
    found, more = files().list(
        tenant(),
        limit=whole_number("limit", MAX_LIST, low=1, high=MAX_LIST),
        after=request.args.get("after", ""),
        purpose=request.args.get("purpose", ""),
        newest_first=order == "desc",
    )
    return {
        "object": "list",
        "data": [_render(file) for file in found],
        "first_id": found[0].file_id if found else None,
        "last_id": found[-1].file_id if found else None,
        "has_more": more,
    }


@blueprint.get("/<file_id>")
def retrieve(file_id: str) -> ResponseReturnValue:
    return _render(files().get(tenant(), file_id))


@blueprint.get("/<file_id>/content")
def content(file_id: str) -> ResponseReturnValue:
    file = files().get(tenant(), file_id)
    return attachment(
        files().content(file),
        media_type=file.media_type,
        file_name=file.file_name,
        size=file.size,
    )


@blueprint.delete("/<file_id>")
def delete(file_id: str) -> ResponseReturnValue:
    files().delete(tenant(), file_id)
    return {"id": file_id, "object": "file", "deleted": True}


@blueprint.errorhandler(CasolaError)
def failed(error: CasolaError) -> Response:
    """As elsewhere on this surface, but it is the file that is wrong and not an image."""
    told = error
    if isinstance(error, EmptyFile):
        told = MalformedRequest(error.detail, field="file")
    elif isinstance(error, FileTooLarge):
        told = CasolaError(error.detail)
        told.__dict__.update(status=error.status, code="file_size_exceeded", field="file")
    elif isinstance(error, NotFound):
        told = NotFound(error.detail)
        told.__dict__.update(field="id")
    return openai.failed(told)


def _expiry(purpose: str) -> int | None:
    anchor = request.form.get("expires_after[anchor]")
    seconds = request.form.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return BATCH_EXPIRY_SECONDS if purpose == BATCH else None
    if anchor != "created_at":
        raise MalformedRequest(
            "'expires_after.anchor' is 'created_at'.", field="expires_after.anchor"
        )
    asked = int(seconds) if seconds and seconds.isdecimal() and len(seconds) < 9 else 0
    if not MIN_EXPIRY_SECONDS <= asked <= MAX_EXPIRY_SECONDS:
        raise MalformedRequest(
            f"'expires_after.seconds' is from {MIN_EXPIRY_SECONDS} to {MAX_EXPIRY_SECONDS}.",
            field="expires_after.seconds",
        )
    return asked


def _render(file: File) -> dict[str, Any]:
    return {
        **file_object(file),
        "status": "processed",
        "status_details": None,
    }
