"""The API's own description."""

from __future__ import annotations

import json

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from api.description import JSON, Answer, Description
from api.openapi import of_app

blueprint = Blueprint("reference", __name__, url_prefix="/api/v1")


@blueprint.get("/openapi.json")
@Description(
    "get_openapi",
    answers={200: Answer("An OpenAPI 3.1 document.", media_types=(JSON,))},
    needs_token=False,
    needs_service=False,
)
def openapi() -> ResponseReturnValue:
    """Read this document."""
    return Response(json.dumps(of_app(), ensure_ascii=False), content_type=JSON)
