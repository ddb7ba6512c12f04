"""Real workers of both pools and nothing else: no reconciler repairs what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import redis
from celery import Celery

from benchmarks.running import png, tiff
from casola_ocr.jobs import NewDocument, Options
from casola_ocr.model import Job, JobStatus
from casola_ocr.publisher import CeleryPublisher, celery_settings, pages_pool
from casola_ocr.service import Service
from casola_ocr.settings import Settings, environment
from casola_ocr.work import Work
from tests.chaos import marker
from tests.chaos.marker import Marker
from tests.pages import as_bytes
from tests.pdfs import make_pdf, text_page
from tests.servers import ValkeyServer, stop
from tests.world import OpenGuard

pytestmark = pytest.mark.valkey

ROOT = Path(__file__).parents[2]
POOL = pages_pool("pp-ocrv6")
#: Longer than any test: whoever waits for such a page to end fails.
LONG_MS = 60_000
PATIENCE_SECONDS = 30


@dataclass
class Running:
    """A worker that reads one page at a time, and the service around it."""

    service: Service
    raw: redis.Redis
    process: subprocess.Popen[bytes]
    log: Path

    def submit(self, content: bytes) -> str:
        document = NewDocument(file_name="page", source=content)
        return self.service.jobs.submit("acme", [document], Options())[0].request_id

    def job(self, request_id: str) -> Job:
        return self.service.jobs.get("acme", request_id)

    def state(self, request_id: str, page: int = 1) -> str:
        return self.service.records.page_state(request_id, page) or ""

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"never {what}\n{self.log.read_text()[-3000:]}"
            time.sleep(0.02)

    def until_running(self, request_id: str) -> None:
        self.until(lambda: self.state(request_id).startswith("r:"), "claimed")

    def until_ended(self, request_id: str) -> Job:
        self.until(lambda: self.job(request_id).status.terminal, "ended")
        return self.job(request_id)

    def child(self) -> psutil.Process:
        return psutil.Process(self.process.pid).children()[0]


@pytest.fixture
def start(valkey: str, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def start_worker(
        pool: str, program: Sequence[str] = ("tests.chaos.worker",), **changes: object
    ) -> Running:
        settings = Settings(
            **{
                "redis_url": valkey,
                "object_store": (tmp_path / "objects").as_uri(),
                "cpu_workers": 1,
                "slots": 1,
                # Nothing here may be explained by a lease that ran out.
                "lease_seconds": 600,
                **changes,
            }
        )
        app = Celery("test")
        url = settings.redis_url.get_secret_value()
        app.conf.update(celery_settings(url))
        service = Service.open(settings, CeleryPublisher(app))
        log = tmp_path / f"worker{len(made)}.log"
        command = [sys.executable, "-P", "-m", *program]
        variables = {**os.environ, **environment(settings), "PYTHONPATH": str(ROOT)}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command + (["threads"] if pool == "threads" else []),
                env=variables, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        raw = redis.Redis.from_url(url, decode_responses=True)
        running = Running(service, raw, process, log)
        made.append(running)
        running.until(lambda: service.records.capabilities(), "ready")
        return running

    yield start_worker
    for running in made:
        stop(running.process)
        running.raw.close()
        running.service.records.close_connections()


both_pools = pytest.mark.parametrize("pool", ["prefork", "threads"])


@both_pools
def test_cancelling_stops_the_page_in_flight_and_frees_its_slot(
    start: Callable[..., Running], pool: str
) -> None:
    worker = start(pool)
    request_id = worker.submit(png(1, LONG_MS))
    worker.until_running(request_id)
    worker.service.jobs.cancel("acme", request_id)
    other = worker.submit(png(2, 5))
    assert worker.until_ended(other).status is JobStatus.COMPLETED
    assert worker.job(request_id).status is JobStatus.CANCELLED


@both_pools
def test_sigterm_hands_a_page_back_when_the_time_is_up(
    start: Callable[..., Running], pool: str
) -> None:
    worker = start(pool, drain_seconds=1)
    request_id = worker.submit(png(1, LONG_MS))
    worker.until_running(request_id)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(PATIENCE_SECONDS) == 0
    assert worker.state(request_id) == "a:0", "it can be taken now and the attempt is not counted"
    assert worker.service.records.capabilities() == set(), "nobody has to be missed first"


@both_pools
def test_sigterm_lets_a_page_end_that_needs_less(start: Callable[..., Running], pool: str) -> None:
    worker = start(pool, drain_seconds=20)
    request_id = worker.submit(tiff(1, pages=2, milliseconds=1_500))
    take_one(worker, "prepare")
    worker.until_running(request_id)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(PATIENCE_SECONDS) == 0
    assert worker.state(request_id, 1).startswith("d:1-")
    assert worker.state(request_id, 2) == "", "and takes no other"


@both_pools
def test_a_worker_whose_valkey_was_away_while_it_read_goes_on_reading(
    start: Callable[..., Running], pool: str, tmp_path: Path
) -> None:
    """Celery cannot acknowledge what it brought before; that must not cost the worker its place."""
    (tmp_path / "valkey").mkdir()
    server = ValkeyServer(tmp_path / "valkey")
    try:
        worker = start(pool, redis_url=server.url)
        worker.until_running(worker.submit(png(1, 1_000)))
        server.stop()
        # The page ends while nobody can be told.
        time.sleep(2)
        server.start()
        after = worker.submit(png(2, 5))
        assert worker.until_ended(after).status is JobStatus.COMPLETED
        worker.process.kill()
        worker.process.wait()
    finally:
        server.stop()


@both_pools
def test_a_page_that_takes_too_long_fails_and_says_so(
    start: Callable[..., Running], pool: str
) -> None:
    worker = start(pool, page_timeout_seconds=1, max_attempts=1)
    job = worker.until_ended(worker.submit(png(1, LONG_MS)))
    assert job.error is not None
    assert job.error.code == "page_timeout"


def test_a_killed_childs_page_is_read_by_the_next_child(start: Callable[..., Running]) -> None:
    worker = start("prefork")
    request_id = worker.submit(png(1, 2_000))
    worker.until_running(request_id)
    worker.child().kill()
    assert worker.until_ended(request_id).status is JobStatus.COMPLETED
    assert worker.state(request_id).startswith("d:2-")


def test_a_page_that_kills_each_child_fails_alone(start: Callable[..., Running]) -> None:
    worker = start("prefork")
    poison = as_bytes(marker.draw(Marker(1, 1, 5, True)), "PNG")
    ids = [worker.submit(content) for content in (png(2, 5), poison, png(3, 5))]
    worker.until(lambda: take_one(worker, "finish"), "given up")
    jobs = [worker.until_ended(request_id) for request_id in ids]
    assert [job.status.value for job in jobs] == ["completed", "failed", "completed"]
    assert jobs[1].error is not None
    assert jobs[1].error.code == "attempts_exhausted"


def test_a_page_that_kills_whoever_opens_it_fails_alone(start: Callable[..., Running]) -> None:
    worker = start("prefork", ("tests.deadly", "pages"))
    start("prefork", ("tests.deadly", "prepare"))
    job = worker.until_ended(worker.submit(make_pdf([text_page()] * 5)))
    assert (job.status, job.pages.done, job.pages.failed) == (JobStatus.COMPLETED, 4, 1)
    _, body = worker.service.jobs.result("acme", job.request_id)
    pages = json.loads(b"".join(body))["page_results"]
    assert [bool(page["text"]) for page in pages] == [True, True, False, True, True]
    codes = [page["error"] and page["error"]["code"] for page in pages]
    assert codes == [None, None, "attempts_exhausted", None, None]
    assert pages[2]["attempts"] == worker.service.settings.max_attempts
    # Who opened documents goes on too.
    after = worker.submit(make_pdf([text_page()] * 2))
    assert worker.until_ended(after).pages.done == 2


def test_threads_read_pages_side_by_side(start: Callable[..., Running]) -> None:
    worker = start("threads", slots=4)
    long = [worker.submit(png(n, LONG_MS)) for n in range(3)]
    for request_id in long:
        worker.until_running(request_id)
    assert worker.until_ended(worker.submit(png(9, 5))).status is JobStatus.COMPLETED
    for request_id in long:
        worker.service.jobs.cancel("acme", request_id)


def take_one(worker: Running, pool: str) -> bool:
    """What a `prepare` worker does, of which there is none here."""
    service = worker.service
    work = Work(
        service.settings,
        service.records,
        service.store,
        service.publisher,
        owner="prepare",
        guard=OpenGuard(),
        engines={},
    )
    return work.run(pool)
