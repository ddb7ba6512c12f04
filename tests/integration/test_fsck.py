"""`casola-ocr fsck` finds and mends what differs between store, records and indexes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from casola_ocr import fsck
from casola_ocr.fsck import Finding
from casola_ocr.ids import new_request_id
from casola_ocr.model import JobStatus, Marker
from casola_ocr.objects import keys
from casola_ocr.times import now_ms
from tests.world import PAGES_POOL, PNG, World, tiff

pytestmark = pytest.mark.valkey


def check(world: World, *, repair: bool = False) -> list[Finding]:
    return fsck.check(world.service, repair=repair, sleep=lambda _: None)


def test_a_service_at_work_has_no_findings(world: World) -> None:
    world.service.tenants.create("acme")
    ended, deleted = world.submit_one(), world.submit_one()
    world.run()
    world.jobs.delete("acme", deleted)
    world.submit_one(tiff(3))
    world.submit(PNG, PNG)
    world.work().run("prepare")
    world.work().run(PAGES_POOL)
    world.jobs.cancel("acme", world.submit_one())
    assert check(world) == []
    world.settle()
    assert check(world) == []
    assert world.jobs.get("acme", ended).status is JobStatus.COMPLETED


def counter(world: World) -> str:
    world.raw.hincrby("casola:pending", "acme", 5)
    return "casola:pending acme"


def orphan(world: World) -> str:
    request_id = new_request_id()
    world.store.put(keys.source("acme", request_id), b"bytes of a request that died")
    # Some S3 servers keep the empty beginning of a put that was cut off.
    world.store.put(keys.manifest("acme", request_id), b"")
    return request_id


def unregistered(world: World) -> str:
    request_id = world.submit_one()
    world.wipe()
    return request_id


def unmarked(world: World) -> str:
    request_id = world.submit_one()
    world.store.delete([keys.inflight(request_id)])
    return request_id


def stale_marker(world: World) -> str:
    request_id = world.submit_one()
    world.run()
    world.store.put(keys.inflight(request_id), Marker(tenant="acme").to_json())
    return request_id


def unlisted(world: World) -> str:
    request_id = world.submit_one()
    world.run()
    world.raw.delete("lib:acme")
    return request_id


def ghost(world: World) -> str:
    # A tenant is known by its objects.
    world.submit_one()
    world.run()
    request_id = new_request_id()
    world.raw.zadd("lib:acme", {f"{now_ms():013}/{request_id}": 0})
    return request_id


def undeleted(world: World) -> str:
    request_id = world.submit_one()
    world.run()
    world.jobs.delete("acme", request_id)
    world.store.put(keys.source("acme", request_id), b"written late")
    return request_id


class Case(NamedTuple):
    kind: str
    make: Callable[[World], str]


CASES = [
    Case(make.__name__, make)
    for make in (
        counter, orphan, unregistered, unmarked, stale_marker, unlisted, ghost, undeleted,
    )
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.kind for case in CASES])
def test_a_difference_is_found_told_and_mended(world: World, case: Case) -> None:
    subject = case.make(world)
    found = check(world)
    assert (case.kind, subject) in {(f.kind, f.subject) for f in found}
    assert check(world) == found, "looking changes nothing"
    assert {(f.kind, f.subject) for f in check(world, repair=True)} >= {(case.kind, subject)}
    world.settle()
    assert check(world) == []


def test_what_only_happens_at_this_moment_is_no_finding(world: World) -> None:
    request_id = orphan(world)
    service = world.service

    def accepted_meanwhile(_: float) -> None:
        world.store.delete(world.store.list(keys.job_prefix("acme", request_id)))

    assert fsck.check(service, repair=True, sleep=accepted_meanwhile) == []


def test_an_interrupted_job_runs_after_its_repair(world: World) -> None:
    request_id = unregistered(world)
    check(world, repair=True)
    world.run()
    assert world.jobs.get("acme", request_id).status is JobStatus.COMPLETED
