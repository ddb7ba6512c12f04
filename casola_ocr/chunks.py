"""Answers in parts: what goes wrong at their beginning is told before the answer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TypeVar

_Part = TypeVar("_Part")


def begun(parts: Iterator[_Part], count: int = 1) -> Iterator[_Part]:
    """The same parts, the first `count` already there: what fails before them is raised now.

    Closing it closes the parts.
    """
    first = list(islice(parts, count))

    def rest() -> Iterator[_Part]:
        try:
            yield from first
            yield from parts
        finally:
            # An iterator need not have it; what does holds a file or a connection open.
            getattr(parts, "close", lambda: None)()

    return rest()
