"""Who is asking: from a request to a tenant, on every surface the same.

Without any token in the store, a server on loopback takes everybody for `local`. A web page in the
user's browser can reach loopback too, so then the Host must be this machine's (against DNS
rebinding) and a foreign Origin may not write. As soon as one token exists, all need one.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from flask import g, request

from api.context import service
from casola_ocr.errors import Forbidden, Unauthorized
from casola_ocr.tenants import LOCAL_TENANT

_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}


def authenticate() -> None:
    """Set ``g.tenant`` and ``g.admin``.

    Raises:
        Unauthorized: a token is needed, and there is none or it is not valid.
        Forbidden: a request to a token-less server that does not come from this machine's user.
    """
    parts = service()
    if parts.settings.loopback and not parts.tokens.any():
        _check_local(parts.settings.host)
        g.tenant, g.admin = LOCAL_TENANT, True
        return
    for secret in _secrets(request.headers.get("Authorization", "")):
        token = parts.tokens.find(secret)
        if token is not None:
            g.tenant, g.admin = token.tenant, token.admin
            return
    raise Unauthorized()


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


def _check_local(host: str) -> None:
    asked = _split(f"//{request.headers.get('Host', '')}")
    if asked is None or asked.hostname not in {*_LOCAL_NAMES, host}:
        raise Forbidden("This server answers only to its own address on this machine.")
    origin = request.headers.get("Origin")
    if origin and request.method != "GET":
        site = _split(origin)
        if site is None or site.netloc != asked.netloc:
            raise Forbidden("Web pages of other sites may not use this server.")


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None
