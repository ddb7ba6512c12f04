"""The faults: a schedule drawn from the seed, and a monkey that does, undoes and times them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis

from tests.chaos import proxy
from tests.chaos.cluster import API, FORKED, PAGES, PREPARE, RECONCILERS, VALKEY, Cluster, ready
from tests.chaos.ledger import Findings
from tests.chaos.proxy import StoreProxy
from tests.chaos.watch import Held, Watch

INTERVAL_SECONDS = (3.0, 8.0)
OUTAGE_SECONDS = 5.0
#: A stopped worker is silent this much longer than its lease.
BEYOND_LEASE_SECONDS = 5.0
#: A recovery that takes longer is given up and counted as never.
NEVER_SECONDS = 180.0
#: A process that was asked to end and did not is killed after this, and that is a violation:
#: gunicorn's grace and the longest page are far below it.
TERMINATE_SECONDS = 30.0
CLOCK_HOST = "pages-2"
#: How often it is looked whether something recovered: the error of those times.
LOOK_SECONDS = 0.1


@dataclass
class World:
    """What faults act on. `proxy` and `disk` are None where the store is not of that kind."""

    cluster: Cluster
    watch: Watch
    findings: Findings
    urls: list[str]
    lease_seconds: float
    proxy: StoreProxy | None = None
    disk: Path | None = None
    clock: Path | None = None
    #: Set when the faults are to end; every fault then undoes itself at once.
    ending: threading.Event = field(default_factory=threading.Event)

    def pause(self, seconds: float) -> None:
        self.ending.wait(seconds)


@dataclass(frozen=True)
class Planned:
    """One fault of a schedule. `victim` is the lane that it takes, `draw` a number to choose by."""

    at: float
    kind: str
    victim: str
    draw: int


@dataclass
class Happened:
    """A fault that was done.

    `recovery` is in seconds, one for each thing that had to recover; `freed`, of each step that a
    process held, until others could have it: the rest is its turn in the queue.
    """

    kind: str
    victim: str
    at: float
    undone_at: float
    held: int = 0
    recovery: list[float] = field(default_factory=list)
    freed: list[float] = field(default_factory=list)
    never: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Takeover:
    """Steps that processes held at the moment `since`, and how long each took to be taken over."""

    since: float
    held: list[Held]
    freed: dict[Held, float] = field(default_factory=dict)
    again: list[float] = field(default_factory=list)

    def look(self, watch: Watch) -> None:
        """Note what happened by now; those that somebody else has are no longer in `held`."""
        seconds = round(time.monotonic() - self.since, 2)
        fates = dict(zip(self.held, watch.fate(self.held), strict=True))
        for item, fate in fates.items():
            if fate != "held":
                self.freed.setdefault(item, seconds)
        self.held = [item for item, fate in fates.items() if fate != "again"]
        self.again += [seconds] * (len(fates) - len(self.held))


@dataclass(frozen=True)
class Outcome:
    """What a fault leaves to be watched: steps to be taken over, or any progress since `at`."""

    at: float
    takeover: Takeover | None = None


Act = Callable[[World, Planned], Outcome]


@dataclass(frozen=True)
class Kind:
    """A kind of fault. It has one of the `victims`, and with it all of `also`, for itself."""

    act: Act
    victims: tuple[str, ...]
    #: Expected length, so that two faults of one victim are not planned at once.
    seconds: float
    store: str = ""
    also: tuple[str, ...] = ()


def _kill(world: World, planned: Planned, processes: Iterable[psutil.Process]) -> Outcome:
    """SIGKILL, noting which steps the processes held at that moment."""
    doomed = list(processes)
    before = world.watch.held_by(process.pid for process in doomed)
    for process in doomed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    takeover = Takeover(time.monotonic(), before)
    # What its owner finished between the look and the signal was not held.
    fates = world.watch.fate(before)
    takeover.held = [item for item, fate in zip(before, fates, strict=True) if fate != "again"]
    return Outcome(takeover.since, takeover)


def kill_child(world: World, planned: Planned) -> Outcome:
    children = world.cluster.children(planned.victim)
    return _kill(world, planned, children[planned.draw % len(children) :][:1] if children else [])


def kill_group(world: World, planned: Planned) -> Outcome:
    return _kill(world, planned, world.cluster.family(planned.victim))


def kill_server(world: World, planned: Planned) -> Outcome:
    for process in world.cluster.family(planned.victim):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return Outcome(time.monotonic())


def kill_valkey(world: World, planned: Planned) -> Outcome:
    kill_server(world, planned)
    return Outcome(_wait_for_valkey(world))


def flush(world: World, planned: Planned) -> Outcome:
    world.watch.client.flushall()
    return Outcome(time.monotonic())


def cut_clients(world: World, planned: Planned) -> Outcome:
    world.watch.client.execute_command("CLIENT", "KILL", "TYPE", "normal")
    return Outcome(time.monotonic())


def fill_valkey(world: World, planned: Planned) -> Outcome:
    client = world.watch.client
    before = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", 1_000_000)
    try:
        world.pause(OUTAGE_SECONDS)
    finally:
        _until_done(lambda: client.config_set("maxmemory", before))
    return Outcome(time.monotonic())


def stop_group(world: World, planned: Planned) -> Outcome:
    return _stop(world, planned, world.cluster.family(planned.victim))


def stop_child(world: World, planned: Planned) -> Outcome:
    children = world.cluster.children(planned.victim)
    return _stop(world, planned, children[planned.draw % len(children) :][:1] if children else [])


def _stop(world: World, planned: Planned, processes: list[psutil.Process]) -> Outcome:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    takeover = Takeover(time.monotonic(), [])
    until = takeover.since + world.lease_seconds + BEYOND_LEASE_SECONDS
    try:
        takeover.held = world.watch.held_by(process.pid for process in processes)
        while time.monotonic() < until and not world.ending.is_set():
            takeover.look(world.watch)
            world.pause(LOOK_SECONDS)
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()
    return Outcome(takeover.since, takeover)


def roll(world: World, planned: Planned) -> Outcome:
    """Restart everything with SIGTERM, one after the other, as a deployment does."""
    for name in world.cluster.names():
        if world.ending.is_set():
            break
        begun = time.monotonic()
        if not world.cluster.terminate(name, TERMINATE_SECONDS):
            world.findings.add(
                "a process did not end on SIGTERM", f"{name}, {TERMINATE_SECONDS:.0f} s"
            )
        while world.cluster.leader(name) is None and time.monotonic() - begun < 60:
            time.sleep(LOOK_SECONDS)
        if name == VALKEY:
            _wait_for_valkey(world)
        elif name in API:
            url = world.urls[API.index(name)]
            while not ready(url) and time.monotonic() - begun < 30 and not world.ending.is_set():
                time.sleep(LOOK_SECONDS)
        else:
            world.pause(2.0)
    return Outcome(time.monotonic())


def store_fault(mode: str) -> Act:
    def act(world: World, planned: Planned) -> Outcome:
        assert world.proxy is not None
        world.proxy.switch(mode)
        try:
            world.pause(OUTAGE_SECONDS)
        finally:
            world.proxy.switch(proxy.PASS)
        return Outcome(time.monotonic())

    return act


def fill_disk(world: World, planned: Planned) -> Outcome:
    assert world.disk is not None
    ballast = world.disk / "ballast"
    block = b"\0" * 65536
    try:
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while not world.ending.is_set():
                file.write(block)
        world.pause(OUTAGE_SECONDS)
    finally:
        ballast.unlink(missing_ok=True)
    return Outcome(time.monotonic())


def jump_clock(world: World, planned: Planned) -> Outcome:
    """One worker's clock jumps an hour ahead, then an hour back, then tells the right time."""
    assert world.clock is not None
    try:
        for offset in ("+3600", "-3600"):
            world.clock.write_text(offset)
            world.pause(OUTAGE_SECONDS)
    finally:
        world.clock.write_text("+0")
    return Outcome(time.monotonic())


_EVERYTHING = (*API, *PAGES, *PREPARE, *RECONCILERS, VALKEY)
_STORE = ("store",)
#: A stop is planned as long as it is with the default lease.
_STOP_SECONDS = 25.0
KINDS: dict[str, Kind] = {
    "kill-child": Kind(kill_child, FORKED, 1),
    "kill-group": Kind(kill_group, PAGES, 6),
    "kill-prepare": Kind(kill_group, PREPARE, 6),
    "kill-api": Kind(kill_server, API, 4),
    "kill-reconciler": Kind(kill_server, RECONCILERS, 4),
    "kill-valkey": Kind(kill_valkey, (VALKEY,), 3),
    "flush": Kind(flush, (VALKEY,), 3),
    "cut-clients": Kind(cut_clients, (VALKEY,), 2),
    "full-valkey": Kind(fill_valkey, (VALKEY,), OUTAGE_SECONDS + 1),
    "stop-group": Kind(stop_group, PAGES, _STOP_SECONDS),
    "stop-child": Kind(stop_child, FORKED, _STOP_SECONDS),
    "rolling": Kind(roll, ("everything",), 40, also=_EVERYTHING),
    "store-500": Kind(store_fault(proxy.ERROR), _STORE, OUTAGE_SECONDS + 1, "s3"),
    "store-503": Kind(store_fault(proxy.SLOW_DOWN), _STORE, OUTAGE_SECONDS + 1, "s3"),
    "store-slow": Kind(store_fault(proxy.SLOW), _STORE, OUTAGE_SECONDS + 4, "s3"),
    "store-refused": Kind(store_fault(proxy.REFUSE), _STORE, OUTAGE_SECONDS + 1, "s3"),
    "full-disk": Kind(fill_disk, _STORE, OUTAGE_SECONDS + 2, "directory"),
    "clock": Kind(jump_clock, (CLOCK_HOST,), 2 * OUTAGE_SECONDS + 1),
}


def kinds_for(store: str) -> list[str]:
    """The faults that make sense with this store."""
    return [name for name, kind in KINDS.items() if kind.store in ("", store)]


def schedule(seed: int, seconds: float, names: list[str]) -> list[Planned]:
    """What happens when. Every kind comes once before any comes twice, as far as victims allow."""
    source = random.Random(f"{seed}/faults")
    taken: dict[str, float] = {}
    bag: list[str] = []
    made = []
    at = source.uniform(*INTERVAL_SECONDS)
    while at < seconds and names:
        if not bag:
            bag = source.sample(names, len(names))
        draw = source.getrandbits(32)
        for name in bag:
            kind = KINDS[name]
            free = [victim for victim in kind.victims if taken.get(victim, 0) <= at]
            fits = at + kind.seconds <= max(seconds, kind.seconds + INTERVAL_SECONDS[1])
            if free and fits and all(taken.get(lane, 0) <= at for lane in kind.also):
                victim = free[draw % len(free)]
                taken |= dict.fromkeys((victim, *kind.also), at + kind.seconds)
                made.append(Planned(round(at, 2), name, victim, draw))
                bag.remove(name)
                break
        at += source.uniform(*INTERVAL_SECONDS)
    return made


class Monkey:
    """Does a schedule from threads of its own and measures the recovery from each fault."""

    def __init__(self, world: World, planned: list[Planned], say: Callable[[str], None]):
        self._world = world
        self._say = say
        self._begun = time.monotonic()
        self.happened: list[Happened] = []
        self._lock = threading.Lock()
        self._undone: list[threading.Event] = []
        self._measured = threading.Event()
        self._threads: list[threading.Thread] = []
        self._main = threading.Thread(target=self._run, args=(planned,), daemon=True)
        self._main.start()

    def stop(self) -> None:
        """Returns when every fault is undone; recoveries are still being measured."""
        self._world.ending.set()
        self._main.join()
        for event in self._undone:
            event.wait()

    def close(self) -> None:
        """End the measuring, too: what has not recovered by now is counted as never."""
        self.stop()
        self._measured.set()
        for thread in self._threads:
            thread.join()

    def _run(self, planned: list[Planned]) -> None:
        for fault in planned:
            self._world.pause(max(0.0, self._begun + fault.at - time.monotonic()))
            if self._world.ending.is_set():
                return
            undone = threading.Event()
            thread = threading.Thread(target=self._do, args=(fault, undone), daemon=True)
            self._undone.append(undone)
            self._threads.append(thread)
            thread.start()

    def _do(self, fault: Planned, undone: threading.Event) -> None:
        started = time.monotonic()
        self._say(f"{started - self._begun:6.1f} s  {fault.kind} {fault.victim}")
        try:
            outcome = KINDS[fault.kind].act(self._world, fault)
        except Exception as error:  # noqa: BLE001 - it becomes a finding
            # A fault that meets a Valkey which another one has just killed did not happen.
            if not isinstance(error, redis.RedisError):
                self._world.findings.add("the harness failed", f"{fault.kind}: {error!r}")
            self._say(f"{time.monotonic() - self._begun:6.1f} s  {fault.kind} failed: {error!r}")
            return
        finally:
            undone.set()
        done = Happened(
            fault.kind,
            fault.victim,
            round(started - self._begun, 2),
            round(time.monotonic() - self._begun, 2),
        )
        with self._lock:
            self.happened.append(done)
        if outcome.takeover is None:
            self._measure_progress(done, outcome.at)
        else:
            self._measure_takeover(done, outcome.takeover)

    def _measure_progress(self, done: Happened, since: float) -> None:
        while not self._over(since):
            at = self._world.watch.progress_after(since)
            if at is not None:
                done.recovery.append(round(at - since, 2))
                return
            time.sleep(LOOK_SECONDS)
        # Without open work nothing could show a recovery.
        done.never += bool(self._world.watch.open_jobs())

    def _measure_takeover(self, done: Happened, takeover: Takeover) -> None:
        while takeover.held and not self._over(takeover.since):
            takeover.look(self._world.watch)
            time.sleep(LOOK_SECONDS)
        done.recovery, done.never = takeover.again, len(takeover.held)
        done.freed = list(takeover.freed.values())
        done.held = len(takeover.again) + done.never

    def _over(self, since: float) -> bool:
        return self._measured.is_set() or time.monotonic() - since > NEVER_SECONDS


def _wait_for_valkey(world: World) -> float:
    """The moment at which Valkey answers again."""
    _until_done(world.watch.client.ping)
    return time.monotonic()


def _until_done(action: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            action()
            return
        except redis.RedisError:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_SECONDS)
