"""Seats for synchronous requests: each holds a connection, so there are only so many."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Waiters:
    """Counts who waits in this process. Safe to share between threads and greenlets."""

    def __init__(self, seats: int):
        self._seats = seats
        self._taken = 0
        self._lock = threading.Lock()

    @contextmanager
    def seat(self) -> Iterator[bool]:
        """Whether there is a seat; it is held while the context is open."""
        with self._lock:
            seated = self._taken < self._seats
            self._taken += seated
        try:
            yield seated
        finally:
            if seated:
                with self._lock:
                    self._taken -= 1

    def full(self) -> bool:
        return self._taken >= self._seats
