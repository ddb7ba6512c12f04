"""Errors of our own routes: problem documents (RFC 9457)."""

from __future__ import annotations

import json

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from casola_ocr.errors import CasolaError

log = structlog.get_logger(__name__)

#: Retry-After where an error does not know better.
RETRY_SECONDS = 5


def problem(error: CasolaError) -> Response:
    """The error as ``application/problem+json``."""
    body = {
        "type": f"urn:casola:error:{error.code}",
        "title": (type(error).__doc__ or "").strip(),
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "advice": error.advice,
        "retryable": error.retryable,
    }
    response = Response(
        json.dumps(body, ensure_ascii=False),
        status=error.status,
        content_type="application/problem+json",
    )
    add_headers(response, error)
    return response


def add_headers(response: Response, error: CasolaError) -> None:
    """Headers that belong to an error on every surface."""
    if error.status in (429, 503):
        response.headers["Retry-After"] = str(error.retry_after_seconds or RETRY_SECONDS)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"


def from_http(error: HTTPException) -> CasolaError:
    """What Flask itself refuses (an unknown route, a body too large), as one of our errors."""
    made = CasolaError(_SENTENCES.get(error.code or 500, error.description))
    code, advice = _CODES.get(error.code or 500, ("bad_request", "Compare it with the API docs."))
    # One class for all statuses that werkzeug knows; the tree holds those that we raise.
    made.__dict__.update(code=code, status=error.code or 500, advice=advice)
    return made


_CODES = {
    400: ("malformed_request", "Compare the request with the API reference."),
    404: ("no_such_route", "Check the address; the routes are in the API reference."),
    405: ("method_not_allowed", "Use the method that the API reference names for this address."),
    413: ("file_too_large", "Send less in one request, or ask to raise CASOLA_MAX_FILE_MB."),
    415: ("unsupported_format", "Send multipart/form-data or application/json."),
}
_SENTENCES = {
    404: "There is no such route.",
    413: "The request is larger than this server accepts.",
}


def install(app: Flask) -> None:
    """Answer every error of routes that have no dialect of their own as a problem."""

    @app.errorhandler(CasolaError)
    def casola(error: CasolaError) -> Response:
        return problem(error)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        return problem(from_http(error))

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        route = request.url_rule.rule if request.url_rule else None
        log.error(
            "a request failed unexpectedly", action="request_failed", route=route, exc_info=error
        )
        return problem(CasolaError())
