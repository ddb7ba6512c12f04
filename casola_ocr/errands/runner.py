"""Working on all errands, side by side: each has its turn for a moment, over and over.

An errand is worked on by one process at a time, which holds a lease on it in Redis. Should two do
so for a moment, because Redis was wiped or a process slept, nothing is done twice: see
`casola_ocr.errands`. The one that finds another's nonce in its place, or was silent for as long as
a lease lasts, stops before it writes anything more.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

import structlog
from ulid import ULID

from casola_ocr import expiry
from casola_ocr.errands.running import Work
from casola_ocr.errors import CasolaError, RecordsUnavailable
from casola_ocr.ids import is_batch_id
from casola_ocr.objects import keys
from casola_ocr.records import RESERVED_MS, Records
from casola_ocr.service import Service
from casola_ocr.times import now_ms

log = structlog.get_logger(__name__)

#: Errands that one process works on at once; each holds its lines in a file on disk.
MAX_ACTIVE = 16
#: How long an errand keeps its place while others wait for one.
PLACE_SECONDS = 300.0
#: Threads that submit lines and read answers; most of their time goes to waiting for the store.
THREADS = 4
#: How often leases are prolonged, and markers are looked for while there is work.
RENEW_SECONDS = 5.0
SEARCH_SECONDS = 2.0
#: After an errand could not be gone on with.
PAUSE_SECONDS = 5.0
#: The longest rest while there is work.
REST_SECONDS = 0.25


class LeaseLost(Exception):
    """Another process works on the errand."""


@dataclass
class Lease:
    """The right to work on an errand; `renew` is called by another thread than `check`."""

    records: Records
    name: str
    nonce: str = field(default_factory=lambda: uuid4().hex)
    until: float = 0.0

    def take(self) -> bool:
        """Take or keep it; False when another process has it."""
        asked = time.monotonic()
        if not self.records.reserve(self.name, self.nonce):
            self.until = 0.0
            return False
        self.until = asked + RESERVED_MS / 1000
        return True

    def renew(self) -> None:
        # While nobody can tell, it runs out by itself.
        with suppress(RecordsUnavailable):
            if time.monotonic() < self.until:
                self.take()

    def check(self) -> None:
        """Raise `LeaseLost` if it is another's by now, or may be."""
        if time.monotonic() >= self.until:
            raise LeaseLost

    def release(self) -> None:
        with suppress(RecordsUnavailable):
            self.records.unreserve(self.name, self.nonce)


@dataclass
class _Active:
    tenant: str
    lease: Lease
    steps: Generator[float]
    since: float
    due: float = 0.0


class Runner:
    """Works on errands in the thread that calls `work`."""

    def __init__(self, service: Service):
        self._service = service
        self._active: dict[str, _Active] = {}
        #: Errands that are left alone until then.
        self._paused: dict[str, float] = {}
        #: When an errand that waits left its place; none = it had none yet.
        self._left: dict[str, float] = {}
        self._search_at = 0.0

    def work(self, stop: threading.Event) -> None:
        """Work until nothing is left to do, or `stop` is set.

        Raises:
            StoreUnavailable, RecordsUnavailable: nothing is lost; call it again.
        """
        ended = threading.Event()
        keeper = threading.Thread(
            target=self._renew, args=(ended,), name="errand-leases", daemon=True
        )
        with ThreadPoolExecutor(THREADS, thread_name_prefix="errands") as pool:
            keeper.start()
            try:
                while not stop.is_set():
                    self._search(pool)
                    if not self._active:
                        return
                    self._turn(stop)
            finally:
                ended.set()
                keeper.join()
                for name in list(self._active):
                    self._drop(name)

    def _turn(self, stop: threading.Event) -> None:
        """One step of each errand that is due."""
        for name, active in list(self._active.items()):
            if time.monotonic() >= active.due:
                self._step(name, active)
        now = time.monotonic()
        rest = min((active.due - now for active in self._active.values()), default=0.0)
        if rest > 0:
            stop.wait(min(rest, REST_SECONDS))

    def _step(self, name: str, active: _Active) -> None:
        try:
            active.lease.check()
            active.due = time.monotonic() + next(active.steps)
            return
        except StopIteration:
            pass
        except LeaseLost:
            log.warning("an errand is another's now", action="errand_lost", errand_id=name)
        except CasolaError as error:
            log.warning(
                "an errand cannot go on now", action="errand_delayed", errand_id=name,
                code=error.code,
            )  # fmt: skip
            self._paused[name] = time.monotonic() + PAUSE_SECONDS
        except Exception:
            # Such as a full disk: the others go on, and this one from what is stored of it.
            log.exception("work on an errand failed", action="errand_failed", errand_id=name)
            self._paused[name] = time.monotonic() + PAUSE_SECONDS
        self._drop(name)

    def _drop(self, name: str) -> None:
        active = self._active.pop(name)
        # It may hold files open.
        active.steps.close()
        active.lease.release()
        self._left[name] = time.monotonic()

    def _search(self, pool: ThreadPoolExecutor) -> None:
        """Begin with errands that nobody works on; those of tenants with the fewest first."""
        now = time.monotonic()
        if self._active and now < self._search_at:
            return
        self._search_at = now + SEARCH_SECONDS
        self._paused = {name: until for name, until in self._paused.items() if until > now}
        found = [
            keys.parse_errand_marker(key) for key in self._service.store.list(keys.ERRANDS_PREFIX)
        ]
        waiting = sorted(
            (name, tenant)
            for tenant, name in found
            if name not in self._active and name not in self._paused
        )
        self._left = {name: self._left[name] for name, _ in waiting if name in self._left}
        busy = Counter(active.tenant for active in self._active.values())
        while waiting:
            name, tenant = min(
                waiting, key=lambda item: (busy[item[1]], self._left.get(item[0], 0.0), item[0])
            )
            is_full = len(self._active) >= MAX_ACTIVE
            leaver = self._leaver(busy, tenant) if is_full else None
            if is_full and leaver is None:
                return
            waiting.remove((name, tenant))
            # It may be another process's: a place is left only to one that takes it.
            if self._begin(tenant, name, pool):
                busy[tenant] += 1
                if leaver is not None:
                    busy[self._active[leaver].tenant] -= 1
                    self._drop(leaver)

    def _leaver(self, busy: Counter[str], tenant: str) -> str | None:
        """Who is to leave its place to an errand of this tenant; it goes on from what is stored.

        That is one of the tenant with the most places, if that one has more than its share, or if
        it had its place for long: what waits may have been cancelled, or its time may be over.
        """
        name, active = min(
            self._active.items(), key=lambda item: (-busy[item[1].tenant], item[1].since)
        )
        has_more = busy[active.tenant] > busy[tenant] + 1
        return name if has_more or time.monotonic() - active.since > PLACE_SECONDS else None

    def _begin(self, tenant: str, name: str, pool: ThreadPoolExecutor) -> bool:
        stored = self._service.errands.stored(tenant, name)
        if stored is None:
            if is_batch_id(name) and _age_ms(name) > expiry.UNFINISHED_MS:
                # It was never accepted, or is gone.
                self._service.store.delete([keys.errand_marker(tenant, name)])
            return False
        lease = Lease(self._service.records, f"errand:{name}")
        if not lease.take():
            return False
        # What another process kept before its lease ended.
        errand, report = self._service.errands.stored(tenant, name) or stored
        work = Work(self._service, errand, report, check_lease=lease.check, pool=pool)
        self._active[name] = _Active(
            tenant=tenant, lease=lease, steps=work.run(), since=time.monotonic()
        )
        return True

    def _renew(self, ended: threading.Event) -> None:
        while not ended.wait(RENEW_SECONDS):
            for active in list(self._active.values()):
                active.lease.renew()


def _age_ms(name: str) -> int:
    made: Callable[[str], ULID] = ULID.from_str
    return now_ms() - int(made(name.partition("_")[2]).timestamp * 1000)
