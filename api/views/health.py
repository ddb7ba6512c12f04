"""Whether this process lives, and whether a page can be read."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from api.context import jobs

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> ResponseReturnValue:
    return {"status": "ok"}


@blueprint.get("/readyz")
def readyz() -> ResponseReturnValue:
    parts = jobs().readiness()
    ready = not any(parts.values())
    told = {name: {"ready": not missing, "detail": missing} for name, missing in parts.items()}
    return {"ready": ready, "parts": told}, 200 if ready else 503
