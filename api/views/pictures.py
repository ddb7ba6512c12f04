"""Pictures for people: a job's pages, its thumbnail, and one of a document before it is sent."""

from __future__ import annotations

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import jobs, pictures, settings
from api.description import BYTES, Answer, Description
from api.serving import attachment
from casola_ocr.errors import (
    DamagedDocument,
    EmptyFile,
    FileTooLarge,
    Gone,
    NotFound,
    Overloaded,
    PasswordNeeded,
    PictureMissing,
    TooManyPixels,
    UnsupportedFormat,
)

blueprint = Blueprint("pictures", __name__, url_prefix="/api/v1")
blueprint.before_request(authenticate)

WEBP = "image/webp"
#: A page's picture never changes; a browser asks again after so many seconds.
CACHED_SECONDS = 86_400
#: Why there may be no picture of a page.
UNDRAWN = (PictureMissing, PasswordNeeded, DamagedDocument, TooManyPixels, Overloaded)


_PICTURE = {
    200: Answer("The picture.", media_types=(WEBP,), headers=("ETag",)),
    304: Answer("It has not changed.", headers=("ETag",)),
}


@blueprint.get("/jobs/<request_id>/pages/<int:page>/image")
@Description(
    "get_page_image",
    headers=("If-None-Match",),
    answers=_PICTURE,
    raises=(Gone, *UNDRAWN),
)
def page_image(request_id: str, page: int) -> ResponseReturnValue:
    """See a page, at most 1,600 pixels each way."""
    if page < 1:
        raise NotFound("The job has no page with this number.")
    jobs().get(tenant(), request_id)
    tag = f"{request_id}-{page}"
    if request.if_none_match.contains(tag):
        return _kept(Response(status=304), tag)
    return _kept(Response(pictures().page(tenant(), request_id, page), content_type=WEBP), tag)


@blueprint.get("/jobs/<request_id>/preview")
@Description(
    "get_preview",
    headers=("If-None-Match",),
    answers=_PICTURE,
    raises=(Gone, *UNDRAWN),
)
def preview(request_id: str) -> ResponseReturnValue:
    """See a thumbnail of a job's first page."""
    jobs().get(tenant(), request_id)
    tag = f"{request_id}-preview"
    if request.if_none_match.contains(tag):
        return _kept(Response(status=304), tag)
    return _kept(Response(pictures().preview(tenant(), request_id), content_type=WEBP), tag)


@blueprint.get("/jobs/<request_id>/source")
@Description(
    "get_source",
    answers={200: Answer("The bytes.", media_types=(BYTES,), headers=("Content-Disposition",))},
    raises=(Gone,),
)
def source(request_id: str) -> ResponseReturnValue:
    """Read the document as it was submitted."""
    job, chunks = pictures().source(tenant(), request_id)
    # Never opened by a browser: it is a stranger's file on our own address.
    return attachment(chunks, media_type="application/octet-stream", file_name=job.file_name)


@blueprint.post("/previews")
@Description(
    "draw_preview",
    takes={BYTES: bytes},
    answers={200: Answer("The thumbnail.", media_types=(WEBP,), headers=("X-Pages",))},
    raises=(EmptyFile, UnsupportedFormat, *UNDRAWN),
)
def before() -> ResponseReturnValue:
    """See a thumbnail of a document that is not submitted.

    The body is the document, whatever its media type says; nothing of it is kept.
    """
    limit = settings().max_file_bytes
    data = request.stream.read(limit + 1)
    if len(data) > limit:
        raise FileTooLarge(f"A file has at most {settings().max_file_mb} MB here.")
    if not data:
        raise EmptyFile()
    made = pictures().before(data)
    response = Response(made.webp, content_type=WEBP)
    response.headers["X-Pages"] = str(made.pages)
    response.headers["Cache-Control"] = "no-store"
    return response


def _kept(response: Response, tag: str) -> Response:
    response.set_etag(tag)
    response.headers["Cache-Control"] = f"private, max-age={CACHED_SECONDS}"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
