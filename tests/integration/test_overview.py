"""What operators are told of a service at work, and of one that is in trouble."""

from __future__ import annotations

from typing import Any

import pytest

from casola_ocr.engines import announcement
from casola_ocr.errors import DamagedDocument, EngineFailed
from casola_ocr.model import JobError
from casola_ocr.overview import Activity, Queue, activity_of, overview
from casola_ocr.records import Records
from tests.world import FailingEngine, World, tiff

pytestmark = pytest.mark.valkey
PAGES = "pages.pp-ocrv6"


def queue(activity: Activity, name: str) -> Queue:
    (found,) = [each for each in activity.queues if each.name == name]
    return found


def told(world: World) -> dict[str, Any]:
    return overview(world.jobs, world.records)


def test_an_idle_service_has_nothing_waiting(world: World) -> None:
    body = told(world)
    assert body["activity"]["queues"] == ()
    assert body["activity"]["failures"] == ()
    assert (body["activity"]["pending_pages"], body["activity"]["dead_letters"]) == (0, 0)
    assert body["records"]["used_bytes"] > 0


def test_pages_that_wait_are_counted_with_the_age_of_the_oldest(world: World) -> None:
    world.submit_one()
    world.raw.hset(f"job:{world.submit_one()}", "created", 1_000)
    found = queue(activity_of(world.records), PAGES)
    assert (found.waiting, found.running) == (2, 0)
    assert found.oldest_seconds is not None and found.oldest_seconds > 1_000_000
    assert found.served


def test_a_page_that_is_read_runs_and_then_has_a_pace(world: World) -> None:
    world.submit_one()
    taken = world.records.take(PAGES, "owner", lease_ms=10_000, max_attempts=3)
    assert taken.claim is not None
    found = queue(activity_of(world.records), PAGES)
    assert (found.waiting, found.running, found.seconds_per_step) == (0, 1, None)
    world.records.settle(taken.claim, "done", dead=False, inline_pages=9, lease_ms=10_000)
    activity = activity_of(world.records)
    assert queue(activity, PAGES).seconds_per_step is not None
    assert activity.pages_per_second > 0


def test_a_queue_that_no_worker_takes_from_is_told(world: World) -> None:
    world.submit_one()
    for slot in world.raw.zrange("casola:slots", 0, -1):
        world.records.pulse(slot, ())
    activity = activity_of(world.records)
    assert activity.workers == ()
    assert not queue(activity, PAGES).served
    body = told(world)
    assert not body["ready"]
    assert body["parts"]["engine"]["detail"] == "No live worker can read a page."


def test_workers_say_what_they_do_and_engines_how_many_run_them(world: World) -> None:
    for name in ("a:1:x", "a:2:x"):
        world.records.pulse(name, announcement("tesseract", "5.3", ["en"]))
    world.records.pulse("a:3", ("reconcile",))
    body = told(world)
    does = {child["name"]: child["does"] for child in body["activity"]["workers"]}
    assert does["a:1:x"] == ("tesseract",)
    assert does["a:3"] == ("reconcile",)
    (engine,) = [each for each in body["engines"] if each["name"] == "tesseract"]
    assert engine["live"] and engine["workers"] >= 2


def test_failures_are_counted_by_reason_and_say_whose_they_are(world: World) -> None:
    world.engine = FailingEngine({1: EngineFailed(), 2: DamagedDocument(), 3: DamagedDocument()})
    world.submit_one(tiff(4))
    world.settle()
    activity = activity_of(world.records)
    assert {each.code: (each.count, each.ours) for each in activity.failures} == {
        "damaged_document": (2, False),
        "engine_failed": (1, True),
    }
    assert activity.dead_letters == 1


def test_a_document_that_cannot_be_opened_is_a_failure_too(world: World) -> None:
    world.submit_one(tiff(2))
    taken = world.records.take("prepare", "owner", lease_ms=10_000, max_attempts=3)
    assert taken.claim is not None
    world.records.reject(taken.claim, JobError(code="damaged_document", detail="Torn."))
    (failure,) = activity_of(world.records).failures
    assert (failure.code, failure.count) == ("damaged_document", 1)


def test_a_failure_of_yesterday_is_forgotten(world: World) -> None:
    hour = int(world.raw.time()[0]) // 3600
    world.raw.hset(f"casola:failures:{hour - 24}", "engine_failed", 9)
    world.raw.hset(f"casola:failures:{hour - 23}", "engine_failed", 2)
    (failure,) = activity_of(world.records).failures
    assert failure.count == 2


def test_without_records_the_parts_are_told_and_the_rest_is_unknown(world: World) -> None:
    body = overview(world.jobs, Records("redis://127.0.0.1:1/0"))
    assert body["parts"]["store"]["ready"]
    assert body["activity"] is None
    assert body["records"] is None
