"""The lines of an errand, one JSON object in each, read in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from casola_ocr.errands.model import LineError

#: What OpenAI allows in one file.
MAX_LINES = 50_000

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A line that is in order; `number` is that of the line in its file, the first is 1."""

    number: int
    #: The client's own name for it; unlike every other of its file.
    custom_id: str
    body: dict[str, Any]


class LineRefused(Exception):
    """The line is not in order."""

    def __init__(self, code: str, message: str, param: str | None = None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param

    def at(self, line: int) -> LineError:
        return LineError(code=self.code, message=self.message, line=line, param=self.param)


def read_lines(file: BinaryIO, most_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """Number and bytes of each line but blank ones; None for one of more than `most_bytes`."""
    number = 0
    while line := file.readline(most_bytes + 1):
        number += 1
        fits = len(line) <= most_bytes or line.endswith(b"\n")
        rest = b"" if fits else line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(most_bytes + 1)
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not fits:
            yield number, None
        elif line.strip():
            yield number, line


def parse_line(line: bytes | None) -> dict[str, Any]:
    """The object in a line.

    Raises:
        LineRefused: there is none.
    """
    if line is None:
        raise LineRefused("invalid_json_line", "This line is longer than a request may be.")
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise LineRefused(
            "invalid_json_line", "This line is not parseable as valid JSON."
        ) from None
    if not isinstance(values, dict):
        raise LineRefused("invalid_json_line", "This line is not a JSON object.")
    return values
