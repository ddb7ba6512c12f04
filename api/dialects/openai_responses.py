"""OpenAI's Responses. The words are in `casola_ocr.wire.openai_responses`.

A response is the jobs that it made: its ID is that of the first one under another name, and nothing
else is kept of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, g, request
from flask.typing import ResponseReturnValue

from api.auth import tenant
from api.context import jobs, settings
from api.dialects import openai
from api.dialects.common import json_object, submit_once
from api.dialects.openai_reading import Reading, documents
from api.params import whole_number
from api.serving import PING, event_stream
from casola_ocr.chunks import begun
from casola_ocr.errors import CasolaError, Gone, MalformedRequest, NotFound
from casola_ocr.model import Job, Lane
from casola_ocr.wire import openai_responses as wire
from casola_ocr.wire.openai_answer import Piece
from casola_ocr.wire.openai_parts import options

blueprint = Blueprint("openai_responses", __name__)
blueprint.before_request(openai.begin)
blueprint.after_request(openai.name_request)
blueprint.after_request(openai.tell_room)

#: After it a response with `store: false`, and what was read for it, is deleted: time enough for
#: the client's next try.
UNSTORED_SECONDS = 3600


@blueprint.post("")
def create() -> ResponseReturnValue:
    asked = wire.parse(json_object())
    made = _submitted(asked)
    asked = asked.light()
    g.openai_request_id = made[0].request_id
    if asked.background and not asked.stream:
        return wire.unfinished(made, asked.note, wire.status_of(made))
    reading = _reading(made, asked.note, goes_on=asked.background)
    if not asked.stream:
        return wire.whole(made, asked.note, reading.answer, reading.pieces())
    pieces = reading.pieces()
    # What fails at once has a status of its own, unless there is a response to ask for.
    return _stream(made, asked.note, reading, pieces if asked.background else begun(pieces))


@blueprint.get("/<response_id>")
def retrieve(response_id: str) -> ResponseReturnValue:
    note, made = _found(response_id)
    if request.args.get("stream") == "true":
        after = whole_number("starting_after", -1)
        reading = _reading(made, note, goes_on=True)
        return _stream(made, note, reading, reading.pieces(), after)
    return _as_it_stands(made, note)


@blueprint.post("/<response_id>/cancel")
def cancel(response_id: str) -> ResponseReturnValue:
    note, made = _found(response_id)
    if not note["background"]:
        raise MalformedRequest("Only a response with 'background' can be cancelled.")
    return _as_it_stands([jobs().cancel(tenant(), job.request_id) for job in made], note)


@blueprint.delete("/<response_id>")
def delete(response_id: str) -> ResponseReturnValue:
    # What an interrupted deletion left; the first one, by which the others are found, goes last.
    _, made = _found(response_id, whole=False)
    for job in reversed(made):
        jobs().delete(tenant(), job.request_id)
    return {"id": response_id, "object": "response", "deleted": True}


@blueprint.errorhandler(CasolaError)
def failed(error: CasolaError) -> Response:
    return openai.failed(error, "input")


def _submitted(asked: wire.ResponseRequest) -> list[Job]:
    found = documents(asked.wanted)
    waits = asked.stream or not asked.background
    wishes = options(jobs(), asked.model, asked.words, Lane.INTERACTIVE if waits else Lane.BULK)
    if waits:
        jobs().check_seats(tenant())
    return submit_once(
        found,
        replace(
            wishes,
            origin=wire.ORIGIN,
            note=asked.note,
            expires_in=None if asked.store else UNSTORED_SECONDS,
        ),
    )


def _found(response_id: str, *, whole: bool = True) -> tuple[Mapping[str, Any], list[Job]]:
    try:
        note, made = jobs().noted(tenant(), wire.request_id(response_id), whole=whole)
    except (NotFound, Gone) as error:
        raise NotFound("There is no response with this ID.") from error
    if made[0].origin != wire.ORIGIN or not note["store"]:
        raise NotFound("There is no response with this ID.")
    g.openai_request_id = made[0].request_id
    return note, made


def _as_it_stands(made: Sequence[Job], note: Mapping[str, Any]) -> ResponseReturnValue:
    status = wire.status_of(made)
    if status != "completed":
        return wire.unfinished(made, note, status)
    reading = _reading(made, note, goes_on=True)
    return wire.whole(made, note, reading.answer, reading.pieces())


def _reading(made: Sequence[Job], note: Mapping[str, Any], *, goes_on: bool) -> Reading:
    return Reading(
        jobs=jobs(),
        tenant=tenant(),
        made=made,
        seconds=settings().sync_timeout_seconds,
        answer=wire.answer_of(note),
        connection=None if goes_on else request.environ.get("gunicorn.socket"),
        goes_on=goes_on,
    )


def _stream(
    made: Sequence[Job],
    note: Mapping[str, Any],
    reading: Reading,
    pieces: Iterator[Piece | None],
    after: int = -1,
) -> Response:
    return event_stream(_sent(wire.events(made, note, reading.answer, pieces), after))


def _sent(events: Iterator[wire.Values | None], after: int) -> Iterator[bytes]:
    for event in events:
        if event is None:
            yield PING
        elif event["sequence_number"] > after:
            data = json.dumps(event, ensure_ascii=False)
            yield f"event: {event['type']}\ndata: {data}\n\n".encode()
