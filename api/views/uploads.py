"""Uploads of large documents, straight to the object store where that has an address."""

from __future__ import annotations

from typing import Annotated, Any, cast

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator, Field, WithJsonSchema

from api.auth import authenticate, tenant
from api.context import settings, uploads
from api.description import FORM, JSON, Answer, Description
from api.dialects.common import json_object
from api.params import idempotency_key
from api.validation import Body, example, integer, validated
from casola_ocr import shapes
from casola_ocr.errors import (
    EmptyFile,
    FileTooLarge,
    Forbidden,
    MalformedRequest,
    NoFile,
    NotFound,
    UnsupportedMediaType,
)
from casola_ocr.times import now_ms, timestamp
from casola_ocr.uploads import FORM_SECONDS, Upload

blueprint = Blueprint("uploads", __name__, url_prefix="/api/v1/uploads")
blueprint.before_request(authenticate)

#: Where the bytes go when the store takes none by itself; the policy stands for a token there.
receiver = Blueprint("upload_content", __name__, url_prefix="/api/v1/upload-content")
#: Room in the form for what is not the file: its fields are in memory before the policy is checked.
SLACK_BYTES = 64 * 1024


class NewUpload(Body):
    """What is known of a document that will be uploaded."""

    model_config = example({"file_name": "book.pdf", "size": 12_345_678})

    file_name: str = "document"
    size: Annotated[int, Field(ge=1), BeforeValidator(integer)] | None = None
    """Bytes, where they are known: what is too large is refused at once."""


class Content(Body):
    """The form of an upload's bytes, where they come through this service."""

    policy: str
    file: Annotated[Any, WithJsonSchema({"type": "string", "format": "binary"})]


@blueprint.post("")
@Description(
    "create_upload",
    takes={JSON: NewUpload},
    needs_body=False,
    keyed=True,
    answers={
        201: Answer(
            "The form for its bytes.",
            shapes.UploadForm,
            headers=("Location",),
            leads_to={"upload_id": ("get_upload", "delete_upload")},
        )
    },
)
def create() -> ResponseReturnValue:
    """Begin an upload.

    Post every one of `fields`, then the part `file`, to `url`; then submit the `upload_id`.
    """
    asked = validated(NewUpload, json_object() if request.get_data() else {})
    if asked.size and asked.size > settings().max_file_bytes:
        raise FileTooLarge(f"The limit is {settings().max_file_mb} MB.")
    upload = uploads().create(tenant(), asked.file_name, idempotency_key())
    return _with_form(upload), 201, {"Location": f"/api/v1/uploads/{upload.upload_id}"}


@blueprint.get("/<upload_id>")
@Description("get_upload", answers={200: Answer("The upload.", shapes.Upload)})
def get(upload_id: str) -> ResponseReturnValue:
    """Read an upload."""
    return _render(uploads().get(tenant(), upload_id))


@blueprint.delete("/<upload_id>")
@Description("delete_upload", answers={204: Answer("It is gone.")})
def delete(upload_id: str) -> ResponseReturnValue:
    """Remove an upload."""
    uploads().delete(tenant(), upload_id)
    return "", 204


@receiver.post("")
@Description(
    "send_upload",
    takes={FORM: Content},
    needs_token=False,
    answers={201: Answer("They have come.")},
    raises=(Forbidden, NotFound, NoFile, EmptyFile),
)
def receive() -> ResponseReturnValue:
    """Send an upload's bytes.

    Only where its form names this address; the `policy` in it stands for a token.
    """
    request.max_content_length = settings().max_file_bytes + SLACK_BYTES
    request.max_form_memory_size = SLACK_BYTES
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("The body is multipart/form-data.")
    policy, file = request.form.get("policy"), request.files.get("file")
    if policy is None:
        raise MalformedRequest("The form has no field 'policy'.", field="policy")
    if file is None:
        raise NoFile()
    upload = uploads().allowed(policy)
    uploads().receive(upload, cast(Any, file.stream))
    # As S3 answers a form that asked for it.
    return "", 201


def _with_form(upload: Upload) -> shapes.UploadForm:
    form = uploads().form(upload)
    if form is not None:
        url, fields = form.url, form.fields
        ends_at = now_ms() + FORM_SECONDS * 1000
    else:
        policy, ends_at = uploads().policy(upload)
        url = f"{request.host_url.rstrip('/')}{receiver.url_prefix}"
        fields = {"policy": policy}
    return {
        "upload_id": upload.upload_id,
        "url": url,
        "fields": fields,
        "form_expires_at": timestamp(ends_at),
        "max_bytes": settings().max_file_bytes,
        "file_name": upload.file_name,
        "created_at": timestamp(upload.created_at),
        "expires_at": timestamp(upload.expires_at),
    }


def _render(upload: Upload) -> shapes.Upload:
    return {
        "upload_id": upload.upload_id,
        "uploaded": uploads().has_come(upload),
        "file_name": upload.file_name,
        "created_at": timestamp(upload.created_at),
        "expires_at": timestamp(upload.expires_at),
    }
