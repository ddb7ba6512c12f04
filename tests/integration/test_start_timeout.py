"""Jobs that are to be begun by some time: stopped when they were not, and only then."""

from __future__ import annotations

import pytest

from casola_ocr.model import JobStatus
from tests.world import PAGES_POOL, World, tiff

pytestmark = pytest.mark.valkey


def time_passes(world: World) -> None:
    """What was to be begun by some time is late now."""
    for request_id in world.raw.zrange("casola:start_by", 0, -1):
        world.raw.zadd("casola:start_by", {request_id: 1})


@pytest.mark.parametrize("pages", [1, 3])
def test_a_job_that_nobody_began_in_time_is_cancelled_and_says_why(
    world: World, pages: int
) -> None:
    request_id = world.submit_one(tiff(pages), start_within=60.0)
    world.reconcile()
    assert world.jobs.get("acme", request_id).status is JobStatus.QUEUED
    time_passes(world)
    world.reconcile()
    world.run()
    job = world.jobs.get("acme", request_id)
    assert job.status is JobStatus.CANCELLED
    assert job.error is not None and job.error.code == "start_timeout"
    assert world.result(request_id)["error"]["code"] == "start_timeout"
    assert world.inflight() == []
    assert world.raw.zcard("casola:start_by") == 0


def test_what_was_begun_in_time_goes_on(world: World) -> None:
    request_id = world.submit_one(tiff(2), start_within=60.0)
    world.work().run("prepare")
    time_passes(world)
    world.reconcile()
    assert world.raw.zcard("casola:start_by") == 0
    world.run()
    job = world.jobs.get("acme", request_id)
    assert (job.status, job.pages.done, job.error) == (JobStatus.COMPLETED, 2, None)


def test_what_ended_or_was_deleted_is_not_looked_at_again(world: World) -> None:
    ended = world.submit_one(start_within=60.0)
    world.run()
    world.jobs.cancel("acme", world.submit_one(start_within=60.0))
    world.jobs.delete("acme", world.submit_one(start_within=60.0))
    time_passes(world)
    world.reconcile()
    assert world.raw.zcard("casola:start_by") == 0
    assert world.jobs.get("acme", ended).status is JobStatus.COMPLETED


def test_the_time_survives_a_wiped_redis(world: World) -> None:
    request_id = world.submit_one(start_within=60.0)
    world.wipe()
    world.reconcile()
    time_passes(world)
    world.reconcile()
    world.run()
    error = world.jobs.get("acme", request_id).error
    assert error is not None and error.code == "start_timeout"


def test_a_job_that_is_found_again_after_its_time_may_have_been_begun_and_is_read(
    world: World,
) -> None:
    request_id = world.submit_one(start_within=0.001)
    taken = world.records.take(PAGES_POOL, "w", lease_ms=20_000, max_attempts=3)
    assert taken.claim is not None
    world.wipe()
    world.settle()
    world.reconcile()
    world.settle()
    assert world.jobs.get("acme", request_id).status is JobStatus.COMPLETED
