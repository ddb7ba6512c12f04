"""The runner of errands: who holds one, whose turn it is, and that it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from casola_ocr.errands import Errand, ErrandStatus, runner, running
from casola_ocr.errands.runner import Lease, LeaseLost, Runner
from tests.errand_world import chat, create, errand_pool, jobs
from tests.world import World

pytestmark = pytest.mark.valkey


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at lines and cancellations whenever there is an occasion."""
    monkeypatch.setattr(running, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(running, "STOP_SECONDS", 0.0)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with errand_pool() as made:
        yield made


def test_only_who_holds_the_lease_works_on_an_errand(world: World) -> None:
    first, second = (Lease(world.records, "errand:x") for _ in range(2))
    assert first.take()
    assert not second.take()
    first.check()
    with pytest.raises(LeaseLost):
        second.check()
    # Redis is wiped, and another takes it: the first stops once it hears of it.
    world.raw.flushall()
    assert second.take()
    first.renew()
    with pytest.raises(LeaseLost):
        first.check()
    second.check()
    world.announce()


def test_the_runner_works_until_nothing_is_left(world: World) -> None:
    errands = [create(world, chat("a")) for _ in range(3)]
    stop = threading.Event()
    thread = threading.Thread(target=Runner(world.service).work, args=(stop,))
    thread.start()
    try:
        while thread.is_alive():
            world.run()
            thread.join(0.05)
    finally:
        stop.set()
        thread.join()
    for errand in errands:
        report = world.service.errands.get("acme", errand.errand_id)[1]
        assert report.status is ErrandStatus.COMPLETED
    assert world.raw.keys("idem:*") == []


@contextmanager
def running_runner(world: World) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=Runner(world.service).work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def comes_true(condition: Callable[[], bool]) -> bool:
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.05)
    return False


def has_ended(world: World, errand: Errand) -> bool:
    return world.service.errands.get(errand.tenant, errand.errand_id)[1].status.terminal


def test_a_tenant_with_many_errands_leaves_places_to_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "MAX_ACTIVE", 2)
    monkeypatch.setattr(runner, "SEARCH_SECONDS", 0.0)
    # They do not end, because nobody reads pages.
    for _ in range(3):
        create(world, chat("a"))
    with running_runner(world):
        assert comes_true(lambda: len(jobs(world)) == 2)
        other = create(world, chat("a", url="http://127.0.0.1/x.png"), tenant="beta")
        assert comes_true(lambda: has_ended(world, other))
    world.settle()


def test_an_errand_that_waits_for_a_place_can_be_cancelled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "MAX_ACTIVE", 1)
    monkeypatch.setattr(runner, "SEARCH_SECONDS", 0.0)
    monkeypatch.setattr(runner, "PLACE_SECONDS", 0.2)
    first = create(world, chat("a"))
    with running_runner(world):
        assert comes_true(lambda: len(jobs(world)) == 1)
        second = create(world, chat("a"))
        world.service.errands.cancel("acme", second.errand_id)
        assert comes_true(lambda: has_ended(world, second))
        assert not has_ended(world, first)
    world.settle()
