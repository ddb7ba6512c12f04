"""What is owed survives deaths, deletions and a wiped Valkey; what was told can be told again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from casola_ocr.errors import Conflict, EngineFailed, NotFound
from casola_ocr.model import Webhook
from casola_ocr.objects import keys
from tests.receiver import Receiver
from tests.webhook_world import SETTINGS, deliver, owed, read_one, scheduled, told, verified
from tests.world import FailingEngine, World, open_world


@pytest.fixture
def world(valkey: str) -> Iterator[World]:
    with open_world(valkey, **SETTINGS) as made:
        yield made


def test_a_replay_is_sent_again_under_the_same_id(world: World, receiver: Receiver) -> None:
    request_id = read_one(world, f"{receiver.base}/ok")
    deliver(world)
    delivery_id = told(world, request_id)["delivery_id"]
    _, again = world.service.deliveries.replay("acme", request_id, delivery_id)
    assert again.delivery_id == delivery_id and owed(world)
    deliver(world)
    assert [one.headers["webhook-id"] for one in receiver.received] == [delivery_id] * 2
    assert len(told(world, request_id)["tries"]) == 2
    assert not owed(world)


def test_a_replay_that_was_promised_survives_a_wiped_valkey(
    world: World, receiver: Receiver
) -> None:
    request_id = read_one(world, f"{receiver.base}/ok")
    deliver(world)
    world.service.deliveries.replay("acme", request_id, told(world, request_id)["delivery_id"])
    world.wipe()
    world.reconcile()
    deliver(world)
    assert len(receiver.received) == 2


def test_a_delivery_of_another_job_or_tenant_cannot_be_replayed(
    world: World, receiver: Receiver
) -> None:
    first, second = (read_one(world, f"{receiver.base}/ok") for _ in range(2))
    delivery_id = told(world, first)["delivery_id"]
    with pytest.raises(NotFound):
        world.service.deliveries.replay("acme", second, delivery_id)
    with pytest.raises(NotFound):
        world.service.deliveries.replay("other", first, delivery_id)
    with pytest.raises(NotFound):
        world.service.deliveries.list("other", first)


def test_each_run_of_a_job_is_told(world: World, receiver: Receiver) -> None:
    engine = FailingEngine({1: EngineFailed()})
    world.engine = engine
    request_id = read_one(world, f"{receiver.base}/ok")
    world.settle()
    deliver(world)
    engine.failures.clear()
    world.jobs.retry("acme", request_id)
    world.settle()
    deliver(world)
    events = [verified(world, one) for one in receiver.received]
    assert [(one["type"], one["data"]["run"]) for one in events] == [
        ("job.failed", 1), ("job.completed", 2),
    ]  # fmt: skip
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 2
    _, found = world.service.deliveries.list("acme", request_id)
    with pytest.raises(Conflict):
        world.service.deliveries.replay("acme", request_id, found[1].delivery_id)


def test_a_run_that_was_not_told_gives_way_to_the_next(world: World, receiver: Receiver) -> None:
    engine = FailingEngine({1: EngineFailed()})
    world.engine = engine
    read = read_one(world, f"{receiver.base}/ok")
    world.settle()
    engine.failures.clear()
    world.jobs.retry("acme", read)
    world.settle()
    deliver(world)
    assert [verified(world, one)["data"]["run"] for one in receiver.received] == [2]
    assert not owed(world)


def test_a_deleted_job_is_not_told_and_leaves_nothing(world: World, receiver: Receiver) -> None:
    request_id = read_one(world, f"{receiver.base}/500")
    deliver(world)
    world.jobs.delete("acme", request_id)
    deliver(world)
    assert len(receiver.received) == 1
    assert not owed(world) and not scheduled(world) and not world.objects(request_id)


def test_a_job_deleted_while_it_is_told_leaves_nothing(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = read_one(world, f"{receiver.base}/ok")
    sender = world.service.deliveries._sender
    post = sender.post

    def deleting(*args: Any) -> Any:
        world.jobs.delete("acme", request_id)
        return post(*args)

    monkeypatch.setattr(sender, "post", deleting)
    deliver(world)
    assert not owed(world) and not world.objects(request_id)


def test_what_is_owed_survives_a_wiped_valkey_at_any_moment(
    world: World, receiver: Receiver
) -> None:
    first = read_one(world, f"{receiver.base}/500")
    deliver(world)
    second = world.submit_one(webhook=Webhook(f"{receiver.base}/ok"))
    world.wipe()
    world.reconcile()
    world.settle()
    world.reconcile()
    # Its pause goes on.
    assert told(world, first)["next_try_at"]
    deliver(world)
    deliver(world)
    paths = Counter(one.path for one in receiver.received)
    assert paths["/ok"] == 1 and paths["/500"] >= 2
    assert told(world, second)["status"] == "delivered"


def test_a_wiped_valkey_does_not_shorten_a_pause(world: World, receiver: Receiver) -> None:
    request_id = read_one(world, f"{receiver.base}/500")
    deliver(world)
    key = keys.delivery("acme", request_id, 1)
    values = json.loads(world.store.get(key))
    world.store.put(key, json.dumps({**values, "next_at": values["next_at"] + 60_000}).encode())
    world.wipe()
    world.reconcile()
    for _ in range(3):
        for due in world.records.schedule.take(
            9, lease_ms=60_000, per_host=9, per_tenant=9, held={}
        ):
            world.service.deliveries.deliver(due)
    assert len(receiver.received) == 1 and owed(world)


def test_a_worker_that_dies_between_the_result_and_the_schedule_loses_nothing(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def die(*args: Any, **named: Any) -> None:
        raise Died

    request_id = world.submit_one(webhook=Webhook(f"{receiver.base}/ok"))
    with monkeypatch.context() as patched:
        patched.setattr(world.records, "close", die)
        with pytest.raises(Died):
            world.run()
    world.settle()
    with monkeypatch.context() as patched:
        patched.setattr(world.records.schedule, "add", lambda *args: None)
        world.settle()
    world.reconcile()
    deliver(world)
    assert told(world, request_id)["status"] == "delivered"
    assert {verified(world, one)["data"]["request_id"] for one in receiver.received} == {request_id}


def test_a_result_that_will_be_replaced_is_not_told(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = read_one(world, f"{receiver.base}/ok")
    world.raw.hset(f"job:{request_id}", "state", "cancelled")
    deliver(world)
    assert not receiver.received and owed(world)
