"""The end of a job is told, signed, and told again until the receiver has it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import TypeAdapter
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from casola_ocr.errors import EngineFailed
from casola_ocr.model import Webhook
from casola_ocr.webhooks.delivery import MAX_TRIES
from casola_ocr.webhooks.shapes import JobEnded
from tests.receiver import Receiver
from tests.webhook_world import SETTINGS, deliver, owed, read_one, scheduled, secret, told, verified
from tests.world import PNG, FailingEngine, World, open_world, tiff


@pytest.fixture
def world(valkey: str) -> Iterator[World]:
    with open_world(valkey, **SETTINGS) as made:
        yield made


def test_the_end_of_a_job_is_told_with_a_signature_that_verifies(
    world: World, receiver: Receiver
) -> None:
    request_id = read_one(world, f"{receiver.base}/ok?key=1")
    assert owed(world)
    deliver(world)
    (received,) = receiver.received
    assert received.path == "/ok?key=1"
    event = verified(world, received)
    TypeAdapter(JobEnded).validate_python(event, strict=True, extra="forbid")
    job = world.jobs.get("acme", request_id).to_dict()
    assert event["type"] == "job.completed" and event["timestamp"] == job["finished_at"]
    assert event["data"]["request_id"] == request_id
    assert event["data"]["status"] == "completed"
    assert event["data"]["links"]["result"] == job["links"]["result"]
    assert "hello" not in received.body.decode()
    assert told(world, request_id)["status"] == "delivered"
    assert not owed(world) and not scheduled(world)


def test_a_body_that_was_changed_on_the_way_does_not_verify(
    world: World, receiver: Receiver
) -> None:
    read_one(world, f"{receiver.base}/ok")
    deliver(world)
    (received,) = receiver.received
    changed = received.body.replace(b"completed", b"cancelled")
    with pytest.raises(WebhookVerificationError):
        Verifier(secret(world)).verify(changed, received.headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(world.service.secrets.valid("other")[0].secret).verify(
            received.body, received.headers
        )


def test_a_job_without_a_webhook_owes_nothing(world: World) -> None:
    request_id = world.submit_one()
    world.run()
    assert not owed(world) and not scheduled(world)
    assert world.service.deliveries.list("acme", request_id) == ("", [])


def test_a_job_that_has_not_ended_has_no_deliveries(world: World, receiver: Receiver) -> None:
    request_id = world.submit_one(webhook=Webhook(f"{receiver.base}/ok"))
    host, found = world.service.deliveries.list("acme", request_id)
    assert host == "127.0.0.1" and not found
    world.run()
    assert told(world, request_id)["status"] == "pending"


def test_failed_and_cancelled_jobs_are_told_too(world: World, receiver: Receiver) -> None:
    world.engine = FailingEngine({1: EngineFailed()})
    failed = read_one(world, f"{receiver.base}/ok")
    world.settle()
    cancelled = world.submit_one(tiff(3), webhook=Webhook(f"{receiver.base}/ok"))
    world.jobs.cancel("acme", cancelled)
    world.settle()
    deliver(world)
    found = {
        event["data"]["request_id"]: event["type"]
        for event in (verified(world, received) for received in receiver.received)
    }
    assert found == {failed: "job.failed", cancelled: "job.cancelled"}


def test_each_job_of_a_batch_is_told(world: World, receiver: Receiver) -> None:
    jobs = world.submit(PNG, PNG, PNG, webhook=Webhook(f"{receiver.base}/ok"))
    world.run()
    deliver(world)
    found = [verified(world, one)["data"] for one in receiver.received]
    assert {one["request_id"] for one in found} == {job.request_id for job in jobs}
    assert {one["batch_id"] for one in found} == {jobs[0].batch_id}


def test_what_fails_is_tried_again_with_the_same_id_and_body(
    world: World, receiver: Receiver
) -> None:
    request_id = read_one(world, f"{receiver.base}/twice-500")
    deliver(world, 3)
    assert len(receiver.received) == 3
    assert len({(one.headers["webhook-id"], one.body) for one in receiver.received}) == 1
    for received in receiver.received:
        verified(world, received)
    found = told(world, request_id)
    assert found["status"] == "delivered"
    assert [one["status_code"] for one in found["tries"]] == [500, 500, 200]
    assert not owed(world)


@pytest.mark.parametrize(
    ("path", "error", "status_code"),
    [
        ("hang", "timeout", None), ("drip", "timeout", None), ("rubbish", "unreachable", None),
        ("redirect", None, 302), ("500", None, 500), ("404", None, 404), ("304", None, 304),
    ],
)  # fmt: skip
def test_whatever_is_no_success_is_tried_again(
    world: World, receiver: Receiver, path: str, error: str | None, status_code: int | None
) -> None:
    request_id = read_one(world, f"{receiver.base}/{path}")
    deliver(world)
    found = told(world, request_id)
    assert found["status"] == "pending" and found["next_try_at"]
    assert [(one["error"], one["status_code"]) for one in found["tries"]] == [(error, status_code)]
    # A redirect was not followed.
    assert [one.path for one in receiver.received] == [f"/{path}"]
    assert owed(world) and scheduled(world)


def test_a_delivery_is_given_up_after_its_last_try(world: World, receiver: Receiver) -> None:
    request_id = read_one(world, f"{receiver.base}/500")
    deliver(world, MAX_TRIES + 2)
    assert len(receiver.received) == MAX_TRIES
    found = told(world, request_id)
    assert found["status"] == "failed" and not found["next_try_at"]
    assert not owed(world) and not scheduled(world)


def test_a_receiver_that_is_gone_is_not_told_again(world: World, receiver: Receiver) -> None:
    request_id = read_one(world, f"{receiver.base}/410")
    deliver(world, 3)
    assert len(receiver.received) == 1
    assert told(world, request_id)["status"] == "failed"


def test_nothing_is_sent_to_an_address_that_became_private(
    valkey: str, world: World, receiver: Receiver
) -> None:
    request_id = read_one(world, f"{receiver.base}/ok")
    with open_world(valkey, **{**SETTINGS, "fetch_allow_networks": ()}) as strict:
        strict.service.deliveries._store = world.store
        (due,) = world.records.schedule.take(1, lease_ms=60_000, per_host=1, per_tenant=1, held={})
        strict.service.deliveries.deliver(due)
    assert not receiver.received
    found = told(world, request_id)
    assert found["status"] == "failed" and found["tries"][0]["error"] == "refused"


def test_a_name_that_leads_inside_is_refused(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("casola_ocr.egress._lookup", lambda host, port: ["10.0.0.1"])
    port = receiver.server_address[1]
    request_id = read_one(world, f"http://hook.example:{port}/ok")
    deliver(world)
    assert told(world, request_id)["tries"][0]["error"] == "refused"


def test_rotation_signs_with_both_secrets_until_the_old_one_ends(
    world: World, receiver: Receiver
) -> None:
    old = secret(world)
    found = world.service.secrets.rotate("acme", keep_seconds=60)
    assert [one.secret for one in found][1] == old and found[0].secret != old
    read_one(world, f"{receiver.base}/ok")
    deliver(world)
    (received,) = receiver.received
    for one in found:
        Verifier(one.secret).verify(received.body, received.headers)
    (newest,) = world.service.secrets.rotate("acme", keep_seconds=0)
    read_one(world, f"{receiver.base}/ok")
    deliver(world)
    received = receiver.received[-1]
    Verifier(newest.secret).verify(received.body, received.headers)
    for one in found:
        with pytest.raises(WebhookVerificationError):
            Verifier(one.secret).verify(received.body, received.headers)


def test_two_processes_that_make_the_first_secret_agree_later(world: World) -> None:
    made = [world.service.secrets._make("acme") for _ in range(2)]
    found = world.service.secrets.valid("acme")
    assert {one.secret for one in found} == {one.secret for one in made}
    assert made[0].secret not in repr(found)
