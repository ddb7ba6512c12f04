"""Errors: how they are answered on each surface, and problem documents (RFC 9457) on our own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import structlog
from flask import Flask, Response, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected, HTTPException

from casola_ocr import shapes
from casola_ocr.errors import (
    CasolaError,
    FileTooLarge,
    FormTooLarge,
    MalformedRequest,
    MethodNotAllowed,
    NoSuchRoute,
    UnsupportedMediaType,
)

log = structlog.get_logger(__name__)

#: Retry-After where an error does not know better.
RETRY_SECONDS = 5

Render = Callable[[CasolaError], Response]

#: What Flask itself refuses.
_HTTP: dict[int, type[CasolaError]] = {
    error.status: error
    for error in (NoSuchRoute, MethodNotAllowed, FileTooLarge, UnsupportedMediaType)
}


def problem(error: CasolaError) -> Response:
    """The error as ``application/problem+json``."""
    response = Response(
        # A detail may repeat a client's half of a character, which UTF-8 cannot hold.
        json.dumps(described(error), ensure_ascii=False).encode(errors="replace"),
        status=error.status,
        content_type="application/problem+json",
    )
    add_headers(response, error)
    return response


def described(error: CasolaError) -> shapes.Problem:
    """What a problem document says of the error."""
    return {
        "type": f"urn:casola:error:{error.code}",
        "title": (type(error).__doc__ or "").strip(),
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "advice": error.advice,
        "retryable": error.retryable,
    }


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
    if isinstance(error, ClientDisconnected):
        return MalformedRequest("The body did not arrive whole.")
    if status == 413 and 0 < (request.content_length or 0) <= (request.max_content_length or 0):
        return FormTooLarge(
            f"The form has more than {request.max_form_parts:,} parts, or too much in its fields."
        )
    if status in (400, 415):
        return _HTTP.get(status, MalformedRequest)(error.description)
    return _HTTP.get(status, MalformedRequest)()


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

    @app.errorhandler(ParseException)
    def unreadable(error: ParseException) -> Response:
        # What gunicorn only meets while the body is read.
        return render(MalformedRequest("The body is not what HTTP's headers say of it."))

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        route = request.url_rule.rule if request.url_rule else None
        log.error(
            "a request failed unexpectedly", action="request_failed", route=route, exc_info=error
        )
        return render(CasolaError())
