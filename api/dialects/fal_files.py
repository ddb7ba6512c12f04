"""fal's uploads, as its JavaScript client makes them for every Blob in an input.

What that client asks of ``rest.fal.ai`` reaches these routes through the proxy dispatcher. It then
sends the bytes without a token, so the address of `upload_url` is sealed: see `casola_ocr.links`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import files, links, uploads
from api.dialects import fal
from api.dialects.common import json_object
from casola_ocr.documents import clean_file_name
from casola_ocr.errors import Forbidden, MalformedRequest, NotFound
from casola_ocr.files import CHUNK_BYTES, spooled
from casola_ocr.ids import new_file_id
from casola_ocr.links import Sending
from casola_ocr.times import now_ms

blueprint = Blueprint("fal_files", __name__, url_prefix="/fal/rest/storage/upload")
blueprint.after_request(fal.name_request)

#: How long a file is kept where the client says nothing: nobody deletes it by hand.
FILE_SECONDS = 7 * 86_400
#: How long the bytes may be sent.
SEND_MS = 3_600_000


@blueprint.before_request
def check_token() -> None:
    if request.path.startswith(f"{blueprint.url_prefix}/initiate"):
        authenticate()


@blueprint.post("/initiate")
def initiate() -> ResponseReturnValue:
    return _initiated(in_parts=False)


@blueprint.post("/initiate-multipart")
def initiate_in_parts() -> ResponseReturnValue:
    return _initiated(in_parts=True)


@blueprint.put("/<sealed>")
def send(sealed: str) -> ResponseReturnValue:
    sending = links().unseal(sealed)
    with spooled(_body()) as source:
        _create(sending, source)
    return {}


@blueprint.put("/<sealed>/<int:number>")
def send_part(sealed: str, number: int) -> ResponseReturnValue:
    sending = _in_parts(sealed)
    upload = uploads().get(sending.tenant, sending.upload_id)
    digest = hashlib.sha256()
    with spooled(_hashed(_body(), digest)) as source:
        uploads().receive_part(upload, number, source)
    return {"partNumber": number, "etag": digest.hexdigest()}


@blueprint.post("/<sealed>/complete")
def complete(sealed: str) -> ResponseReturnValue:
    sending = _in_parts(sealed)
    parts = json_object().get("parts")
    if not isinstance(parts, list) or not parts:
        raise MalformedRequest("Field required", field="parts", kind="missing")
    try:
        upload = uploads().get(sending.tenant, sending.upload_id)
    except NotFound:
        # Told again: it was completed before.
        files().get(sending.tenant, sending.file_id)
        return {}
    with uploads().joined(upload, len(parts)) as source:
        _create(sending, source)
    uploads().delete(sending.tenant, sending.upload_id)
    return {}


def _initiated(*, in_parts: bool) -> ResponseReturnValue:
    values = json_object()
    for field in ("file_name", "content_type"):
        if not isinstance(values.get(field, ""), str):
            raise MalformedRequest(
                "Input should be a valid string", field=field, kind="string_type"
            )
    file_id = new_file_id()
    seconds = fal.kept_seconds("X-Fal-Object-Lifecycle") or FILE_SECONDS
    name = clean_file_name(values.get("file_name", ""))
    upload_id = uploads().create(tenant(), name).upload_id if in_parts else ""
    sending = Sending(
        tenant=tenant(),
        file_id=file_id,
        file_name=name,
        expires_in=seconds,
        upload_id=upload_id,
    )
    now, host = now_ms(), request.host_url.rstrip("/")
    sealed = links().seal(sending, expires_at=now + SEND_MS)
    path = links().path(tenant(), file_id, name, expires_at=now + seconds * 1000)
    return {
        "upload_url": f"{host}{blueprint.url_prefix}/{sealed}",
        "file_url": f"{host}{path}",
    }


def _create(sending: Sending, source: Any) -> None:
    files().create(
        sending.tenant,
        source,
        file_name=sending.file_name,
        purpose="fal",
        expires_in=sending.expires_in,
        file_id=sending.file_id,
    )


def _in_parts(sealed: str) -> Sending:
    sending = links().unseal(sealed)
    if not sending.upload_id:
        raise Forbidden("This file is sent whole.")
    return sending


def _body() -> Iterator[bytes]:
    while chunk := request.stream.read(CHUNK_BYTES):
        yield chunk


def _hashed(chunks: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
