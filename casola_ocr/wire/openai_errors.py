"""Our errors and limits as OpenAI tells its own.

An error is a status, and an object with message, type, param and code.

Codes of images: the openai package's ``ResponseError``.
"""

from __future__ import annotations

import math
from typing import Any

from casola_ocr.errors import CasolaError, UnknownModel

#: Our codes → OpenAI's image error codes; all answer 400.
IMAGE_CODES = {
    "bad_url": "invalid_image_url",
    "fetch_refused": "invalid_image_url",
    "fetch_failed": "failed_to_download_image",
    "fetch_timeout": "failed_to_download_image",
    "bad_data_url": "invalid_base64_image",
    "empty_file": "empty_image_file",
    "damaged_document": "image_parse_error",
    "no_page_read": "image_parse_error",
    "too_many_pixels": "image_too_large",
    "too_many_pages": "image_too_large",
    "file_too_large": "image_file_too_large",
    "unsupported_format": "invalid_image_format",
}


def refusal(error: CasolaError, where: str = "messages") -> tuple[int, dict[str, Any]]:
    """Status and ``error`` of an error; streams and files of answers hold the latter alone.

    `where` is the field that holds the documents.
    """
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = kinds.get(error.status, "server_error" if error.status >= 500 else "")
    status, code, param = error.status, error.code, getattr(error, "field", None) or None
    if param == "prompt":
        param = where
    if isinstance(error, UnknownModel):
        status, code, param = 404, "model_not_found", "model"
    elif error.code in IMAGE_CODES:
        status, code, param = 400, IMAGE_CODES[error.code], where
    body = {
        "message": error.detail,
        "type": kind or "invalid_request_error",
        "param": param,
        "code": code,
    }
    return status, body


def duration(seconds: float) -> str:
    """A time as OpenAI's headers tell it: ``12ms``, ``1s``, ``6m0s``, ``1h2m3s``."""
    if 0 < seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    told = f"{hours}h" if hours else ""
    return told + (f"{minutes}m" if hours or minutes else "") + f"{rest}s"
