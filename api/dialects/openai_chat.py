"""OpenAI's chat completions. The words are in `casola_ocr.wire.openai_chat`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Blueprint, g, request
from flask.typing import ResponseReturnValue

from api.auth import tenant
from api.context import jobs, settings
from api.dialects import openai
from api.dialects.common import json_object, submit_once
from api.dialects.openai_reading import Reading, documents
from api.serving import PING, data_event, event_stream
from casola_ocr.chunks import begun
from casola_ocr.errors import CasolaError
from casola_ocr.model import Job, Lane
from casola_ocr.wire.openai_answer import Piece
from casola_ocr.wire.openai_chat import ChatRequest, completion, head, parse
from casola_ocr.wire.openai_errors import refusal
from casola_ocr.wire.openai_parts import options

blueprint = Blueprint("openai_chat", __name__)
blueprint.before_request(openai.begin)
blueprint.after_request(openai.name_request)
blueprint.after_request(openai.tell_room)


@blueprint.post("/chat/completions")
def chat_completions() -> ResponseReturnValue:
    asked = parse(json_object())
    made = _submitted(asked)
    asked = asked.light()
    g.openai_request_id = made[0].request_id
    reading = Reading(
        jobs=jobs(),
        tenant=tenant(),
        made=made,
        seconds=settings().sync_timeout_seconds,
        answer=asked.answer(),
        connection=request.environ.get("gunicorn.socket"),
    )
    if asked.stream:
        # What fails at once has a status of its own; what fails later is an event.
        pieces = begun(reading.pieces())
        return event_stream(events(_chunks(head(made[0]), reading, pieces, asked.with_usage)))
    return completion(made[0], reading.answer, reading.pieces())


def _submitted(asked: ChatRequest) -> list[Job]:
    found = documents(asked.wanted)
    wishes = options(jobs(), asked.model, asked.words, Lane.INTERACTIVE)
    # This surface can only wait: better to refuse than to accept what nobody can ask about.
    jobs().check_seats(tenant())
    return submit_once(found, wishes)


def events(values: Iterator[dict[str, Any] | None]) -> Iterator[bytes]:
    """Server-sent events of chunks, with a comment for each None, and ``[DONE]`` at the end.

    The status is sent already when something fails: then the error is the last event.
    """
    try:
        for value in values:
            yield PING if value is None else data_event(value)
    except CasolaError as error:
        _, told = refusal(error)
        yield data_event({"error": told})
        return
    yield b"data: [DONE]\n\n"


def _chunks(
    answer: dict[str, Any], reading: Reading, pieces: Iterator[Piece | None], with_usage: bool
) -> Iterator[dict[str, Any] | None]:
    quiet = {"usage": None} if with_usage else {}

    def chunk(delta: dict[str, str], probable: Any = None, reason: Any = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": probable, "finish_reason": reason}
        return {**answer, "object": "chat.completion.chunk", "choices": [choice], **quiet}

    yield chunk({"role": "assistant", "content": ""})
    for piece in pieces:
        if piece is None:
            yield None
            continue
        text, probable = piece
        told = None if probable is None else {"content": probable, "refusal": None}
        yield chunk({"content": text}, told)
    yield chunk({}, None, reading.answer.reason)
    if with_usage:
        last = {"object": "chat.completion.chunk", "choices": [], "usage": reading.answer.usage()}
        yield {**answer, **last}
