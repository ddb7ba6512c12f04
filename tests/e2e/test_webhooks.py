"""Webhooks of the running service: told, told again after `kill -9`, after a wiped Valkey."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import redis
from openai import InvalidWebhookSignatureError, OpenAI
from standardwebhooks import Webhook as Verifier

from casola_ocr.sample import sample_image
from tests.receiver import Received, Receiver, running_receiver, verify_fal
from tests.running import RunningService

pytestmark = pytest.mark.e2e


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as made:
        yield made


@pytest.fixture
def started(make_service: Callable[..., RunningService]) -> RunningService:
    return make_service(
        CASOLA_FETCH_ALLOW_NETWORKS="127.0.0.1/32",
        CASOLA_WEBHOOK_TIMEOUT_SECONDS="2",
        CASOLA_WEBHOOK_PAUSE_SECONDS="0.2",
    )


def submit(service: RunningService, url: str) -> str:
    answer = httpx.post(
        f"{service.url}/api/v1/jobs",
        files={"file": sample_image()},
        data={"webhook_url": url},
        timeout=30,
    )
    assert answer.status_code == 202, answer.text
    request_id: str = answer.json()["request_id"]
    return request_id


def secret(service: RunningService) -> str:
    answer = httpx.get(f"{service.url}/api/v1/webhooks/secret", timeout=10)
    found: str = answer.json()["secret"]
    return found


def first(received: list[Received]) -> list[Received]:
    return received[:1]


def told(service: RunningService, request_id: str) -> dict[str, Any]:
    answer = httpx.get(f"{service.url}/api/v1/jobs/{request_id}/deliveries", timeout=10)
    (found,) = answer.json()["data"]
    result: dict[str, Any] = found
    return result


def test_the_end_of_a_job_is_told_by_the_running_service(
    service: RunningService, receiver: Receiver
) -> None:
    request_id = submit(service, f"{receiver.base}/ok")
    (received,) = receiver.wait(first)
    event = Verifier(secret(service)).verify(received.body, received.headers)
    assert event["data"]["request_id"] == request_id
    result = httpx.get(service.url + event["data"]["links"]["result"], timeout=10)
    assert result.status_code == 200 and result.json()["text"]
    # OpenAI's client verifies by the same standard.
    with OpenAI(base_url=f"{service.url}/openai/v1", api_key="none") as client:
        key, body = secret(service), received.body.decode()
        assert client.webhooks.unwrap(body, received.headers, secret=key).type == event["type"]
        with pytest.raises(InvalidWebhookSignatureError):
            client.webhooks.unwrap(body + " ", received.headers, secret=key)
    receiver.wait(lambda _: told(service, request_id)["status"] == "delivered")


def test_fal_is_told_with_a_signature_that_our_public_keys_verify(
    service: RunningService, receiver: Receiver
) -> None:
    url = f"data:image/png;base64,{base64.b64encode(sample_image()).decode()}"
    answer = httpx.post(
        f"{service.url}/queue/fal/ocr",
        params={"fal_webhook": f"{receiver.base}/ok?a=1&b=2"},
        json={"image_url": url},
        timeout=30,
    )
    request_id = answer.json()["request_id"]
    (received,) = receiver.wait(first)
    assert received.path == "/ok?a=1&b=2"
    result = httpx.get(f"{service.url}/queue/fal/ocr/requests/{request_id}", timeout=10)
    told = json.loads(received.body)
    assert told["status"] == "OK" and told["payload"] == result.json()
    keys = httpx.get(f"{service.url}/.well-known/jwks.json", timeout=10).json()["keys"]
    assert verify_fal(keys, received, received.body)
    assert not verify_fal(keys, received, received.body.replace(b"OK", b"KO"))


def test_a_deliverer_killed_while_it_delivers_tells_it_again(
    started: RunningService, receiver: Receiver
) -> None:
    request_id = submit(started, f"{receiver.base}/once-hang")
    receiver.wait(first)
    for process in started.processes("reconcile"):
        process.kill()
    receiver.wait(lambda received: len(received) == 2, seconds=90)
    receiver.wait(lambda _: told(started, request_id)["status"] == "delivered")
    # What the dead one did was not written down.
    assert [one["status_code"] for one in told(started, request_id)["tries"]] == [200]
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1


def test_a_wiped_valkey_loses_no_delivery(started: RunningService, receiver: Receiver) -> None:
    failing = submit(started, f"{receiver.base}/twice-500")
    receiver.wait(first)
    others = [submit(started, f"{receiver.base}/ok?{number}") for number in range(3)]
    with redis.Redis.from_url(started.redis_url()) as client:
        client.flushall()
    for request_id in (failing, *others):
        receiver.wait(lambda _, name=request_id: told_if_there(started, name) == "delivered", 90)
    assert {one.path for one in receiver.received} == {
        "/twice-500", *(f"/ok?{number}" for number in range(3)),
    }  # fmt: skip


def told_if_there(service: RunningService, request_id: str) -> str:
    """The status of its delivery; empty while the job is still being found again."""
    answer = httpx.get(f"{service.url}/api/v1/jobs/{request_id}/deliveries", timeout=10)
    found = answer.json().get("data", []) if answer.status_code == 200 else []
    return str(found[0]["status"]) if found else ""
