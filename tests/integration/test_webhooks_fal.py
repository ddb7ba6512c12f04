"""The end of a job is told as fal tells it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from casola_ocr.errors import EngineFailed
from casola_ocr.model import Webhook
from tests.receiver import Receiver
from tests.webhook_world import SETTINGS, deliver, read_one
from tests.world import FailingEngine, World, open_world


@pytest.fixture
def world(valkey: str) -> Iterator[World]:
    with open_world(valkey, **SETTINGS) as made:
        yield made


def test_fal_is_told_as_fal_tells_and_its_signature_verifies(
    world: World, receiver: Receiver
) -> None:
    request_id = read_one(world, f"{receiver.base}/twice-500", "fal")
    deliver(world, 3)
    assert len(receiver.received) == 3
    received = receiver.received[-1]
    body = json.loads(received.body)
    assert body["request_id"] == body["gateway_request_id"] == request_id
    assert body["status"] == "OK" and body["payload"]["text"] == "hello"
    (key,) = world.service.fal_key.jwks()["keys"]
    assert (key["kty"], key["crv"]) == ("OKP", "Ed25519")
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
    signed = [received.headers[f"X-Fal-Webhook-{name}"] for name in
              ("Request-Id", "User-Id", "Timestamp")]  # fmt: skip
    assert signed[:2] == [request_id, "acme"]
    signature = bytes.fromhex(received.headers["X-Fal-Webhook-Signature"])

    def verify(content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        public.verify(signature, "\n".join([*signed, digest]).encode())

    verify(received.body)
    with pytest.raises(InvalidSignature):
        verify(received.body + b" ")


def test_fal_is_told_the_output_of_the_endpoint_that_was_asked(
    world: World, receiver: Receiver
) -> None:
    webhook = Webhook(f"{receiver.base}/ok", "fal")
    request_id = world.submit_one(webhook=webhook, origin="fal:fal-ai/got-ocr/v2")
    world.run()
    deliver(world)
    body = json.loads(receiver.received[0].body)
    assert body["request_id"] == request_id and body["payload"] == {"outputs": ["hello"]}


def test_an_output_too_large_for_a_webhook_is_left_to_be_fetched(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("casola_ocr.webhooks.fal_result.MAX_PAYLOAD", 5)
    read_one(world, f"{receiver.base}/ok", "fal")
    deliver(world)
    body = json.loads(receiver.received[0].body)
    assert body["status"] == "OK" and body["payload"] is None and body["payload_error"]


def test_fal_is_told_of_a_failure(world: World, receiver: Receiver) -> None:
    world.engine = FailingEngine({1: EngineFailed()})
    request_id = read_one(world, f"{receiver.base}/ok", "fal")
    world.settle()
    deliver(world)
    body = json.loads(receiver.received[0].body)
    assert body["request_id"] == request_id and body["status"] == "ERROR"
    assert body["error"].startswith("Invalid status code: ") and body["payload"]["detail"]
