"""Mistral's files, under ``/mistral/v1/files``. Shapes: the mistralai package's models."""

from __future__ import annotations

from typing import Any, cast

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import files, links
from api.dialects.common import file_object, uploaded_file
from api.params import whole_number
from api.serving import attachment
from casola_ocr.errors import MalformedRequest, NoFile
from casola_ocr.files import BATCH, BATCH_OUTPUT, UNKNOWN_MEDIA_TYPE, File
from casola_ocr.times import now_ms

blueprint = Blueprint("mistral_files", __name__, url_prefix="/mistral/v1/files")
blueprint.before_request(authenticate)

PURPOSES = ("ocr", "batch", "fine-tune", "agentic_safety")
#: A list looks at this many files, the newest.
MAX_FILES = 10_000
MAX_PAGE_SIZE = 1000
MAX_LINK_HOURS = 168
MAX_EXPIRY_HOURS = 24 * 365

#: Mistral tells apart what a file holds; ours are told by what they are for.
SAMPLE_TYPES = {BATCH: "batch_request", BATCH_OUTPUT: "batch_result", "ocr": "ocr_input"}


@blueprint.post("")
def upload() -> ResponseReturnValue:
    file, purpose = uploaded_file(), request.form.get("purpose", "ocr")
    if file is None:
        raise NoFile()
    if purpose not in PURPOSES:
        raise MalformedRequest(f"'purpose' is one of {', '.join(PURPOSES)}.", field="purpose")
    made = files().create(
        tenant(),
        cast(Any, file.stream),
        file_name=file.filename or "file",
        purpose=purpose,
        expires_in=_expiry(request.form.get("expiry")),
    )
    return _render(made)


@blueprint.get("")
def find() -> ResponseReturnValue:
    page = whole_number("page", 0, high=MAX_FILES)
    page_size = whole_number("page_size", 100, low=1, high=MAX_PAGE_SIZE)
    found, _ = files().list(
        tenant(), limit=MAX_FILES, purpose=_argument("purpose"), newest_first=True
    )
    wanted = [file for file in map(_render, found) if _matches(file)]
    listed = {"object": "list", "data": wanted[page * page_size : (page + 1) * page_size]}
    counted = request.args.get("include_total", "true").lower() != "false"
    return {**listed, "total": len(wanted)} if counted else listed


@blueprint.get("/<file_id>")
def retrieve(file_id: str) -> ResponseReturnValue:
    return {**_render(files().get(tenant(), file_id)), "deleted": False}


@blueprint.delete("/<file_id>")
def delete(file_id: str) -> ResponseReturnValue:
    files().delete(tenant(), file_id)
    return {"id": file_id, "object": "file", "deleted": True}


@blueprint.get("/<file_id>/content")
def content(file_id: str) -> ResponseReturnValue:
    file = files().get(tenant(), file_id)
    # Mistral's clients take no other type for an answer.
    return attachment(
        files().content(file),
        media_type=UNKNOWN_MEDIA_TYPE,
        file_name=file.file_name,
        size=file.size,
    )


@blueprint.get("/<file_id>/url")
def signed_url(file_id: str) -> ResponseReturnValue:
    hours = whole_number("expiry", 24, low=1, high=MAX_LINK_HOURS)
    file = files().get(tenant(), file_id)
    path = links().path(
        file.tenant, file.file_id, file.file_name, expires_at=now_ms() + hours * 3_600_000
    )
    return {"url": request.host_url.rstrip("/") + path}


def _expiry(hours: str | None) -> int | None:
    if not hours:
        return None
    asked = int(hours) if hours.isdecimal() and len(hours) < 9 else 0
    if not 1 <= asked <= MAX_EXPIRY_HOURS:
        raise MalformedRequest(
            f"'expiry' is a number of hours from 1 to {MAX_EXPIRY_HOURS}.", field="expiry"
        )
    return asked * 3600


def _argument(name: str) -> str:
    return request.args.get(name, "")


def _matches(file: dict[str, Any]) -> bool:
    kinds, sources = request.args.getlist("sample_type"), request.args.getlist("source")
    types = request.args.getlist("mimetypes")
    return (
        _argument("search").casefold() in file["filename"].casefold()
        and (not kinds or file["sample_type"] in kinds)
        and (not sources or file["source"] in sources)
        and (not types or file["mimetype"] in types)
    )


def _render(file: File) -> dict[str, Any]:
    return {
        **file_object(file),
        "sample_type": SAMPLE_TYPES.get(file.purpose, "instruct"),
        "source": "mistral" if file.purpose == BATCH_OUTPUT else "upload",
        "num_lines": None,
        "mimetype": file.media_type,
        "signature": None,
        "visibility": "workspace",
    }
