"""The reconciler: gives back what nobody works on, recovers a wiped Redis, works off errands.

Several may run at once: each sweep is one atomic script, and everything else is safe to repeat.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import structlog
from celery import Celery

from casola_ocr import erasure, expiry, logs, recovery, usage
from casola_ocr.errands.runner import Runner
from casola_ocr.errors import CasolaError
from casola_ocr.model import SCHEMA_VERSION
from casola_ocr.publisher import CeleryPublisher, celery_settings
from casola_ocr.repeats import forget_old_answers
from casola_ocr.service import Service
from casola_ocr.settings import Settings
from casola_ocr.webhooks.courier import GRACE_SECONDS, Courier

log = structlog.get_logger(__name__)


#: How often the markers in the store are compared with the records, wiped or not.
RECOVER_SECONDS = 60.0
#: How often deletions are looked at that happened long ago.
TOMBSTONE_SECONDS = 3600.0
#: How often files are removed that expired, or were begun and never finished.
EXPIRY_SECONDS = 30.0
#: How long what is being done for errands may hold up the end of the process.
LEAVE_SECONDS = 5.0
#: What tenants keep is counted this long after it was counted last, or after so many times as long
#: as that took: in a large store it shall not be the main work.
COUNT_SECONDS = 120.0
COUNT_REST = 20
#: How long one kind of repair may hold up the others.
SLICE_SECONDS = 0.5


def run(settings: Settings) -> None:
    """Sweep every `reconcile_seconds`, and repair beside that, until SIGTERM or SIGINT. Blocks."""
    logs.configure(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    app = Celery("casola-reconciler")
    app.conf.update(celery_settings(settings.redis_url.get_secret_value()))
    service = Service.open(settings, CeleryPublisher(app))
    slot = f"{socket.gethostname()}:{os.getpid()}"
    reconciler = Reconciler(settings, service)

    def sweep() -> None:
        reconciler.sweep()
        service.records.pulse(slot, ("reconcile",))

    # A thread of its own: finding thousands of jobs again must not hold up the leases. It ends with
    # the process, wherever it is: everything that it does is safe to repeat.
    repairing = threading.Thread(
        target=_repeat, args=(lambda: reconciler.repair(time.monotonic()), stop, settings),
        name="repair", daemon=True,
    )  # fmt: skip
    repairing.start()
    # And another: an errand may take hours.
    runner = Runner(service)
    errands = threading.Thread(
        target=_repeat, args=(lambda: runner.work(stop), stop, settings), name="errands",
        daemon=True,
    )  # fmt: skip
    errands.start()
    courier = Courier(
        service.deliveries,
        service.records.schedule,
        slots=settings.webhook_slots,
        timeout=settings.webhook_timeout_seconds,
    )
    delivering = threading.Thread(target=courier.run, args=(stop,), name="courier", daemon=True)
    delivering.start()
    _repeat(sweep, stop, settings)
    # They let go of what they work on, so that another may go on at once.
    errands.join(LEAVE_SECONDS)
    delivering.join(GRACE_SECONDS)
    service.records.pulse(slot, ())


def _repeat(do: Callable[[], object], stop: threading.Event, settings: Settings) -> None:
    while not stop.is_set():
        try:
            do()
        except CasolaError as error:
            log.warning("cannot reconcile now", action="reconcile_delayed", code=error.code)
        except Exception:
            # One bad object must not end the loop that everything rests on.
            log.exception("reconciling failed", action="reconcile_failed")
        stop.wait(settings.reconcile_seconds)


class Reconciler:
    """What is to be done at each tick. `sweep` and `repair` may run side by side, not twice."""

    def __init__(self, settings: Settings, service: Service):
        self._settings = settings
        self._service = service
        #: The records that were brought in line with the markers, and when that is due again.
        self._recovered = ""
        self._recover_at = 0.0
        self._tombstones_at = 0.0
        self._tombstones: Iterator[int] = iter(())
        self._answers: Iterator[int] = iter(())
        self._expiring_at = 0.0
        self._expiring: Iterator[int] = iter(())
        self._counting: Iterator[int] | None = None
        self._counting_since = 0.0
        self._count_at = 0.0
        self._owed_at = 0.0
        self._owed: Iterator[int] = iter(())
        #: Tenant and ID of jobs whose time has come, as the last sweep found them.
        self._expired: Sequence[tuple[str, str]] = ()
        #: IDs of jobs that were to be begun by now, as the last sweep found them.
        self._late: Sequence[str] = ()
        #: What is left to do of the listing with this name.
        self._listings: dict[str, Iterator[int]] = {}

    def sweep(self) -> None:
        """Give back what nobody works on, and note what expired.

        Raises:
            StoreUnavailable, RecordsUnavailable: nothing is lost; the next tick does it.
        """
        service = self._service
        epoch = service.records.epoch()
        if epoch is not None and epoch < SCHEMA_VERSION:
            # Nothing that these scripts understand.
            return
        swept = service.records.sweep(max_attempts=self._settings.max_attempts)
        service.publisher.publish(swept.hints)
        for request_id, step, why in swept.lost:
            if why != "waited":
                log.info(
                    "nobody worked on a step any more",
                    action="step_lost",
                    request_id=request_id,
                    step=step,
                    why=why,
                )
        self._expired, self._late = swept.expired, swept.late

    def repair(self, now: float) -> None:
        """Recover what was lost, list what ended, delete what expired: each for a while.

        Raises:
            StoreUnavailable, RecordsUnavailable: nothing is lost; the next tick goes on.
        """
        records = self._service.records
        epoch = records.epoch()
        if epoch is not None and epoch < SCHEMA_VERSION:
            log.warning("records of an older version are made anew", action="records_migrated")
            records.wipe()
        name = records.name()
        if name != self._recovered or now >= self._recover_at:
            self._service.recover(thorough=name != self._recovered)
            records.set_epoch()
            if name != self._recovered:
                self._tombstones_at = 0.0
                self._owed = self._service.deliveries.schedule_owed()
            self._recovered, self._recover_at = name, now + RECOVER_SECONDS
        if _for_a_while(self._owed) and now >= self._owed_at:
            self._owed_at = now + RECOVER_SECONDS
            self._owed = self._service.deliveries.schedule_owed()
        self._list_ended(name)
        _for_a_while(self._cancel_late())
        _for_a_while(self._erase_expired())
        if now >= self._tombstones_at:
            self._tombstones_at = now + TOMBSTONE_SECONDS
            self._tombstones = erasure.tend_tombstones(
                records,
                self._service.store,
                days=self._settings.tombstone_days,
                late_ms=self._settings.lease_seconds * 1000,
            )
            self._answers = forget_old_answers(self._service.store)
        _for_a_while(self._tombstones)
        _for_a_while(self._answers)
        if now >= self._expiring_at:
            self._expiring_at = now + EXPIRY_SECONDS
            self._expiring = expiry.tend(self._service.store)
        _for_a_while(self._expiring)
        self._count(now)

    def _count(self, now: float) -> None:
        """Go on counting what tenants keep, for a while."""
        if self._counting is None and now >= self._count_at:
            self._counting, self._counting_since = usage.count(self._service.store), now
        if self._counting is not None and _for_a_while(self._counting):
            self._counting = None
            rest = (now - self._counting_since) * COUNT_REST
            self._count_at = now + max(COUNT_SECONDS, rest)

    def _cancel_late(self) -> Iterator[int]:
        for request_id in self._late:
            self._service.jobs.cancel_late(request_id)
            yield 1

    def _erase_expired(self) -> Iterator[int]:
        for tenant, request_id in self._expired:
            late_ms = self._settings.lease_seconds * 1000
            erasure.erase(
                self._service.records, self._service.store, tenant, request_id, late_ms=late_ms
            )
            yield 1

    def _list_ended(self, name: str) -> None:
        """Go on listing ended jobs after the records were lost, for a while."""
        records, store = self._service.records, self._service.store
        # Popped, so that a store that fails on the way makes it begin anew, as another name does:
        # what was passed over would be missing for good.
        listed = self._listings.pop(name, None)
        if listed is None:
            if records.is_listed(name):
                return
            listed = recovery.list_ended_jobs(self._settings, records, store)
        if _for_a_while(listed):
            records.set_listed(name)
        else:
            self._listings = {name: listed}


def _for_a_while(work: Iterator[int]) -> bool:
    """Do some of the work; whether all of it is done."""
    until = time.monotonic() + SLICE_SECONDS
    return all(time.monotonic() <= until for _ in work)
