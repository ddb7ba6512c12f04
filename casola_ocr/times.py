"""Moments: milliseconds since 1970 (UTC) inside, RFC 3339 outside."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import overload


def now_ms() -> int:
    """Milliseconds since 1970 by this machine's clock: for people to read, never for leases."""
    return int(time.time() * 1000)


@overload
def timestamp(milliseconds: int) -> str: ...


@overload
def timestamp(milliseconds: None) -> None: ...


@overload
def timestamp(milliseconds: int | None) -> str | None: ...


def timestamp(milliseconds: int | None) -> str | None:
    """Milliseconds since 1970 (UTC) as RFC 3339 with a Z."""
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(rfc3339: str | None) -> int | None:
    """The inverse of `timestamp`."""
    if rfc3339 is None:
        return None
    return round(datetime.fromisoformat(rfc3339).timestamp() * 1000)


@overload
def seconds(milliseconds: int) -> int: ...


@overload
def seconds(milliseconds: None) -> None: ...


@overload
def seconds(milliseconds: int | None) -> int | None: ...


def seconds(milliseconds: int | None) -> int | None:
    """Whole seconds since 1970, as OpenAI and Mistral tell moments."""
    return None if milliseconds is None else milliseconds // 1000
