"""What a request says outside of its body: numbers in the query, preferences in a header."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flask import request

from casola_ocr.errors import MalformedRequest

#: Longer numbers mean nothing here, and Python refuses to parse very long ones.
_MAX_DIGITS = 9

#: One preference of RFC 7240 with its parameters: quoted strings may hold commas.
_PREFERENCE = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')
_WAIT = re.compile(r'\s*wait\s*=\s*(?:([0-9]+)|"([0-9]+)")\s*(?:;.*)?', re.IGNORECASE | re.DOTALL)


def whole_number(name: str, default: int, *, low: int = 0, high: int | None = None) -> int:
    """A number of the query string, `default` where it is not given.

    Raises:
        MalformedRequest: it is not a whole number from `low` to `high`.
    """
    text = request.args.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS:
        number = int(text)
        if low <= number and (high is None or number <= high):
            return number
    limits = f"from {low} to {high}" if high is not None else f"of at least {low}"
    raise MalformedRequest(f"'{name}' is a whole number {limits}.", field=name)


def preferred_wait(most: int) -> int:
    """Seconds of ``Prefer: wait=N`` (RFC 7240), at most `most`; 0 without it.

    A preference that cannot be understood is ignored, and of several the first counts: both are
    rules of the RFC.
    """
    for preference in _preferences():
        match = _WAIT.fullmatch(preference)
        if match:
            digits = match[1] or match[2]
            return most if len(digits) > _MAX_DIGITS else min(int(digits), most)
    return 0


def _preferences() -> Iterator[str]:
    for header in request.headers.getlist("Prefer"):
        yield from _PREFERENCE.findall(header)
