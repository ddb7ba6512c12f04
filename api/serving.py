"""Answers of a special kind: a client's own bytes as they are, and streams of events."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from flask import Response

from casola_ocr.chunks import begun

#: Sent while nothing is ready, so that a client that went away is noticed and proxies wait.
PING = b": ping\n\n"


def attachment(
    chunks: Iterable[bytes], *, media_type: str, file_name: str, size: int | None = None
) -> Response:
    """The bytes as a file to keep, which no browser takes for a page of this site.

    With a `size`, which is how many there are, the client can tell when some are missing.
    The first of them are read at once: where that fails, the request is answered with a problem.
    """
    response = Response(begun(iter(chunks)), content_type=media_type)
    response.headers.set("Content-Disposition", "attachment", **_names(file_name))
    response.headers["X-Content-Type-Options"] = "nosniff"
    if size is not None:
        response.content_length = size
    return response


def event_stream(parts: Iterable[bytes]) -> Response:
    """Server-sent events, which nobody on the way may keep back."""
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return Response(parts, content_type="text/event-stream", headers=headers)


def data_event(values: Mapping[str, Any]) -> bytes:
    """A server-sent event of data alone; half of a character becomes a question mark."""
    return f"data: {json.dumps(values, ensure_ascii=False)}\n\n".encode(errors="replace")


def _names(name: str) -> dict[str, str]:
    """The file's name as RFC 6266 has it: in ASCII for old clients, and as RFC 8187 encodes it."""
    if name.isascii():
        return {"filename": name}
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return {"filename": plain, "filename*": f"UTF-8''{quote(name, safe='')}"}
