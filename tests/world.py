"""A service without processes, for tests: real records, a store in memory, hints in a list."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import redis

from casola_ocr.errors import CasolaError, EngineFailed
from casola_ocr.jobs import Jobs, NewDocument, Options
from casola_ocr.model import Claim, Job
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.publisher import FINISH_POOL, PREPARE_POOL, pages_pool
from casola_ocr.records import Records
from casola_ocr.service import Service
from casola_ocr.settings import Settings
from casola_ocr.testing import MemoryStore, ScriptedEngine
from casola_ocr.work import Work
from tests.invariants import check_records
from tests.pages import as_bytes, draw_page
from workers.reconcile import Reconciler

PNG = as_bytes(draw_page(["hello"], width=300), "PNG")
PAGES_POOL = pages_pool("pp-ocrv6")
POOLS = (PREPARE_POOL, PAGES_POOL, FINISH_POOL)


class ListPublisher:
    """Counts hints; `lose` drops them, as Celery on Redis may."""

    def __init__(self) -> None:
        self.hints: Counter[str] = Counter()
        self.lose = False
        self._lock = threading.Lock()

    def publish(self, hints: Mapping[str, int]) -> None:
        if not self.lose:
            with self._lock:
                self.hints.update(hints)


class OpenGuard:
    """Holds nothing and stops nothing."""

    def hold(self, claim: Claim) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    begin = interruptible = hold


class FailingEngine(ScriptedEngine):
    """Fails on some pages, each time."""

    def __init__(self, failures: dict[int, CasolaError], name: str = "pp-ocrv6"):
        super().__init__(name=name, text="hello")
        self.failures = failures
        self.calls = 0

    def read(self, image: Any, *, page: int, **told: Any) -> Any:
        self.calls += 1
        if page in self.failures:
            raise self.failures[page]
        return super().read(image, page=page, **told)


@dataclass
class World:
    """What waits is done when `run` is called."""

    service: Service
    settings: Settings
    records: Records
    store: ObjectStore
    publisher: ListPublisher
    jobs: Jobs
    raw: redis.Redis
    engine: ScriptedEngine
    #: Engines beside the usual two, by name; they have to be announced.
    others: dict[str, ScriptedEngine] = field(default_factory=dict)

    def work(self, owner: str = "worker") -> Work:
        return Work(
            self.settings, self.records, self.store, self.publisher,
            owner=owner, guard=OpenGuard(),
            engines={
                "pp-ocrv6": self.engine,
                "tesseract": ScriptedEngine("tesseract", "bonjour"),
                **self.others,
            },
        )  # fmt: skip

    def run(self) -> None:
        """Follow every hint, as workers do."""
        work = self.work()
        while self.publisher.hints:
            pool, left = self.publisher.hints.popitem()
            if left > 1:
                self.publisher.hints[pool] = left - 1
            work.run(pool)

    def sweep(self) -> None:
        """Run the reconciler's sweep as if every deadline had passed."""
        for member in self.raw.zrange("casola:due", 0, -1):
            self.raw.zadd("casola:due", {member: 1})
        swept = self.records.sweep(max_attempts=self.settings.max_attempts)
        self.publisher.publish(swept.hints)

    def reconcile(self) -> None:
        """Let a reconciler that was just started do everything once."""
        reconciler = Reconciler(self.settings, self.service)
        reconciler.repair(1000.0)
        reconciler.sweep()
        reconciler.repair(1001.0)

    def settle(self) -> None:
        """Work and reconcile until nothing changes any more."""
        for _ in range(6):
            self.run()
            self.sweep()
        self.run()

    def submit(self, *sources: bytes, **options: Any) -> list[Job]:
        documents = [NewDocument(file_name=f"{n}.png", source=s) for n, s in enumerate(sources)]
        return self.jobs.submit("acme", documents, Options(**options))

    def submit_one(self, source: bytes = PNG, **options: Any) -> str:
        return self.submit(source, **options)[0].request_id

    def result(self, request_id: str) -> dict[str, Any]:
        _, chunks = self.jobs.result("acme", request_id)
        found: dict[str, Any] = json.loads(b"".join(chunks))
        return found

    def recover(self) -> int:
        return self.service.recover()

    def wipe(self) -> None:
        """Lose all of Redis, but not the workers."""
        self.raw.flushall()
        self.publisher.hints.clear()
        self.announce()

    def announce(self) -> None:
        names = ("pp-ocrv6", "tesseract", *self.others)
        self.records.pulse("worker", [f"engine:{name}" for name in names])

    def inflight(self) -> list[str]:
        return list(self.store.list(keys.INFLIGHT_PREFIX))

    def objects(self, request_id: str) -> list[str]:
        return list(self.store.list(keys.job_prefix("acme", request_id)))


@contextmanager
def open_world(url: str, store: ObjectStore | None = None, **settings: Any) -> Iterator[World]:
    """A world on the Valkey at `url`; at its end every counter must agree with the jobs."""
    made = Settings(redis_url=url, **settings)
    store, publisher = store or MemoryStore(), ListPublisher()
    service = Service.open(made, publisher, store)
    raw = redis.Redis.from_url(url, decode_responses=True)
    engine = ScriptedEngine(text="hello")
    world = World(service, made, service.records, store, publisher, service.jobs, raw, engine)
    world.announce()
    try:
        yield world
        check_records(raw)
    finally:
        service.records.close_connections()
        raw.close()


def tiff(pages: int) -> bytes:
    frames = [draw_page([f"page {n}"], width=200) for n in range(pages)]
    return as_bytes(frames[0], "TIFF", save_all=True, append_images=frames[1:])


def fail_a_page(world: World) -> str:
    """The request ID of a job of three pages whose second failed."""
    world.engine = FailingEngine({2: EngineFailed()})
    request_id = world.submit_one(tiff(3))
    world.settle()
    return request_id
