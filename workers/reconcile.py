"""The reconciler: gives back what nobody works on, and recovers a wiped Redis by itself.

Several may run at once: each sweep is one atomic script, and everything else is safe to repeat.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import structlog
from celery import Celery

from casola_ocr import erasure, logs, recovery
from casola_ocr.errors import CasolaError
from casola_ocr.model import SCHEMA_VERSION
from casola_ocr.publisher import CeleryPublisher, celery_settings
from casola_ocr.service import Service
from casola_ocr.settings import Settings

log = structlog.get_logger(__name__)


#: How often the markers in the store are compared with the records, wiped or not.
RECOVER_SECONDS = 60.0
#: How often deletions are looked at that happened long ago.
TOMBSTONE_SECONDS = 3600.0
#: How long listing ended jobs again may hold up the next sweep.
LISTING_SECONDS = 0.5


def run(settings: Settings) -> None:
    """Sweep every `reconcile_seconds` until SIGTERM or SIGINT. Blocks."""
    logs.configure(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    app = Celery("casola-reconciler")
    app.conf.update(celery_settings(settings.redis_url.get_secret_value()))
    service = Service.open(settings, CeleryPublisher(app))
    slot = f"{socket.gethostname()}:{os.getpid()}"
    reconciler = Reconciler(settings, service)
    while not stop.is_set():
        try:
            reconciler.tick(time.monotonic())
            service.records.pulse(slot, ("reconcile",))
        except CasolaError as error:
            log.warning("cannot reconcile now", action="reconcile_delayed", code=error.code)
        except Exception:
            # One bad object must not end the loop that everything rests on.
            log.exception("reconciling failed", action="reconcile_failed")
        stop.wait(settings.reconcile_seconds)
    service.records.pulse(slot, ())


class Reconciler:
    """What is to be done at each tick. Not thread-safe."""

    def __init__(self, settings: Settings, service: Service):
        self._settings = settings
        self._service = service
        self._recover_at = 0.0
        self._tombstones_at = 0.0
        #: What is left to do of the listing with this name.
        self._listings: dict[str, Iterator[int]] = {}

    def tick(self, now: float) -> None:
        """Recover what was lost, sweep, delete what expired.

        Raises:
            StoreUnavailable, RecordsUnavailable: nothing is lost; the next tick does it.
        """
        records = self._service.records
        epoch = records.epoch()
        if epoch is not None and epoch < SCHEMA_VERSION:
            log.warning("records of an older version are made anew", action="records_migrated")
            records.wipe()
            epoch = None
        if epoch is None or now >= self._recover_at:
            # In this order: an interrupted recovery is begun again.
            self._service.recover()
            records.set_epoch()
            self._recover_at = now + RECOVER_SECONDS
        self._sweep()
        self._list_ended()
        if now >= self._tombstones_at:
            days = self._settings.tombstone_days
            erasure.drop_tombstones(self._service.store, days=days)
            self._tombstones_at = now + TOMBSTONE_SECONDS

    def _sweep(self) -> None:
        service = self._service
        swept = service.records.sweep(max_attempts=self._settings.max_attempts)
        service.publisher.publish(swept.wakes)
        for request_id, step, why in swept.lost:
            if why != "waited":
                log.info(
                    "nobody worked on a step any more",
                    action="step_lost",
                    request_id=request_id,
                    step=step,
                    why=why,
                )
        for tenant, request_id in swept.expired:
            erasure.erase(
                service.records,
                service.store,
                tenant,
                request_id,
                late_ms=self._settings.lease_seconds * 1000,
            )

    def _list_ended(self) -> None:
        """Go on listing ended jobs after the records were lost, for a while."""
        records = self._service.records
        name = records.listing()
        # Popped, so that a store that fails on the way makes it begin anew, as another name does:
        # what was passed over would be missing for good.
        listed = self._listings.pop(name, None)
        if listed is None:
            if records.is_listed():
                return
            listed = recovery.list_ended_jobs(records, self._service.store)
        until = time.monotonic() + LISTING_SECONDS
        for _ in listed:
            if time.monotonic() > until:
                self._listings = {name: listed}
                return
        records.set_listed(name)
