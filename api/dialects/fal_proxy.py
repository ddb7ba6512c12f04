"""What fal's JavaScript client takes for a proxy: one address, the real target in a header.

Nothing is fetched. The target's host says which of our own routes is meant; any other target is
refused, so this leads nowhere that is not reached without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes, urlsplit

from flask import Blueprint

from api.auth import authenticate
from api.dialects import fal
from casola_ocr.errors import MalformedRequest

PATH = "/fal/proxy"
_HEADER = "HTTP_X_FAL_TARGET_URL"

#: fal's hosts → where their routes are here, and what the path of a target begins with.
_HOSTS = {
    "fal.run": ("", ("/fal/ocr", "/fal-ai/")),
    "queue.fal.run": ("/queue", ("/",)),
    "rest.fal.ai": ("/fal/rest", ("/storage/upload/",)),
    "rest.alpha.fal.ai": ("/fal/rest", ("/storage/upload/",)),
}

blueprint = Blueprint("fal_proxy", __name__)
blueprint.before_request(authenticate)
blueprint.after_request(fal.name_request)


@blueprint.route(PATH, methods=["GET", "POST", "PUT"])
def refuse() -> NoReturn:
    """Only what has no target of ours comes here."""
    raise MalformedRequest("'x-fal-target-url' is not a URL of fal's that leads to a route here.")


class ProxyDispatcher:
    """WSGI: gives a request for the proxy the path and query of its target, and goes on."""

    def __init__(self, app: Callable[..., Iterable[bytes]]):
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        target = _route(environ.get(_HEADER, "")) if environ["PATH_INFO"] == PATH else None
        if target is not None:
            environ["PATH_INFO"], environ["QUERY_STRING"] = target
        return self._app(environ, start_response)


def _route(url: str) -> tuple[str, str] | None:
    """Path and query, as WSGI has them, of our route behind one of fal's URLs."""
    try:
        parts = urlsplit(url)
        prefix, allowed = _HOSTS[parts.netloc.lower()]
    except (ValueError, KeyError):
        return None
    if parts.scheme != "https" or not parts.path.startswith(allowed):
        return None
    return prefix + unquote_to_bytes(parts.path).decode("latin-1"), parts.query
