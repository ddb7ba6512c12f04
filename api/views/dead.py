"""Dead letters, for those who look after the service."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api.auth import authenticate, require_admin
from api.context import dead
from api.params import whole_number
from casola_ocr.errors import NotFound
from casola_ocr.model import is_cursor, is_request_id

blueprint = Blueprint("dead", __name__, url_prefix="/api/v1/dead")
blueprint.before_request(authenticate)
blueprint.before_request(require_admin)


@blueprint.get("")
def letters() -> ResponseReturnValue:
    after = request.args.get("after", "")
    if after and not is_cursor(after):
        raise NotFound("The cursor 'after' is not one that this server gave.")
    limit = whole_number("limit", 50, low=1, high=200)
    found, following = dead().list(limit, after)
    return {
        "data": [letter.to_dict() for letter in found],
        "has_more": following is not None,
        "next": following,
    }


@blueprint.post("/<request_id>/retry")
def retry(request_id: str) -> ResponseReturnValue:
    dead().retry(_checked(request_id), request.args.get("model", ""))
    return {"request_id": request_id, "status": "queued"}, 202


@blueprint.delete("/<request_id>")
def drop(request_id: str) -> ResponseReturnValue:
    dead().drop(_checked(request_id))
    return "", 204


def _checked(request_id: str) -> str:
    if not is_request_id(request_id):
        raise NotFound()
    return request_id
