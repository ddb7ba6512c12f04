"""The heartbeat of one worker child: it lives, and it still holds what it claimed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from casola_ocr.errors import RecordsUnavailable
from casola_ocr.model import Claim
from casola_ocr.records import Records
from casola_ocr.settings import Settings

log = structlog.get_logger(__name__)


class Pulse:
    """A thread that tells the records every `heartbeat_seconds` what this child does.

    It also ends the child when its parent is gone: an orphan of a killed worker would go on
    claiming nothing and holding memory.
    """

    def __init__(self, settings: Settings, records: Records, slot: str):
        self._records = records
        self._slot = slot
        self._lease_ms = settings.lease_seconds * 1000
        self._every = settings.heartbeat_seconds
        self._parent = os.getppid()
        self._stop = threading.Event()
        self._claims: list[Claim] = []
        self._capabilities: tuple[str, ...] = ()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self, capabilities: tuple[str, ...]) -> None:
        """Announce this child: from now on it counts as alive."""
        self._capabilities = capabilities
        self._beat()
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

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            if os.getppid() != self._parent:
                os._exit(1)
            self._beat()

    def _beat(self) -> None:
        try:
            self._records.pulse(self._slot, self._capabilities)
            for claim in list(self._claims):
                self._records.heartbeat(claim, self._lease_ms)
        except RecordsUnavailable:
            log.warning("no heartbeat: the records are not available", action="pulse_lost")
