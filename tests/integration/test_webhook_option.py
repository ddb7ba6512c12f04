"""Where the end of a job is to be told is part of what was accepted."""

from __future__ import annotations

import pytest

from casola_ocr.errors import KeyReused, MalformedRequest
from casola_ocr.model import Manifest, Webhook
from casola_ocr.objects import keys
from tests.world import World

URL = "https://example.com/hook?secret=1"


def test_the_manifest_keeps_where_the_end_is_told(world: World) -> None:
    webhook = Webhook(URL, "fal")
    request_id = world.submit_one(webhook=webhook)
    stored = Manifest.from_json(world.store.get(keys.manifest("acme", request_id)))
    assert stored.webhook == webhook
    assert "secret" not in repr(stored)
    assert Manifest.from_json(stored.to_json()) == stored


def test_the_same_key_with_another_webhook_is_another_submission(world: World) -> None:
    world.submit_one(idempotency_key="k", webhook=Webhook(URL))
    world.submit_one(idempotency_key="k", webhook=Webhook(URL))
    with pytest.raises(KeyReused):
        world.submit_one(idempotency_key="k", webhook=Webhook(URL, "fal"))


@pytest.mark.parametrize(
    "url", ["nothing", "ftp://example.com", "http://10.0.0.1/", "http://127.0.0.1:6379/"]
)
def test_a_webhook_that_could_not_be_sent_is_refused_at_once(world: World, url: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        world.submit_one(webhook=Webhook(url))
    assert refused.value.field == "webhook_url"
    assert not world.inflight()
