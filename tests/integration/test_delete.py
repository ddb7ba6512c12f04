"""Deleting: every byte, also of what still runs, by request or when the time has come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from casola_ocr import erasure
from casola_ocr.errors import Gone, NotFound, StoreUnavailable
from casola_ocr.model import JobStatus
from casola_ocr.objects import keys
from casola_ocr.times import now_ms
from tests.world import PAGES_POOL, PNG, FailingEngine, World, tiff

pytestmark = pytest.mark.valkey


def forget_deletions(world: World, days: int) -> Iterator[int]:
    return erasure.tend_tombstones(world.records, world.store, days=days, late_ms=0)


def check_nothing_left(world: World, request_id: str) -> None:
    assert world.objects(request_id) == []
    assert world.inflight() == []
    # A note that it was deleted, which a wipe may have taken: the store has the same.
    assert {key for key in world.raw.keys("*") if request_id in key} <= {f"job:{request_id}"}
    assert set(world.raw.hgetall(f"job:{request_id}")) <= {"tenant", "state", "lane"}
    with pytest.raises(Gone):
        world.jobs.get("acme", request_id)
    for verb in (world.jobs.result, world.jobs.cancel, world.jobs.retry):
        with pytest.raises(Gone):
            verb("acme", request_id)


def test_an_ended_job_is_deleted_with_every_byte(world: World) -> None:
    kept = world.submit_one()
    request_id = world.submit_one(tiff(3))
    world.run()
    assert world.objects(request_id)
    world.jobs.delete("acme", request_id)
    check_nothing_left(world, request_id)
    listed, _ = world.jobs.library("acme", 10, None)
    assert [job.request_id for job in listed] == [kept]


def test_a_queued_job_is_deleted_and_never_runs(world: World) -> None:
    world.engine = engine = FailingEngine({})
    request_id = world.submit_one()
    world.jobs.delete("acme", request_id)
    world.run()
    assert engine.calls == 0
    check_nothing_left(world, request_id)


def test_what_a_running_page_writes_later_is_deleted_too(world: World) -> None:
    request_id = world.submit_one()
    taken = world.records.take(PAGES_POOL, "w", lease_ms=20_000, max_attempts=3)
    assert taken.claim is not None
    world.jobs.delete("acme", request_id)
    late = keys.page_result("acme", request_id, 1, f"1-{taken.claim.fence}")
    world.store.put(late, b"{}")
    world.sweep()
    world.run()
    check_nothing_left(world, request_id)


def test_a_worker_that_outlived_its_claim_takes_its_bytes_along(world: World) -> None:
    """It was stopped for longer than a lease, and the job ended and was deleted meanwhile."""

    class Frozen(FailingEngine):
        def read(self, *arguments: Any, **named: Any) -> Any:
            world.engine = FailingEngine({})
            world.sweep()
            world.work("other").run(PAGES_POOL)
            world.jobs.delete("acme", request_id)
            return super().read(*arguments, **named)

    world.engine = Frozen({})
    request_id = world.submit_one()
    world.work().run(PAGES_POOL)
    world.publisher.hints.clear()
    check_nothing_left(world, request_id)


def test_deleting_again_changes_nothing_and_a_foreign_job_is_unknown(world: World) -> None:
    request_id = world.submit_one()
    with pytest.raises(NotFound):
        world.jobs.delete("other", request_id)
    world.jobs.delete("acme", request_id)
    world.jobs.delete("acme", request_id)
    with pytest.raises(NotFound):
        world.jobs.get("other", request_id)
    check_nothing_left(world, request_id)


def test_a_deleted_job_is_gone_after_a_wipe_too(world: World) -> None:
    request_id = world.submit_one()
    world.run()
    world.jobs.delete("acme", request_id)
    world.wipe()
    world.reconcile()
    with pytest.raises(Gone):
        world.jobs.get("acme", request_id)
    assert world.jobs.library("acme", 10, None) == ([], None)


@pytest.mark.parametrize("wiped", [False, True])
@pytest.mark.parametrize("calls", [1, 2, 3, 4])
def test_an_interrupted_deletion_is_completed(world: World, calls: int, wiped: bool) -> None:
    """The store goes down in the middle, and whoever deleted never comes back."""
    request_id = world.submit_one(tiff(2))
    world.run()
    left = [calls]

    def counted(method: str) -> None:
        original = getattr(world.store, method)

        def call(*arguments: object) -> object:
            if not left[0]:
                raise StoreUnavailable()
            left[0] -= 1
            return original(*arguments)

        setattr(world.store, method, call)

    counted("put")
    counted("delete")
    with pytest.raises(StoreUnavailable):
        world.jobs.delete("acme", request_id)
        raise StoreUnavailable
    del world.store.put, world.store.delete
    if wiped:
        world.wipe()
    world.reconcile()
    world.settle()
    check_nothing_left(world, request_id)


def test_a_job_of_a_batch_leaves_the_batch(world: World) -> None:
    first, second = world.submit(PNG, PNG)
    world.jobs.delete("acme", first.request_id)
    world.run()
    batch = world.jobs.batch("acme", first.batch_id)
    assert [job.request_id for job in batch.jobs] == [second.request_id]
    world.recover()
    assert world.inflight() == []
    world.jobs.delete("acme", second.request_id)
    with pytest.raises(NotFound):
        world.jobs.batch("acme", first.batch_id)


def test_jobs_are_deleted_when_their_time_has_come(world: World) -> None:
    kept, expiring = world.submit_one(), world.submit_one(expires_in=3600)
    expires_at = world.jobs.get("acme", expiring).expires_at
    assert expires_at is not None
    assert abs(expires_at - now_ms() - 3_600_000) < 10_000
    world.run()
    world.raw.zadd("casola:expiry", {f"acme/{expiring}": 1})
    world.reconcile()
    with pytest.raises(Gone):
        world.jobs.get("acme", expiring)
    assert world.jobs.get("acme", kept).status is JobStatus.COMPLETED


def test_the_time_of_deletion_survives_a_wipe(world: World) -> None:
    request_id = world.submit_one(expires_in=3600)
    world.run()
    before = world.raw.zscore("casola:expiry", f"acme/{request_id}")
    world.wipe()
    world.reconcile()
    assert world.raw.zscore("casola:expiry", f"acme/{request_id}") == before


def test_a_tenants_retention_is_the_longest_that_its_jobs_are_kept(world: World) -> None:
    tenants = world.service.tenants
    tenants.create("acme")
    tenants.set_retention("acme", 1)
    day = 86_400_000
    for asked, expected in ((None, day), (3600, 3_600_000), (999_999, day)):
        job = world.jobs.get("acme", world.submit_one(expires_in=asked))
        assert job.expires_at == job.created_at + expected


def test_the_fact_of_a_deletion_is_forgotten_in_the_end(world: World) -> None:
    request_id = world.submit_one()
    world.run()
    world.jobs.delete("acme", request_id)
    assert sum(forget_deletions(world, days=30)) == 0
    world.store.put(keys.tombstone("acme", request_id), b"1000")
    assert sum(forget_deletions(world, days=30)) == 1
    with pytest.raises(NotFound):
        world.jobs.get("acme", request_id)


@pytest.mark.parametrize("verb", ["result_of", "text"])
def test_a_job_that_is_deleted_while_it_is_read_is_gone(world: World, verb: str) -> None:
    request_id = world.submit_one()
    world.run()
    job = world.jobs.get("acme", request_id)
    world.jobs.delete("acme", request_id)
    with pytest.raises(Gone):
        getattr(world.jobs, verb)(job)
