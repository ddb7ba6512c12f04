"""The job records on a real Valkey: submitting, quotas, batches, ending, coming back, counters."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from casola_ocr.errors import Overloaded, RecordsUnavailable, TooBusy
from casola_ocr.ids import new_batch_id, new_request_id
from casola_ocr.model import Claim, JobError, JobStatus, Lane
from casola_ocr.records import Limits, Records, Registration
from tests.invariants import check_records
from tests.verbs import (
    OPENED,
    POOL,
    claim,
    close,
    finish,
    manifest,
    pending,
    settle,
    submit,
    sweep,
    take,
)

pytestmark = pytest.mark.valkey


def test_a_job_is_queued_and_its_page_can_be_taken(records: Records, raw: redis.Redis) -> None:
    made = manifest()
    registration = Registration(manifest=made, pages=1)
    assert records.submit("acme", [registration], window=32) == {POOL: 1}
    job = records.get(made.request_id)
    assert job is not None
    assert (job.status, job.pages.total, job.pages.done) == (JobStatus.QUEUED, 1, 0)
    got = claim(records)
    assert (got.job.request_id, got.step, got.attempt) == (made.request_id, "1", 1)
    assert take(records, owner="w2") is None, "a page is given to one worker"


def test_submitting_the_same_job_again_changes_nothing(records: Records, raw: redis.Redis) -> None:
    registration = Registration(manifest=manifest(), pages=1)
    records.submit("acme", [registration], window=32)
    before = pending(raw)
    assert records.submit("acme", [registration], window=32) == {}
    assert pending(raw) == before


def test_a_batch_is_accepted_as_a_whole_or_not_at_all(records: Records, raw: redis.Redis) -> None:
    batch_id = new_batch_id()
    made = [Registration(manifest=manifest(batch_id=batch_id), pages=1) for _ in range(3)]
    submit(records)
    with pytest.raises(TooBusy) as caught:
        records.submit("acme", made, window=32, limits=Limits(tenant_pages=3))
    assert caught.value.retry_after_seconds
    assert records.batch(batch_id) is None
    records.submit("acme", made, window=32, limits=Limits(tenant_pages=4))
    found = records.batch(batch_id)
    assert found is not None
    assert found.request_ids == [item.manifest.request_id for item in made]
    assert found.whole


def test_one_tenants_limit_stops_no_other_but_the_services_limit_stops_all(
    records: Records, raw: redis.Redis
) -> None:
    submit(records)
    with pytest.raises(TooBusy):
        records.admit("acme", pages=1, size=0, limits=Limits(tenant_pages=1))
    records.admit("other", pages=1, size=0, limits=Limits(tenant_pages=1))
    with pytest.raises(Overloaded):
        records.admit("other", pages=1, size=0, limits=Limits(total_pages=1))
    with pytest.raises(TooBusy, match="MB"):
        records.admit("acme", pages=1, size=10**9, limits=Limits(tenant_bytes=10**9))


def test_retry_after_follows_the_measured_rate(records: Records, raw: redis.Redis) -> None:
    for _ in range(20):
        submit(records)
    for _ in range(10):
        settle(records, claim(records))
    # Ten pages of the last 30 s: a third of a page a second; the last of ten drains in 30 s.
    with pytest.raises(TooBusy) as caught:
        records.admit("acme", pages=1, size=0, limits=Limits(tenant_pages=1))
    assert 25 <= (caught.value.retry_after_seconds or 0) <= 35
    with pytest.raises(TooBusy) as caught:
        records.admit("acme", pages=1, size=0, limits=Limits(tenant_pages=10))
    assert 2 <= (caught.value.retry_after_seconds or 0) <= 5


def test_preparing_pauses_when_enough_is_ready_and_goes_on_when_it_is_used(
    records: Records, raw: redis.Redis
) -> None:
    submit(records, pages=0, window=4, media_type="image/tiff")
    preparing = claim(records, "prepare")
    answers = [records.opened(preparing, total=9, ready=n, **OPENED)[0] for n in (1, 2, 3, 4)]
    assert answers == ["more", "more", "more", "parked"]
    assert take(records, "prepare") is None
    claim(records)
    assert take(records, "prepare") is None
    claim(records)
    again = claim(records, "prepare")
    assert (again.ready, again.attempt) == (4, 1)


def test_the_quota_is_charged_for_every_page_and_byte_and_given_back(
    records: Records, raw: redis.Redis
) -> None:
    submit(records, pages=0, media_type="image/tiff")
    assert pending(raw) == {"*": 1, "acme": 1}
    records.opened(claim(records, "prepare"), total=3, ready=3, **{**OPENED, "size": 99})
    assert pending(raw) == {"*": 3, "acme": 3}
    assert raw.hgetall("casola:pending_bytes") == {"*": "99", "acme": "99"}
    for _ in range(3):
        settle(records, claim(records))
    finish(records)
    assert pending(raw) == {}
    assert raw.hgetall("casola:pending_bytes") == {}


def test_a_document_that_cannot_be_opened_goes_to_finish(
    records: Records, raw: redis.Redis
) -> None:
    request_id = submit(records, pages=0, media_type="")
    error = JobError(code="fetch_failed", detail="The URL answered 404.")
    records.reject(claim(records, "prepare"), error)
    got = claim(records, "finish")
    assert got.job.error == error
    close(records, got, status=JobStatus.FAILED, words=None, confidence=None)
    job = records.get(request_id)
    assert job is not None
    assert (job.status, job.error) == (JobStatus.FAILED, error)


def test_cancelling_stops_what_waits_and_what_runs_and_is_final(
    records: Records, raw: redis.Redis
) -> None:
    request_id = submit(records, pages=3)
    settle(records, claim(records))
    runs = claim(records)
    assert records.cancel(request_id, 9) == ("ok", {"finish": 1})
    check_records(raw)
    assert records.cancel(request_id, 9)[0] == "again", "until its pages are kept"
    assert records.heartbeat([runs], 1000) == [False]
    assert settle(records, runs) is None
    assert take(records) is None
    assert pending(raw) == {}
    got = claim(records, "finish")
    assert got.job.status is JobStatus.CANCELLED
    assert close(records, got, status=JobStatus.CANCELLED) == ""
    assert records.cancel(request_id, 9)[0] == "lost"
    assert (records.page_state(request_id, 1) or "").startswith("d:")


def test_cancelling_comes_too_late_once_every_page_is_terminal(
    records: Records, raw: redis.Redis
) -> None:
    request_id = submit(records)
    settle(records, claim(records))
    assert records.cancel(request_id, 9)[0] == "lost"
    finish(records)
    job = records.get(request_id)
    assert job is not None
    assert job.status is JobStatus.COMPLETED


def test_a_batch_ends_with_its_last_job_whichever_way_it_ends(
    records: Records, raw: redis.Redis
) -> None:
    batch_id = new_batch_id()
    made = [Registration(manifest=manifest(batch_id=batch_id), pages=1) for _ in range(3)]
    records.submit("acme", made, window=32, limits=Limits())
    first, second, third = (item.manifest.request_id for item in made)
    records.cancel(second, 1)
    assert close(records, claim(records, "finish"), status=JobStatus.CANCELLED) == ""
    settle(records, claim(records))
    assert close(records, claim(records, "finish")) == ""
    assert records.erase("acme", third, created_at=0, run=1, delay_ms=1000) == (0, batch_id)
    records.erased(third)
    found = records.batch(batch_id)
    assert found is not None
    assert found.request_ids == [first, second]


def test_a_deleted_job_leaves_only_the_note_that_it_was(records: Records, raw: redis.Redis) -> None:
    request_id = submit(records, pages=3, expires_at=99)
    runs = claim(records)
    for _ in range(2):
        erased = records.erase("acme", request_id, created_at=0, run=1, delay_ms=1)
        assert erased == (1, ""), "and is answered the same until it is over"
    check_records(raw)
    assert records.get(request_id) is None
    assert records.known([request_id]) == [True]
    assert settle(records, runs) is None
    assert records.library("acme", 5, None) == []
    time.sleep(0.01)
    assert sweep(records) == [(request_id, "erase", "waited")]
    erasing = claim(records, "finish")
    assert (erasing.step, erasing.job.tenant) == ("erase", "acme")
    records.erased(request_id, erasing)
    assert [key for key in raw.keys("*") if request_id in key] == [f"job:{request_id}"]


def test_expired_jobs_are_found_by_the_sweep(records: Records, raw: redis.Redis) -> None:
    request_id = submit(records, expires_at=1)
    assert records.sweep(max_attempts=3).expired == [("acme", request_id)]


def test_a_retried_job_keeps_what_was_read_and_runs_the_rest(
    records: Records, raw: redis.Redis
) -> None:
    made = manifest()
    records.submit("acme", [Registration(manifest=made, pages=2)], window=8)
    read = claim(records)
    settle(records, read)
    settle(records, claim(records), "engine_failed")
    finish(records)
    once_more = Registration(
        manifest=made, pages=2, run=2, winners={read.page: f"{read.attempt}-{read.fence}"}
    )
    assert records.submit("acme", [once_more], window=8) == {POOL: 1}
    assert records.submit("acme", [once_more], window=8) == {}, "a second click changes nothing"
    assert len(records.library("acme", 5, None)) == 1
    got = claim(records)
    assert (got.step, got.attempt, got.job.run) == ("2", 1, 2)
    settle(records, got)
    finish(records)
    job = records.get(made.request_id)
    assert job is not None
    assert (job.pages.done, job.pages.failed, job.status) == (2, 0, JobStatus.COMPLETED)


def test_a_recovered_job_keeps_the_pages_that_were_read(records: Records, raw: redis.Redis) -> None:
    made = manifest(media_type="image/tiff")
    registration = Registration(manifest=made, pages=0, winners={2: "1-77"})
    records.submit("acme", [registration], window=8)
    preparing = claim(records, "prepare")
    records.opened(preparing, total=3, ready=3, **OPENED)
    assert [settle(records, got) is not None and got.step for got in taken(records)] == ["1", "3"]
    assert records.page_state(made.request_id, 2) == "d:1-77"
    finish(records)


def taken(records: Records) -> Iterator[Claim]:
    while got := take(records):
        yield got


def test_a_recovered_job_whose_every_page_was_read_only_finishes(
    records: Records, raw: redis.Redis
) -> None:
    registration = Registration(manifest=manifest(), pages=1, winners={1: "1-7"})
    assert records.submit("acme", [registration], window=8) == {"finish": 1}


def test_only_one_request_at_a_time_submits_under_a_key(records: Records, raw: redis.Redis) -> None:
    request_id = new_request_id("seed")
    assert request_id == new_request_id("seed")
    assert records.reserve(request_id, "a")
    assert records.reserve(request_id, "a")
    assert not records.reserve(request_id, "b")
    records.unreserve(request_id, "b")
    assert not records.reserve(request_id, "b")
    records.unreserve(request_id, "a")
    assert records.reserve(request_id, "b")


def test_waiting_sees_an_end_that_came_before_it_began(records: Records, raw: redis.Redis) -> None:
    request_id = submit(records)
    settle(records, claim(records))
    finish(records)
    begun = time.monotonic()
    with records.watch({request_id: "0"}) as watch:
        assert watch.next(30)[-1].kind == "finished"
    assert time.monotonic() - begun < 10


def test_the_library_is_newest_first_and_pages_by_cursor(
    records: Records, raw: redis.Redis
) -> None:
    ids = [submit(records, created_at=1_700_000_000_000 + n) for n in range(5)]
    submit(records, tenant="other")
    newest = records.library("acme", 2, None)
    assert [cursor.split("/")[1] for cursor in newest] == ids[:2:-1]
    older = records.library("acme", 9, newest[1])
    assert [cursor.split("/")[1] for cursor in older] == ids[2::-1]


def test_a_job_that_was_never_accepted_leaves_nothing(records: Records, raw: redis.Redis) -> None:
    request_id = submit(records)
    records.forget(request_id)
    assert not [key for key in raw.keys("*") if request_id in key]
    assert records.library("acme", 5, None) == []


def test_who_asks_after_the_connections_were_closed_opens_no_other(
    records: Records, raw: redis.Redis
) -> None:
    records.check()
    own = len(raw.client_list())
    records.close_connections()
    with pytest.raises(RecordsUnavailable):
        records.check()
    assert len(raw.client_list()) < own


def test_a_server_that_is_not_there_is_one_clear_error() -> None:
    gone = Records("redis://127.0.0.1:1/0")
    with pytest.raises(RecordsUnavailable) as caught:
        gone.check()
    assert "127.0.0.1" not in caught.value.detail
    gone.close_connections()


#: Where pages are lent to.
OTHER_POOL = "pages.tesseract"


@pytest.mark.parametrize("seed", range(4))
def test_every_counter_agrees_with_the_jobs_after_any_sequence_of_steps(
    records: Records, raw: redis.Redis, seed: int
) -> None:
    chance = random.Random(seed)
    claims: list[Claim] = []
    jobs: list[str] = []
    for _ in range(250):
        act = chance.choices(
            ["submit", "take", "settle", "release", "lend", "bury", "expire", "cancel", "erase"],
            [3, 8, 7, 1, 2, 1, 1, 0.7, 0.4],
        )[0]
        if act == "submit":
            pages, lane = chance.choice([0, 1, 1, 3]), chance.choice(list(Lane))
            tenant = chance.choice(["a", "b", "c"])
            media_type = "image/tiff" if pages == 0 else "image/png"
            jobs.append(submit(records, pages, 2, lane=lane, tenant=tenant, media_type=media_type))
        elif act == "take":
            pool, owner = (
                chance.choice([POOL, POOL, OTHER_POOL, "prepare", "finish"]),
                f"w{chance.randint(0, 4)}",
            )
            got = take(records, pool, owner)
            claims += [got] if got else []
        elif act == "settle" and claims:
            step(records, chance, claims.pop(chance.randrange(len(claims))))
        elif act == "release" and claims:
            got = claims.pop(chance.randrange(len(claims)))
            delay, counts, first = chance.choice([0, 1]), *(chance.random() < 0.5 for _ in "12")
            records.release(got, delay_ms=delay, counts=counts, first=first)
        elif act == "lend" and claims:
            got = claims[-1]
            if got.step.isdigit() and got.pool == POOL:
                records.lend(claims.pop(), OTHER_POOL, wait_ms=chance.choice([1, 20_000]))
        elif act == "bury":
            records.bury(f"w{chance.randint(0, 4)}", max_attempts=3)
        elif act == "expire" and raw.zcard("casola:due"):
            raw.zadd("casola:due", {chance.choice(raw.zrange("casola:due", 0, -1)): 1})
            sweep(records)
        elif act == "cancel" and jobs:
            records.cancel(chance.choice(jobs), 1)
        elif act == "erase" and jobs:
            request_id = jobs.pop(chance.randrange(len(jobs)))
            tenant = raw.hget(f"job:{request_id}", "tenant") or "a"
            records.erase(tenant, request_id, created_at=0, run=1, delay_ms=1)
        check_records(raw)
    drain(records, raw)
    for request_id in jobs:
        job = records.get(request_id)
        assert job is not None
        assert job.status.terminal, job


def step(records: Records, chance: random.Random, got: Claim) -> None:
    """Do what a worker does with a claim."""
    if got.step == "prepare":
        total = got.job.pages.total or 5
        answer = "more"
        while answer == "more":
            got = replace(got, ready=got.ready + 1)
            answer, _ = records.opened(got, total=total, ready=got.ready, **OPENED)
    elif got.step == "finish":
        close(records, got)
    elif got.step == "erase":
        records.erased(got.job.request_id, got)
    else:
        outcome = chance.choice(["done", "done", "engine_failed"])
        records.settle(got, outcome, dead=True, inline_pages=chance.choice([0, 2]), lease_ms=20_000)


def drain(records: Records, raw: redis.Redis) -> None:
    """Work until nothing waits, whatever was claimed before being lost."""
    chance = random.Random(0)
    for _ in range(2000):
        for member in raw.zrange("casola:due", 0, -1):
            raw.zadd("casola:due", {member: 1})
        sweep(records)
        got = next((g for p in ("prepare", POOL, "finish") if (g := take(records, p))), None)
        if got:
            step(records, chance, got)
        elif not raw.zcard("casola:due"):
            break
    for key in ("casola:waiting", "casola:running", "casola:pending", "casola:pending_bytes"):
        assert not any(int(v) for v in raw.hvals(key)), key
    assert not list(raw.scan_iter("wait:*"))


def test_a_batch_that_is_found_again_piece_by_piece_does_not_end_before_its_last_piece(
    records: Records, raw: redis.Redis
) -> None:
    batch_id = new_batch_id()
    made = [Registration(manifest=manifest(batch_id=batch_id), pages=1) for _ in range(2)]
    records.submit("acme", made[:1], window=32)
    settle(records, claim(records))
    assert close(records, claim(records, "finish")) == "", "its marker names one more"
    records.submit("acme", made[1:], window=32)
    records.complete_batch("acme", batch_id, 1)
    records.complete_batch("acme", batch_id, 2)
    settle(records, claim(records))
    assert close(records, claim(records, "finish")) == batch_id


def test_a_job_that_is_found_again_cancelled_only_finishes(
    records: Records, raw: redis.Redis
) -> None:
    made = manifest()
    item = Registration(manifest=made, pages=2, winners={1: "1-7"}, cancelled_at=5)
    assert records.submit("acme", [item], window=32) == {"finish": 1}
    assert pending(raw) == {}
    got = claim(records, "finish")
    assert (got.job.status, got.job.finished_at) == (JobStatus.CANCELLED, 5)
    assert take(records) is None
    assert close(records, got, status=JobStatus.CANCELLED) == ""


def test_an_ended_job_comes_back_for_what_is_left_of_its_time(
    records: Records, raw: redis.Redis
) -> None:
    now = int(time.time() * 1000)
    ended = {}
    for name, age in (("new", 10), ("old", 1000)):
        request_id = submit(records)
        settle(records, claim(records))
        got = claim(records, "finish")
        assert close(records, got) == ""
        job = records.get(request_id)
        assert job is not None
        ended[name] = replace(job, finished_at=now - age * 1000)
    raw.flushall()
    records.restore(list(ended.values()), (), keep_seconds=100)
    assert 80 < raw.ttl(f"job:{ended['new'].request_id}") <= 90
    assert not raw.exists(f"job:{ended['old'].request_id}")
    assert len(records.library("acme", 5, None)) == 2


def test_dead_letters_of_one_moment_are_all_reached(records: Records, raw: redis.Redis) -> None:
    ids = sorted((new_request_id() for _ in range(5)), reverse=True)
    raw.zadd("casola:dead", dict.fromkeys(ids, 1_760_000_000_000))
    first = records.dead(2)
    cursor = f"{first[-1][1]}/{first[-1][0]}"
    assert [found for found, _ in first + records.dead(9, cursor)] == ids
    raw.zrem("casola:dead", first[-1][0])
    assert {found for found, _ in records.dead(9, cursor)} >= set(ids[2:])


def test_what_only_waits_has_no_events_and_what_ended_soon_has_none(
    records: Records, raw: redis.Redis
) -> None:
    request_id = submit(records)
    assert not raw.exists(f"ev:{request_id}")
    settle(records, claim(records))
    finish(records)
    assert 0 < raw.ttl(f"ev:{request_id}") <= 60
    assert raw.ttl(f"job:{request_id}") > 600
