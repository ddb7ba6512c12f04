"""What all surfaces share: JSON bodies, documents behind URLs, waiting."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from flask import Response, after_this_request, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest, ClientDisconnected
from werkzeug.exceptions import UnsupportedMediaType as NotJson

from api.auth import tenant
from api.context import jobs, settings, sources, uploads
from casola_ocr.errors import MalformedRequest, UnsupportedMediaType
from casola_ocr.files import File
from casola_ocr.jobs import NewDocument, Options
from casola_ocr.model import Job

#: Files and uploads of one request: each is a temporary file, and descriptors are few.
MAX_KEPT = 100
#: Room in a form for what is not its file.
FORM_SLACK_BYTES = 64 * 1024

_COUNT = re.compile("[0-9]{1,3}")


def json_object() -> dict[str, Any]:
    """The body of the request, which is a JSON object.

    Raises:
        MalformedRequest: it is not.
        UnsupportedMediaType: the request does not say that it is JSON.
    """
    try:
        # Not kept: a request may wait for minutes after its pictures were taken out of it.
        values = request.get_json(cache=False)
    except NotJson as error:
        raise UnsupportedMediaType("The body is application/json.") from error
    except ClientDisconnected:
        raise
    except (BadRequest, RecursionError) as error:
        raise MalformedRequest("The body is not valid JSON.") from error
    if not isinstance(values, dict):
        raise MalformedRequest("The body is a JSON object.")
    return values


def check_count(documents: int) -> None:
    """Refuse more documents than one request may hold.

    Raises:
        MalformedRequest: there are too many.
    """
    most = settings().max_files_per_request
    if documents > most:
        raise MalformedRequest(f"One request takes at most {most} documents.")


def uploaded_file() -> FileStorage | None:
    """The part ``file`` of a form, which may be as large as a file of requests.

    Raises:
        UnsupportedMediaType: the body is no form.
    """
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("The body is multipart/form-data.")
    largest = max(settings().max_request_file_bytes, settings().max_file_bytes)
    request.max_content_length = largest + FORM_SLACK_BYTES
    return request.files.get("file")


def check_kept_count(documents: int) -> None:
    """Refuse more files and uploads than are copied out of the store for one request.

    Raises:
        MalformedRequest: there are too many.
    """
    if documents > MAX_KEPT:
        raise MalformedRequest(f"One request takes at most {MAX_KEPT} files and uploads.")


def document_from_file(tenant: str, file_id: str) -> NewDocument:
    """As `Sources.of_file`; its bytes are let go of when the request has been answered."""
    return closed_later(sources().of_file(tenant, file_id))


def document_from_upload(tenant: str, upload_id: str) -> NewDocument:
    """The document in a tenant's upload; as `document_from_file`.

    Raises:
        NotFound: there is no such upload.
        NotUploaded: its bytes did not come yet.
        FileTooLarge: it is larger than a document may be.
    """
    upload = uploads().get(tenant, upload_id)
    source = uploads().open(tenant, upload_id)
    return closed_later(NewDocument(file_name=upload.file_name, source=source))


def document_from_url(url: str) -> NewDocument:
    """As `Sources.of_url`, for this request's tenant."""
    return closed_later(sources().of_url(tenant(), url))


def submit_once(documents: Sequence[NewDocument], options: Options) -> list[Job]:
    """As `Jobs.submit`, for SDKs that try again by themselves and send no idempotency key.

    Those that Stainless makes (OpenAI's among them) count their tries in a header: a later one gets
    the jobs of the one before, see `Jobs.submit_or_find`.
    """
    return jobs().submit_or_find(tenant(), documents, options, attempt=sdk_try())[0]


def sdk_try() -> int | None:
    """The number of an SDK's try, the first is 0; None where it does not count them."""
    count = request.headers.get("X-Stainless-Retry-Count", "")
    return int(count) if _COUNT.fullmatch(count) else None


def closed_later(document: NewDocument) -> NewDocument:
    """The same document, whose bytes are let go of when the request has been answered."""
    file = document.source
    if file is not None and not isinstance(file, bytes):

        @after_this_request
        def close(response: Response) -> Response:
            file.close()
            return response

    return document


def wait_for(made: Sequence[Job], seconds: float) -> list[Job]:
    """The jobs as they end, `seconds` for all of them together.

    The last one is not terminal when the time was over; those after it are left out.
    """
    deadline = time.monotonic() + seconds
    seen: list[Job] = []
    for job in made:
        left = max(0.0, deadline - time.monotonic())
        # While the one before was waited for, much may have happened to this one.
        now = jobs().get(tenant(), job.request_id) if seen else job
        seen.append(jobs().wait(now, left))
        if not seen[-1].status.terminal:
            break
    return seen


def file_object(file: File) -> dict[str, Any]:
    """What OpenAI's and Mistral's file objects have in common; times in seconds since 1970."""
    return {
        "id": file.file_id,
        "object": "file",
        "bytes": file.size,
        "created_at": file.created_at // 1000,
        "expires_at": file.expires_at // 1000 if file.expires_at else None,
        "filename": file.file_name,
        "purpose": file.purpose,
    }
