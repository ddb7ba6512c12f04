"""The threads pool, which Celery can neither interrupt nor time nor stop: done here.

A thread that waits for an engine gets an event with its page. It is set when the page's claim is
lost, when its time is up, or when the worker is to leave; the engine then returns soon.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import structlog
from PIL import Image

from casola_ocr.errors import EngineDied, PageTimeout
from casola_ocr.guard import StepStopped
from casola_ocr.model import Claim, Wishes
from casola_ocr.pages import PageResult
from casola_ocr.service import Service
from workers.engines.base import ThreadedEngine
from workers.pulse import Deadline, Pulse

log = structlog.get_logger(__name__)

#: How long engines may take to let go of their pages once those were handed back.
LET_GO_SECONDS = 3.0
#: How long a page may go on after its time was up before its whole worker is ended.
HARD_SECONDS = 15.0
#: How often a page that waits to enter asks whether it is still wanted.
WAIT_SECONDS = 0.2


@dataclass
class Running:
    """A page in flight; its time runs out at `until` on the monotonic clock."""

    until: float = math.inf
    stop: threading.Event = field(default_factory=threading.Event)
    timed_out: bool = False


class Room:
    """Who is in an engine: many pages together, or one alone. Safe to share between threads.

    A page that kills the process takes an attempt from every page beside it. So that none fails
    for its neighbours, the last attempt of a page is made alone, and counts only when it is.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = False
        #: Those who wait to be alone; nobody enters before them.
        self._asking = 0

    @contextmanager
    def enter(self, *, alone: bool, stop: threading.Event) -> Iterator[None]:
        """Wait for a place, and hold it while the context is open.

        Raises:
            StepStopped: `stop` was set before there was one.
        """
        with self._changed:
            self._asking += alone
            try:
                while self._alone or (self._inside if alone else self._asking):
                    if stop.is_set():
                        raise StepStopped
                    self._changed.wait(WAIT_SECONDS)
                self._inside += 1
                self._alone = alone
            finally:
                self._asking -= alone
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._alone = False
                self._changed.notify_all()


class ThreadedPulse(Pulse):
    """The pulse of a worker whose threads each hold a claim. Safe to share between them."""

    def __init__(self, service: Service, slot: str, deadline: Deadline, pools: Sequence[str]):
        super().__init__(service, slot, deadline, pools)
        self._max_attempts = service.settings.max_attempts
        self._page_seconds = service.settings.page_timeout_seconds
        self._room = Room()
        self._running: dict[int, Running] = {}
        #: Why the worker has to be started again; empty = it has not.
        self._leaving = ""
        self._own = threading.local()

    @contextmanager
    def begin(self, claim: Claim) -> Iterator[None]:
        """Enter the room: a page's last attempt is made alone, and counts from then on."""
        running = Running()
        self._running[claim.fence] = self._own.running = running
        last = claim.attempt >= self._max_attempts
        try:
            with self._room.enter(alone=last, stop=running.stop):
                if last and not self._records.enter(claim):
                    raise StepStopped
                running.until = time.monotonic() + self._page_seconds
                yield
        finally:
            del self._running[claim.fence]

    def interruptible(self, claim: Claim) -> AbstractContextManager[None]:
        """`StoppableEngine` sees to it: threads cannot be interrupted."""
        return nullcontext()

    def leave(self, why: str) -> None:
        """Take nothing any more, hand back what is held, and end this process."""
        if not self._leaving:
            log.error("the worker has to be started again", action="worker_leaves", reason=why)
            self._leaving = why
            self.deadline.value = time.monotonic()

    def running(self) -> Running:
        """The page of this thread."""
        found: Running = self._own.running
        return found

    def _lose(self, claim: Claim) -> None:
        running = self._running.get(claim.fence)
        if running is not None:
            running.stop.set()

    def _look(self) -> None:
        now = time.monotonic()
        for running in list(self._running.values()):
            if now > running.until and not running.stop.is_set():
                running.timed_out = True
                running.stop.set()
        stuck = any(now > running.until + HARD_SECONDS for running in list(self._running.values()))
        if stuck or (self._running and 0 < self.deadline.value < now - LET_GO_SECONDS):
            # Nothing else ends a thread; the pages go to others when their leases end.
            log.error("an engine does not let go of its pages", action="engine_stuck")
            os._exit(1)
        if self._leaving and not self._claims:
            os._exit(1)


class StoppableEngine:
    """A `Reader` for `Work` around an engine that many threads share."""

    def __init__(self, engine: ThreadedEngine, pulse: ThreadedPulse):
        self._engine = engine
        self._pulse = pulse

    def read(
        self, image: Image.Image, *, page: int, attempt: int, language: str, wishes: Wishes
    ) -> PageResult:
        running = self._pulse.running()
        try:
            return self._engine.read(
                image,
                page=page,
                attempt=attempt,
                language=language,
                wishes=wishes,
                stop=running.stop,
            )
        except EngineDied:
            self._pulse.leave(f"{self._engine.name} died")
            # Counted as an attempt: this very page may be what it died of.
            raise
        except Exception as error:
            # Whatever an engine raises for a page that it was told to give up.
            if running.timed_out:
                raise PageTimeout() from error
            if running.stop.is_set():
                raise StepStopped from error
            raise
