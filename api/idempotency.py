"""``Idempotency-Key`` on routes whose verb does not know it: the first answer is given again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import Response, current_app, request
from flask.typing import ResponseReturnValue

from api.auth import tenant
from api.context import service
from api.params import idempotency_key
from casola_ocr.repeats import Answer

#: Says that this request did nothing, because an earlier one with its key did.
REPLAYED = "Idempotent-Replayed"
#: Headers that belong to an answer wherever it is given.
_KEPT = ("Cache-Control", "Content-Type", "Location", "Retry-After")
_CHUNK_BYTES = 1024 * 1024

_Arguments = ParamSpec("_Arguments")


def replayable(
    view: Callable[_Arguments, ResponseReturnValue],
) -> Callable[_Arguments, ResponseReturnValue]:
    """Let a view that creates something do so once for each key; its answer is short JSON.

    Raises:
        KeyReused: the key came with another request before.
        InProgress: that one is being answered now.
    """

    @wraps(view)
    def once(*args: _Arguments.args, **named: _Arguments.kwargs) -> ResponseReturnValue:
        key = idempotency_key()
        if not key:
            return view(*args, **named)

        def make() -> Answer:
            made = current_app.make_response(view(*args, **named))
            headers = {name: made.headers[name] for name in _KEPT if name in made.headers}
            return Answer(status=made.status_code, body=made.get_data(), headers=headers)

        answer, replayed = service().answers.once(tenant(), key, _fingerprint(), make)
        response = Response(answer.body, status=answer.status, headers=dict(answer.headers))
        if replayed:
            response.headers[REPLAYED] = "true"
        return response

    once.takes_key = True  # type: ignore[attr-defined]
    return once


def _fingerprint() -> str:
    """What makes two requests the same: where they go, and their content, not how it is parted."""
    digest = hashlib.sha256(f"{request.method} {request.full_path}\n".encode())
    if request.mimetype != "multipart/form-data":
        digest.update(request.get_data())
        return digest.hexdigest()
    for name, value in request.form.items(multi=True):
        digest.update(f"{name!r}={value!r}\n".encode(errors="replace"))
    for name, file in request.files.items(multi=True):
        digest.update(f"{name!r}: {file.filename!r} {file.mimetype!r}\n".encode(errors="replace"))
        while chunk := file.stream.read(_CHUNK_BYTES):
            digest.update(chunk)
        file.stream.seek(0)
    return digest.hexdigest()
