"""How the service is doing, for those who look after it."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from api.auth import authenticate, require_admin
from api.context import service
from api.description import Answer, Description
from casola_ocr import operator_shapes
from casola_ocr.overview import overview

blueprint = Blueprint("status", __name__, url_prefix="/api/v1/status")
blueprint.before_request(authenticate)
blueprint.before_request(require_admin)


@blueprint.get("")
@Description(
    "get_status",
    answers={200: Answer("Queues, workers, engines, failures.", operator_shapes.Overview)},
)
def get() -> ResponseReturnValue:
    """See how the service is doing; for tokens made with `--admin`."""
    parts = service()
    return overview(parts.jobs, parts.records)
