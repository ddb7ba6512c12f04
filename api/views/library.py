"""A tenant's jobs, and the engines that can read for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator, Field, WithJsonSchema

from api.auth import authenticate, tenant
from api.context import jobs, service
from api.description import JSON, Answer, Description
from api.dialects.common import json_object
from api.params import Cursor, Fields, Truth, Whole, parts, sparse
from api.validation import Body, Query, asked, example, validated
from casola_ocr import shapes
from casola_ocr.errors import CasolaError, NotFound, SearchTimeout, SearchUnavailable
from casola_ocr.library import Wanted
from casola_ocr.model import JobStatus
from casola_ocr.usage import counted

blueprint = Blueprint("library", __name__, url_prefix="/api/v1")
blueprint.before_request(authenticate)

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
#: Jobs that one request deletes at most.
MAX_DELETED = 200


def _time(value: object) -> object:
    """RFC 3339, UTC where it names no zone; a date is its first moment."""
    if not isinstance(value, str):
        return value
    try:
        # A plus that was not escaped in a URL is a space.
        moment = datetime.fromisoformat(value.strip().replace(" ", "+"))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        milliseconds = round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError("a time such as 2026-11-25 or 2026-11-25T12:00:00Z") from None
    return min(max(0, milliseconds), 10**13 - 1)


Time = Annotated[
    int,
    BeforeValidator(_time),
    WithJsonSchema({"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}),
]


class Listed(Query):
    """Which jobs are listed: all of it has to hold."""

    limit: Whole = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    after: Cursor | None = None
    """The `next` of the page before."""
    fields: Fields = frozenset()
    """Tell of each job only these, and its `request_id`."""
    status: Annotated[frozenset[JobStatus], Field(min_length=1), BeforeValidator(parts)] = (
        frozenset()
    )
    model: str = ""
    """As it was asked for, or the engine that read it."""
    language: str = ""
    """A code: one of a job's `languages_found`, or where there are none, of those that were asked
    for; `auto` then takes what named none. `zh` takes `zh-hans` too."""
    text: str = Field("", max_length=255)
    """Words that are in what was read, or in the file's name; `"in quotes"` side by side."""
    file_name: str = Field("", max_length=255)
    """A part of it, in upper or lower case."""
    created_from: Time | None = None
    """RFC 3339; a date is its first moment."""
    created_to: Time | None = None
    low_confidence: Truth | None = None
    """`true`: below 0.8; `false`: not."""


class Deletion(Body):
    """Which jobs are deleted."""

    model_config = example({"request_ids": [shapes.EXAMPLE_JOB["request_id"]]})

    request_ids: list[str] = Field(min_length=1, max_length=MAX_DELETED)


@blueprint.get("/library")
@Description(
    "list_jobs",
    query=Listed,
    answers={200: Answer("Jobs, newest first.", shapes.Library, headers=("Link",))},
    raises=(NotFound, SearchUnavailable, SearchTimeout),
)
def library() -> ResponseReturnValue:
    """List jobs, newest first.

    The work of one request is bounded: where little matches, a page may hold fewer jobs than
    `limit`, or none, and `has_more` says that more may follow.
    """
    listed = asked(Listed)
    wanted = Wanted(
        statuses=listed.status,
        model=listed.model,
        language=listed.language,
        text=listed.text.strip(),
        file_name=listed.file_name,
        created_from=listed.created_from or 0,
        created_to=listed.created_to or 0,
        low_confidence=listed.low_confidence,
    )
    found, following = jobs().library(tenant(), listed.limit, listed.after, wanted)
    body: shapes.Library = {
        "data": [sparse(job, listed.fields) for job in found],
        "has_more": following is not None,
        "next": following,
    }
    if wanted.text:
        snippets = jobs().snippets(tenant(), wanted.text, found)
        body["snippets"] = {name: made.to_dict() for name, made in snippets.items()}
        body["complete"] = jobs().search_is_complete()
    return body, 200, _next_link(following)


@blueprint.post("/library/delete")
@Description(
    "delete_jobs",
    takes={JSON: Deletion},
    answers={200: Answer("What came of each.", shapes.Deletions)},
)
def delete() -> ResponseReturnValue:
    """Delete several jobs."""
    named = validated(Deletion, json_object()).request_ids
    outcomes = jobs().delete_many(tenant(), list(dict.fromkeys(named)))
    body: shapes.Deletions = {"data": [_outcome(*outcome) for outcome in outcomes.items()]}
    return body


@blueprint.get("/engines")
@Description("list_engines", answers={200: Answer("The engines.", shapes.Engines)})
def engines() -> ResponseReturnValue:
    """List engines, and the languages that each can read here."""
    body: shapes.Engines = {"data": [engine.to_dict() for engine in jobs().list_engines()]}
    return body


@blueprint.get("/usage")
@Description("get_own_usage", answers={200: Answer("What your tenant keeps.", shapes.OwnUsage)})
def usage() -> ResponseReturnValue:
    """See what your own tenant keeps, as counted a few minutes ago."""
    return counted(service().store).of(tenant())


def _next_link(following: str | None) -> dict[str, str]:
    """The address of the next page (RFC 8288), with everything else that was asked for."""
    if following is None:
        return {}
    query = urlencode({**request.args.to_dict(), "after": following})
    return {"Link": f'<{request.path}?{query}>; rel="next"'}


def _outcome(request_id: str, error: CasolaError | None) -> shapes.Deleted:
    if error is None:
        return {"request_id": request_id, "deleted": True}
    return {
        "request_id": request_id,
        "deleted": False,
        "code": error.code,
        "detail": error.detail,
    }
