"""Delivers what is due, some at once: beside the reconciler, in threads of its own."""

from __future__ import annotations

import threading
import time
from collections import Counter

import structlog

from casola_ocr.errors import CasolaError
from casola_ocr.records.schedule import Due, Schedule
from casola_ocr.webhooks.deliveries import Deliveries

log = structlog.get_logger(__name__)

#: How long to wait before looking again when nothing is due.
IDLE_SECONDS = 0.5
#: What a delivery may take beyond its request: reading and writing in the store.
STORE_SECONDS = 10.0
#: How long deliveries may take to end when the service stops; what is cut off is made again.
GRACE_SECONDS = 2.0


class Courier:
    """Takes no more from the schedule than it has slots, so that what waits costs no memory.

    A receiver that never answers holds at most a quarter of them, a tenant at most half.
    """

    def __init__(self, deliveries: Deliveries, schedule: Schedule, *, slots: int, timeout: float):
        self._deliveries = deliveries
        self._schedule = schedule
        self._slots = slots
        self._lease_ms = int((timeout + STORE_SECONDS) * 1000)
        self._lock = threading.Lock()
        self._freed = threading.Event()
        #: Deliveries that are being made, of each tenant and of each host.
        self._held: Counter[str] = Counter()
        self._running = 0

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set. Blocks."""
        while not stop.is_set():
            self._freed.clear()
            try:
                taken = self._take()
            except CasolaError as error:
                log.warning("cannot deliver now", action="deliveries_delayed", code=error.code)
                taken = []
            for due in taken:
                self._start(due)
            if not taken:
                self._freed.wait(IDLE_SECONDS)
        deadline = time.monotonic() + GRACE_SECONDS
        while self._running and time.monotonic() < deadline:
            self._freed.wait(0.05)

    def _take(self) -> list[Due]:
        with self._lock:
            free, held = self._slots - self._running, dict(self._held)
        if not free:
            return []
        return self._schedule.take(
            free,
            lease_ms=self._lease_ms,
            per_host=max(1, self._slots // 4),
            per_tenant=max(1, self._slots // 2),
            held=held,
        )

    def _start(self, due: Due) -> None:
        with self._lock:
            self._running += 1
            self._held.update(_names(due))
        # A daemon: a request that hangs does not keep the process.
        threading.Thread(target=self._deliver, args=(due,), name="webhook", daemon=True).start()

    def _deliver(self, due: Due) -> None:
        try:
            self._deliveries.deliver(due)
        except CasolaError as error:
            log.warning(
                "a webhook is delayed",
                action="webhook_delayed",
                request_id=due.request_id,
                code=error.code,
            )
        except Exception:
            # It is taken again when its lease is over; the others go on.
            log.exception("a webhook failed", action="webhook_broken", request_id=due.request_id)
        finally:
            with self._lock:
                self._running -= 1
                self._held.subtract(_names(due))
                self._held += Counter()
            self._freed.set()


def _names(due: Due) -> tuple[str, str]:
    return due.tenant, f"/{due.host}"
