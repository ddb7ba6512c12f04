"""How often Valkey and the object store are asked for a job and for a page: counts, not times.

    python -m benchmarks.round_trips [--pages 100] [--report FILE]

Everything runs in this process, on a Valkey of its own: `Jobs` and `Work` are what the API and the
workers run, the engine is scripted, and the store is `MemoryStore` behind a wrapper that counts.
  - commands: what the server executed for us, from MONITOR, which marks what a script calls by
    itself; a script is so one EVALSHA, with pipelined commands counted one by one. The EVALSHA of
    INFO commandstats must agree.
  - trips: packets sent, from a count around redis-py's one method that sends; a pipeline is one.
  - put, get, exists, list, delete: calls of the store; `delete` counts keys, each of which is a
    request on a store that has no bulk deletion. `stream` counts as get, `folders` as list.
  - hints: Celery messages; what one of them costs is measured at the end, published by the real
    `CeleryPublisher` and consumed and acknowledged through kombu, as a worker does, in commands of
    Valkey.
There are no heartbeats and no reconciler here. What they add in the background is measured from
the same calls: a heartbeat, a pulse, a tick.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, cast

import redis
import structlog
from celery import Celery
from kombu import Connection as Broker
from kombu import Consumer, Queue
from redis.connection import AbstractConnection

from benchmarks.common import console, figures_table, own_valkey, parser, write_report
from casola_ocr.publisher import CeleryPublisher, celery_settings
from casola_ocr.service import Service
from casola_ocr.settings import Settings
from casola_ocr.testing import MemoryStore, ScriptedEngine
from tests.world import PAGES_POOL, PNG, POOLS, ListPublisher, World, tiff
from workers.reconcile import Reconciler

STORE_CALLS = ("put", "get", "exists", "list", "delete")
HINTS = 20


@dataclass
class Row:
    """What one thing cost: `jobs` and `pages` are what it did, to divide by."""

    name: str
    jobs: int
    pages: int
    counts: Counter[str] = field(default_factory=Counter)
    #: Command of Valkey → how often.
    commands: Counter[str] = field(default_factory=Counter)


class CountingStore:
    """An `ObjectStore` that counts what is asked of the one inside."""

    def __init__(self, inner: MemoryStore):
        self.calls: Counter[str] = Counter()
        self._inner = inner

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        self.calls["put"] += 1
        self._inner.put(key, data)

    def put_all(self, objects: Sequence[tuple[str, bytes | BinaryIO]]) -> None:
        for key, data in objects:
            self.put(key, data)

    def get(self, key: str) -> bytes:
        self.calls["get"] += 1
        return self._inner.get(key)

    def exists(self, key: str) -> bool:
        self.calls["exists"] += 1
        return self._inner.exists(key)

    def stream(self, key: str) -> Iterator[bytes]:
        self.calls["get"] += 1
        return self._inner.stream(key)

    def list(self, prefix: str) -> Iterator[str]:
        self.calls["list"] += 1
        return self._inner.list(prefix)

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        self.calls["list"] += 1
        return self._inner.sizes(prefix)

    def folders(self, prefix: str) -> Iterator[str]:
        self.calls["list"] += 1
        return self._inner.folders(prefix)

    def delete(self, keys: Iterable[str]) -> None:
        found = [*keys]
        self.calls["delete"] += len(found)
        self._inner.delete(found)

    def check(self) -> None:
        self._inner.check()


class Hints(ListPublisher):
    """Keeps the hints in the queues' own lists: how long they are decides about further ones."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.published = 0
        #: A connection of the benchmark: what it does is not counted.
        self.raw = redis.Redis.from_url(url, decode_responses=True)

    def publish(self, hints: Mapping[str, int]) -> None:
        super().publish(hints)
        for pool, count in hints.items():
            self.published += count
            with uncounted():
                self.raw.lpush(pool, *["hint"] * count)

    def pop(self, pool: str) -> bool:
        """Take a hint out of a queue, as a worker does."""
        if not self.hints[pool]:
            return False
        self.hints[pool] -= 1
        with uncounted():
            self.raw.rpop(pool)
        return True


class Meter:
    """Counts around a call: commands, packets, calls of the store, hints."""

    def __init__(self, url: str, store: CountingStore, publisher: Hints):
        self._store = store
        self._publisher = publisher
        self._raw = redis.Redis.from_url(url, decode_responses=True)
        self._ours = {str(client.client_info()["addr"]) for client in (self._raw, publisher.raw)}
        self._monitor = redis.Redis.from_url(url, decode_responses=True).monitor()
        self._monitor.__enter__()
        self._marks = 0

    def close(self) -> None:
        self._monitor.__exit__(None, None, None)
        self._raw.close()

    def count(self, row: Row, call: Callable[[], Any]) -> Any:
        """Add what the call costs to the row."""
        calls, hints = self._store.calls.copy(), self._publisher.published
        scripts = self._scripts()
        self._read_to_mark()
        with counted_packets() as packets:
            answer = call()
        commands = self._read_to_mark()
        ran = self._scripts() - scripts
        assert ran == commands["EVALSHA"], f"{ran} scripts ran, {commands['EVALSHA']} were seen"
        row.commands += commands
        row.counts["commands"] += commands.total()
        row.counts["trips"] += packets[0]
        row.counts["hints"] += self._publisher.published - hints
        row.counts.update(self._store.calls - calls)
        return answer

    def _scripts(self) -> int:
        found: dict[str, Any] = self._raw.info("commandstats")
        return int(found.get("cmdstat_evalsha", {"calls": 0})["calls"])

    def _read_to_mark(self) -> Counter[str]:
        """The commands since the last mark, without ours and without those that scripts call."""
        self._marks += 1
        mark = f"mark-{self._marks}"
        self._raw.echo(mark)
        found: Counter[str] = Counter()
        for seen in self._monitor.listen():
            words = str(seen["command"]).split(" ", 2)
            if words[0] == "ECHO" and words[1] == mark:
                return found
            address = f"{seen['client_address']}:{seen['client_port']}"
            if seen["client_type"] != "lua" and address not in self._ours:
                found[words[0].upper()] += 1
        raise AssertionError("MONITOR ended")


@dataclass
class _Sent:
    packets: int = 0
    paused: bool = False


_sent = _Sent()


@contextmanager
def counted_packets() -> Iterator[list[int]]:
    """A list whose only item is, at the end, how many packets redis-py sent in here."""
    before, found = _sent.packets, [0]
    send = AbstractConnection.send_packed_command

    def counting(self: Any, command: Any, check_health: bool = True) -> None:
        _sent.packets += not _sent.paused
        send(self, command, check_health)

    AbstractConnection.send_packed_command = counting  # type: ignore[method-assign]
    try:
        yield found
    finally:
        AbstractConnection.send_packed_command = send  # type: ignore[method-assign]
        found[0] = _sent.packets - before


@contextmanager
def uncounted() -> Iterator[None]:
    _sent.paused = True
    try:
        yield
    finally:
        _sent.paused = False


@contextmanager
def open_world(url: str) -> Iterator[tuple[World, Meter]]:
    settings = Settings(redis_url=url)
    store, publisher = CountingStore(MemoryStore()), Hints(url)
    service = Service.open(settings, publisher, store)
    raw = redis.Redis.from_url(url, decode_responses=True)
    engine = ScriptedEngine(text="hello")
    world = World(
        service, settings, service.records, store, publisher, service.jobs, raw, engine
    )  # fmt: skip
    world.announce()
    service.tenants.create("acme")
    warm_up(world)
    meter = Meter(url, store, publisher)
    try:
        yield world, meter
    finally:
        meter.close()
        service.records.close_connections()
        publisher.raw.close()
        raw.close()


def warm_up(world: World) -> None:
    """Load every script and open every connection: neither belongs to a single job."""
    first = world.submit_one(idempotency_key="warm")
    world.submit(PNG, PNG)
    world.submit_one(tiff(2))
    follow(world)
    world.jobs.wait("acme", first, 1)
    world.jobs.delete("acme", first)
    world.jobs.cancel("acme", world.submit_one())
    follow(world)
    world.submit_one()
    claim = world.records.take(PAGES_POOL, "b:1", lease_ms=20_000, max_attempts=3).claim
    assert claim is not None
    world.records.heartbeat([claim], 20_000)
    world.records.release(claim, delay_ms=0, counts=False)
    world.sweep()
    follow(world)


def follow(world: World, count: Callable[[str, Callable[[], Any]], Any] | None = None) -> None:
    """Let the pools take turns, as their workers run side by side, until no hint is left.

    `count` is asked to make each call, with the pool's name, or ``empty`` where nothing waits.
    """
    work, publisher = world.work(), cast(Hints, world.publisher)
    found = True
    while found:
        found = False
        for pool in POOLS:
            if publisher.pop(pool):
                found = True
                run = partial(work.run, pool)
                if count is None:
                    run()
                else:
                    waits = int(world.raw.hget("casola:waiting", pool) or 0) > 0
                    count(pool if waits else "empty", run)


def life(
    world: World, meter: Meter, name: str, sources: list[bytes], pages: int, **options: Any
) -> tuple[list[Row], list[str]]:
    """Submit and read; a row for the submit, for each pool, and for all of it."""
    jobs = len(sources)
    submit = Row(f"{name}: submit", jobs, pages)
    made = meter.count(submit, lambda: world.submit(*sources, **options))
    rows = {
        "prepare": Row(f"{name}: prepare", jobs, pages),
        PAGES_POOL: Row(f"{name}: read", jobs, pages),
        "finish": Row(f"{name}: finish", jobs, pages),
        "empty": Row(f"{name}: hints too many", jobs, pages),
    }
    follow(world, lambda pool, run: meter.count(rows[pool], run))
    total = Row(f"{name}: all", jobs, pages)
    parts = [submit, *(row for row in rows.values() if row.counts)]
    for row in parts:
        total.counts += row.counts
        total.commands += row.commands
    ids = [job.request_id for job in made]
    assert all(world.jobs.get("acme", found).status.terminal for found in ids)
    return [*parts, total], ids


def client_verbs(world: World, meter: Meter, ended: str, frames: list[str]) -> Iterator[Row]:
    """What a client asks besides submitting."""

    def one(name: str, call: Callable[[], Any]) -> Row:
        row = Row(name, 1, 0)
        meter.count(row, call)
        return row

    jobs = world.jobs
    waiting = world.submit_one()
    yield one("GET a job that waits", lambda: jobs.get("acme", waiting))
    yield one("GET a job that ended", lambda: jobs.get("acme", ended))
    yield one("GET its result", lambda: b"".join(jobs.result("acme", ended)[1]))
    yield one("GET its page 1", lambda: jobs.page("acme", ended, 1))
    yield one("GET its text", lambda: jobs.text("acme", ended))
    yield one("GET 100 of the library", lambda: jobs.library("acme", 100, None))
    yield one("submit with a key", lambda: world.submit_one(idempotency_key="once"))
    yield one("replay of that key", lambda: world.submit_one(idempotency_key="once"))
    follow(world)
    yield one("replay once it ended", lambda: world.submit_one(idempotency_key="once"))
    several = [PNG] * 100
    world.submit(*several, idempotency_key="many")
    yield one("replay of 100 files", lambda: world.submit(*several, idempotency_key="many"))
    follow(world)
    cancelled = world.submit_one()
    yield one("cancel a waiting job", lambda: jobs.cancel("acme", cancelled))
    yield one("… and its finish", lambda: follow(world))
    long = world.submit_one(tiff(len(frames)))
    world.work().run("prepare")
    yield one(f"cancel {len(frames)} frames", lambda: jobs.cancel("acme", long))
    follow(world)
    yield one("delete an ended job", lambda: jobs.delete("acme", ended))
    waiting = world.submit_one()
    yield one("delete a waiting job", lambda: jobs.delete("acme", waiting))
    follow(world)
    yield one(f"delete {len(frames)} frames", lambda: jobs.delete("acme", long))
    world.raw.delete(*world.raw.keys("job:*"))
    last = next(iter(world.store.list("tenants/acme/jobs/"))).split("/")[3]
    yield one("GET a job whose record expired", lambda: jobs.get("acme", last))


def background(world: World, meter: Meter) -> Iterator[Row]:
    """What runs by the clock, once each; the rates are the settings'."""

    def one(name: str, call: Callable[[], Any]) -> Row:
        row = Row(name, 0, 0)
        meter.count(row, call)
        return row

    settings = world.settings
    world.submit_one()
    claim = world.records.take(PAGES_POOL, "b:1", lease_ms=20_000, max_attempts=3).claim
    assert claim is not None
    yield one(
        f"heartbeat of a claim, every {settings.stop_check_seconds:g} s",
        lambda: world.records.heartbeat([claim], 20_000),
    )
    yield one(f"pulse of a child, every {settings.heartbeat_seconds:g} s", world.announce)
    reconciler = Reconciler(settings, world.service)
    reconciler.repair(1000.0)
    reconciler.sweep()
    yield one(
        f"sweep of the reconciler, every {settings.reconcile_seconds:g} s",
        reconciler.sweep,
    )
    yield one(
        f"repair of the reconciler, every {settings.reconcile_seconds:g} s",
        lambda: reconciler.repair(1001.0),
    )
    follow(world)


def celery_hints(url: str, meter: Meter) -> Iterator[Row]:
    """Publish and consume hints; warm, so that connections are not counted."""
    app = Celery("benchmark")
    app.conf.update(celery_settings(url))
    publisher = CeleryPublisher(app)
    publish, consume = Row("a hint: publish", 0, 0), Row("a hint: consume", 0, 0)
    taken: list[Any] = []
    options = celery_settings(url)["broker_transport_options"]
    with Broker(url, transport_options=options) as broker:
        queue = Queue("bench", no_ack=True)
        with Consumer(
            broker, [queue], callbacks=[lambda _, message: taken.append(message)]
        ) as eater:
            eater.qos(prefetch_count=1)

            def eat() -> None:
                while not taken:
                    broker.drain_events(timeout=5)
                taken.pop()

            publisher.publish({"bench": 2})
            eat()
            eat()
            for _ in range(HINTS):
                meter.count(publish, lambda: publisher.publish({"bench": 1}))
                meter.count(consume, eat)
    app.close()
    for row in (publish, consume):
        row.counts = Counter({name: n for name, n in row.counts.items() if n})
        row.jobs = HINTS
        yield row


def show(rows: list[Row], title: str, per: bool) -> None:
    columns = ["what", "commands", "trips", *STORE_CALLS, "hints"]
    if per:
        columns += ["commands/page", "trips/page", "store/page"]
    columns.append("commands by name")
    table = figures_table(title, columns)
    for row in rows:
        cells = [str(row.counts[name]) for name in ("commands", "trips", *STORE_CALLS, "hints")]
        if per:
            store = sum(row.counts[name] for name in STORE_CALLS)
            cells += [
                f"{value / row.pages:.2f}"
                for value in (row.counts["commands"], row.counts["trips"], store)
            ]
        table.add_row(row.name, *cells, by_name(row))
    console.print(table)


def by_name(row: Row) -> str:
    return " ".join(f"{name}×{n}" for name, n in row.commands.most_common())


def show_hints(rows: list[Row]) -> None:
    table = figures_table(
        f"one Celery message, mean of {HINTS}", ["what", "commands", "trips", "commands by name"]
    )
    for row in rows:
        names = " ".join(f"{name}×{n / HINTS:g}" for name, n in row.commands.most_common())
        commands, trips = row.counts["commands"] / HINTS, row.counts["trips"] / HINTS
        table.add_row(row.name, f"{commands:.2f}", f"{trips:.2f}", names)
    console.print(table)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--pages", type=int, default=100, help="of the document and the batch")
    chosen = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with own_valkey() as url, open_world(url) as (world, meter):
        single, ids = life(world, meter, "one PNG", [PNG], 1)
        frames, _ = life(
            world, meter, f"TIFF of {chosen.pages}", [tiff(chosen.pages)], chosen.pages
        )
        batch, _ = life(world, meter, f"{chosen.pages} PNGs", [PNG] * chosen.pages, chosen.pages)
        verbs = [*client_verbs(world, meter, ids[0], ["page"] * chosen.pages)]
        clock = [*background(world, meter)]
        hints = [*celery_hints(url, meter)]
    lives = [*single, *frames, *batch]
    show(lives, "a job's life", per=True)
    show(verbs, "what a client asks", per=False)
    show(clock, "in the background", per=False)
    show_hints(hints)
    write_report(
        chosen.report,
        {
            "lives": [figures(row) for row in lives],
            "verbs": [figures(row) for row in verbs],
            "background": [figures(row) for row in clock],
            "hints": {"measured": HINTS, "rows": [figures(row) for row in hints]},
        },
    )


def figures(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "jobs": row.jobs,
        "pages": row.pages,
        **row.counts,
        "by_name": dict(row.commands),
    }


if __name__ == "__main__":
    main()
