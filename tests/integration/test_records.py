"""The Lua scripts on a real Valkey: claims, fences, leases, counters, the sweep."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from casola_ocr.errors import RecordsUnavailable, TooBusy
from casola_ocr.model import (
    Claim,
    JobError,
    JobStatus,
    Lane,
    Manifest,
    new_batch_id,
    new_request_id,
)
from casola_ocr.records import Records, Refused, Registration
from casola_ocr.records import redis as records_module

pytestmark = pytest.mark.valkey


@pytest.fixture
def records(valkey: str) -> Iterator[Records]:
    made = Records(valkey)
    yield made
    made.close_connections()


@pytest.fixture
def raw(valkey: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(valkey, decode_responses=True)
    yield client
    client.close()


def manifest(**changes: object) -> Manifest:
    made = Manifest(
        request_id=new_request_id(),
        tenant="acme",
        file_name="scan.png",
        media_type="image/png",
        url="",
        model="auto",
        engine="pp-ocrv6",
        language="auto",
        lane=Lane.INTERACTIVE,
        batch_id="",
        created_at=int(time.time() * 1000),
    )
    return replace(made, **changes)


def submit(records: Records, pages: int = 1, window: int = 32, **changes: object) -> str:
    made = manifest(**changes)
    records.submit([Registration(manifest=made, pages=pages)], window=window)
    return made.request_id


def claim(
    records: Records, request_id: str, step: str = "1", owner: str = "w1", **given: int
) -> Claim:
    got = take(records, request_id, step, owner, **given)
    assert isinstance(got, Claim), got
    return got


def take(
    records: Records, request_id: str, step: str = "1", owner: str = "w1", *,
    lease_ms: int = 20_000, max_attempts: int = 3,
) -> Claim | Refused:  # fmt: skip
    return records.claim(request_id, step, owner, lease_ms=lease_ms, max_attempts=max_attempts)


def pending(raw: redis.Redis) -> dict[str, int]:
    return {name: int(count) for name, count in raw.hgetall("casola:pending").items()}


def finish(records: Records, request_id: str) -> None:
    got = claim(records, request_id, "finish")
    ended = replace(got.job, status=JobStatus.COMPLETED, words=3, confidence=0.5, finished_at=1)
    assert records.close(ended, got.fence)


def test_a_job_is_queued_and_its_first_page_is_to_be_published(records: Records) -> None:
    made = manifest()
    steps = records.submit([Registration(manifest=made, pages=1)], window=32)
    assert steps == [(made.request_id, "1")]
    job = records.get(made.request_id)
    assert job is not None
    assert (job.status, job.pages.total, job.pages.done) == (JobStatus.QUEUED, 1, 0)


def test_submitting_the_same_job_again_changes_nothing(records: Records, raw: redis.Redis) -> None:
    made = manifest()
    records.submit([Registration(manifest=made, pages=1)], window=32)
    before = pending(raw)
    assert records.submit([Registration(manifest=made, pages=1)], window=32) == []
    assert pending(raw) == before


def test_a_batch_is_accepted_as_a_whole_or_not_at_all(records: Records) -> None:
    batch_id = new_batch_id()
    made = [Registration(manifest=manifest(batch_id=batch_id), pages=1) for _ in range(3)]
    submit(records)
    with pytest.raises(TooBusy) as caught:
        records.submit(made, window=32, max_tenant=3)
    assert caught.value.retry_after_seconds
    assert records.batch(batch_id) is None
    assert records.library("acme", 10, None) != []
    records.submit(made, window=32, max_tenant=4)
    found = records.batch(batch_id)
    assert found is not None
    assert found[2] == [item.manifest.request_id for item in made]


def test_the_limit_of_one_tenant_does_not_stop_another(records: Records) -> None:
    submit(records)
    with pytest.raises(TooBusy):
        records.submit([Registration(manifest=manifest(), pages=1)], window=32, max_tenant=1)
    other = Registration(manifest=manifest(tenant="other"), pages=1)
    assert records.submit([other], window=32, max_tenant=1)


def test_a_claimed_page_is_not_given_to_a_second_worker(records: Records) -> None:
    request_id = submit(records)
    claim(records, request_id)
    refused = take(records, request_id, owner="w2")
    assert isinstance(refused, Refused)
    assert refused.why == "leased"


def test_claiming_again_as_the_same_owner_returns_the_same_claim(records: Records) -> None:
    request_id = submit(records)
    first, again = claim(records, request_id), claim(records, request_id)
    assert (again.attempt, again.fence) == (first.attempt, first.fence)


def test_the_first_winner_counts_and_a_late_attempt_loses(records: Records) -> None:
    request_id = submit(records)
    slow = claim(records, request_id, lease_ms=1)
    time.sleep(0.01)
    quick = claim(records, request_id, owner="w2")
    assert quick.fence > slow.fence
    assert records.settle(slow, "done") is None
    assert records.settle(quick, "done") == ("finish",)
    assert records.settle(slow, "done") is None
    job = records.get(request_id)
    assert job is not None
    assert (job.pages.done, job.pages.failed) == (1, 0)
    assert records.page_state(request_id, 1) == f"d:2-{quick.fence}"


def test_settling_again_after_a_lost_answer_is_still_a_win_and_counts_once(
    records: Records,
) -> None:
    request_id = submit(records)
    got = claim(records, request_id)
    assert records.settle(got, "done") is not None
    assert records.settle(got, "done") == ()
    job = records.get(request_id)
    assert job is not None
    assert job.pages.done == 1


def test_a_heartbeat_extends_the_lease_of_the_holder_only(records: Records) -> None:
    request_id = submit(records)
    held = claim(records, request_id, lease_ms=60)
    assert records.heartbeat(held, 60_000) == "ok"
    time.sleep(0.1)
    assert records.sweep() == []
    assert records.heartbeat(replace(held, fence=held.fence - 1), 60_000) == "lost"


def test_a_page_whose_worker_is_silent_is_published_again(records: Records) -> None:
    request_id = submit(records)
    claim(records, request_id, lease_ms=1)
    time.sleep(0.01)
    (lost,) = records.sweep()
    assert (lost.request_id, lost.step, lost.why) == (request_id, "1", "lease")
    assert lost.pages_queue == "pages.pp-ocrv6.interactive"
    assert claim(records, request_id, owner="w2").attempt == 2


def test_a_lost_message_is_published_again_but_one_that_waits_its_turn_is_not(
    records: Records, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_module, "GRACE_MS", 1)
    request_id = submit(records)
    raw.lpush("pages.pp-ocrv6.interactive", "a message")
    time.sleep(0.01)
    assert records.sweep() == []
    raw.delete("pages.pp-ocrv6.interactive")
    raw.zadd("casola:due", {f"{request_id}/1": 1})
    (lost,) = records.sweep()
    assert lost.why == "lost"


def test_a_message_that_was_overtaken_in_its_queue_is_lost(
    records: Records, raw: redis.Redis
) -> None:
    first, second = submit(records), submit(records)
    raw.lpush("pages.pp-ocrv6.interactive", "some other message")
    claim(records, second)
    raw.zadd("casola:due", {f"{first}/1": 1})
    assert [(lost.request_id, lost.why) for lost in records.sweep()] == [(first, "lost")]


def test_a_poison_page_fails_after_its_attempts_and_the_job_goes_on(records: Records) -> None:
    request_id = submit(records, pages=2)
    for _ in range(3):
        claim(records, request_id, lease_ms=1)
        time.sleep(0.005)
    refused = take(records, request_id)
    assert isinstance(refused, Refused)
    assert refused.why == "exhausted"
    second = claim(records, request_id, "2")
    assert records.settle(second, "done") == ("finish",)
    job = records.get(request_id)
    assert job is not None
    assert (job.pages.done, job.pages.failed) == (1, 1)
    assert (records.page_state(request_id, 1) or "").endswith(":attempts_exhausted")


def test_a_released_page_waits_for_its_delay_and_may_keep_its_attempt(records: Records) -> None:
    request_id = submit(records)
    got = claim(records, request_id)
    assert records.release(got, delay_ms=50, counts=False)
    assert records.sweep() == []
    time.sleep(0.06)
    assert [lost.why for lost in records.sweep()] == ["waited"]
    assert claim(records, request_id).attempt == 1


def test_only_a_window_of_pages_is_published_and_each_end_opens_it_further(
    records: Records,
) -> None:
    made = manifest(media_type="image/tiff")
    steps = records.submit([Registration(manifest=made, pages=0)], window=2)
    assert steps == [(made.request_id, "prepare")]
    preparing = claim(records, made.request_id, "prepare")
    told = {"total": 5, "media_type": "image/tiff", "file_name": "scan.tif"}
    assert records.opened(preparing, ready=1, **told) == ("1",)
    assert records.opened(preparing, ready=5, **told) == ("2",)
    published = []
    for page in ("1", "2", "3", "4", "5"):
        published.append(records.settle(claim(records, made.request_id, page), "done"))
    assert published == [("3",), ("4",), ("5",), (), ("finish",)]


def test_the_quota_is_charged_for_every_page_and_given_back(
    records: Records, raw: redis.Redis
) -> None:
    request_id = submit(records, pages=0, media_type="image/tiff")
    assert pending(raw) == {"*": 1, "acme": 1}
    preparing = claim(records, request_id, "prepare")
    records.opened(preparing, total=3, ready=3, media_type="image/tiff", file_name="a.tif")
    assert pending(raw) == {"*": 3, "acme": 3}
    for page in ("1", "2", "3"):
        records.settle(claim(records, request_id, page), "done")
    finish(records, request_id)
    assert pending(raw) == {"*": 0}


def test_a_document_that_cannot_be_opened_goes_to_finish(
    records: Records, raw: redis.Redis
) -> None:
    request_id = submit(records, pages=0, media_type="")
    preparing = claim(records, request_id, "prepare")
    error = JobError(code="fetch_failed", detail="The URL answered 404.")
    assert records.reject(preparing, error) == ("finish",)
    got = claim(records, request_id, "finish")
    assert got.job.error == error
    records.close(replace(got.job, status=JobStatus.FAILED, finished_at=5), got.fence)
    job = records.get(request_id)
    assert job is not None
    assert (job.status, job.error) == (JobStatus.FAILED, error)
    assert pending(raw) == {"*": 0}


def test_cancelling_stops_what_waits_and_what_runs_and_is_final(
    records: Records, raw: redis.Redis
) -> None:
    request_id = submit(records, pages=3)
    done, runs = claim(records, request_id, "1"), claim(records, request_id, "2")
    records.settle(done, "done")
    job = records.get(request_id)
    assert job is not None
    stopped = replace(job, status=JobStatus.CANCELLED, finished_at=9)
    assert records.close(stopped, None)
    assert not records.close(stopped, None)
    assert records.heartbeat(runs, 1000) == "stopped"
    assert records.settle(runs, "done") is None
    refused = take(records, request_id, "3")
    assert isinstance(refused, Refused)
    assert refused.why == "terminal"
    assert (records.page_state(request_id, 1) or "").startswith("d:")
    assert pending(raw) == {"*": 0}
    assert raw.zcard("casola:due") == 0


def test_a_recovered_job_keeps_the_pages_that_were_read(records: Records) -> None:
    made = manifest(media_type="image/tiff")
    registration = Registration(manifest=made, pages=0, winners={2: "1-77"})
    records.submit([registration], window=8)
    preparing = claim(records, made.request_id, "prepare")
    steps = records.opened(preparing, total=3, ready=3, media_type="image/tiff", file_name="a.tif")
    assert steps == ("1", "3")
    records.settle(claim(records, made.request_id, "1"), "done")
    assert records.settle(claim(records, made.request_id, "3"), "done") == ("finish",)
    assert records.page_state(made.request_id, 2) == "d:1-77"


def test_a_recovered_job_whose_every_page_was_read_only_finishes(records: Records) -> None:
    made = manifest()
    steps = records.submit([Registration(manifest=made, pages=1, winners={1: "1-7"})], window=8)
    assert steps == [(made.request_id, "finish")]


def test_waiting_sees_an_end_that_came_before_it_began(records: Records) -> None:
    request_id = submit(records)
    records.settle(claim(records, request_id), "done")
    finish(records, request_id)
    begun = time.monotonic()
    records.wait(request_id, 30)
    assert time.monotonic() - begun < 10


def test_the_library_is_newest_first_and_pages_by_cursor(records: Records) -> None:
    ids = []
    for _ in range(5):
        ids.append(submit(records))
        time.sleep(0.002)
    submit(records, tenant="other")
    newest = ids[::-1]
    assert records.library("acme", 2, None) == newest[:2]
    assert records.library("acme", 9, newest[1]) == newest[2:]


def test_only_workers_that_were_seen_lately_are_alive(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.pulse("a", ["engine:pp-ocrv6"])
    records.pulse("b", ["prepare"])
    assert records.capabilities() == {"engine:pp-ocrv6", "prepare"}
    records.pulse("b", [])
    assert records.capabilities() == {"engine:pp-ocrv6"}
    monkeypatch.setattr(records_module, "LIVE_MS", 1)
    time.sleep(0.01)
    assert records.capabilities() == set()


def test_a_job_that_was_never_accepted_leaves_nothing(records: Records, raw: redis.Redis) -> None:
    request_id = submit(records)
    records.forget(request_id)
    assert not [key for key in raw.keys("*") if request_id in key]
    assert pending(raw) == {"*": 0}
    assert records.library("acme", 5, None) == []
    assert raw.zcard("casola:due") == 0


def test_a_server_that_is_not_there_is_one_clear_error() -> None:
    gone = Records("redis://127.0.0.1:1/0")
    with pytest.raises(RecordsUnavailable) as caught:
        gone.ping()
    assert "127.0.0.1" not in caught.value.detail
    gone.close_connections()
