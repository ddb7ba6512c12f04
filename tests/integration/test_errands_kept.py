"""Errands on a real S3 server, and what `fsck` tells of one whose files are missing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from casola_ocr import fsck
from casola_ocr.errands import ErrandStatus
from casola_ocr.objects import keys
from tests.errand_world import chat, create, errand_pool, finish, jobs, lines_of, steps
from tests.stores import open_store
from tests.world import World, open_world

pytestmark = pytest.mark.valkey


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with errand_pool() as made:
        yield made


@pytest.fixture(params=[pytest.param("s3", marks=pytest.mark.s3)])
def world_on_s3(request: pytest.FixtureRequest, valkey: str, tmp_path: Path) -> Iterator[World]:
    with open_world(valkey, store=open_store(request, tmp_path)) as made:
        yield made


def test_an_errand_on_s3_is_taken_over_and_answered_whole(
    world_on_s3: World, pool: ThreadPoolExecutor
) -> None:
    world = world_on_s3
    names = [str(number) for number in range(12)]
    bad = chat("bad", url="data:image/png;base64,AAAA")
    errand = create(world, *(chat(name) for name in names), bad)
    died = steps(world, errand, pool)
    for _ in range(3):
        next(died)
        world.run()
    died.close()
    world.wipe()
    world.recover()
    report = finish(world, errand, pool)
    assert (report.status, report.total) == (ErrandStatus.COMPLETED, 13)
    assert (report.counts.completed, report.counts.failed) == (12, 1)
    assert [line["custom_id"] for line in lines_of(world, report.output_file_id)] == names
    assert [line["custom_id"] for line in lines_of(world, report.error_file_id)] == ["bad"]
    assert len(jobs(world)) == len(names)
    assert not list(world.store.list(keys.ERRANDS_PREFIX))
    assert errand.errand_id not in {subject for _, subject in check(world)}


def check(world: World, *, repair: bool = False) -> set[tuple[str, str]]:
    found = fsck.check(world.service, repair=repair, sleep=lambda _: None)
    return {(one.kind, one.subject) for one in found}


def test_an_errand_that_nobody_would_work_on_is_found_and_mended(
    world: World, pool: ThreadPoolExecutor
) -> None:
    errand = create(world, chat("a"))
    assert check(world) == set()
    marker = keys.errand_marker("acme", errand.errand_id)
    world.store.delete([marker])
    assert check(world) == {("unmarked", errand.errand_id)}
    assert not world.store.exists(marker), "looking changes nothing"
    check(world, repair=True)
    assert world.store.exists(marker)
    assert finish(world, errand, pool).status is ErrandStatus.COMPLETED
    assert check(world) == set()


def test_an_errand_at_work_whose_requests_are_missing_is_told(
    world: World, pool: ThreadPoolExecutor
) -> None:
    errand = create(world, *(chat(str(number)) for number in range(3)))
    work = steps(world, errand, pool)
    while world.service.errands.get("acme", errand.errand_id)[1].in_progress_at is None:
        next(work)
    work.close()
    assert check(world) == set()
    world.store.delete([keys.content("acme", keys.ERRANDS, errand.errand_id)])
    assert check(world) == {("incomplete", errand.errand_id)}


def test_an_output_without_its_bytes_is_told_and_a_deleted_one_is_not(
    world: World, pool: ThreadPoolExecutor
) -> None:
    broken, tidied = create(world, chat("a")), create(world, chat("b"))
    outputs = [finish(world, errand, pool).output_file_id for errand in (broken, tidied)]
    assert len(jobs(world)) == 2
    assert outputs[0] and outputs[1]
    world.service.files.delete("acme", outputs[1])
    assert check(world) == set()
    world.store.delete([keys.content("acme", keys.FILES, outputs[0])])
    assert check(world) == {("incomplete", broken.errand_id)}
