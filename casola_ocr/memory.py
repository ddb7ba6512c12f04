"""Memory that was freed goes back to the system (glibc only; nothing happens elsewhere)."""

from __future__ import annotations

import ctypes
from contextlib import suppress

#: Of `mallopt`: blocks from this size on are mapped, each by itself.
_M_MMAP_THRESHOLD = -3
_MMAP_THRESHOLD_BYTES = 1_000_000


def give_large_blocks_back() -> None:
    """Have blocks of a megabyte leave this process, and its children, as soon as they are freed.

    By itself glibc keeps up to 32 MB of each kind once some were freed, and then what small blocks
    lie between: pages of different shapes, and pictures in bodies, cost half as much again or more.
    See mallopt(3).
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)


def give_small_blocks_back() -> None:
    """Have what is free between blocks that are in use leave this process now: malloc_trim(3)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
