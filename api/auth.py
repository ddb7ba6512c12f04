"""Who is asking: from a request to a tenant, on every surface the same.

A token comes in the Authorization header, or from Studio in a cookie. Browsers send that one by
themselves, so a request with it that could change something must come from our own pages.

Without any token in the store, a server on loopback takes everybody for `local`. A web page in the
user's browser can reach loopback too, so then the Host must be this machine's (against DNS
rebinding) and a foreign Origin may not write, unless `cors` allows it. As soon as one token exists,
all need one.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from flask import g, request

from api import cors
from api.context import service
from casola_ocr.errors import Forbidden, Unauthorized
from casola_ocr.settings import Settings
from casola_ocr.tenants import LOCAL_TENANT

#: Studio's session: holds the token, out of reach of scripts.
COOKIE = "casola_session"

#: Methods that change nothing.
_SAFE = ("GET", "HEAD", "OPTIONS")
_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}


def authenticate() -> None:
    """Set ``g.tenant``, ``g.admin``, and ``g.open``: whether nobody needs a token.

    Raises:
        Unauthorized: a token is needed, and there is none or it is not valid.
        Forbidden: a request to a token-less server that does not come from this machine's user.
    """
    parts = service()
    if parts.settings.loopback and not parts.tokens.any():
        _check_local(parts.settings)
        g.tenant, g.admin, g.open = LOCAL_TENANT, True, True
        return
    header = request.headers.get("Authorization", "")
    cookie = "" if header else request.cookies.get(COOKIE, "")
    for secret in [cookie] if cookie else _secrets(header):
        token = parts.tokens.find(secret)
        if token is not None:
            if cookie:
                check_origin()
            g.tenant, g.admin, g.open = token.tenant, token.admin, False
            return
    raise Unauthorized()


def check_origin() -> None:
    """Let a request of a browser that may change something through only from our own pages.

    Raises:
        Forbidden: it comes from another site, or does not tell from where.
    """
    if request.method in _SAFE:
        return
    site = _split(request.headers.get("Origin", ""))
    if site is None or not site.netloc or site.netloc != request.headers.get("Host", ""):
        raise Forbidden("Web pages of other sites may not use this server.")


def require_admin() -> None:
    """Let only those through who look after the service; call it after `authenticate`.

    Raises:
        Forbidden: the token is a tenant's.
    """
    if not g.admin:
        raise Forbidden("This needs a token that was made with --admin.")


def tenant() -> str:
    """The tenant of this request."""
    name: str = g.tenant
    return name


def _secrets(header: str) -> list[str]:
    """What may be the token in ``Bearer T``, ``Key T`` or fal's ``Key id:T``."""
    scheme, _, value = header.partition(" ")
    value = value.strip()
    if scheme.lower() not in ("bearer", "key") or not value:
        return []
    _, colon, after = value.partition(":")
    return [value, after] if colon and after else [value]


def _check_local(settings: Settings) -> None:
    asked = _split(f"//{request.headers.get('Host', '')}")
    if asked is None or asked.hostname not in {*_LOCAL_NAMES, settings.host}:
        raise Forbidden("This server answers only to its own address on this machine.")
    origin = request.headers.get("Origin")
    if origin and request.method != "GET" and not cors.allows(settings):
        site = _split(origin)
        if site is None or site.netloc != asked.netloc:
            raise Forbidden("Web pages of other sites may not use this server.")


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None
