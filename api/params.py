"""What a request says outside of its body: numbers in the query, preferences in a header."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, cast

from flask import request
from pydantic import AfterValidator, BeforeValidator, Field

from api.validation import Query
from casola_ocr import shapes
from casola_ocr.errors import MalformedRequest
from casola_ocr.ids import REQUEST_ID
from casola_ocr.model import Job

#: Longer numbers mean nothing here, and Python refuses to parse very long ones.
_MAX_DIGITS = 9
MAX_KEY_LENGTH = 255
#: What a job's JSON has.
JOB_FIELDS = tuple(shapes.Job.__annotations__)

#: One preference of RFC 7240 with its parameters: quoted strings may hold commas.
_PREFERENCE = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')
_ASYNC = re.compile(r"\s*respond-async\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
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


def _whole(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.isascii() and value.isdecimal() and len(value) <= _MAX_DIGITS:
        return int(value)
    raise ValueError("a whole number")


def truth(value: object) -> object:
    """What text says that is ``true`` or ``false``; the rest as it is."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def parts(value: object) -> object:
    """What a query string parts with commas."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _field(name: str) -> str:
    if name not in JOB_FIELDS:
        raise ValueError(f"a job does not have it; it has {', '.join(JOB_FIELDS)}")
    return name


#: A number as text.
Whole = Annotated[int, BeforeValidator(_whole)]
#: ``true`` or ``false``.
Truth = Annotated[bool, Field(strict=True), BeforeValidator(truth)]
#: Where a list goes on: what the one before gave as `next`.
Cursor = Annotated[str, Field(json_schema_extra={"pattern": f"^[0-9]{{13}}/{REQUEST_ID}$"})]
#: Names of what a job's JSON has; its ID is always told.
Fields = Annotated[
    frozenset[Annotated[str, AfterValidator(_field), shapes.one_of(JOB_FIELDS)]],
    Field(min_length=1),
    BeforeValidator(parts),
]


class Look(Query):
    """The query string of a job or batch."""

    wait: Whole = Field(0, ge=0, le=10**_MAX_DIGITS - 1)
    """Seconds to wait until it ends, at most what the server allows."""
    fields: Fields = frozenset()
    """Tell of each job only these, and its `request_id`."""


def sparse(job: Job, fields: frozenset[str]) -> shapes.Job | shapes.SparseJob:
    """The job's JSON, or only these fields of it; its ID is always there."""
    whole = job.to_dict()
    if not fields:
        return whole
    left = {name: value for name, value in whole.items() if name in {"request_id", *fields}}
    return cast(shapes.SparseJob, left)


def idempotency_key() -> str:
    """The header's value; the draft's structured string may come with its quotes or without.

    Raises:
        MalformedRequest: it is too long.
    """
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(key) > MAX_KEY_LENGTH:
        raise MalformedRequest(
            f"'Idempotency-Key' has at most {MAX_KEY_LENGTH} characters.", field="Idempotency-Key"
        )
    return key


def prefers_async() -> bool:
    """Whether ``Prefer: respond-async`` (RFC 7240) is asked for."""
    return any(_ASYNC.fullmatch(preference) for preference in _preferences())


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
