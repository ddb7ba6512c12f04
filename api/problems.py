"""Errors: how they are answered on each surface, and problem documents (RFC 9457) on our own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from casola_ocr.errors import CasolaError

log = structlog.get_logger(__name__)

#: Retry-After where an error does not know better.
RETRY_SECONDS = 5

Render = Callable[[CasolaError], Response]

#: Status → code, sentence (None: werkzeug's own) and advice of what Flask itself refuses.
_HTTP: dict[int, tuple[str, str | None, str]] = {
    400: ("malformed_request", None, "Compare the request with the API reference."),
    404: (
        "no_such_route",
        "There is no such route.",
        "Check the address; the routes are in the API reference.",
    ),
    405: (
        "method_not_allowed",
        None,
        "Use the method that the API reference names for this address.",
    ),
    413: (
        "file_too_large",
        "The request is larger than this server accepts.",
        "Send less in one request, or ask to raise CASOLA_MAX_FILE_MB.",
    ),
    415: (
        "unsupported_media_type",
        None,
        "Send the Content-Type that the API reference names for this address.",
    ),
}


def problem(error: CasolaError) -> Response:
    """The error as ``application/problem+json``."""
    body = {
        "type": f"urn:casola:error:{error.code}",
        "title": getattr(error, "title", None) or (type(error).__doc__ or "").strip(),
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "advice": error.advice,
        "retryable": error.retryable,
    }
    response = Response(
        # A detail may repeat a client's half of a character, which UTF-8 cannot hold.
        json.dumps(body, ensure_ascii=False).encode(errors="replace"),
        status=error.status,
        content_type="application/problem+json",
    )
    add_headers(response, error)
    return response


def add_headers(response: Response, error: CasolaError) -> None:
    """Headers that belong to an error on every surface."""
    if error.status in (429, 503) or error.retry_after_seconds:
        response.headers["Retry-After"] = str(error.retry_after_seconds or RETRY_SECONDS)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"


def from_http(error: HTTPException) -> CasolaError:
    """What Flask itself refuses (an unknown route, a body too large), as one of our errors."""
    status = error.code or 500
    if status >= 500:
        return CasolaError()
    code, sentence, advice = _HTTP.get(status, ("bad_request", None, _HTTP[400][2]))
    made = CasolaError(sentence or error.description)
    # One class for all statuses that werkzeug knows; the tree holds those that we raise.
    made.__dict__.update(code=code, status=status, advice=advice, title=error.name)
    return made


def install(app: Flask, dialects: Mapping[str, Render]) -> None:
    """Answer every error as its surface does: `dialects` maps the beginning of a path to one.

    By path and not by blueprint, because an unknown route or a wrong method has no blueprint.
    """

    def render(error: CasolaError) -> Response:
        for prefix, dialect in dialects.items():
            if request.path == prefix or request.path.startswith(f"{prefix}/"):
                return dialect(error)
        return problem(error)

    @app.errorhandler(CasolaError)
    def casola(error: CasolaError) -> Response:
        if error.status >= 500 and error.__cause__ is not None:
            log.warning(
                "a request could not be served",
                action="request_refused",
                code=error.code,
                reason=repr(error.__cause__),
            )
        return render(error)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        response = render(from_http(error))
        allowed = getattr(error, "valid_methods", None)
        if allowed:
            response.headers["Allow"] = ", ".join(sorted(allowed))
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        route = request.url_rule.rule if request.url_rule else None
        log.error(
            "a request failed unexpectedly", action="request_failed", route=route, exc_info=error
        )
        return render(CasolaError())
