"""Whether this process lives, and whether a page can be read."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from api.context import jobs
from api.description import Answer, Description
from casola_ocr import shapes

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@Description(
    "get_health",
    answers={200: Answer("It lives.", shapes.Health)},
    needs_token=False,
    needs_service=False,
)
def healthz() -> ResponseReturnValue:
    """Ask whether this process lives."""
    body: shapes.Health = {"status": "ok"}
    return body


@blueprint.get("/readyz")
@Description(
    "get_readiness",
    answers={
        200: Answer("It can.", shapes.Readiness),
        503: Answer("It cannot: a part is missing.", shapes.Readiness),
    },
    needs_token=False,
    needs_service=False,
)
def readyz() -> ResponseReturnValue:
    """Ask whether a page can be read."""
    parts = jobs().readiness()
    ready = not any(parts.values())
    body: shapes.Readiness = {
        "ready": ready,
        "parts": {
            name: {"ready": not missing, "detail": missing} for name, missing in parts.items()
        },
    }
    return body, 200 if ready else 503
