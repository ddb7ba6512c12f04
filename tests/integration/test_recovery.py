"""What was accepted is found again after Redis lost everything; yesterday's jobs are finished."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from casola_ocr import recovery
from casola_ocr.errors import EngineFailed, Gone, NotFound, StoreUnavailable
from casola_ocr.ids import new_request_id
from casola_ocr.model import JobStatus, Lane, Manifest, Marker
from casola_ocr.objects import keys
from tests.servers import free_ports, stop, valkey_command, wait_for_valkey
from tests.world import PAGES_POOL, PNG, FailingEngine, World, open_world, tiff
from workers import reconcile
from workers.reconcile import Reconciler

pytestmark = pytest.mark.valkey


@pytest.mark.parametrize("pages_before", [0, 2])
def test_everything_accepted_survives_a_wiped_server(world: World, pages_before: int) -> None:
    request_id = world.submit_one(tiff(4))
    work = world.work()
    work.run("prepare")
    for _ in range(pages_before):
        work.run(PAGES_POOL)
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


def test_a_job_is_known_before_it_is_recovered(world: World) -> None:
    request_id = world.submit_one()
    batch = world.submit(PNG, PNG)
    world.wipe()
    for known in (request_id, batch[0].request_id):
        assert world.jobs.get("acme", known).status is JobStatus.QUEUED
        with pytest.raises(NotFound):
            world.jobs.get("other", known)


def test_a_batch_is_committed_by_one_marker_and_recovered_as_a_whole(world: World) -> None:
    made = world.submit(PNG, tiff(2), PNG)
    batch_id = made[0].batch_id
    assert world.inflight() == [keys.inflight(batch_id)]
    work = world.work()
    work.run(PAGES_POOL)
    world.wipe()
    assert world.recover() == 2, "the one that was read is only listed again"
    world.run()
    batch = world.jobs.batch("acme", batch_id)
    assert [job.status for job in batch.jobs] == [JobStatus.COMPLETED] * 3
    world.recover()
    assert world.inflight() == []


def test_a_cancelled_job_stays_cancelled_after_a_wipe(world: World) -> None:
    request_id = world.submit_one(tiff(3))
    work = world.work()
    work.run("prepare")
    work.run(PAGES_POOL)
    world.jobs.cancel("acme", request_id)
    world.wipe()
    world.recover()
    world.run()
    job = world.jobs.get("acme", request_id)
    assert (job.status, job.pages.done) == (JobStatus.CANCELLED, 1)
    assert world.result(request_id)["text"] == "hello"
    assert world.inflight() == []
    world.wipe()
    assert world.jobs.get("acme", request_id).status is JobStatus.CANCELLED


def test_a_cancelled_job_of_a_batch_stays_cancelled_after_a_wipe(world: World) -> None:
    made = world.submit(PNG, PNG)
    world.jobs.cancel("acme", made[0].request_id)
    world.wipe()
    world.recover()
    world.run()
    batch = world.jobs.batch("acme", made[0].batch_id)
    found = {job.request_id: job.status for job in batch.jobs}
    assert found[made[0].request_id] is JobStatus.CANCELLED
    assert found[made[1].request_id] is JobStatus.COMPLETED
    world.recover()
    assert world.inflight() == []


def test_a_retry_that_was_asked_for_runs_after_a_wipe_with_its_model(world: World) -> None:
    world.engine = FailingEngine({2: EngineFailed()})
    request_id = world.submit_one(tiff(3))
    world.settle()
    world.jobs.retry("acme", request_id, "tesseract")
    world.wipe()
    assert world.recover() == 1
    world.run()
    found = world.result(request_id)
    assert [page["engine"] for page in found["page_results"]] == [
        "pp-ocrv6", "tesseract", "pp-ocrv6",
    ]  # fmt: skip
    assert found["run"] == 2


def test_the_library_and_the_dead_letters_are_listed_again_after_a_wipe(world: World) -> None:
    ids = [world.submit_one() for _ in range(3)]
    world.settle()
    world.engine = FailingEngine({1: EngineFailed()})
    ids.append(world.submit_one())
    world.settle()
    world.jobs.delete("acme", ids[0])
    before = world.jobs.library("acme", 10, None)
    letters = world.service.dead.list(10)
    assert len(before[0]) == 3
    assert len(letters[0]) == 1
    world.wipe()
    world.reconcile()
    after = world.jobs.library("acme", 10, None)
    assert [job.request_id for job in after[0]] == [job.request_id for job in before[0]]
    assert [job.words for job in after[0]] == [job.words for job in before[0]]
    again = world.service.dead.list(10)[0][0]
    assert (again.request_id, again.pages) == (letters[0][0].request_id, letters[0][0].pages)


def test_a_marker_without_a_manifest_is_removed(world: World) -> None:
    stray = new_request_id()
    world.store.put(keys.inflight(stray), Marker(tenant="acme").to_json())
    assert world.recover() == 0
    assert world.inflight() == []


def test_one_unreadable_marker_stops_nothing(world: World) -> None:
    stray = new_request_id()
    world.store.put(keys.inflight(stray), b'{"nothing": 1}')
    request_id = world.submit_one()
    world.wipe()
    assert world.recover() == 1
    world.run()
    assert world.jobs.get("acme", request_id).status is JobStatus.COMPLETED


@pytest.mark.parametrize("damage", [b"", b"{", b"../up", b'{"nothing": 1}'])
def test_a_damaged_marker_does_not_lose_its_job(world: World, damage: bytes) -> None:
    """As when the process died while it wrote a decision over it."""
    request_id = world.submit_one()
    world.store.put(keys.inflight(request_id), damage)
    world.wipe()
    assert world.recover() == 1
    world.run()
    assert world.jobs.get("acme", request_id).status is JobStatus.COMPLETED
    assert world.inflight() == []


# Version 1: a plain tenant's name in the marker, no sizes in the manifest, steps in queues of
# Redis that nobody reads any more. Written down from a run of that version.


def submit_yesterday(world: World) -> str:
    request_id = new_request_id()
    manifest = {
        "request_id": request_id, "tenant": "acme", "file_name": "old.png",
        "media_type": "image/png", "url": "", "model": "auto", "engine": "pp-ocrv6",
        "language": "auto", "lane": "interactive", "batch_id": "", "created_at": 1760000000000,
        "version": 1,
    }  # fmt: skip
    world.store.put(keys.source("acme", request_id), PNG)
    world.store.put(keys.manifest("acme", request_id), json.dumps(manifest).encode())
    world.store.put(keys.inflight(request_id), b"acme")
    queue = "pages.pp-ocrv6.interactive"
    world.raw.hset(f"job:{request_id}", mapping={
        "v": 1, "state": "queued", "model": "auto", "engine": "pp-ocrv6", "language": "auto",
        "file_name": "old.png", "media_type": "image/png", "lane": "interactive",
        "created": 1760000000000, "total": 1, "ready": 1, "window": 32, "queue": queue,
        "tenant": "acme", "batch": "", "failed": 0, "next": 2, "open": 1, "owed": 1, "done": 0,
    })  # fmt: skip
    world.raw.hset(f"job:{request_id}:pages", "1", "q:0:1")
    world.raw.zadd("casola:due", {f"{request_id}/1": 1760000010000})
    world.raw.zadd("lib:acme", {request_id: 0})
    world.raw.hincrby("casola:pending", "*", 1)
    world.raw.hincrby("casola:pending", "acme", 1)
    world.raw.hset("casola:tickets", queue, 1)
    world.raw.lpush(queue, "a message")
    return request_id


def test_todays_workers_finish_yesterdays_jobs(world: World) -> None:
    world.raw.set("casola:epoch", 1760000000000)
    request_id = submit_yesterday(world)
    world.reconcile()
    world.announce()
    world.run()
    job = world.jobs.get("acme", request_id)
    assert (job.status, job.lane, job.pages.done) == (JobStatus.COMPLETED, Lane.INTERACTIVE, 1)
    assert [job.request_id for job in world.jobs.library("acme", 9, None)[0]] == [request_id]
    assert world.inflight() == []
    assert not world.raw.exists("pages.pp-ocrv6.interactive")


def test_a_job_that_an_old_api_submits_during_the_deploy_is_run_too(world: World) -> None:
    world.reconcile()
    request_id = submit_yesterday(world)
    world.raw.delete("casola:due", "casola:pending", "casola:tickets")
    assert world.recover() == 1
    world.run()
    assert world.jobs.get("acme", request_id).status is JobStatus.COMPLETED
    world.raw.delete("lib:acme")


def test_a_store_that_fails_while_ended_jobs_are_listed_leaves_none_out(world: World) -> None:
    ids = {world.submit_one() for _ in range(3)}
    world.run()
    world.wipe()
    reconciler = Reconciler(world.settings, world.service)
    stored_job, asked = recovery.stored_job, []

    def fail_once(*arguments: Any) -> Any:
        asked.append(arguments)
        if len(asked) == 2:
            raise StoreUnavailable()
        return stored_job(*arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(recovery, "stored_job", fail_once)
        with pytest.raises(StoreUnavailable):
            reconciler.repair(1000.0)
        reconciler.repair(1001.0)
    assert {job.request_id for job in world.jobs.library("acme", 10, None)[0]} == ids


def test_records_that_are_lost_again_while_jobs_are_listed_leave_none_out(world: World) -> None:
    ids = {world.submit_one() for _ in range(3)}
    world.run()
    world.wipe()
    slow, other = (Reconciler(world.settings, world.service) for _ in range(2))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(recovery, "CHUNK", 1)
        patched.setattr(reconcile, "SLICE_SECONDS", 1e-9)
        slow.repair(1000.0)
        world.wipe()
        other.repair(1000.0)
        for second in range(1001, 1010):
            slow.repair(float(second))
    assert {job.request_id for job in world.jobs.library("acme", 10, None)[0]} == ids


# What a loss of the records in the middle of something must not change.


def test_a_batch_found_half_again_before_a_second_wipe_is_found_whole(world: World) -> None:
    made = world.submit(PNG, PNG, PNG)
    batch_id = made[0].batch_id
    world.wipe()
    first = made[0].request_id
    manifest = Manifest.from_json(world.store.get(keys.manifest("acme", first)))
    item = recovery.registration(world.store, world.records, manifest, Marker(tenant="acme"))
    world.publisher.publish(world.records.submit("acme", [item], window=32))
    world.run()
    assert world.jobs.get("acme", first).status is JobStatus.COMPLETED
    assert world.inflight() == [keys.inflight(batch_id)]
    assert len(world.jobs.batch("acme", batch_id).jobs) == 3, "the marker knows the others"
    world.wipe()
    world.recover()
    world.run()
    world.recover()
    assert {job.status for job in world.jobs.batch("acme", batch_id).jobs} == {JobStatus.COMPLETED}
    assert world.inflight() == []


def test_a_batch_keeps_its_order_through_a_wipe_before_and_after_its_end(world: World) -> None:
    made = world.submit(*[PNG] * 9, idempotency_key="many")
    ids = [job.request_id for job in made]
    for _ in range(2):
        world.wipe()
        world.reconcile()
        batch = world.jobs.batch("acme", made[0].batch_id)
        assert [job.request_id for job in batch.jobs] == ids
        world.settle()
        world.recover()
    assert world.inflight() == []


def test_records_that_are_lost_while_a_job_is_finished_leave_no_wrong_result(world: World) -> None:
    request_id = world.submit_one(tiff(2))
    world.work().run("prepare")
    world.work().run(PAGES_POOL)
    page_states = world.records.page_states

    def lost_meanwhile(name: str) -> dict[int, str]:
        world.records.page_states = page_states
        world.wipe()
        return page_states(name)

    world.records.page_states = lost_meanwhile
    world.work().run(PAGES_POOL)
    assert world.jobs.get("acme", request_id).status is JobStatus.QUEUED
    world.recover()
    world.settle()
    assert world.result(request_id)["text"] == "hello\fhello"


def test_a_cancelled_job_whose_only_page_was_just_read_stays_cancelled(world: World) -> None:
    request_id = world.submit_one()
    claim = world.records.take(PAGES_POOL, "w", lease_ms=20_000, max_attempts=3).claim
    assert claim is not None
    result = keys.page_result("acme", request_id, 1, f"1-{claim.fence}")
    world.store.put(result, b'{"error":null,"text":"hello","words":1,"confidence":0.9,"page":1}')
    world.jobs.cancel("acme", request_id)
    world.wipe()
    world.recover()
    world.run()
    job = world.jobs.get("acme", request_id)
    assert (job.status, job.pages.done) == (JobStatus.CANCELLED, 1)
    assert world.inflight() == []


def test_a_job_can_be_cancelled_before_it_is_found_again(world: World) -> None:
    single, batch = world.submit_one(tiff(2)), world.submit(PNG, PNG)
    world.wipe()
    assert world.jobs.cancel("acme", single).status is JobStatus.CANCELLED
    cancelled = world.jobs.cancel_batch("acme", batch[0].batch_id)
    assert {job.status for job in cancelled.jobs} == {JobStatus.CANCELLED}
    world.recover()
    world.settle()
    world.recover()
    assert world.jobs.get("acme", single).status is JobStatus.CANCELLED
    assert world.inflight() == []


def test_a_cancelled_retry_is_not_taken_for_what_was_before_it(world: World) -> None:
    world.engine = FailingEngine({2: EngineFailed()})
    request_id = world.submit_one(tiff(3))
    world.settle()
    world.jobs.retry("acme", request_id, "tesseract")
    world.publisher.hints.clear()
    world.jobs.cancel("acme", request_id)
    assert world.result(request_id)["status"] == "cancelled"
    world.wipe()
    assert world.jobs.get("acme", request_id).run == 2, "the retry was accepted"
    world.recover()
    world.run()
    job = world.jobs.get("acme", request_id)
    assert (job.status, job.run, job.engine) == (JobStatus.CANCELLED, 2, "tesseract")
    assert world.inflight() == []


def test_a_deletion_that_died_at_once_is_completed_although_the_job_went_on(world: World) -> None:
    request_id = world.submit_one()
    world.store.put(keys.deletion(request_id), Marker(tenant="acme").to_json())
    world.run()
    world.service.recover(thorough=False)
    world.settle()
    assert world.objects(request_id) == []
    assert world.inflight() == []


def test_a_server_that_lost_its_last_second_is_brought_in_line_with_the_store(
    tmp_path: Path,
) -> None:
    """As when the machine dies under `appendfsync everysec`: the end of the log is not there."""
    (port,) = free_ports(1)
    command = valkey_command(tmp_path, port, "--appendfsync", "everysec", "--save", "")
    url = f"redis://127.0.0.1:{port}/0"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for_valkey(url)
        with open_world(url) as world:
            world.reconcile()
            before = [world.submit_one(tiff(2)), world.submit_one(tiff(2))]
            world.work().run("prepare")
            log = next((tmp_path / "appendonlydir").glob("*.incr.aof"))
            synced = log.stat().st_size
            # In the last second: a page is read, a job is cancelled, another comes and is read,
            # one more comes, and one is asked to be deleted.
            world.work().run(PAGES_POOL)
            world.jobs.cancel("acme", before[1])
            done, deleted = world.submit_one(), world.submit_one()
            world.run()
            world.jobs.delete("acme", deleted)
            waiting = world.submit_one(tiff(2))
            process.kill()
            process.wait()
            with log.open("r+b") as file:
                file.truncate(synced)
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            wait_for_valkey(url)
            world.announce()
            world.publisher.hints.clear()
            for _ in range(3):
                world.reconcile()
                world.settle()
            found = {i: world.jobs.get("acme", i).status for i in (*before, done, waiting)}
            listed = {job.request_id for job in world.jobs.library("acme", 9, None)[0]}
            assert found == {
                before[0]: JobStatus.COMPLETED,
                before[1]: JobStatus.CANCELLED,
                done: JobStatus.COMPLETED,
                waiting: JobStatus.COMPLETED,
            }
            assert listed == set(found)
            with pytest.raises(Gone):
                world.jobs.get("acme", deleted)
            assert world.inflight() == []
    finally:
        stop(process)


def test_a_wipe_while_a_batch_is_looked_at_does_not_lose_it(world: World) -> None:
    made = world.submit(PNG, PNG)
    known = world.records.known

    def wiped_after(ids: Any) -> list[bool]:
        answer = known(ids)
        world.records.known = known
        world.wipe()
        return answer

    world.records.known = wiped_after
    world.recover()
    assert world.inflight() == [keys.inflight(made[0].batch_id)]
    world.recover()
    world.run()
    world.recover()
    batch = world.jobs.batch("acme", made[0].batch_id)
    assert {job.status for job in batch.jobs} == {JobStatus.COMPLETED}
    assert world.inflight() == []


def test_a_batch_is_open_until_its_cancelled_jobs_are_kept(world: World) -> None:
    made = world.submit(PNG, PNG)
    world.work().run(PAGES_POOL)
    (second,) = (job.request_id for job in made if not world.jobs.get("acme", job.request_id)
                 .status.terminal)  # fmt: skip
    assert world.records.cancel(second, 5)[0] == "ok"
    world.recover()
    assert keys.inflight(made[0].batch_id) in world.inflight(), "it is all that names the second"
    world.wipe()
    world.recover()
    world.settle()
    world.recover()
    assert world.jobs.get("acme", second).status.terminal
    assert world.inflight() == []


def test_a_late_mark_of_a_cancellation_changes_no_job_that_ended(world: World) -> None:
    request_id = world.submit_one()
    world.run()
    late = Marker(tenant="acme", cancelled_at=5)
    world.store.put(keys.marker(request_id, 1), late.to_json())
    world.recover()
    assert world.inflight() == []
    assert world.jobs.get("acme", request_id).status is JobStatus.COMPLETED
