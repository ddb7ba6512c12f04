"""OpenAI's chat completions: what a body asks for, and what is answered.

The documents of the last user message become their text. Its words choose a mode or are a prompt
for engines that take one; for the others they are ignored, because every client sends some. What a
token is: `openai_tokens`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from casola_ocr.errors import MalformedRequest
from casola_ocr.model import Job
from casola_ocr.wire import openai_parts as parts
from casola_ocr.wire.openai_answer import MAX_ALTERNATIVES, Answer, Piece
from casola_ocr.wire.openai_parts import Wanted
from casola_ocr.wire.openai_schema import fields_of


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """What a body asks for; all of it is judged before anything is accepted."""

    model: str
    #: In their order; at least one.
    wanted: tuple[Wanted, ...]
    #: What was written beside them.
    words: str
    stream: bool
    with_usage: bool
    #: As of `Answer`.
    most: int | None
    fields: tuple[str, ...] | None
    alternatives: int | None

    def answer(self) -> Answer:
        """Where the answer is made, still without any text."""
        return Answer(most=self.most, fields=self.fields, alternatives=self.alternatives)

    def light(self) -> ChatRequest:
        """The same without its documents, which may be large, for those who wait for the answer."""
        return replace(self, wanted=(), words="")


def parse(body: dict[str, Any]) -> ChatRequest:
    """The request in a body.

    Raises:
        MalformedRequest: it is none, or asks for what cannot be done here; `field` names the part.
    """
    parts.harmless(body)
    if parts.whole(body, "n", 1) not in (None, 1):
        raise MalformedRequest("Only n=1 is supported: a page has one text.", field="n")
    stream = parts.checked(body, "stream", bool, "true or false")
    streaming = parts.checked(body, "stream_options", dict, "an object") or {}
    with_usage = parts.checked(streaming, "include_usage", bool, "true or false")
    most = [parts.whole(body, name, 1) for name in ("max_completion_tokens", "max_tokens")]
    alternatives = parts.whole(body, "top_logprobs", 0, MAX_ALTERNATIVES)
    probable = parts.checked(body, "logprobs", bool, "true or false")
    if alternatives is not None and not probable:
        raise MalformedRequest("'top_logprobs' needs logprobs=true.", field="top_logprobs")
    fields = fields_of(body.get("response_format"))
    if probable and fields:
        raise MalformedRequest("'logprobs' are those of plain text.", field="logprobs")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise MalformedRequest("'model' is the name of a model, or 'auto'.", field="model")
    wanted, words = parts.said(
        parts.checked(body, "messages", list, "a list"),
        "messages",
        parts.from_chat,
        parts.CHAT_WORDS,
        "an 'image_url' or a 'file' part",
    )
    return ChatRequest(
        model=model,
        wanted=wanted,
        words=words,
        stream=bool(stream),
        with_usage=bool(with_usage),
        most=next((number for number in most if number is not None), None),
        fields=fields,
        alternatives=(alternatives or 0) if probable else None,
    )


def head(job: Job) -> dict[str, Any]:
    """How every answer begins; `job` is of the request's first document."""
    return {
        "id": f"chatcmpl-{job.request_id.removeprefix('req_')}",
        "created": job.created_at // 1000,
        "model": job.engine,
    }


def completion(job: Job, answer: Answer, pieces: Iterable[Piece | None]) -> dict[str, Any]:
    """A whole answer of these pieces, which are the `answer`'s own."""
    texts: list[str] = []
    probable: list[dict[str, Any]] = []
    told = answer.alternatives is not None
    for piece in pieces:
        if piece is not None:
            texts.append(piece[0])
            told = told and piece[1] is not None
            probable += piece[1] or []
    message = {"role": "assistant", "content": "".join(texts), "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": {"content": probable, "refusal": None} if told else None,
        "finish_reason": answer.reason,
    }
    return {
        **head(job),
        "object": "chat.completion",
        "choices": [choice],
        "usage": answer.usage(),
    }
