"""Waiting for jobs and following them, on a real Valkey, without Celery."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pytest
import redis

from casola_ocr import following
from casola_ocr.errors import (
    Conflict,
    DamagedDocument,
    Gone,
    NotFound,
    Overloaded,
    WaitTimeout,
)
from casola_ocr.ids import new_request_id
from casola_ocr.jobs import Event
from casola_ocr.model import Job, JobStatus
from casola_ocr.testing import ScriptedEngine
from tests.world import PAGES_POOL, PNG, FailingEngine, World, open_world, tiff

pytestmark = pytest.mark.valkey


@pytest.fixture(autouse=True)
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test sees within a second what else takes several."""
    monkeypatch.setattr(following, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(following, "ALONG_SECONDS", 0.05)
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.2)


def told(events: Iterator[Event | None]) -> list[Event]:
    return [event for event in events if event is not None]


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


@contextmanager
def at_work(world: World, delay: float = 0.2) -> Iterator[None]:
    """Let workers begin a moment later, beside the test."""

    def run() -> None:
        time.sleep(delay)
        world.run()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_a_job_is_followed_from_the_queue_to_its_end(world: World) -> None:
    request_id = world.submit_one(tiff(3))
    with at_work(world):
        events = told(world.jobs.events("acme", request_id, seconds=20))
    assert kinds(events)[0] == "progress"
    assert events[0].data["status"] == "queued"
    pages = [event.data for event in events if event.kind == "page"]
    assert pages == [
        {"request_id": request_id, "page": n, "status": "done", "words": 1, "confidence": 0.9}
        for n in (1, 2, 3)
    ]
    assert kinds(events).count("finished") == 1
    assert events[-1].kind == "finished"
    assert events[-1].data == world.jobs.get("acme", request_id).to_dict()
    assert events[-1].data["words"] == 3


def test_pages_are_told_by_their_number_and_failed_ones_too(world: World) -> None:
    world.engine = FailingEngine({3: DamagedDocument()})
    request_id = world.submit_one(tiff(5), pages="2-3")
    world.run()
    events = told(world.jobs.events("acme", request_id, seconds=5))
    assert [(e.data["page"], e.data["status"], e.data["confidence"]) for e in events[1:-1]] == [
        (2, "done", 0.9),
        (3, "failed", None),
    ]


def test_a_follower_who_comes_back_misses_nothing_and_hears_nothing_twice(world: World) -> None:
    request_id = world.submit_one(tiff(4))
    world.run()
    whole = told(world.jobs.events("acme", request_id, seconds=5))
    seen = next(event for event in whole if event.kind == "page" and event.data["page"] == 2)
    rest = told(world.jobs.events("acme", request_id, seen.position, seconds=5))
    assert [e.data["page"] for e in rest if e.kind == "page"] == [3, 4]
    assert kinds(rest)[0] == "page"
    assert kinds(rest)[-1] == "finished"


def test_who_comes_after_the_events_are_gone_hears_the_end_from_the_record(
    world: World, raw: redis.Redis
) -> None:
    request_id = world.submit_one()
    world.run()
    raw.delete(f"ev:{request_id}")
    events = told(world.jobs.events("acme", request_id, seconds=5))
    assert kinds(events) == ["progress", "finished"]
    assert events[-1].data["status"] == "completed"
    again = told(world.jobs.events("acme", request_id, "1-0", seconds=5))
    assert kinds(again) == ["finished"]


def test_who_comes_after_a_wipe_hears_the_end_from_the_store(world: World) -> None:
    request_id = world.submit_one()
    world.run()
    world.wipe()
    events = told(world.jobs.events("acme", request_id, seconds=5))
    assert kinds(events) == ["progress", "finished"]
    assert world.jobs.wait(world.jobs.get("acme", request_id), 5).status is JobStatus.COMPLETED
    (page,) = [
        page
        for page in world.jobs.read_along(world.jobs.get("acme", request_id), seconds=5)
        if page
    ]
    assert page["text"] == "hello"


def test_a_follower_outlives_a_wipe_in_the_middle(world: World) -> None:
    request_id = world.submit_one()

    def lose_and_recover() -> None:
        time.sleep(0.2)
        world.wipe()
        time.sleep(0.3)
        world.recover()
        world.run()

    thread = threading.Thread(target=lose_and_recover)
    thread.start()
    events = told(world.jobs.events("acme", request_id, seconds=20))
    thread.join()
    assert (events[0].data["status"], events[-1].kind) == ("queued", "finished")
    assert events[-1].data["status"] == "completed"


def test_a_wait_ends_though_nothing_was_pushed(world: World, raw: redis.Redis) -> None:
    request_id = world.submit_one()

    def end_unheard() -> None:
        time.sleep(0.3)
        # Listeners are cut off, and what they would read again is gone.
        world.run()
        raw.delete(f"ev:{request_id}")

    for watch in (0, 1):
        thread = threading.Thread(target=end_unheard if watch == 0 else world.run)
        begun = time.monotonic()
        thread.start()
        assert world.jobs.wait(world.jobs.get("acme", request_id), 20).status is JobStatus.COMPLETED
        assert time.monotonic() - begun < 5
        thread.join()


def test_a_lost_connection_is_made_again_and_nothing_is_missed(
    world: World, raw: redis.Redis
) -> None:
    first = world.submit_one()
    with at_work(world, 0.1):
        assert world.jobs.wait(world.jobs.get("acme", first), 20).status is JobStatus.COMPLETED
    request_id = world.submit_one()

    def cut() -> None:
        time.sleep(0.2)
        raw.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        world.run()

    thread = threading.Thread(target=cut)
    thread.start()
    events = told(world.jobs.events("acme", request_id, seconds=20))
    thread.join()
    assert [kind for kind in kinds(events) if kind != "progress"] == ["page", "finished"]


def test_a_process_listens_with_one_connection_however_many_wait(
    world: World, raw: redis.Redis
) -> None:
    ids = [world.submit_one() for _ in range(5)]
    before = len(raw.client_list())
    ended: list[JobStatus] = []

    def wait(request_id: str) -> None:
        ended.append(world.jobs.wait(world.jobs.get("acme", request_id), 30).status)

    threads = [threading.Thread(target=wait, args=(ids[n % 5],)) for n in range(100)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    listening = [client for client in raw.client_list() if int(client["sub"]) > 0]
    assert len(listening) == 1
    assert len(raw.client_list()) <= before + 1 + 64
    world.run()
    for thread in threads:
        thread.join()
    assert ended == [JobStatus.COMPLETED] * 100


def test_too_many_followers_are_told(valkey: str) -> None:
    with open_world(valkey, max_waiters=1) as world:
        request_id = world.submit_one()
        first = world.jobs.events("acme", request_id, seconds=5)
        assert next(first) is not None
        with pytest.raises(Overloaded):
            world.jobs.events("acme", request_id, seconds=5)
        with pytest.raises(Overloaded):
            world.jobs.read_along(world.jobs.get("acme", request_id), seconds=5)
        assert world.jobs.wait(world.jobs.get("acme", request_id), 5).status is JobStatus.QUEUED
        first.close()  # type: ignore[attr-defined]
        world.run()
        assert kinds(told(world.jobs.events("acme", request_id, seconds=5)))[-1] == "finished"


def test_nobody_follows_what_is_not_theirs(world: World) -> None:
    request_id = world.submit_one()
    for name, tenant in ((request_id, "other"), (new_request_id(), "acme")):
        with pytest.raises(NotFound):
            world.jobs.events(tenant, name, seconds=5)
        with pytest.raises(NotFound):
            world.jobs.look(tenant, name)
    with pytest.raises(NotFound):
        world.jobs.events_of_many("acme", [request_id, new_request_id()], seconds=5)


def test_several_jobs_are_followed_at_once_until_all_have_ended(world: World) -> None:
    ids = [job.request_id for job in world.submit(PNG, tiff(2))]
    with at_work(world):
        events = told(world.jobs.events_of_many("acme", ids, seconds=20))
    assert [(e.kind, e.request_id) for e in events[:2]] == [("progress", name) for name in ids]
    assert sorted(e.request_id for e in events if e.kind == "finished") == sorted(ids)
    assert events[-1].kind == "finished"
    assert len([event for event in events if event.kind == "page"]) == 3


def test_an_end_that_is_found_while_another_is_looked_at_is_told_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOK_SECONDS", 60)
    ended = world.submit_one()
    world.run()
    world.raw.delete(f"ev:{ended}")
    running = world.submit_one()
    events = world.jobs.events_of_many("acme", [ended, running], seconds=3)
    assert kinds(told(islice(events, 2))) == ["progress", "progress"]
    stands = world.jobs.get

    def ends_meanwhile(tenant: str, request_id: str) -> Job:
        if request_id == ended:
            world.run()
        return stands(tenant, request_id)

    monkeypatch.setattr(world.jobs, "get", ends_meanwhile)
    assert [e.request_id for e in told(events) if e.kind == "finished"] == [ended, running]


def test_a_job_that_is_deleted_meanwhile_is_told_and_the_others_go_on(world: World) -> None:
    kept, gone = (job.request_id for job in world.submit(PNG, PNG))

    def delete() -> None:
        time.sleep(0.2)
        world.jobs.delete("acme", gone)
        world.run()

    thread = threading.Thread(target=delete)
    thread.start()
    events = told(world.jobs.events_of_many("acme", [kept, gone], seconds=20))
    thread.join()
    (error,) = [event for event in events if event.kind == "error"]
    assert (error.request_id, error.data["code"]) == (gone, "gone")
    assert isinstance(error.error, Gone)
    assert [e.request_id for e in events if e.kind == "finished"] == [kept]


def test_a_cancelled_job_is_finished_for_its_followers(world: World) -> None:
    request_id = world.submit_one()
    events = world.jobs.events("acme", request_id, seconds=5)
    assert next(events) is not None
    world.jobs.cancel("acme", request_id)
    (last,) = told(events)
    assert (last.kind, last.data["status"]) == ("finished", "cancelled")
    world.run()


def test_following_ends_after_its_seconds_with_the_job_open(world: World) -> None:
    request_id = world.submit_one()
    events = list(world.jobs.events("acme", request_id, seconds=0.3))
    assert None in events
    assert "finished" not in kinds(told(iter(events)))


def test_pages_are_read_along_in_their_order_while_the_job_runs(world: World) -> None:
    class Slow(ScriptedEngine):
        def read(self, image: Any, *, page: int, **rest: Any) -> Any:
            time.sleep(0.05)
            return super().read(image, page=page, **rest)

    world.engine = Slow(text="hello")
    request_id = world.submit_one(tiff(5))
    seen = []
    with at_work(world):
        for page in world.jobs.read_along(world.jobs.get("acme", request_id), seconds=20):
            if page is not None:
                open_still = not world.jobs.get("acme", request_id).status.terminal
                seen.append((page["page"], page["text"], open_still))
    assert [(number, text) for number, text, _ in seen] == [(n, "hello") for n in range(1, 6)]
    assert seen[0][2]


def test_an_earlier_page_that_comes_late_holds_back_the_later_ones(world: World) -> None:
    request_id = world.submit_one(tiff(2))
    along = world.jobs.read_along(world.jobs.get("acme", request_id), seconds=20)
    work, other = world.work("one"), world.work("two")
    assert next(along) is None
    work.run("prepare")
    claim = world.records.take("pages.pp-ocrv6", "slow", lease_ms=60_000, max_attempts=3).claim
    assert claim is not None and claim.page == 1
    other.run("pages.pp-ocrv6")
    assert next(along) is None
    world.records.release(claim, delay_ms=0, counts=False)
    other.run("pages.pp-ocrv6")
    assert [page["page"] for page in along if page] == [1, 2]


def test_reading_along_tells_failed_pages_and_why_a_job_ended_without_a_result(
    world: World,
) -> None:
    world.engine = FailingEngine({1: DamagedDocument()})
    partial = world.submit_one(tiff(2))
    world.run()
    pages = [
        page for page in world.jobs.read_along(world.jobs.get("acme", partial), seconds=5) if page
    ]
    assert [(p["page"], p["error"] and p["error"]["code"]) for p in pages] == [
        (1, "damaged_document"),
        (2, None),
    ]
    failed = world.submit_one(PNG)
    world.run()
    with pytest.raises(DamagedDocument):
        list(world.jobs.read_along(world.jobs.get("acme", failed), seconds=5))
    cancelled = world.submit_one(PNG)
    world.jobs.cancel("acme", cancelled)
    with pytest.raises(Conflict):
        list(world.jobs.read_along(world.jobs.get("acme", cancelled), seconds=5))
    world.run()


def test_reading_along_gives_up_after_its_seconds(world: World) -> None:
    request_id = world.submit_one()
    with pytest.raises(WaitTimeout, match=request_id):
        list(world.jobs.read_along(world.jobs.get("acme", request_id), seconds=0.2))
    world.run()


def test_who_asks_now_and_then_is_told_every_page_so_far(world: World) -> None:
    request_id = world.submit_one(tiff(3))
    assert world.jobs.pages_told("acme", request_id) == []
    before = world.jobs.get("acme", request_id).created_at
    world.work().run("prepare")
    world.work().run(PAGES_POOL)
    (first,) = world.jobs.pages_told("acme", request_id)
    assert (first.data["page"], first.data["status"]) == (1, "done")
    assert before <= first.at <= before + 60_000
    world.run()
    assert [told.data["page"] for told in world.jobs.pages_told("acme", request_id)] == [1, 2, 3]
    with pytest.raises(NotFound):
        world.jobs.pages_told("other", request_id)
