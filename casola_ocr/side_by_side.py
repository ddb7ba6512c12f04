"""Doing the same with many names side by side: most of the time goes to waiting for the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

#: How many are done side by side.
AT_ONCE = 16

_Name = TypeVar("_Name")
_Found = TypeVar("_Found")


def at_once(do: Callable[[_Name], _Found], names: Sequence[_Name]) -> list[_Found]:
    """What comes of each of the names, in their order. Raises what `do` does."""
    if len(names) < 2:
        return [do(name) for name in names]
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="side-by-side") as pool:
        return list(pool.map(do, names))


def each(do: Callable[[_Name], _Found], names: Iterable[_Name]) -> Iterator[_Found]:
    """As `at_once`, while it is asked for: never more than `AT_ONCE` are done ahead, or held."""
    left = iter(names)
    chunk = list(islice(left, AT_ONCE))
    if len(chunk) < 2:
        yield from map(do, chunk)
        return
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="side-by-side") as pool:
        while chunk:
            yield from pool.map(do, chunk)
            chunk = list(islice(left, AT_ONCE))
