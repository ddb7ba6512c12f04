"""Who has a page: leases, fences, heartbeats, attempts, and processes that die."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import redis

from casola_ocr.model import Claim
from casola_ocr.records import Records, presence
from tests.invariants import check_records
from tests.verbs import (
    OPENED,
    POOL,
    claim,
    close,
    finish,
    settle,
    submit,
    sweep,
    take,
)

pytestmark = pytest.mark.valkey


def test_the_first_winner_counts_and_a_late_attempt_loses(
    records: Records, raw: redis.Redis
) -> None:
    request_id = submit(records)
    slow = claim(records, lease_ms=1)
    time.sleep(0.01)
    sweep(records)
    quick = claim(records, owner="w2")
    assert quick.fence > slow.fence
    assert settle(records, slow) is None
    assert settle(records, quick) is not None
    assert settle(records, slow) is None
    job = records.get(request_id)
    assert job is not None
    assert (job.pages.done, job.pages.failed) == (1, 0)
    assert records.page_state(request_id, 1) == f"d:2-{quick.fence}"


def test_settling_again_after_a_lost_answer_is_still_a_win_and_counts_once(
    records: Records, raw: redis.Redis
) -> None:
    request_id = submit(records)
    got = claim(records)
    assert settle(records, got) is not None
    assert settle(records, got) is not None
    job = records.get(request_id)
    assert job is not None
    assert job.pages.done == 1


def test_the_worker_of_a_short_documents_last_page_finishes_it(
    records: Records, raw: redis.Redis
) -> None:
    submit(records)
    settled = records.settle(claim(records), "done", dead=False, inline_pages=1, lease_ms=20_000)
    assert settled is not None
    assert settled.finish is not None
    check_records(raw)
    assert take(records, "finish") is None
    assert close(records, settled.finish) == ""
    assert close(records, settled.finish) is None


def test_a_heartbeat_extends_the_lease_of_the_holder_only(
    records: Records, raw: redis.Redis
) -> None:
    submit(records)
    held = claim(records, lease_ms=60)
    assert records.heartbeat([held, replace(held, fence=held.fence - 1)], 60_000) == [True, False]
    time.sleep(0.1)
    assert sweep(records) == []


def test_a_page_whose_worker_is_silent_is_taken_again(records: Records, raw: redis.Redis) -> None:
    request_id = submit(records)
    claim(records, lease_ms=1)
    time.sleep(0.01)
    swept = records.sweep(max_attempts=3)
    assert swept.lost == [(request_id, "1", "lost")]
    assert swept.hints == {POOL: 1}
    assert claim(records, owner="w2").attempt == 2


def test_a_poison_page_fails_after_its_attempts_and_the_job_goes_on(
    records: Records, raw: redis.Redis
) -> None:
    request_id = submit(records, pages=2)
    poison = claim(records, lease_ms=1)
    for _ in range(2):
        time.sleep(0.005)
        sweep(records)
        poison = claim(records, lease_ms=1)
    time.sleep(0.005)
    assert sweep(records) == [(request_id, poison.step, "exhausted")]
    settle(records, claim(records))
    job = records.get(request_id)
    assert job is not None
    assert (job.pages.done, job.pages.failed) == (1, 1)
    assert records.page_state(request_id, poison.page) == "f:3-0:attempts_exhausted"
    assert [dead for dead, _ in records.dead(10)] == [request_id]
    finish(records)
    assert records.drop_dead(request_id)
    assert records.dead(10) == []


def test_a_page_that_kills_the_one_who_prepares_it_fails_alone(
    records: Records, raw: redis.Redis
) -> None:
    request_id = submit(records, pages=0, media_type="image/tiff")
    for _ in range(3):
        preparing = claim(records, "prepare", lease_ms=1)
        records.opened(preparing, total=3, ready=1, **OPENED)
        time.sleep(0.005)
        sweep(records)
    assert records.page_state(request_id, 2) == "f:3-0:attempts_exhausted"
    again = claim(records, "prepare")
    assert (again.ready, again.attempt) == (2, 1)
    assert records.opened(again, total=3, ready=3, **OPENED)[0] == "ended"
    assert [claim(records).step for _ in range(2)] == ["1", "3"]


def test_a_released_page_waits_for_its_delay_and_may_keep_its_attempt(
    records: Records, raw: redis.Redis
) -> None:
    submit(records)
    records.release(claim(records), delay_ms=50, counts=False)
    assert take(records) is None
    time.sleep(0.06)
    assert [why for _, _, why in sweep(records)] == ["waited"]
    got = claim(records)
    assert got.attempt == 1
    assert records.release(got, delay_ms=0, counts=True) == {POOL: 1}
    assert claim(records).attempt == 2


def test_what_a_dead_child_held_is_given_back_at_once(records: Records, raw: redis.Redis) -> None:
    request_id = submit(records, pages=2)
    claim(records, owner="dead")
    claim(records, owner="alive")
    buried = records.bury("dead", max_attempts=3)
    assert buried.lost == [(request_id, "1", "lost")]
    assert buried.hints == {POOL: 1}
    assert records.owners() == ["alive"]
    again = claim(records)
    assert (again.step, again.attempt) == ("1", 2)
    assert records.bury("dead", max_attempts=3).lost == []
    assert records.heartbeat([again], 20_000) == [True]


def test_a_child_that_died_while_finishing_gives_that_back_too(
    records: Records, raw: redis.Redis
) -> None:
    request_id = submit(records)
    held = claim(records, owner="dead")
    settled = records.settle(held, "done", dead=False, inline_pages=1, lease_ms=20_000)
    assert settled is not None
    assert settled.finish is not None
    assert records.bury("dead", max_attempts=1).lost == [(request_id, "finish", "lost")]
    assert claim(records, "finish").step == "finish"


def test_a_page_that_kills_each_child_is_exhausted_without_waiting_for_leases(
    records: Records, raw: redis.Redis
) -> None:
    request_id = submit(records, pages=2)
    for owner in ("first", "second", "third"):
        assert claim(records, owner=owner).step == "1"
        buried = records.bury(owner, max_attempts=3)
    assert buried.lost == [(request_id, "1", "exhausted")]
    assert claim(records).step == "2"


def test_a_last_attempt_among_others_counts_from_its_beginning(
    records: Records, raw: redis.Redis
) -> None:
    def taken() -> Claim:
        got = records.take(POOL, "gpu", lease_ms=20_000, max_attempts=2, many=True).claim
        assert got is not None
        return got

    request_id = submit(records)
    taken()
    records.bury("gpu", max_attempts=2)
    for _ in range(3):
        assert taken().attempt == 2
        assert records.bury("gpu", max_attempts=2).lost == [(request_id, "1", "lost")]
    last = taken()
    assert records.enter(last)
    assert records.bury("gpu", max_attempts=2).lost == [(request_id, "1", "exhausted")]
    assert not records.enter(last)
    assert not raw.exists("casola:outside")


def test_only_workers_that_were_seen_lately_are_alive(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.pulse("a", ["engine:pp-ocrv6"])
    records.pulse("b", ["prepare"])
    assert records.capabilities() == {"engine:pp-ocrv6", "prepare"}
    records.pulse("b", [])
    assert records.capabilities() == {"engine:pp-ocrv6"}
    monkeypatch.setattr(presence, "LIVE_MS", 1)
    time.sleep(0.01)
    assert records.capabilities() == set()


def test_a_process_that_leaves_takes_the_names_of_its_threads_along(
    records: Records, raw: redis.Redis
) -> None:
    submit(records, pages=2)
    records.pulse("host:1:a", ["engine:pp-ocrv6"])
    for owner in ("host:1:a:7", "host:10:a:7"):
        claim(records, owner=owner)
    records.pulse("host:1:a", [])
    assert records.owners() == ["host:10:a:7"]
