"""The verbs of clients and workers together, on a real Valkey, without Celery."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
import redis

from casola_ocr import recovery
from casola_ocr.errors import (
    CasolaError,
    Conflict,
    DamagedDocument,
    EngineFailed,
    EngineUnavailable,
    NotFound,
    RecordsUnavailable,
    StoreUnavailable,
    UnknownLanguage,
    UnknownModel,
)
from casola_ocr.jobs import Jobs, NewDocument, Options
from casola_ocr.model import Claim, Job, JobStatus, Manifest
from casola_ocr.objects import keys
from casola_ocr.records import Records
from casola_ocr.settings import Settings
from casola_ocr.testing import MemoryStore, ScriptedEngine
from casola_ocr.work import Work
from tests.invariants import check_records
from tests.pages import as_bytes, draw_page

pytestmark = pytest.mark.valkey

PNG = as_bytes(draw_page(["hello"], width=300), "PNG")


class ListPublisher:
    """Counts tokens; `lose` drops them, as Celery on Redis may."""

    def __init__(self) -> None:
        self.tokens: Counter[str] = Counter()
        self.lose = False

    def publish(self, wakes: Mapping[str, int]) -> None:
        if not self.lose:
            self.tokens.update(wakes)


class OpenGuard:
    """Holds nothing and stops nothing."""

    def hold(self, claim: Claim) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    interruptible = hold


POOLS = ("prepare", "pages.pp-ocrv6", "finish")


@dataclass
class World:
    """A service without processes: what waits is done when `run` is called."""

    settings: Settings
    records: Records
    store: MemoryStore
    publisher: ListPublisher
    jobs: Jobs
    raw: redis.Redis
    engine: ScriptedEngine

    def work(self, owner: str = "worker") -> Work:
        return Work(
            self.settings, self.records, self.store, self.publisher,
            owner=owner, guard=OpenGuard(), engines={"pp-ocrv6": self.engine},
        )  # fmt: skip

    def run(self) -> None:
        """Follow every token, as workers do."""
        work = self.work()
        while self.publisher.tokens:
            pool, left = self.publisher.tokens.popitem()
            if left > 1:
                self.publisher.tokens[pool] = left - 1
            work.run(pool)

    def sweep(self) -> None:
        """Run the reconciler as if every deadline had passed."""
        for member in self.raw.zrange("casola:due", 0, -1):
            self.raw.zadd("casola:due", {member: 1})
        swept = self.records.sweep(max_attempts=self.settings.max_attempts)
        self.publisher.publish(swept.wakes)

    def submit(self, *sources: bytes, **options: str) -> list[Job]:
        documents = [NewDocument(file_name=f"{n}.png", source=s) for n, s in enumerate(sources)]
        return self.jobs.submit("acme", documents, Options(**options))

    def submit_one(self, source: bytes = PNG) -> str:
        return self.submit(source)[0].request_id

    def recover(self) -> int:
        return recovery.recover(self.settings, self.records, self.store, self.publisher)

    def wipe(self) -> None:
        """Lose all of Redis, but not the workers."""
        self.raw.flushall()
        self.publisher.tokens.clear()
        self.records.pulse("worker", ["engine:pp-ocrv6"])

    def inflight(self) -> list[str]:
        return list(self.store.list(keys.INFLIGHT_PREFIX))


@pytest.fixture
def world(valkey: str) -> Iterator[World]:
    settings, records = Settings(), Records(valkey)
    store, publisher = MemoryStore(), ListPublisher()
    records.pulse("worker", ["engine:pp-ocrv6"])
    raw = redis.Redis.from_url(valkey, decode_responses=True)
    jobs = Jobs(settings, records, store, publisher)
    yield World(settings, records, store, publisher, jobs, raw, ScriptedEngine(text="hello"))
    records.close_connections()
    check_records(raw)
    raw.close()


def tiff(pages: int) -> bytes:
    frames = [draw_page([f"page {n}"], width=200) for n in range(pages)]
    return as_bytes(frames[0], "TIFF", save_all=True, append_images=frames[1:])


def result(world: World, request_id: str) -> dict[str, object]:
    _, chunks = world.jobs.result("acme", request_id)
    found: dict[str, object] = json.loads(b"".join(chunks))
    return found


def test_a_document_is_accepted_read_and_closed(world: World) -> None:
    request_id = world.submit_one()
    assert world.jobs.get("acme", request_id).status is JobStatus.QUEUED
    assert world.inflight() == [keys.inflight(request_id)]
    world.run()
    job = world.jobs.get("acme", request_id)
    assert (job.status, job.pages.done, job.words) == (JobStatus.COMPLETED, 1, 1)
    assert result(world, request_id)["text"] == "hello"
    assert world.jobs.text("acme", request_id) == "hello"
    assert world.inflight() == []


def test_every_frame_of_a_tiff_is_a_page_and_pages_run_in_a_window(world: World) -> None:
    request_id = world.submit_one(tiff(40))
    world.run()
    job = world.jobs.get("acme", request_id)
    assert (job.pages.total, job.pages.done) == (40, 40)
    assert result(world, request_id)["text"] == "\f".join(["hello"] * 40)


def test_a_damaged_page_fails_alone_and_says_why(world: World) -> None:
    def script(**called: object) -> None:
        if called.get("page") == 2:
            raise DamagedDocument()

    world.engine = FailingEngine({2: DamagedDocument()})
    request_id = world.submit_one(tiff(3))
    world.run()
    job = world.jobs.get("acme", request_id)
    assert (job.status, job.pages.done, job.pages.failed) == (JobStatus.COMPLETED, 2, 1)
    page = json.loads(world.jobs.page("acme", request_id, 2))
    assert page["error"]["code"] == "damaged_document"
    assert page["flags"] == ["failed"]


class FailingEngine(ScriptedEngine):
    """Fails on some pages, each time."""

    def __init__(self, failures: dict[int, CasolaError]):
        super().__init__(text="hello")
        self.failures = failures
        self.calls = 0

    def read(self, image: object, *, page: int, attempt: int, language: str) -> object:
        self.calls += 1
        if page in self.failures:
            raise self.failures[page]
        return super().read(image, page=page, attempt=attempt, language=language)


def test_an_engine_that_fails_is_tried_again_and_then_the_page_fails(world: World) -> None:
    world.engine = engine = FailingEngine({1: EngineFailed()})
    request_id = world.submit_one()
    for _ in range(6):
        world.run()
        world.sweep()
    job = world.jobs.get("acme", request_id)
    assert engine.calls == 3
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.code == "engine_failed"
    assert world.inflight() == []


def test_an_exception_inside_an_engine_is_not_shown_to_the_client(world: World) -> None:
    class Broken(ScriptedEngine):
        def read(self, image: object, **_: object) -> object:
            raise RuntimeError("secret path /srv/models")

    world.engine = Broken()
    request_id = world.submit_one()
    for _ in range(6):
        world.run()
        world.sweep()
    job = world.jobs.get("acme", request_id)
    assert job.status is JobStatus.FAILED
    assert "/srv" not in json.dumps(result(world, request_id))


def test_lost_tokens_are_published_again(world: World) -> None:
    world.publisher.lose = True
    request_id = world.submit_one(tiff(3))
    world.publisher.lose = False
    for _ in range(3):
        world.sweep()
        world.run()
    assert world.jobs.get("acme", request_id).status is JobStatus.COMPLETED


def test_tokens_that_come_twice_change_nothing(world: World) -> None:
    request_id = world.submit_one(tiff(3))
    for _ in range(10):
        world.publisher.publish(dict.fromkeys(POOLS, 2))
        world.run()
    job = world.jobs.get("acme", request_id)
    assert (job.status, job.pages.done) == (JobStatus.COMPLETED, 3)


@pytest.mark.parametrize("pages_before", [0, 2])
def test_everything_accepted_survives_a_wiped_server(world: World, pages_before: int) -> None:
    request_id = world.submit_one(tiff(4))
    work = world.work()
    work.run("prepare")
    for _ in range(pages_before):
        work.run("pages.pp-ocrv6")
    world.wipe()
    assert world.recover() == 1
    assert world.recover() == 0
    world.engine = engine = FailingEngine({})
    world.run()
    job = world.jobs.get("acme", request_id)
    assert (job.status, job.pages.done) == (JobStatus.COMPLETED, 4)
    assert engine.calls == 4 - pages_before, "pages that were read are not read again"


def test_a_finished_job_is_readable_after_a_wiped_server(world: World) -> None:
    request_id = world.submit_one()
    world.run()
    before = world.jobs.get("acme", request_id)
    world.raw.flushall()
    after = world.jobs.get("acme", request_id)
    assert (after.status, after.words, after.finished_at) == (
        before.status, before.words, before.finished_at,
    )  # fmt: skip
    assert json.loads(world.jobs.page("acme", request_id, 1))["text"] == "hello"
    with pytest.raises(NotFound):
        world.jobs.get("other", request_id)


def test_a_store_that_is_down_refuses_the_submission_and_nothing_stays(world: World) -> None:
    world.store.fail_with = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        world.submit_one()
    world.store.fail_with = None
    assert list(world.store.list("tenants/")) == []
    assert world.inflight() == []
    assert world.jobs.library("acme", 10, None) == ([], None)


def test_records_that_are_down_refuse_the_submission_and_nothing_stays(world: World) -> None:
    class Gone(Records):
        def submit(self, *_: object, **__: object) -> dict[str, int]:
            raise RecordsUnavailable()

    gone = Gone(world.raw.connection_pool.connection_kwargs.get("path", "") or _url(world))
    jobs = Jobs(world.settings, gone, world.store, world.publisher)
    with pytest.raises(RecordsUnavailable):
        jobs.submit("acme", [NewDocument(file_name="a", source=PNG)], Options())
    gone.close_connections()
    assert list(world.store.list("tenants/")) == []
    assert world.inflight() == []


def _url(world: World) -> str:
    options = world.raw.connection_pool.connection_kwargs
    return f"redis://{options['host']}:{options['port']}/0"


def test_a_store_that_goes_down_while_reading_costs_no_attempt(world: World) -> None:
    request_id = world.submit_one()
    world.store.fail_with = StoreUnavailable()
    for _ in range(5):
        world.run()
        world.sweep()
    world.store.fail_with = None
    for _ in range(2):
        world.run()
        world.sweep()
    assert world.jobs.get("acme", request_id).status is JobStatus.COMPLETED
    page = json.loads(world.jobs.page("acme", request_id, 1))
    assert page["attempts"] == 1


def test_a_record_whose_document_is_gone_was_never_accepted(world: World) -> None:
    request_id = world.submit_one()
    world.store.delete(list(world.store.list("tenants/")) + world.inflight())
    world.run()
    with pytest.raises(NotFound):
        world.jobs.get("acme", request_id)


def test_a_foreign_job_is_not_found_by_any_verb(world: World) -> None:
    request_id = world.submit_one()
    for verb in (world.jobs.get, world.jobs.text, world.jobs.cancel, world.jobs.result):
        with pytest.raises(NotFound):
            verb("other", request_id)
    with pytest.raises(NotFound):
        world.jobs.page("other", request_id, 1)
    batch = world.submit(PNG, PNG)[0].batch_id
    assert len(world.jobs.batch("acme", batch).jobs) == 2
    with pytest.raises(NotFound):
        world.jobs.batch("other", batch)


def test_cancelling_keeps_finished_pages_and_stops_the_rest(world: World) -> None:
    request_id = world.submit_one(tiff(3))
    work = world.work()
    work.run("prepare")
    work.run("pages.pp-ocrv6")
    assert world.jobs.cancel("acme", request_id).status is JobStatus.CANCELLED
    world.run()
    assert result(world, request_id)["text"] == "hello"
    assert world.jobs.get("acme", request_id).pages.done == 1
    assert world.jobs.cancel("acme", request_id).status is JobStatus.CANCELLED
    assert world.inflight() == []


def test_a_page_that_is_not_finished_is_a_conflict_and_one_beyond_the_end_is_unknown(
    world: World,
) -> None:
    request_id = world.submit_one()
    with pytest.raises(Conflict):
        world.jobs.page("acme", request_id, 1)
    with pytest.raises(NotFound):
        world.jobs.page("acme", request_id, 2)


def test_models_are_those_of_live_workers(world: World) -> None:
    assert world.jobs.live_engines() == ("pp-ocrv6",)
    with pytest.raises(UnknownModel, match="pp-ocrv6"):
        world.submit(PNG, model="no-such-model")
    with pytest.raises(EngineUnavailable, match="pp-ocrv6"):
        world.submit(PNG, model="tesseract")
    with pytest.raises(UnknownLanguage):
        world.submit(PNG, language="klingon")
    with pytest.raises(UnknownLanguage, match="script"):
        world.submit(PNG, language="Russian")
    assert world.submit(PNG, language="German")[0].language == "de"


def test_todays_workers_refuse_a_manifest_of_tomorrow(world: World) -> None:
    request_id = world.submit_one()
    key = keys.manifest("acme", request_id)
    values = json.loads(world.store.get(key))
    world.store.put(key, json.dumps(values | {"version": 99}).encode())
    with pytest.raises(ValueError, match="version"):
        Manifest.from_json(world.store.get(key))
    world.raw.flushall()
    assert world.recover() == 0
    assert world.inflight() == [keys.inflight(request_id)], "it waits for a newer version"
