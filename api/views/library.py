"""A tenant's jobs, and the engines that can read for it."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import jobs
from casola_ocr.errors import MalformedRequest

blueprint = Blueprint("library", __name__, url_prefix="/api/v1")
blueprint.before_request(authenticate)

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


@blueprint.get("/library")
def library() -> ResponseReturnValue:
    limit = _limit(request.args.get("limit"))
    found, following = jobs().library(tenant(), limit, request.args.get("after"))
    return {
        "data": [job.to_dict() for job in found],
        "has_more": following is not None,
        "next": following,
    }


@blueprint.get("/engines")
def engines() -> ResponseReturnValue:
    return {"data": [{"name": name} for name in jobs().live_engines()]}


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not text.isdecimal() or not 1 <= int(text) <= MAX_LIMIT:
        raise MalformedRequest(f"'limit' is a number from 1 to {MAX_LIMIT}.")
    return int(text)
