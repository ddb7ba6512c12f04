"""Studio, the pages for people. They use the API as clients do.

`/ocr` and `/library` are for everybody, `/status` and `/admin` for those who look after the
service.
"""

from __future__ import annotations

from flask import Blueprint, Response, g, redirect, render_template, request
from flask.typing import ResponseReturnValue

from api import openapi
from api.auth import COOKIE, authenticate, check_origin
from api.context import service, settings
from api.dialects.common import json_object
from api.studio import reference
from casola_ocr.errors import Unauthorized

blueprint = Blueprint(
    "studio",
    __name__,
    static_folder="static",
    static_url_path="/studio",
    template_folder="templates",
)

#: Nothing but our own files; pictures also of files that the person chose.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
SESSION_SECONDS = 30 * 86_400
#: Whoever asks for a session has shown no token yet: there is nothing long to read from them.
SIGN_IN_BYTES = 8 * 1024


@blueprint.get("/")
def home() -> ResponseReturnValue:
    return redirect("/ocr")


@blueprint.get("/ocr")
def ocr() -> ResponseReturnValue:
    return _page("ocr")


@blueprint.get("/library")
def library() -> ResponseReturnValue:
    return _page("library")


@blueprint.get("/status")
def status() -> ResponseReturnValue:
    return _page("status", needs_admin=True)


@blueprint.get("/admin")
def admin() -> ResponseReturnValue:
    return _page("admin", needs_admin=True)


@blueprint.get("/docs")
def docs() -> ResponseReturnValue:
    """Everybody may read it: it holds nothing of anybody."""
    document = openapi.of_app()
    return _page(
        "docs",
        needs_session=False,
        about=reference.said(document["info"]["description"]),
        sections=reference.sections(document),
        shapes=reference.shapes(document),
    )


@blueprint.get("/sign-in")
def sign_in() -> ResponseReturnValue:
    return _page("sign-in", needs_session=False)


@blueprint.post("/session")
def open_session() -> ResponseReturnValue:
    """Exchange a token for a cookie that no script can read."""
    check_origin()
    request.max_content_length = SIGN_IN_BYTES
    secret = str(json_object().get("token", "")).strip()
    if not secret or service().tokens.find(secret) is None:
        raise Unauthorized()
    response = Response(status=204)
    response.set_cookie(
        COOKIE,
        secret,
        max_age=SESSION_SECONDS,
        httponly=True,
        secure=request.is_secure,
        samesite="Strict",
    )
    return response


@blueprint.delete("/session")
def close_session() -> ResponseReturnValue:
    check_origin()
    response = Response(status=204)
    response.delete_cookie(COOKIE, httponly=True, secure=request.is_secure, samesite="Strict")
    return response


@blueprint.after_request
def protect(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    # Modules name each other without versions: a browser asks whether they changed.
    response.headers["Cache-Control"] = "no-cache"
    return response


def _page(
    name: str, *, needs_session: bool = True, needs_admin: bool = False, **more: object
) -> ResponseReturnValue:
    if needs_session:
        try:
            authenticate()
        except Unauthorized:
            return redirect("/sign-in")
    refused = needs_admin and not g.admin
    page = render_template(
        "forbidden.html" if refused else f"{name}.html",
        page=name,
        script="chrome" if refused else name,
        max_mb=settings().max_file_mb,
        max_files=settings().max_files_per_request,
        admin=needs_session and g.admin,
        signed_in=needs_session and not g.open,
        **more,
    )
    return page, 403 if refused else 200
