"""Seats for synchronous requests: each holds a connection, so there are only so many."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Waiters:
    """Counts who waits in this process. Safe to share between threads and greenlets.

    A tenant has at most half of the seats, so that no one of them takes all; `owner`, who is alone
    on a server without tokens, may have every one.
    """

    def __init__(self, seats: int, owner: str = ""):
        self._seats = seats
        self._owner = owner
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def seat(self, tenant: str) -> Iterator[bool]:
        """Whether there is a seat; it is held while the context is open."""
        with self._lock:
            seated = self._has_room(tenant)
            if seated:
                self._taken[tenant] += 1
        try:
            yield seated
        finally:
            if seated:
                with self._lock:
                    self._taken[tenant] -= 1
                    if not self._taken[tenant]:
                        del self._taken[tenant]

    def full(self, tenant: str) -> bool:
        """Whether there is no seat for this tenant."""
        with self._lock:
            return not self._has_room(tenant)

    def _has_room(self, tenant: str) -> bool:
        share = self._seats if tenant == self._owner else max(1, self._seats // 2)
        return self._taken.total() < self._seats and self._taken[tenant] < share
