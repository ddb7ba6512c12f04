"""How much is ahead of a job, and when it may end: against the order in which steps are taken."""

from __future__ import annotations

import random
import time

import pytest
import redis

from casola_ocr.jobs import NewDocument, Options
from casola_ocr.model import Lane
from tests.world import PAGES_POOL, PNG, World, tiff

pytestmark = pytest.mark.valkey


def submit(world: World, tenant: str, lane: Lane = Lane.INTERACTIVE, source: bytes = PNG) -> str:
    document = NewDocument(file_name="a.png", source=source)
    (job,) = world.jobs.submit(tenant, [document], Options(lane=lane))
    return job.request_id


def taken(world: World, steps: int) -> list[str]:
    """The jobs of the next steps, by a worker that takes and settles one after the other."""
    found = []
    for _ in range(steps):
        claim = world.records.take(PAGES_POOL, "worker", lease_ms=60_000, max_attempts=3).claim
        assert claim is not None
        found.append(claim.job.request_id)
        world.records.settle(claim, "done", dead=False, inline_pages=0, lease_ms=60_000)
    return found


@pytest.mark.parametrize("seed", range(12))
def test_a_position_is_the_number_of_steps_that_are_taken_before(world: World, seed: int) -> None:
    chance = random.Random(seed)
    tenants = ["a", "b", "c"][: chance.randint(1, 3)]
    ids = {submit(world, tenant): tenant for tenant in chance.choices(tenants, k=12)}
    told = {name: world.jobs.look(tenant, name).queue_position for name, tenant in ids.items()}
    order = taken(world, 12)
    assert told == {name: order.index(name) for name in ids}


def test_pages_of_long_documents_are_counted(world: World) -> None:
    long = submit(world, "a", source=tiff(6))
    world.work().run("prepare")
    last = submit(world, "b")
    mine = submit(world, "a")
    told = {name: world.jobs.look(t, name).queue_position for name, t in ((last, "b"), (mine, "a"))}
    order = taken(world, 8)
    assert told == {last: order.index(last), mine: order.index(mine)}
    assert world.jobs.look("a", long).queue_position is None


@pytest.mark.parametrize("bulk", [3, 12])
def test_the_other_lane_counts_as_often_as_it_is_served(world: World, bulk: int) -> None:
    ids = {submit(world, "a", Lane.BULK): "a" for _ in range(bulk)}
    ids |= {submit(world, "b"): "b" for _ in range(6)}
    told = {name: world.jobs.look(tenant, name).queue_position for name, tenant in ids.items()}
    order = taken(world, len(ids))
    for name, position in told.items():
        assert position is not None
        # Which of the five turns is next is not told.
        assert abs(position - order.index(name)) <= 4


def test_what_waits_to_be_opened_has_a_place_there(world: World) -> None:
    names = [submit(world, "a", source=tiff(2)) for _ in range(3)]
    assert [world.jobs.look("a", name).queue_position for name in names] == [0, 1, 2]
    world.work().run("prepare")
    assert [world.jobs.look("a", name).queue_position for name in names] == [None, 0, 1]


def test_far_back_a_position_is_told_as_ten_thousand(world: World, raw: redis.Redis) -> None:
    name = submit(world, "a")
    waiting = f"wait:{PAGES_POOL}:interactive:a"
    raw.lpush(waiting, *["other"] * 20_000)
    assert world.jobs.look("a", name).queue_position == 10_000
    raw.ltrim(waiting, 20_000, -1)


def test_nothing_is_said_about_the_end_before_anything_was_measured(world: World) -> None:
    name = submit(world, "a")
    job = world.jobs.look("a", name)
    assert (job.queue_position, job.eta_seconds) == (0, None)


def test_an_end_is_told_from_what_a_page_took_and_what_is_ahead(
    world: World, raw: redis.Redis
) -> None:
    world.run()
    names = [submit(world, "a") for _ in range(4)]
    raw.hset("casola:pace", PAGES_POOL, "2000.0 50")
    assert [world.jobs.look("a", name).eta_seconds for name in names] == [2.0, 4.0, 6.0, 8.0]
    claims = [
        world.records.take(PAGES_POOL, f"w{n}", lease_ms=60_000, max_attempts=3).claim
        for n in range(2)
    ]
    # Two at once: the two that wait are read together.
    assert [world.jobs.look("a", name).eta_seconds for name in names[2:]] == [2.0, 2.0]
    for claim in claims:
        assert claim is not None
        world.records.release(claim, delay_ms=0, counts=False)


def test_the_time_of_a_page_is_measured(world: World, raw: redis.Redis) -> None:
    submit(world, "a")
    claim = world.records.take(PAGES_POOL, "w", lease_ms=60_000, max_attempts=3).claim
    assert claim is not None
    time.sleep(0.2)
    world.records.settle(claim, "done", dead=False, inline_pages=0, lease_ms=60_000)
    pace, steps = raw.hget("casola:pace", PAGES_POOL).split()
    assert 190 <= float(pace) < 2000
    assert steps == "1"


def test_a_long_document_ends_after_its_turns_among_others(world: World, raw: redis.Redis) -> None:
    long = submit(world, "a", source=tiff(10))
    world.work().run("prepare")
    raw.hset("casola:pace", PAGES_POOL, "1000.0 50")
    assert world.jobs.look("a", long).eta_seconds == 10.0
    for _ in range(4):
        submit(world, "b")
    # In turns with another tenant, but never longer than everything that waits takes.
    assert world.jobs.look("a", long).eta_seconds == 14.0


def test_a_job_that_ended_has_neither(world: World) -> None:
    name = submit(world, "a")
    world.run()
    job = world.jobs.look("a", name)
    assert (job.queue_position, job.eta_seconds) == (None, None)
