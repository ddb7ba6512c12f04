"""Whose page is next: lanes, tenants and their jobs take turns; hints say that something waits."""

from __future__ import annotations

from collections import Counter

import pytest
import redis

from casola_ocr.model import Lane
from casola_ocr.records import Records, Registration
from tests.verbs import (
    POOL,
    claim,
    manifest,
    submit,
)

pytestmark = pytest.mark.valkey


def test_tenants_take_turns_and_so_do_their_jobs(records: Records, raw: redis.Redis) -> None:
    big = submit(records, pages=6)
    small = submit(records, pages=2)
    other = submit(records, pages=2, tenant="other")
    order = [claim(records).job.request_id for _ in range(8)]
    assert order == [big, other, small, other, big, small, big, big]


def test_interactive_pages_go_first_but_bulk_is_served_too(
    records: Records, raw: redis.Redis
) -> None:
    submit(records, pages=40, lane=Lane.BULK)
    submit(records, pages=40)
    lanes = Counter(claim(records).job.lane for _ in range(40))
    assert lanes == {Lane.INTERACTIVE: 32, Lane.BULK: 8}


def test_a_tenant_over_its_share_lets_others_go_first(records: Records, raw: redis.Redis) -> None:
    submit(records, pages=20)
    for number in range(8):
        claim(records, owner=f"w{number}")
    submit(records, pages=4, tenant="other")
    tenants = [claim(records, owner=f"v{number}", share=0.3).job.tenant for number in range(6)]
    assert tenants == ["other"] * 4 + ["acme"] * 2, "and nothing idles when nobody else waits"


def test_ten_pages_are_served_within_thirty_turns_behind_ten_thousand(
    records: Records, raw: redis.Redis
) -> None:
    long = [Registration(manifest=manifest(tenant="a"), pages=1) for _ in range(5_000)]
    records.submit("a", long, window=32)
    submit(records, 5_000, 5_000, tenant="a")
    for _ in range(10):
        submit(records, tenant="b")
    turns = [claim(records, owner=f"w{n % 4}") for n in range(30)]
    assert sum(turn.job.tenant == "b" for turn in turns) == 10


def test_a_page_that_was_given_back_goes_before_the_tenants_other_jobs(
    records: Records, raw: redis.Redis
) -> None:
    first = submit(records, pages=2)
    held = claim(records)
    for _ in range(5):
        submit(records, pages=2)
    records.release(held, delay_ms=0, counts=False, first=True)
    again = claim(records)
    assert (again.job.request_id, again.step) == (first, "1")
    submit(records, tenant="other")
    records.release(again, delay_ms=0, counts=False, first=True)
    owners = [claim(records).job.tenant for _ in range(2)]
    assert sorted(owners) == ["acme", "other"], "but not before other tenants"


def test_a_take_whose_answer_was_lost_gives_the_same_claim(
    records: Records, raw: redis.Redis
) -> None:
    submit(records, pages=2)
    arguments = (POOL, "w1", "nonce", 20_000, 3, 1.0)
    first, again = (records._run("take", *arguments) for _ in range(2))
    assert first[1:5] == again[1:5]
    assert claim(records).step == "2"


def test_what_a_take_leaves_behind_gets_another_hint(records: Records, raw: redis.Redis) -> None:
    submit(records, pages=3)
    taken = records.take(POOL, "w1", lease_ms=20_000, max_attempts=3)
    assert taken.hints == {POOL: 1}
    raw.lpush(POOL, "hint", "hint")
    assert records.take(POOL, "w1", lease_ms=20_000, max_attempts=3).hints == {}
    raw.delete(POOL)


def test_the_sweep_sees_that_what_waits_has_hints(records: Records, raw: redis.Redis) -> None:
    submit(records, pages=3)
    assert records.sweep(max_attempts=3).hints == {POOL: 3}
    raw.lpush(POOL, "hint")
    assert records.sweep(max_attempts=3).hints == {POOL: 2}
    raw.delete(POOL)
