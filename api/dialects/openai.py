"""OpenAI's chat completions and models, under ``/openai/v1`` and ``/v1``.

Each ``image_url`` part of the last user message is a job; the answer is their text, joined by a
blank line. Its text parts choose a mode or are a prompt for engines that take one; for the others
they are accepted and ignored, because every client sends some.
`usage.completion_tokens` counts words and `prompt_tokens` images, because these engines have no
tokens. Shapes: the openai package's types.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, g, jsonify
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import jobs, settings
from api.dialects.common import check_count, document_from_url, json_object, wait_for
from api.problems import add_headers
from casola_ocr.errors import (
    CasolaError,
    Conflict,
    MalformedRequest,
    UnknownModel,
    WaitTimeout,
    error_by_code,
)
from casola_ocr.jobs import NewDocument, Options
from casola_ocr.model import Job, JobStatus, Lane, new_request_id
from casola_ocr.prompts import asked_in_chat

blueprint = Blueprint("openai", __name__)
blueprint.before_request(authenticate)

#: Our codes → OpenAI's image error codes; all answer 400.
IMAGE_CODES = {
    "bad_url": "invalid_image_url",
    "fetch_refused": "invalid_image_url",
    "fetch_failed": "failed_to_download_image",
    "fetch_timeout": "failed_to_download_image",
    "bad_data_url": "invalid_base64_image",
    "empty_file": "empty_image_file",
    "damaged_document": "image_parse_error",
    "no_page_read": "image_parse_error",
    "too_many_pixels": "image_too_large",
    "too_many_pages": "image_too_large",
    "file_too_large": "image_file_too_large",
    "unsupported_format": "invalid_image_format",
}


@blueprint.post("/chat/completions")
def chat_completions() -> ResponseReturnValue:
    body = json_object()
    documents, options = _parse(body)
    # This surface can only wait: better to refuse than to accept what nobody can ask about.
    jobs().check_seats()
    made = jobs().submit(tenant(), documents, options)
    g.openai_request_id = made[0].request_id
    ended = wait_for(made, settings().sync_timeout_seconds)
    read = [_completed(job) for job in ended]
    text = "\n\n".join(jobs().text(tenant(), job.request_id) for job in read)
    answer = {
        "id": f"chatcmpl-{made[0].request_id.removeprefix('req_')}",
        "created": made[0].created_at // 1000,
        "model": made[0].engine,
    }
    words = sum(job.words or 0 for job in read)
    usage = {
        "prompt_tokens": len(made),
        "completion_tokens": words,
        "total_tokens": len(made) + words,
    }
    if body.get("stream"):
        include_usage = (body.get("stream_options") or {}).get("include_usage", False)
        return Response(
            _chunks(answer, text, usage if include_usage else None),
            content_type="text/event-stream",
            headers={"Cache-Control": "no-cache"},
        )
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {**answer, "object": "chat.completion", "choices": [choice], "usage": usage}


@blueprint.get("/models")
def models() -> ResponseReturnValue:
    return {"object": "list", "data": [_model(name) for name in _names()]}


@blueprint.get("/models/<name>")
def model(name: str) -> ResponseReturnValue:
    if name not in _names():
        raise UnknownModel(f"No model has this name. Models that are live now: {_listed()}.")
    return _model(name)


@blueprint.after_request
def name_request(response: Response) -> Response:
    response.headers["x-request-id"] = g.setdefault("openai_request_id", new_request_id())
    return response


def failed(error: CasolaError) -> Response:
    """The error as OpenAI answers it."""
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = kinds.get(error.status, "server_error" if error.status >= 500 else "")
    status, code, param = error.status, error.code, getattr(error, "field", None) or None
    if param == "prompt":
        param = "messages"
    if isinstance(error, UnknownModel):
        status, code, param = 404, "model_not_found", "model"
    elif error.code in IMAGE_CODES:
        status, code, param = 400, IMAGE_CODES[error.code], "messages"
    body = {
        "message": error.detail,
        "type": kind or "invalid_request_error",
        "param": param,
        "code": code,
    }
    response = jsonify(error=body)
    response.status_code = status
    add_headers(response, error)
    if isinstance(error, WaitTimeout | Conflict):
        # The work goes on: sending the image again would only do it twice.
        response.headers["x-should-retry"] = "false"
    return name_request(response)


def _parse(body: dict[str, Any]) -> tuple[list[NewDocument], Options]:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise MalformedRequest("'model' is the name of a model, or 'auto'.", field="model")
    if body.get("n") not in (None, 1):
        raise MalformedRequest("Only n=1 is supported: a page has one text.", field="n")
    if not isinstance(body.get("stream") or False, bool):
        raise MalformedRequest("'stream' is true or false.", field="stream")
    if not isinstance(body.get("stream_options") or {}, dict):
        raise MalformedRequest("'stream_options' is an object.", field="stream_options")
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise MalformedRequest("'messages' is a list.", field="messages")
    said = [m for m in messages if isinstance(m, dict) and m.get("role") == "user"]
    parts = said[-1].get("content") if said else None
    parts = parts if isinstance(parts, list) else []
    urls = [_image_url(part) for part in parts if _is_image(part)]
    if not urls:
        raise MalformedRequest(
            "The last user message holds no image: send an 'image_url' part.", field="messages"
        )
    check_count(len(urls))
    documents = [document_from_url(url, settings().max_file_bytes) for url in urls]
    mode, prompt = asked_in_chat("\n".join(filter(None, map(_text, parts))))
    if prompt and not jobs().takes_prompt(model):
        prompt = ""
    return documents, Options(model=model, lane=Lane.INTERACTIVE, mode=mode, prompt=prompt)


def _text(part: Any) -> str:
    text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
    return text if isinstance(text, str) else ""


def _is_image(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "image_url"


def _image_url(part: dict[str, Any]) -> str:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise MalformedRequest("'image_url.url' is a URL or a data: URL.", field="messages")
    return url


def _completed(job: Job) -> Job:
    if not job.status.terminal:
        raise WaitTimeout(
            f"The request took too long; it goes on as {job.request_id}, see GET /api/v1/jobs/."
        )
    if job.status is JobStatus.COMPLETED:
        return job
    if job.error is None:
        raise Conflict("The request was cancelled.")
    raise error_by_code(job.error.code, job.error.detail)


def _chunks(answer: dict[str, Any], text: str, usage: dict[str, int] | None) -> Iterator[bytes]:
    def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
        chunk = {**answer, "object": "chat.completion.chunk", "choices": choices, **more}
        return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"

    def choice(delta: dict[str, str], reason: str | None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]

    quiet = {"usage": None} if usage else {}
    yield event(choice({"role": "assistant", "content": ""}, None), **quiet)
    yield event(choice({"content": text}, None), **quiet)
    yield event(choice({}, "stop"), **quiet)
    if usage:
        yield event([], usage=usage)
    yield b"data: [DONE]\n\n"


def _names() -> tuple[str, ...]:
    live = jobs().live_engines()
    return tuple(dict.fromkeys(("auto", *live))) if live else ()


def _listed() -> str:
    return ", ".join(_names()) or "none"


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(time.time()), "owned_by": "casola"}
