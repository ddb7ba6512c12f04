"""The heartbeat of a worker process: it lives, and it holds what it claimed, or else it stops.

A thread sends heartbeats for the held claims every `stop_check_seconds`. When one is lost, because
its job was cancelled or deleted or somebody else has it, or when the worker is to leave and its
time is up, what runs for it is stopped: how depends on the pool.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import structlog

from casola_ocr.errors import RecordsUnavailable
from casola_ocr.guard import StepStopped
from casola_ocr.model import Claim
from casola_ocr.service import Service

log = structlog.get_logger(__name__)

#: Unused by Celery, whose soft time limit is SIGUSR1.
_SIGNAL = signal.SIGUSR2
#: An idle process gets the next hint within a second or two.
UNFED_SECONDS = 30.0


class Deadline(Protocol):
    """When the worker must have handed everything back: monotonic seconds, 0 = never."""

    value: float


class Pulse:
    """The heartbeat thread of one process, and the `Guard` of its steps."""

    def __init__(self, service: Service, slot: str, deadline: Deadline, pools: Sequence[str]):
        settings = service.settings
        self.deadline = deadline
        self._pools = pools
        #: Since when hints have been waiting for this idle process; 0 = they are not.
        self._unfed_since = 0.0
        self._records = service.records
        self._publisher = service.publisher
        self._slot = slot
        self._lease_ms = settings.lease_seconds * 1000
        self._pulse_every = settings.heartbeat_seconds
        self._check_every = min(settings.stop_check_seconds, settings.heartbeat_seconds)
        self._ending = threading.Event()
        #: By fence, which no two claims share.
        self._claims: dict[int, Claim] = {}
        self._capabilities: tuple[str, ...] = ()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self, capabilities: tuple[str, ...]) -> None:
        """Announce this process: from now on it counts as alive."""
        self._capabilities = capabilities
        self._announce()
        self._thread.start()

    def stop(self) -> None:
        """Leave at once instead of being missed later."""
        self._ending.set()
        try:
            self._records.pulse(self._slot, ())
        except RecordsUnavailable:
            log.info("could not say goodbye", action="pulse_lost")

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[None]:
        """Keep the claim's lease alive while the context is open."""
        self._claims[claim.fence] = claim
        try:
            yield
        finally:
            del self._claims[claim.fence]

    def begin(self, claim: Claim) -> AbstractContextManager[None]:
        """The page has its process for itself."""
        return nullcontext()

    def interruptible(self, claim: Claim) -> AbstractContextManager[None]:
        raise NotImplementedError

    def _lose(self, claim: Claim) -> None:
        """Stop what runs for a claim; called again and again until it is no longer held."""
        raise NotImplementedError

    def _look(self) -> None:
        """What a pool has to see to besides, several times a second."""

    def _run(self) -> None:
        announced = time.monotonic()
        while not self._ending.wait(self._check_every):
            self._look()
            if time.monotonic() - announced >= self._pulse_every:
                announced = time.monotonic()
                self._announce()
            self._check()

    def fed(self) -> None:
        """A hint arrived."""
        self._unfed_since = 0.0

    def _announce(self) -> None:
        try:
            self._records.pulse(self._slot, self._capabilities)
            self._check_feeding()
        except RecordsUnavailable:
            log.warning("no heartbeat: the records are not available", action="pulse_lost")

    def _check_feeding(self) -> None:
        """End a worker to which Celery brings nothing although its queues hold something."""
        now = time.monotonic()
        if self._claims or self.deadline.value or not self._records.hints_waiting(self._pools):
            self._unfed_since = 0.0
        elif not self._unfed_since:
            self._unfed_since = now
        elif now - self._unfed_since > UNFED_SECONDS:
            log.error("no hint arrives although there are some", action="worker_unfed")
            self._end()

    def _end(self) -> None:
        """End this worker at once; it is started again."""
        os._exit(1)

    def _check(self) -> None:
        claims = list(self._claims.values())
        if not claims:
            return
        try:
            if 0 < self.deadline.value <= time.monotonic():
                held = [False] * len(claims)
                for claim in claims:
                    hints = self._records.release(claim, delay_ms=0, counts=False, first=True)
                    self._publisher.publish(hints)
            else:
                held = self._records.heartbeat(claims, self._lease_ms)
        except RecordsUnavailable:
            return
        for claim, ours in zip(claims, held, strict=True):
            if not ours:
                self._lose(claim)


class ForkedPulse(Pulse):
    """The pulse of a prefork child, made and started in its main thread, which also works.

    The main thread is interrupted by a signal: Python runs the handler, which raises, as soon as
    the engine's native code returns. That is the safe point of a CPU engine.

    It also ends the child when its parent is gone: an orphan of a killed worker would go on
    claiming nothing and holding memory.
    """

    def __init__(self, service: Service, slot: str, deadline: Deadline, pools: Sequence[str]):
        super().__init__(service, slot, deadline, pools)
        self._parent = os.getppid()
        #: Fence of the claim whose loss may interrupt the main thread now, and of the one that was
        #: lost; 0 = none.
        self._armed = 0
        self._lost = 0

    def start(self, capabilities: tuple[str, ...]) -> None:
        signal.signal(_SIGNAL, self._interrupt)
        super().start(capabilities)

    @contextmanager
    def interruptible(self, claim: Claim) -> Iterator[None]:
        """Raise `StepStopped` in here once the claim is lost."""
        if self._lost == claim.fence:
            raise StepStopped
        self._armed = claim.fence
        try:
            yield
        finally:
            self._armed = 0

    def _interrupt(self, *_: object) -> None:
        """Run in the main thread, between two bytecodes."""
        if self._armed and self._armed == self._lost:
            raise StepStopped

    def _lose(self, claim: Claim) -> None:
        self._lost = claim.fence
        if self._armed == claim.fence:
            os.kill(os.getpid(), _SIGNAL)

    def _end(self) -> None:
        os.kill(self._parent, signal.SIGKILL)
        super()._end()

    def _look(self) -> None:
        if os.getppid() != self._parent:
            os._exit(1)
