"""One key is one submission: through repeats, races, crashes and a wiped Redis."""

from __future__ import annotations

import json
import re

import pytest

from casola_ocr.errors import (
    EngineFailed,
    Gone,
    InProgress,
    KeyReused,
    RecordsUnavailable,
    StoreUnavailable,
    TooBusy,
)
from casola_ocr.ids import new_request_id
from casola_ocr.jobs import NewDocument, Options
from casola_ocr.model import JobStatus, Manifest
from casola_ocr.objects import keys
from tests.world import PNG, FailingEngine, World, open_world, tiff

pytestmark = pytest.mark.valkey

KEY = {"idempotency_key": "order-7"}


def test_the_same_key_is_the_same_job_before_and_after_it_ended(world: World) -> None:
    world.engine = engine = FailingEngine({})
    first = world.submit_one(**KEY)
    assert world.submit_one(**KEY) == first
    world.run()
    assert world.submit_one(**KEY) == first
    world.run()
    assert engine.calls == 1
    assert world.inflight() == []


def test_the_same_key_for_another_document_or_other_options_is_refused(world: World) -> None:
    world.submit_one(**KEY)
    for source, options in ((tiff(2), {}), (PNG, {"language": "de"}), (PNG, {"expires_in": 99})):
        with pytest.raises(KeyReused):
            world.submit_one(source, **KEY, **options)
    with pytest.raises(KeyReused):
        world.submit(PNG, PNG, **KEY)


def test_two_tenants_may_use_the_same_key(world: World) -> None:
    document = NewDocument(file_name="0.png", source=PNG)
    other = world.jobs.submit("other", [document], Options(**KEY))[0]
    assert world.submit_one(**KEY) != other.request_id


@pytest.mark.parametrize("ended", [False, True])
def test_a_key_holds_through_a_wipe(world: World, ended: bool) -> None:
    world.engine = engine = FailingEngine({})
    first = world.submit_one(**KEY)
    batch = [job.request_id for job in world.submit(PNG, PNG, idempotency_key="b")]
    if ended:
        world.run()
    world.wipe()
    assert world.submit_one(**KEY) == first
    assert [job.request_id for job in world.submit(PNG, PNG, idempotency_key="b")] == batch
    with pytest.raises(KeyReused):
        world.submit_one(tiff(2), **KEY)
    world.recover()
    world.run()
    assert engine.calls == 3
    assert world.jobs.get("acme", first).status is JobStatus.COMPLETED


@pytest.mark.parametrize("puts", range(6))
def test_a_submission_that_died_half_way_is_made_whole_by_its_repeat(
    world: World, puts: int
) -> None:
    """The process dies after so many objects were stored; the client sends it again."""
    left, original = [puts], world.store.put

    def put(key: str, data: bytes) -> None:
        if not left[0]:
            raise Dead
        left[0] -= 1
        original(key, data)

    world.store.put = put
    world.store.delete = _die
    if puts < 5:
        with pytest.raises(Dead):
            world.submit(PNG, tiff(2), **KEY)
    else:
        world.submit(PNG, tiff(2), **KEY)
    del world.store.put, world.store.delete
    world.raw.delete(*world.raw.keys("idem:*") or ["-"])
    world.reconcile()
    made = world.submit(PNG, tiff(2), **KEY)
    world.reconcile()
    world.run()
    batch = world.jobs.batch("acme", made[0].batch_id)
    assert [job.status for job in batch.jobs] == [JobStatus.COMPLETED] * 2
    assert len(world.jobs.library("acme", 10, None)[0]) == 2


class Dead(BaseException):
    """The process is gone: nothing of it runs any more."""


def _die(*_: object) -> None:
    raise Dead


def test_a_repeat_while_the_first_is_being_accepted_has_to_wait(world: World) -> None:
    first = new_request_id("acme\norder-7\n0")
    assert world.records.reserve(first, "somebody else")
    with pytest.raises(InProgress) as caught:
        world.submit_one(**KEY)
    assert caught.value.retry_after_seconds
    world.records.unreserve(first, "somebody else")
    assert world.submit_one(**KEY) == first


def test_a_request_that_was_overtaken_answers_with_the_job_that_won(world: World) -> None:
    """Its reservation ran out while the store was slow, and a repeat was accepted meanwhile."""
    original = world.store.put
    overtaken = []

    def put(key: str, data: bytes) -> None:
        if key.endswith("/source") and not overtaken:
            overtaken.append(key)
            world.raw.delete(*world.raw.keys("idem:*"))
            world.submit_one(**KEY)
            world.run()
        original(key, data)

    world.store.put = put
    slow = world.submit_one(**KEY)
    assert overtaken
    world.run()
    assert world.jobs.get("acme", slow).status is JobStatus.COMPLETED
    assert len(world.jobs.library("acme", 10, None)[0]) == 1
    assert world.inflight() == []


def test_a_refused_submission_leaves_the_key_free(valkey: str) -> None:
    with open_world(valkey, max_pending_pages_per_tenant=1) as world:
        world.submit_one()
        with pytest.raises(TooBusy):
            world.submit_one(**KEY)
        world.store.fail_with = StoreUnavailable()
        with pytest.raises(StoreUnavailable):
            world.submit_one(**KEY)
        world.store.fail_with = None
        world.run()
        request_id = world.submit_one(**KEY)
        world.run()
        assert world.jobs.get("acme", request_id).status is JobStatus.COMPLETED


def test_a_deleted_jobs_key_does_not_run_again(world: World) -> None:
    request_id = world.submit_one(**KEY)
    world.jobs.delete("acme", request_id)
    with pytest.raises(Gone):
        world.submit_one(**KEY)
    assert world.objects(request_id) == []


def test_a_key_cannot_be_used_while_the_records_are_down(world: World) -> None:
    request_id = world.submit_one(**KEY)
    world.run()
    world.raw.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(RecordsUnavailable):
            world.records.reserve(new_request_id(), "x")
    finally:
        world.raw.config_set("maxmemory", "0")
    assert world.objects(request_id)
    assert keys.inflight(request_id) not in world.inflight()


def test_a_twin_that_comes_just_after_the_first_leaves_its_objects_alone(world: World) -> None:
    """It had asked whether the key was used before the first one had stored anything."""
    reserve, ids = world.records.reserve, []

    def first_is_accepted_meanwhile(request_id: str, nonce: str) -> bool:
        if not ids:
            world.records.reserve = reserve
            ids.append(world.submit_one(**KEY))
        return reserve(request_id, nonce)

    world.records.reserve = first_is_accepted_meanwhile
    ids.append(world.submit_one(**KEY))
    assert ids[0] == ids[1]
    manifest = Manifest.from_json(world.store.get(keys.manifest("acme", ids[0])))
    assert manifest.created_at == world.jobs.get("acme", ids[0]).created_at
    world.run()
    assert world.inflight() == []


def test_a_retry_keeps_the_jobs_place_in_the_library(world: World) -> None:
    world.engine = FailingEngine({1: EngineFailed()})
    request_id = world.submit_one()
    world.settle()
    key = keys.manifest("acme", request_id)
    values = json.loads(world.store.get(key))
    # As an overtaken request with the same key leaves it.
    world.store.put(key, json.dumps(values | {"created_at": values["created_at"] + 5}).encode())
    world.jobs.retry("acme", request_id)
    assert [job.request_id for job in world.jobs.library("acme", 9, None)[0]] == [request_id]


def test_a_request_that_was_overtaken_and_fails_removes_nothing_of_the_winner(
    world: World,
) -> None:
    original, ids, asked = world.store.put, [], []

    def put(key: str, data: bytes) -> None:
        if key.endswith("/source") and not asked:
            # The reservation ran out while the store was slow, and in the end it failed.
            asked.append(key)
            world.raw.delete(*world.raw.keys("idem:*"))
            ids.append(world.submit_one(**KEY))
            raise StoreUnavailable()
        original(key, data)

    world.store.put = put
    with pytest.raises(StoreUnavailable):
        world.submit_one(**KEY)
    world.run()
    assert world.jobs.get("acme", ids[0]).status is JobStatus.COMPLETED
    assert world.inflight() == []


def test_what_is_accepted_while_the_records_go_down_is_answered_as_accepted(world: World) -> None:
    jobs = world.records.jobs

    def down(_: object) -> None:
        world.records.jobs = jobs
        raise RecordsUnavailable()

    world.records.jobs = down
    (job,) = world.submit(PNG)
    assert job.status is JobStatus.QUEUED
    world.run()
    assert world.jobs.get("acme", job.request_id).status is JobStatus.COMPLETED


def test_a_put_that_was_cut_off_does_not_block_the_key(world: World) -> None:
    first = new_request_id("acme\norder-7\n0")
    world.store.put(keys.manifest("acme", first), b"")
    assert world.submit_one(**KEY) == first
    world.run()
    assert world.jobs.get("acme", first).status is JobStatus.COMPLETED


def test_a_key_holds_when_the_record_of_its_job_has_expired(world: World) -> None:
    world.engine = engine = FailingEngine({})
    request_id = world.submit_one(**KEY)
    world.run()
    # Long after `record_days`: the store has it, and nothing else.
    key = keys.result("acme", request_id)
    long_ago = rb'"finished_at": "2020-'
    world.store.put(key, re.sub(rb'"finished_at": "\d{4}-', long_ago, world.store.get(key)))
    world.raw.delete(f"job:{request_id}", f"job:{request_id}:pages")
    with pytest.raises(KeyReused):
        world.submit_one(tiff(2), **KEY)
    again = world.submit(PNG, **KEY)
    world.run()
    assert [(job.request_id, job.status) for job in again] == [(request_id, JobStatus.COMPLETED)]
    assert engine.calls == 1
    assert len(world.jobs.library("acme", 9, None)[0]) == 1
