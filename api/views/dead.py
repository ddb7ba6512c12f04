"""Dead letters, for those who look after the service."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue
from pydantic import Field

from api.auth import authenticate, require_admin
from api.context import dead
from api.description import CHOOSING, Answer, Description
from api.idempotency import replayable
from api.params import Cursor, Whole
from api.validation import Query, asked
from casola_ocr import shapes
from casola_ocr.errors import Conflict, Gone, NotFound
from casola_ocr.ids import is_cursor, is_request_id

blueprint = Blueprint("dead", __name__, url_prefix="/api/v1/dead")
blueprint.before_request(authenticate)
blueprint.before_request(require_admin)


class Letters(Query):
    """Which dead letters."""

    limit: Whole = Field(50, ge=1, le=200)
    after: Cursor | None = None


class Revival(Query):
    """How a dead letter's pages are read again."""

    model: str = ""
    """Another model than before."""


@blueprint.get("")
@Description(
    "list_dead_letters",
    query=Letters,
    answers={200: Answer("Dead letters, newest first.", shapes.DeadLetters)},
    raises=(NotFound,),
)
def letters() -> ResponseReturnValue:
    """List jobs with pages that failed through our fault."""
    query = asked(Letters)
    if query.after is not None and not is_cursor(query.after):
        raise NotFound("The cursor 'after' is not one that this server gave.")
    found, following = dead().list(query.limit, query.after or "")
    body: shapes.DeadLetters = {
        "data": [letter.to_dict() for letter in found],
        "has_more": following is not None,
        "next": following,
    }
    return body


@blueprint.post("/<request_id>/retry")
@Description(
    "retry_dead_letter",
    query=Revival,
    answers={202: Answer("Its pages are read again.", shapes.Revived)},
    raises=(Gone, Conflict, *CHOOSING),
)
@replayable
def retry(request_id: str) -> ResponseReturnValue:
    """Read the failed pages of a dead letter again; it leaves the list."""
    dead().retry(_checked(request_id), asked(Revival).model)
    body: shapes.Revived = {"request_id": request_id, "status": "queued"}
    return body, 202


@blueprint.delete("/<request_id>")
@Description("drop_dead_letter", answers={204: Answer("It is off the list.")})
def drop(request_id: str) -> ResponseReturnValue:
    """Take a job off the list; the job stays as it is."""
    dead().drop(_checked(request_id))
    return "", 204


def _checked(request_id: str) -> str:
    if not is_request_id(request_id):
        raise NotFound()
    return request_id
