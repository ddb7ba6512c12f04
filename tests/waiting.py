"""Waiting for what nobody tells of: ask again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

#: How long after something happened it may be noticed.
LOOK_SECONDS = 0.05


def until(
    found: Callable[[], Found],
    what: str | Callable[[], str],
    seconds: float = 60,
    look_seconds: float = LOOK_SECONDS,
) -> Found:
    """What `found` returns, as soon as that is true.

    :param what: what is waited for, and so what never happened; a function is asked at the end.
    :raises AssertionError: after `seconds` without it.
    """
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        if time.monotonic() > deadline:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"after {seconds} s still not: {told}")
        time.sleep(look_seconds)
    return answer
