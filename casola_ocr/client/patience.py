"""Trying again: what may be sent twice is, until it is done or the patience is over.

Every request of the client may: reading is harmless, and what creates something has an
Idempotency-Key. Only what passes by itself is tried again: a busy server (429, 503, and whatever
else it calls retryable), as long as it says in Retry-After, and a connection that broke.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import httpx

from casola_ocr.client.errors import NotReached, Refused
from casola_ocr.client.transport import Call, Transport

#: How long a document is offered to a server that is too busy to take it.
BUSY_SECONDS = 600.0
#: How long a server that answered before may be away, such as while it restarts.
AWAY_SECONDS = 60.0
#: Tries of a server that never answered yet but takes connections.
FIRST_TRIES = 5
#: Pauses between two tries where the server does not say how long: doubled each time.
PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 30.0
#: So much of a pause is added at random, so that many clients do not come back at once.
JITTER = 0.25

_Made = TypeVar("_Made")


@dataclass
class Patience:
    """How long one client tries. Can be shared between threads."""

    transport: Transport
    #: The server's address, for what is told of it.
    url: str
    busy_seconds: float
    away_seconds: float
    #: Whether the server ever did: a wrong address is told at once.
    answered: bool = False

    async def until_done(self, attempt: Callable[[], Awaitable[_Made]]) -> _Made:
        """What comes of an attempt that may be made again.

        Raises:
            NotReached: no answer came.
            Refused: what the server says; `Busy` when it still does after `busy_seconds`.
        """
        tries = Tries(self)
        while True:
            try:
                made = await attempt()
            except (httpx.TransportError, Refused) as error:
                await tries.after(error)
            else:
                self.answered = True
                return made

    async def call(self, call: Call, made: Callable[[httpx.Response], _Made]) -> _Made:
        """What `made` makes of the answer to a call. Raises as `until_done`."""

        async def attempt() -> _Made:
            return made(await self.transport.send(call))

        return await self.until_done(attempt)


class Tries:
    """The tries of one request, counted from its first."""

    def __init__(self, patience: Patience):
        self._patience = patience
        self.begin_again()

    def begin_again(self) -> None:
        """Something was reached: what fails from now on is new."""
        self._begun, self._failed = time.monotonic(), 0

    async def after(self, error: httpx.TransportError | Refused) -> None:
        """Pause after a failed try.

        Raises:
            NotReached, Refused: it is not worth another try.
        """
        patience = self._patience
        self._failed += 1
        pause = min(MAX_PAUSE_SECONDS, PAUSE_SECONDS * 2 ** (self._failed - 1))
        limit = patience.away_seconds
        if isinstance(error, Refused):
            patience.answered = True
            if not error.retryable:
                raise error
            limit = patience.busy_seconds
            if error.retry_after_seconds is not None:
                pause = max(PAUSE_SECONDS, error.retry_after_seconds)
        elif not patience.answered:
            at_once = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            if at_once or self._failed >= FIRST_TRIES:
                raise NotReached(f"No server answers at {patience.url}.") from error
        if time.monotonic() + pause > self._begun + limit:
            if isinstance(error, Refused):
                raise error
            detail = f"The server at {patience.url} does not answer any more."
            raise NotReached(detail) from error
        await patience.transport.sleep(pause * (1 + random.uniform(0, JITTER)))
