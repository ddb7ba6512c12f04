"""The heartbeat of a worker child: it lives, and it holds what it claimed, or else it stops.

A thread sends heartbeats for the held claims every `stop_check_seconds`. When one is lost, because
its job was cancelled or deleted or somebody else has it, or when the worker is to leave and its
time is up, the main thread is interrupted by a signal: Python runs the handler, which raises, as
soon as the engine's native code returns. That is the safe point of a CPU engine.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog

from casola_ocr.errors import RecordsUnavailable
from casola_ocr.model import Claim
from casola_ocr.publisher import Publisher
from casola_ocr.records import Records
from casola_ocr.settings import Settings
from casola_ocr.work import StepStopped

log = structlog.get_logger(__name__)

#: Unused by Celery, whose soft time limit is SIGUSR1.
_SIGNAL = signal.SIGUSR2


class Deadline(Protocol):
    """When the worker's children must have handed everything back: monotonic seconds, 0 = never."""

    value: float


class Pulse:
    """The heartbeat thread of a child. Made and started in the child's main thread.

    It also ends the child when its parent is gone: an orphan of a killed worker would go on
    claiming nothing and holding memory.
    """

    def __init__(
        self,
        settings: Settings,
        records: Records,
        publisher: Publisher,
        slot: str,
        deadline: Deadline,
    ):
        self._records = records
        self._publisher = publisher
        self._slot = slot
        self._deadline = deadline
        self._lease_ms = settings.lease_seconds * 1000
        self._pulse_every = settings.heartbeat_seconds
        self._check_every = min(settings.stop_check_seconds, settings.heartbeat_seconds)
        self._parent = os.getppid()
        self._stop = threading.Event()
        self._claims: list[Claim] = []
        #: The claim whose loss may interrupt the main thread now, and the one that was lost.
        self._armed: Claim | None = None
        self._lost: Claim | None = None
        self._capabilities: tuple[str, ...] = ()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self, capabilities: tuple[str, ...]) -> None:
        """Announce this child: from now on it counts as alive."""
        signal.signal(_SIGNAL, self._interrupt)
        self._capabilities = capabilities
        self._announce()
        self._thread.start()

    def stop(self) -> None:
        """Leave at once instead of being missed later."""
        self._stop.set()
        try:
            self._records.pulse(self._slot, ())
        except RecordsUnavailable:
            log.info("could not say goodbye", action="pulse_lost")

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[None]:
        """Keep the claim's lease alive while the context is open."""
        self._claims.append(claim)
        try:
            yield
        finally:
            self._claims.remove(claim)

    @contextmanager
    def interruptible(self, claim: Claim) -> Iterator[None]:
        """Raise `StepStopped` in here once the claim is lost."""
        if self._lost is claim:
            raise StepStopped
        self._armed = claim
        try:
            yield
        finally:
            self._armed = None

    def _interrupt(self, *_: object) -> None:
        """Run in the main thread, between two bytecodes."""
        if self._armed is not None and self._armed is self._lost:
            raise StepStopped

    def _run(self) -> None:
        announced = time.monotonic()
        while not self._stop.wait(self._check_every):
            if os.getppid() != self._parent:
                os._exit(1)
            if time.monotonic() - announced >= self._pulse_every:
                announced = time.monotonic()
                self._announce()
            self._check()

    def _announce(self) -> None:
        try:
            self._records.pulse(self._slot, self._capabilities)
        except RecordsUnavailable:
            log.warning("no heartbeat: the records are not available", action="pulse_lost")

    def _check(self) -> None:
        claims = list(self._claims)
        if not claims:
            return
        try:
            if 0 < self._deadline.value <= time.monotonic():
                for claim in claims:
                    self._publisher.publish(self._records.release(claim, delay_ms=0, counts=False))
                held = [False] * len(claims)
            else:
                held = self._records.heartbeat(claims, self._lease_ms)
        except RecordsUnavailable:
            return
        for claim, ours in zip(claims, held, strict=True):
            if not ours:
                self._lost = claim
                if self._armed is claim:
                    os.kill(os.getpid(), _SIGNAL)
