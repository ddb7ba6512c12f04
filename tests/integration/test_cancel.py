"""Cancelling: at once, once and for all, and what was read stays readable."""

from __future__ import annotations

import json

import pytest

from casola_ocr.errors import NotFound
from casola_ocr.model import JobStatus
from tests.world import PAGES_POOL, PNG, World, tiff

pytestmark = pytest.mark.valkey


def test_finished_pages_stay_readable_and_the_rest_never_runs(world: World) -> None:
    request_id = world.submit_one(tiff(3))
    work = world.work()
    work.run("prepare")
    work.run(PAGES_POOL)
    cancelled = world.jobs.cancel("acme", request_id)
    assert cancelled.status is JobStatus.CANCELLED
    assert world.result(request_id)["text"] == "hello", "before its pages are joined"
    world.run()
    assert world.result(request_id)["text"] == "hello"
    assert json.loads(world.jobs.page("acme", request_id, 1))["text"] == "hello"
    with pytest.raises(NotFound, match="before the job ended"):
        world.jobs.page("acme", request_id, 2)
    job = world.jobs.get("acme", request_id)
    assert (job.status, job.pages.done, job.words) == (JobStatus.CANCELLED, 1, 1)
    assert world.inflight() == []


def test_cancelling_again_changes_nothing(world: World) -> None:
    request_id = world.submit_one()
    first = world.jobs.cancel("acme", request_id)
    assert world.jobs.cancel("acme", request_id) == first
    world.run()
    again = world.jobs.cancel("acme", request_id)
    assert (again.status, again.finished_at) == (first.status, first.finished_at)
    assert world.inflight() == []


def test_a_job_that_ended_stays_as_it_is(world: World) -> None:
    request_id = world.submit_one()
    world.run()
    assert world.jobs.cancel("acme", request_id).status is JobStatus.COMPLETED
    assert world.inflight() == []


def test_a_page_in_flight_loses_and_its_slot_is_free(world: World) -> None:
    request_id = world.submit_one()
    taken = world.records.take(PAGES_POOL, "w", lease_ms=20_000, max_attempts=3)
    assert taken.claim is not None
    world.jobs.cancel("acme", request_id)
    assert world.records.heartbeat([taken.claim], 20_000) == [False]
    assert not world.raw.hgetall("casola:running")
    world.run()
    assert world.jobs.get("acme", request_id).status is JobStatus.CANCELLED


def test_a_batch_is_cancelled_as_a_whole(world: World) -> None:
    batch_id = world.submit(PNG, PNG, tiff(2))[0].batch_id
    world.work().run(PAGES_POOL)
    world.jobs.cancel_batch("acme", batch_id)
    world.run()
    found = sorted(job.status for job in world.jobs.batch("acme", batch_id).jobs)
    assert found == [JobStatus.CANCELLED, JobStatus.CANCELLED, JobStatus.COMPLETED]
    world.recover()
    assert world.inflight() == []


@pytest.mark.parametrize("steps", range(8))
def test_a_race_with_completion_has_one_outcome(world: World, steps: int) -> None:
    """Cancelled after each of the steps that reading takes; the outcome survives a wipe."""
    request_id = world.submit_one(tiff(2))
    work = world.work()
    for pool in ["prepare", PAGES_POOL, PAGES_POOL, "finish", "finish", "finish", "finish"][:steps]:
        work.run(pool)
    told = world.jobs.cancel("acme", request_id).status
    world.settle()
    after = world.jobs.get("acme", request_id).status
    assert after is told if told.terminal else after is JobStatus.COMPLETED
    world.wipe()
    assert world.jobs.get("acme", request_id).status is after
    world.reconcile()
    assert world.jobs.get("acme", request_id).status is after
    assert world.inflight() == []
