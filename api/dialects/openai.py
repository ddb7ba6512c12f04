"""What all of OpenAI's surface shares: models, errors, headers, under ``/openai/v1`` and ``/v1``.

Shapes: the openai package's types. Chat completions, responses and files have modules of their own.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from flask import Blueprint, Response, g, jsonify, request
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import jobs
from api.problems import add_headers
from casola_ocr.errors import (
    CasolaError,
    Conflict,
    Unavailable,
    UnknownModel,
    WaitTimeout,
)
from casola_ocr.ids import new_request_id
from casola_ocr.wire.openai_errors import duration, refusal

#: The version of the API that OpenAI itself has named since 2020.
API_VERSION = "2020-10-01"


def begin() -> None:
    """Before every view: when it began, and who asks."""
    g.openai_began = time.monotonic()
    authenticate()


blueprint = Blueprint("openai", __name__)
blueprint.before_request(begin)


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
    response.headers["openai-version"] = API_VERSION
    began = g.get("openai_began")
    if began is not None:
        response.headers["openai-processing-ms"] = str(round((time.monotonic() - began) * 1000))
    return response


def tell_room(response: Response) -> Response:
    """How much more is accepted, in OpenAI's headers of limits: of pages, as those are limited."""
    if request.method != "POST" or "tenant" not in g:
        return response
    with suppress(Unavailable):
        room = jobs().room(tenant())
        response.headers["x-ratelimit-limit-requests"] = str(room.limit)
        response.headers["x-ratelimit-remaining-requests"] = str(room.left)
        if room.seconds is not None:
            response.headers["x-ratelimit-reset-requests"] = duration(room.seconds)
    return response


def failed(error: CasolaError, where: str = "messages") -> Response:
    """The error as OpenAI answers it; `where` is the field that holds the documents."""
    status, body = refusal(error, where)
    response = jsonify(error=body)
    response.status_code = status
    add_headers(response, error)
    if isinstance(error, WaitTimeout | Conflict):
        # The work goes on: sending the image again would only do it twice.
        response.headers["x-should-retry"] = "false"
    return name_request(response)


def _names() -> tuple[str, ...]:
    live = jobs().live_engines()
    return tuple(dict.fromkeys(("auto", *live))) if live else ()


def _listed() -> str:
    return ", ".join(_names()) or "none"


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(time.time()), "owned_by": "casola"}
