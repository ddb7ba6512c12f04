"""Jobs whose end is told to a receiver, and what is owed to it and told about it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from standardwebhooks import Webhook as Verifier

from casola_ocr.model import Webhook
from casola_ocr.objects import keys
from casola_ocr.webhooks.courier import Courier
from tests.receiver import Received
from tests.world import PNG, World

SETTINGS: dict[str, Any] = {
    "fetch_allow_networks": ("127.0.0.1/32",),
    "webhook_pause_seconds": 0.01,
    "webhook_timeout_seconds": 0.5,
    "webhook_slots": 8,
}


@contextmanager
def courier(world: World) -> Iterator[None]:
    """The deliverer of a reconciler."""
    made = Courier(
        world.service.deliveries,
        world.records.schedule,
        slots=world.settings.webhook_slots,
        timeout=world.settings.webhook_timeout_seconds,
    )
    stop = threading.Event()
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        # A courier leaves those behind that take long; the world's connections are closed soon.
        for delivery in [one for one in threading.enumerate() if one.name == "webhook"]:
            delivery.join()


def read_one(world: World, url: str, style: str = "standard", source: bytes = PNG) -> str:
    request_id = world.submit_one(source, webhook=Webhook(url, style))
    world.run()
    return request_id


def deliver(world: World, times: int = 1) -> None:
    """Do what is due so many times, as if each pause was over."""
    for _ in range(times):
        for key in world.raw.scan_iter("hooks:*/*"):
            for name in world.raw.zrange(key, 0, -1):
                world.raw.zadd(key, {name: 1})
            world.raw.zadd("hooks:lanes", {key.removeprefix("hooks:"): 1})
        for key in list(world.store.list("tenants/")):
            if "/deliveries/" in key:
                values = json.loads(world.store.get(key))
                world.store.put(key, json.dumps({**values, "next_at": 0}).encode())
        for due in world.records.schedule.take(
            100, lease_ms=60_000, per_host=100, per_tenant=100, held={}
        ):
            world.service.deliveries.deliver(due)


def told(world: World, request_id: str) -> dict[str, Any]:
    host, found = world.service.deliveries.list("acme", request_id)
    return found[0].to_dict(host)


def owed(world: World) -> list[str]:
    return list(world.store.list(keys.OWED_PREFIX))


def scheduled(world: World) -> list[str]:
    return list(world.raw.scan_iter("hooks:*"))


def secret(world: World) -> str:
    return world.service.secrets.valid("acme")[0].secret


def verified(world: World, received: Received) -> dict[str, Any]:
    event: dict[str, Any] = Verifier(secret(world)).verify(received.body, received.headers)
    return event
