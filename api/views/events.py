"""Server-sent events: what happens to jobs, as it happens (HTML Living Standard, section 9.2)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from pydantic import Field

from api.auth import authenticate, tenant
from api.context import jobs
from api.description import EVENTS, Answer, Description
from api.serving import PING, event_stream
from api.validation import Query, asked
from casola_ocr import shapes
from casola_ocr.errors import Gone, NotFound, Overloaded
from casola_ocr.jobs import Event

blueprint = Blueprint("events", __name__, url_prefix="/api/v1")
blueprint.before_request(authenticate)

#: Jobs of one multiplexed stream.
MAX_JOBS = 100
#: A stream is ended after this long, and the client goes on with another.
STREAM_SECONDS = 3600
#: How soon a client whose stream broke comes back.
RETRY_MS = 2000
#: What the ID of the last event ends with: who comes back with it has seen everything.
END = "/end"

_POSITION = re.compile(r"([0-9]{1,16}-[0-9]{1,16})(/end)?|/end")


class Followed(Query):
    """Which jobs are followed."""

    repeated = frozenset({"request_id"})

    request_id: list[shapes.SomeRequestId] = Field(min_length=1, max_length=MAX_JOBS)
    """Given once for each job."""


_TOLD = {
    200: Answer(
        "`progress` (a job as it stands), `page` (one page ended), `finished` (a job, as it ended) "
        "and `error` (it cannot be followed any more), until all have ended.",
        media_types=(EVENTS,),
        example='id: 7-0\nevent: page\ndata: {"page": 1, "status": "done", "words": 211}\n\n',
    ),
    204: Answer("Nothing follows the last event that was seen."),
}


@blueprint.get("/jobs/<request_id>/events")
@Description("follow_job", headers=("Last-Event-ID",), answers=_TOLD, raises=(Gone, Overloaded))
def one(request_id: str) -> ResponseReturnValue:
    """Follow a job.

    Server-sent events; `Last-Event-ID` goes on after the last one that was seen.
    """
    match = _POSITION.fullmatch(request.headers.get("Last-Event-ID", ""))
    after = (match[1] or "") if match else ""
    if match and match[0].endswith(END) and _ended([request_id]):
        return "", 204
    events = jobs().events(tenant(), request_id, after, seconds=STREAM_SECONDS)
    return _stream(_one(events, after))


@blueprint.get("/events")
@Description(
    "follow_jobs",
    query=Followed,
    headers=("Last-Event-ID",),
    answers={
        **_TOLD,
        414: Answer(
            "`malformed_request`: The address is longer than 8,190 bytes.",
            media_types=("application/problem+json",),
        ),
    },
    raises=(NotFound, Gone, Overloaded),
)
def many() -> ResponseReturnValue:
    """Follow several jobs with one stream."""
    followed = list(dict.fromkeys(asked(Followed).request_id))
    if request.headers.get("Last-Event-ID") == END and _ended(followed):
        return "", 204
    events = jobs().events_of_many(tenant(), followed, seconds=STREAM_SECONDS)
    return _stream(_many(events, followed))


def _ended(request_ids: Sequence[str]) -> bool:
    return all(jobs().get(tenant(), name).status.terminal for name in request_ids)


def _one(events: Iterator[Event | None], after: str) -> Iterator[bytes]:
    last = after
    for event in events:
        if event is not None:
            last = event.position or last
        yield _written(event, last + END if event and event.kind == "finished" else last)


def _many(events: Iterator[Event | None], request_ids: Sequence[str]) -> Iterator[bytes]:
    """Without positions, of which each job has its own, but for the last event."""
    left = set(request_ids)
    for event in events:
        if event is not None and event.kind in ("finished", "error"):
            left.discard(event.request_id)
        yield _written(event, "" if left else END)


def _written(event: Event | None, position: str) -> bytes:
    if event is None:
        return PING
    named = f"id: {position}\n" if position else ""
    data = json.dumps(event.data, ensure_ascii=False)
    return f"{named}event: {event.kind}\ndata: {data}\n\n".encode(errors="replace")


def _stream(parts: Iterator[bytes]) -> Response:
    return event_stream(chain([f"retry: {RETRY_MS}\n\n".encode()], parts))
