"""OpenAI's Responses: what a body asks for, and the response and its events that are answered.

As in chat, the documents of the last user message become the text of one output message. What has
to be known again when a response is looked up is its `note`, which is kept with its first job.

The events of a stream follow from the note and the pages alone, so a stream that is asked for again
has the same ones with the same numbers. Shapes: the openai package's ``types/responses``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from casola_ocr.errors import (
    CasolaError,
    Conflict,
    MalformedRequest,
    Unavailable,
    WaitTimeout,
    error_by_code,
)
from casola_ocr.metadata import check_metadata
from casola_ocr.model import Job, JobStatus
from casola_ocr.times import now_ms
from casola_ocr.wire import openai_parts as parts
from casola_ocr.wire.openai_answer import MAX_ALTERNATIVES, Answer, Piece
from casola_ocr.wire.openai_errors import IMAGE_CODES, refusal
from casola_ocr.wire.openai_parts import Wanted
from casola_ocr.wire.openai_schema import fields_of

#: How jobs say that a response made them.
ORIGIN = "openai:responses"
#: A note is kept with the job and read at each look: a schema may be long, but not any length.
MAX_NOTE_BYTES = 64 * 1024
_LOGPROBS = "message.output_text.logprobs"

#: A response, or an event of one.
Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ResponseRequest:
    """What a body asks for; all of it is judged before anything is accepted."""

    model: str
    #: In their order; at least one.
    wanted: tuple[Wanted, ...]
    #: What was written beside them.
    words: str
    stream: bool
    background: bool
    store: bool
    #: What is answered again with the response, and `alternatives` of its answer.
    note: Mapping[str, Any]

    def light(self) -> ResponseRequest:
        """The same without its documents, which may be large, for those who wait for the answer."""
        return replace(self, wanted=(), words="")


def parse(body: dict[str, Any]) -> ResponseRequest:
    """The request in a body.

    Raises:
        MalformedRequest: it is none, or asks for what cannot be done here; `field` names the part.
    """
    parts.harmless(body)
    background = bool(parts.checked(body, "background", bool, "true or false"))
    store = body.get("store") is not False
    if background and not store:
        raise MalformedRequest(
            "'background' needs 'store': nobody could ask for the response.", field="store"
        )
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise MalformedRequest("'model' is the name of a model, or 'auto'.", field="model")
    wanted, words = parts.said(
        parts.checked(body, "input", (str, list), "a string or a list"),
        "input",
        parts.from_response,
        parts.RESPONSE_WORDS,
        "an 'input_image' or an 'input_file' part",
    )
    return ResponseRequest(
        model=model,
        wanted=wanted,
        words=words,
        stream=bool(parts.checked(body, "stream", bool, "true or false")),
        background=background,
        store=store,
        note=_note(body, background=background, store=store),
    )


def answer_of(note: Mapping[str, Any]) -> Answer:
    """Where the answer is made, still without any text."""
    return Answer(
        most=note["max_output_tokens"],
        fields=fields_of(note["text"]["format"], "text.format"),
        alternatives=note["alternatives"],
    )


def response_id(request_id: str) -> str:
    """The response whose first job this is."""
    return f"resp_{request_id.removeprefix('req_')}"


def request_id(response_id: str) -> str:
    """The inverse of `response_id`; of anything else, what is no request ID either."""
    return f"req_{response_id.removeprefix('resp_')}" if response_id.startswith("resp_") else ""


def status_of(jobs: Sequence[Job]) -> str:
    """Where a response stands whose jobs these are; one that failed or was stopped decides."""
    states = {job.status for job in jobs}
    if JobStatus.FAILED in states:
        return "failed"
    if JobStatus.CANCELLED in states:
        return "cancelled"
    if states == {JobStatus.COMPLETED}:
        return "completed"
    return "queued" if states == {JobStatus.QUEUED} else "in_progress"


def failure_of(jobs: Iterable[Job]) -> CasolaError:
    """Why a response failed."""
    for job in jobs:
        if job.error is not None:
            return error_by_code(job.error.code, job.error.detail)
    return CasolaError()


def unfinished(jobs: Sequence[Job], note: Mapping[str, Any], status: str) -> Values:
    """The response without any output."""
    first = jobs[0]
    values = {
        "id": response_id(first.request_id),
        "object": "response",
        "created_at": first.created_at // 1000,
        "status": status,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": first.engine,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "tool_choice": "auto",
        "tools": [],
        "truncation": "disabled",
        "usage": None,
        **{name: value for name, value in note.items() if name != "alternatives"},
    }
    if status == "failed":
        values["error"] = _told(failure_of(jobs))
    return values


def whole(
    jobs: Sequence[Job], note: Mapping[str, Any], answer: Answer, pieces: Iterable[Piece | None]
) -> Values:
    """The response with its text, once `pieces`, which are the `answer`'s own, have ended."""
    *_, last = filter(None, _events(jobs, note, answer, pieces))
    ended: Values = last["response"]
    return ended


def events(
    jobs: Sequence[Job], note: Mapping[str, Any], answer: Answer, pieces: Iterable[Piece | None]
) -> Iterator[Values | None]:
    """The events of a response as its text comes; None for each None among the pieces.

    They are numbered from 0. What the pieces raise becomes the last one.
    """
    number = 0
    for event in _ended(jobs, note, _events(jobs, note, answer, pieces)):
        if event is None:
            yield None
        else:
            yield {**event, "sequence_number": number}
            number += 1


def _ended(
    jobs: Sequence[Job], note: Mapping[str, Any], events: Iterable[Values | None]
) -> Iterator[Values | None]:
    try:
        yield from events
    except Conflict:
        # OpenAI has no event for it.
        yield {"type": "response.incomplete", "response": unfinished(jobs, note, "cancelled")}
    except (WaitTimeout, Unavailable) as error:
        # The response goes on; it is the stream that does not.
        _, body = refusal(error, "input")
        told = {name: body[name] for name in ("code", "message", "param")}
        yield {"type": "error", **told}
    except CasolaError as error:
        values = {**unfinished(jobs, note, "failed"), "error": _told(error)}
        yield {"type": "response.failed", "response": values}


def _events(
    jobs: Sequence[Job], note: Mapping[str, Any], answer: Answer, pieces: Iterable[Piece | None]
) -> Iterator[Values | None]:
    item_id = f"msg_{jobs[0].request_id.removeprefix('req_')}"
    place = {"item_id": item_id, "output_index": 0, "content_index": 0}
    yield from _opening(jobs, note)
    item = {"id": item_id, "type": "message", "role": "assistant"}
    yield {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": {**item, "status": "in_progress", "content": []},
    }
    yield {"type": "response.content_part.added", **place, "part": _part("", [])}
    texts: list[str] = []
    probable: list[dict[str, Any]] = []
    told = answer.alternatives is not None
    for piece in pieces:
        if piece is None:
            yield None
            continue
        texts.append(piece[0])
        told = told and piece[1] is not None
        probable += piece[1] or []
        yield {
            "type": "response.output_text.delta",
            **place,
            "delta": piece[0],
            "logprobs": piece[1] or [],
        }
    text, probable = "".join(texts), probable if told else []
    cut = answer.reason == "length"
    status = "incomplete" if cut else "completed"
    done = {**item, "status": status, "content": [_part(text, probable)]}
    yield {"type": "response.output_text.done", **place, "text": text, "logprobs": probable}
    yield {"type": "response.content_part.done", **place, "part": _part(text, probable)}
    yield {"type": "response.output_item.done", "output_index": 0, "item": done}
    usage = answer.usage()
    yield {
        "type": f"response.{status}",
        "response": {
            **unfinished(jobs, note, status),
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "completed_at": _ended_at(jobs),
            "output": [done],
            "usage": {
                "input_tokens": usage["prompt_tokens"],
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": usage["completion_tokens"],
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage["total_tokens"],
            },
        },
    }


def _opening(jobs: Sequence[Job], note: Mapping[str, Any]) -> Iterator[Values]:
    queued = unfinished(jobs, note, "queued" if note["background"] else "in_progress")
    yield {"type": "response.created", "response": queued}
    if note["background"]:
        yield {"type": "response.queued", "response": queued}
    begun = {**queued, "status": "in_progress"}
    yield {"type": "response.in_progress", "response": begun}


def _part(text: str, probable: list[dict[str, Any]]) -> Values:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": probable}


def _told(error: CasolaError) -> dict[str, str]:
    """As a response's `error`: the package knows only codes of images, and this one."""
    return {"code": IMAGE_CODES.get(error.code, "server_error"), "message": error.detail}


def _ended_at(jobs: Iterable[Job]) -> int:
    """Seconds since 1970; those whose end the caller did not look up end now."""
    return max(job.finished_at or now_ms() for job in jobs) // 1000


def _note(body: dict[str, Any], *, background: bool, store: bool) -> dict[str, Any]:
    alternatives = parts.whole(body, "top_logprobs", 0, MAX_ALTERNATIVES)
    included = parts.checked(body, "include", list, "a list") or []
    text = parts.checked(body, "text", dict, "an object") or {}
    wanted = text.get("format") or {"type": "text"}
    fields = fields_of(wanted, "text.format")
    probable = _LOGPROBS in included
    if probable and fields:
        raise MalformedRequest("'logprobs' are those of plain text.", field="include")
    note = {
        "background": background,
        "store": store,
        "metadata": check_metadata(body.get("metadata")),
        "max_output_tokens": parts.whole(body, "max_output_tokens", 1),
        "temperature": body.get("temperature"),
        "top_p": body.get("top_p"),
        "text": {"format": wanted},
        "top_logprobs": alternatives or 0,
        "user": body.get("user"),
        "alternatives": (alternatives or 0) if probable else None,
    }
    try:
        json.dumps(note, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        # Python reads NaN and 1e999, and in a line of a batch half of a character.
        raise MalformedRequest("The body holds what JSON cannot write.") from error
    if len(json.dumps(note)) > MAX_NOTE_BYTES:
        raise MalformedRequest("'text' and 'user' have together at most 64 kB.", field="text")
    return note
