"""Pages of other sites: those that `CASOLA_CORS_ORIGINS` names may use fal's routes (Fetch, CORS).

A browser then sends a page's requests with the token that the page has. Cookies are never allowed:
Studio's session stays what only our own pages have.
"""

from __future__ import annotations

from flask import Flask, Response, request

from casola_ocr.settings import Settings

#: Where fal's routes are.
PATHS = ("/fal/", "/fal-ai/", "/queue/")

_METHODS = "GET, POST, PUT"
_HEADERS = {"accept", "authorization", "content-type", "idempotency-key"}
_EXPOSED = (
    "x-fal-request-id, x-fal-error-type, x-fal-needs-retry, x-fal-request-timeout-type, retry-after"
)
#: Seconds for which a browser remembers what it may send.
_REMEMBERED = "600"


def allows(settings: Settings) -> bool:
    """Whether a page that sent this request may use what it asks for."""
    origin = request.headers.get("Origin", "")
    return origin in settings.cors_origins and request.path.startswith(PATHS)


def install(app: Flask, settings: Settings) -> None:
    """Answer what browsers ask before a request, and let pages read the answers."""
    if not settings.cors_origins:
        return

    @app.before_request
    def preflight() -> Response | None:
        asked = request.headers.get("Access-Control-Request-Method")
        # Before anything else: a browser asks without the token.
        return Response(status=204) if request.method == "OPTIONS" and asked else None

    @app.after_request
    def tell(response: Response) -> Response:
        if not request.path.startswith(PATHS):
            return response
        response.vary.add("Origin")
        if allows(settings):
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED
            if request.method == "OPTIONS":
                response.headers["Access-Control-Allow-Methods"] = _METHODS
                response.headers["Access-Control-Allow-Headers"] = ", ".join(_allowed_headers())
                response.headers["Access-Control-Max-Age"] = _REMEMBERED
        return response


def _allowed_headers() -> list[str]:
    asked = request.headers.get("Access-Control-Request-Headers", "").lower().split(",")
    names = {name.strip() for name in asked}
    return sorted(name for name in names if name in _HEADERS or name.startswith("x-fal-"))
