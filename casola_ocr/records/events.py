"""Following what happens to jobs: one connection a process, however many wait.

The stream ``ev:{id}`` is the truth; each event is also published on one channel, to which a process
listens once. A `Watch` reads its streams when it begins, and again whenever something published may
have been missed: the connection broke, or its owner was slow. In between nothing is asked of Redis.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog

from casola_ocr.errors import RecordsUnavailable
from casola_ocr.records.connection import Connection, translated

log = structlog.get_logger(__name__)

#: Where `_prelude.lua` publishes each event.
CHANNEL = "casola:events"
#: A connection that was silent this long is asked whether it lives; after twice this it is dead.
SILENCE_SECONDS = 5.0
#: Events kept for a watch that does not fetch them; then it reads its streams again.
BACKLOG = 256
#: How long to wait before Redis is tried again.
PAUSE_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class StreamEvent:
    """One entry of a job's stream; `position` is its ID."""

    request_id: str
    position: str
    fields: Mapping[str, str]

    @property
    def kind(self) -> str:
        return self.fields.get("type", "")


class Watch:
    """What happens to some jobs from a position on. Belongs to one thread or greenlet."""

    def __init__(self, connection: Connection, after: Mapping[str, str]):
        self._connection = connection
        self._after = {request_id: _order(position) for request_id, position in after.items()}
        self._pushed: deque[StreamEvent] = deque()
        self._wake = threading.Event()
        self._missed = True

    def next(self, seconds: float) -> list[StreamEvent]:
        """The next events, oldest first of each job; empty after `seconds` without any.

        While Redis is away nothing happens.
        """
        deadline = time.monotonic() + seconds
        while True:
            self._wake.clear()
            away = False
            if self._missed:
                self._missed = False
                try:
                    found = read_streams(self._connection, self._after)
                except RecordsUnavailable:
                    found, away, self._missed = [], True, True
            else:
                found = [self._pushed.popleft() for _ in range(len(self._pushed))]
            new = [event for event in found if self._is_new(event)]
            left = deadline - time.monotonic()
            if new or left <= 0:
                return new
            if away:
                # Nobody wakes this: what would is the listener, and it has no Redis either.
                time.sleep(min(PAUSE_SECONDS, left))
            else:
                self._wake.wait(left)

    def push(self, event: StreamEvent) -> None:
        """Called by the listener, from its thread."""
        if len(self._pushed) >= BACKLOG:
            self._pushed.clear()
            self._missed = True
        else:
            self._pushed.append(event)
        self._wake.set()

    def read_again(self) -> None:
        """Called by the listener: something may not have been pushed."""
        self._missed = True
        self._wake.set()

    def _is_new(self, event: StreamEvent) -> bool:
        order = _order(event.position)
        if order <= self._after[event.request_id]:
            return False
        self._after[event.request_id] = order
        return True


class EventStreams:
    """The listener of one process, started with the first watch. Safe to share between threads."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._watches: dict[str, set[Watch]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    @contextmanager
    def watch(self, after: Mapping[str, str]) -> Iterator[Watch]:
        """Watch jobs, each from after a position of its stream; ``0`` is the beginning."""
        watch = Watch(self._connection, after)
        with self._lock:
            for request_id in after:
                self._watches.setdefault(request_id, set()).add(watch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="events", daemon=True)
                self._thread.start()
        try:
            yield watch
        finally:
            with self._lock:
                for request_id in after:
                    self._watches[request_id].discard(watch)
                    if not self._watches[request_id]:
                        del self._watches[request_id]

    def close(self) -> None:
        """End the listener, before its connection is closed under it."""
        self._closed.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            # An empty message says nothing to the others that listen.
            with suppress(RecordsUnavailable), translated():
                self._connection.client.publish(CHANNEL, "")
            thread.join(SILENCE_SECONDS)

    def _listen(self) -> None:
        while not self._closed.is_set():
            with suppress(RecordsUnavailable), translated():
                self._follow_channel()
            self._closed.wait(PAUSE_SECONDS)

    def _follow_channel(self) -> None:
        """Hand out what is published until the connection ends."""
        with self._connection.channel(CHANNEL) as receive:
            # Only from here on nothing is missed.
            self._read_all_again()
            silent = 0
            while not self._closed.is_set() and silent < 2:
                message = receive(SILENCE_SECONDS, silent > 0)
                if message is None:
                    silent += 1
                    continue
                silent = 0
                if message:
                    self._hand_out(message)

    def _hand_out(self, message: str) -> None:
        request_id, position, *flat = json.loads(message)
        with self._lock:
            watches = tuple(self._watches.get(request_id, ()))
        if watches:
            event = _event(request_id, position, flat)
            for watch in watches:
                watch.push(event)

    def _read_all_again(self) -> None:
        with self._lock:
            watches = {watch for found in self._watches.values() for watch in found}
        for watch in watches:
            watch.read_again()


def read_streams(connection: Connection, after: Mapping[str, tuple[int, int]]) -> list[StreamEvent]:
    """What the streams of these jobs hold after each one's position.

    Raises:
        RecordsUnavailable: Redis cannot be reached.
    """
    with translated():
        pipeline = connection.client.pipeline(transaction=False)
        for request_id, (milliseconds, number) in after.items():
            pipeline.xrange(f"ev:{request_id}", min=f"({milliseconds}-{number}")
        answers: list[Any] = pipeline.execute()
    return [
        StreamEvent(request_id=request_id, position=position, fields=fields)
        for request_id, entries in zip(after, answers, strict=True)
        for position, fields in entries
    ]


def _event(request_id: str, position: str, flat: Sequence[Any]) -> StreamEvent:
    fields = {str(flat[i]): str(flat[i + 1]) for i in range(0, len(flat), 2)}
    return StreamEvent(request_id=request_id, position=position, fields=fields)


def _order(position: str) -> tuple[int, int]:
    milliseconds, _, number = position.partition("-")
    return int(milliseconds), int(number or 0)
