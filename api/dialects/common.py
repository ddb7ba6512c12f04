"""What all surfaces share: JSON bodies, documents behind URLs, waiting."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from flask import request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from api.auth import tenant
from api.context import jobs, settings
from casola_ocr.documents import clean_file_name
from casola_ocr.errors import BadUrl, MalformedRequest
from casola_ocr.fetch import decode_data_url
from casola_ocr.jobs import NewDocument
from casola_ocr.model import Job


def json_object() -> dict[str, Any]:
    """The body of the request, which is a JSON object.

    Raises:
        MalformedRequest: it is not.
        UnsupportedMediaType: the request does not say that it is JSON.
    """
    try:
        values = request.get_json()
    except UnsupportedMediaType as error:
        raise UnsupportedMediaType("The body is application/json.") from error
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


def document_from_url(url: str, max_bytes: int) -> NewDocument:
    """The document behind a URL that a client sent: decoded from data:, else left to a worker.

    Raises:
        BadDataUrl, EmptyFile, FileTooLarge: a data: URL does not hold an acceptable file.
        BadUrl: it holds half of a character, as JSON's escapes allow.
    """
    if url[:5].lower() == "data:":
        return NewDocument(file_name="document", source=decode_data_url(url, max_bytes))
    try:
        url.encode()
        name = unquote(urlsplit(url).path.rpartition("/")[2])
    except UnicodeEncodeError as error:
        raise BadUrl("The URL holds characters that are not Unicode.") from error
    except ValueError:
        name = ""
    return NewDocument(file_name=clean_file_name(name), source=None, url=url)


def wait_for(made: Sequence[Job], seconds: float) -> list[Job]:
    """The jobs as they end, `seconds` for all of them together.

    The last one is not terminal when the time was over; those after it are left out.
    """
    deadline = time.monotonic() + seconds
    seen = []
    for job in made:
        left = max(0.0, deadline - time.monotonic())
        seen.append(jobs().wait(tenant(), job.request_id, left))
        if not seen[-1].status.terminal:
            break
    return seen
