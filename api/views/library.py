"""A tenant's jobs, and the engines that can read for it."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import jobs
from api.params import whole_number

blueprint = Blueprint("library", __name__, url_prefix="/api/v1")
blueprint.before_request(authenticate)

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


@blueprint.get("/library")
def library() -> ResponseReturnValue:
    limit = whole_number("limit", DEFAULT_LIMIT, low=1, high=MAX_LIMIT)
    found, following = jobs().library(tenant(), limit, request.args.get("after"))
    return {
        "data": [job.to_dict() for job in found],
        "has_more": following is not None,
        "next": following,
    }


@blueprint.get("/engines")
def engines() -> ResponseReturnValue:
    return {"data": [engine.to_dict() for engine in jobs().list_engines()]}
