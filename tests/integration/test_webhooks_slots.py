"""No receiver and no tenant holds up the deliveries of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from casola_ocr.model import Webhook
from casola_ocr.objects import keys
from tests.receiver import Receiver, running_receiver
from tests.waiting import until
from tests.webhook_world import SETTINGS, courier, read_one, told
from tests.world import World, open_world


@pytest.fixture
def world(valkey: str) -> Iterator[World]:
    with open_world(valkey, **SETTINGS) as made:
        yield made


def test_a_receiver_that_never_answers_does_not_hold_up_others(
    world: World, receiver: Receiver
) -> None:
    with running_receiver() as hanging:
        for _ in range(12):
            world.submit_one(webhook=Webhook(f"{hanging.base}/hang"))
        world.run()
        with courier(world):
            hanging.wait(lambda received: len(received) >= 2)
            told_before = len(hanging.received)
            request_id = read_one(world, f"{receiver.base}/ok")
            receiver.wait(lambda received: len(received) == 1)
            # At most a quarter of the slots is held by the one that hangs.
            assert told_before <= 4
            receiver.wait(lambda _: told(world, request_id)["status"] == "delivered")


def test_a_tenant_cannot_hold_every_slot(world: World) -> None:
    for number in range(50):
        world.records.schedule.add("greedy", f"host{number:012}", [f"req_{number:026}-1"])
    world.records.schedule.add("modest", "host", [f"req_{99:026}-1"])
    taken = world.records.schedule.take(8, lease_ms=60_000, per_host=2, per_tenant=4, held={})
    assert Counter(due.tenant for due in taken) == {"greedy": 4, "modest": 1}


def test_a_receiver_with_its_share_is_taken_from_again_at_once(world: World) -> None:
    names = [f"req_{number:026}-1" for number in range(20)]
    world.records.schedule.add("acme", "host", names)
    limits = {"lease_ms": 60_000, "per_host": 4, "per_tenant": 8}
    for _ in range(5):
        assert len(world.records.schedule.take(16, held={}, **limits)) == 4
        assert not world.records.schedule.take(16, held={"acme": 4, "/host": 4}, **limits)


def test_a_thousand_lanes_with_their_share_do_not_hide_another(world: World) -> None:
    for number in range(1_000):
        world.records.schedule.add("greedy", f"host{number:012}", [f"req_{number:026}-1"])
    world.records.schedule.add("modest", "host", [f"req_{99:026}-1"])
    held = {"greedy": 4}
    taken: list[Any] = []
    for _ in range(10):
        taken += world.records.schedule.take(
            8, lease_ms=60_000, per_host=4, per_tenant=4, held=held
        )
    assert [due.tenant for due in taken] == ["modest"]


def test_ten_thousand_owed_deliveries_cost_only_their_schedule(
    world: World, receiver: Receiver
) -> None:
    host = Webhook(f"{receiver.base}/ok").host
    for number in range(10_000):
        world.store.put(keys.owed("acme", host, f"req_{number:026}", 1), b"")
    before = world.raw.info("memory")["used_memory"]
    assert sum(world.service.deliveries.schedule_owed()) == 10_000
    assert world.raw.zcard(f"hooks:acme/{host}") == 10_000
    assert world.raw.info("memory")["used_memory"] - before < 3_000_000
    taken = world.records.schedule.take(100, lease_ms=60_000, per_host=4, per_tenant=8, held={})
    assert len(taken) == 4


def test_what_a_dead_process_took_is_taken_again_when_its_lease_is_over(world: World) -> None:
    world.records.schedule.add("acme", "host", [f"req_{1:026}-1"])
    limits = {"per_host": 9, "per_tenant": 9, "held": {}}
    assert len(world.records.schedule.take(9, lease_ms=300, **limits)) == 1
    assert not world.records.schedule.take(9, lease_ms=300, **limits)
    taken = until(
        lambda: world.records.schedule.take(9, lease_ms=300, **limits), "taken again", seconds=5
    )
    assert [due.name for due in taken] == [f"req_{1:026}-1"]
