"""Valkey at its memory limit and read-only: each verb of the records, and admission before that."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from casola_ocr.errors import Overloaded, RecordsUnavailable
from casola_ocr.model import JobStatus
from casola_ocr.records import Records
from casola_ocr.records.connection import MEMORY_SECONDS
from tests.world import PAGES_POOL, PNG, World, open_world, tiff

pytestmark = pytest.mark.valkey

#: Verbs that add something and free nothing.
VERBS: dict[str, Callable[[Records], object]] = {
    "check": lambda records: records.check(),
    "reserve": lambda records: records.reserve("req_x", "nonce"),
    "set_epoch": lambda records: records.set_epoch(),
}


@pytest.fixture(params=["full", "read-only"])
def ailing(world: World, request: pytest.FixtureRequest) -> Iterator[World]:
    world.submit_one()
    if request.param == "full":
        world.raw.config_set("maxmemory", "1mb")
    else:
        world.raw.config_set("replica-read-only", "yes")
        world.raw.replicaof("127.0.0.1", "1")
    yield world
    heal(world)


def heal(world: World) -> None:
    world.raw.config_set("maxmemory", "0")
    world.raw.replicaof("NO", "ONE")


@pytest.mark.parametrize("verb", VERBS)
def test_a_write_is_one_clear_error_that_passes(ailing: World, verb: str) -> None:
    with pytest.raises(RecordsUnavailable) as caught:
        VERBS[verb](ailing.records)
    assert caught.value.retryable
    assert caught.value.retry_after_seconds
    heal(ailing)
    VERBS[verb](ailing.records)
    ailing.settle()


def test_work_goes_on_by_itself_afterwards(ailing: World) -> None:
    (cursor,) = ailing.records.library("acme", 1, None)
    (job,) = ailing.jobs.existing("acme", [cursor.partition("/")[2]])
    ailing.run()
    heal(ailing)
    ailing.settle()
    assert ailing.jobs.get("acme", job.request_id).status is JobStatus.COMPLETED


def test_what_makes_room_goes_on_in_a_full_server(world: World) -> None:
    running, waiting, ended = (world.submit_one(tiff(2)) for _ in range(3))
    work = world.work()
    work.run("prepare")
    work.run(PAGES_POOL)
    world.raw.config_set("maxmemory", "1mb")
    try:
        work.run(PAGES_POOL)
        assert world.jobs.get("acme", running).status is JobStatus.COMPLETED
        assert world.jobs.cancel("acme", waiting).status is JobStatus.CANCELLED
        world.jobs.delete("acme", ended)
    finally:
        world.raw.config_set("maxmemory", "0")
    world.settle()
    assert world.inflight() == []


def test_nothing_is_accepted_above_a_share_of_the_memory(valkey: str) -> None:
    with open_world(valkey, redis_memory_share=0.5) as world:
        used = int(world.raw.info("memory")["used_memory"])
        world.raw.config_set("maxmemory", int(used * 1.8))
        try:
            with pytest.raises(Overloaded) as caught:
                world.submit(PNG)
            assert caught.value.retry_after_seconds
            assert list(world.store.list("tenants/")) == [], "and its bytes are not stored first"
        finally:
            world.raw.config_set("maxmemory", "0")


def test_ended_jobs_make_room_sooner_when_it_becomes_scarce(valkey: str) -> None:
    with open_world(valkey, redis_memory_share=0.9) as world:
        used = int(world.raw.info("memory")["used_memory"])
        kept = world.submit_one()
        world.run()
        brief = world.submit_one()
        world.raw.config_set("maxmemory", int(used * 1.8))
        try:
            time.sleep(MEMORY_SECONDS + 0.1)
            world.run()
        finally:
            world.raw.config_set("maxmemory", "0")
        assert world.raw.ttl(f"job:{brief}") <= 3600 < world.raw.ttl(f"job:{kept}")
