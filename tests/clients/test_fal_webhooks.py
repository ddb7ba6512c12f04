"""fal's clients ask for a webhook, and what comes verifies as fal's documentation says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import WebServer, data_url
from tests.clients.fal import imported
from tests.clients.node import passed, run_node
from tests.receiver import Received, Receiver, running_receiver, verify_fal
from tests.running import RunningService

#: How far fal's receivers let the clocks of both sides differ.
TOLERANCE_SECONDS = 300


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as made:
        yield made


@pytest.fixture
def python(secure: RunningService) -> Iterator[Callable[[str, str], str]]:
    """Submits an image with a webhook by fal's Python client; the request's ID."""
    with imported(secure) as fal:
        client = fal.SyncClient()

        def submit(image: str, hook: str) -> str:
            handle = client.submit("fal/ocr", {"image_url": image}, webhook_url=hook)
            return str(handle.request_id)

        yield submit
        client._client.close()


@pytest.fixture
def javascript(secure: RunningService, tmp_path: Path) -> Callable[[str, str], str]:
    """The same by fal's JavaScript client."""

    def submit(image: str, hook: str) -> str:
        told = tmp_path / "request"
        passed(
            run_node(
                "fal_webhook.test.mjs",
                {
                    "SERVICE_URL": secure.url,
                    "NODE_EXTRA_CA_CERTS": str(secure.ca_file),
                    "IMAGE_URL": image,
                    "WEBHOOK_URL": hook,
                    "REQUEST_FILE": str(told),
                },
            )
        )
        return told.read_text()

    return submit


def public_keys(service: RunningService) -> Any:
    with service.client() as client:
        return client.get("/.well-known/jwks.json").json()["keys"]


def verified(service: RunningService, received: Received, request_id: str) -> dict[str, Any]:
    """What was told of this request, once its signature was found to be ours, and fresh."""
    keys = public_keys(service)
    assert verify_fal(keys, received, received.body)
    assert not verify_fal(keys, received, received.body + b" ")
    assert received.headers["X-Fal-Webhook-Request-Id"] == request_id
    sent_at = int(received.headers["X-Fal-Webhook-Timestamp"])
    assert abs(time.time() - sent_at) < TOLERANCE_SECONDS
    told: dict[str, Any] = json.loads(received.body)
    assert told["request_id"] == told["gateway_request_id"] == request_id
    return told


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_a_receiver_verifies_the_end_of_a_clients_request_though_it_failed_at_first(
    request: pytest.FixtureRequest,
    secure: RunningService,
    receiver: Receiver,
    hello: bytes,
    language: str,
) -> None:
    submit = request.getfixturevalue(language)
    request_id = submit(data_url(hello), f"{receiver.base}/twice-500?of=a&more=%20")
    first, *_, last = receiver.wait(lambda received: len(received) == 3 and received)
    assert first.body == last.body
    assert last.path == "/twice-500?of=a&more=%20"
    told = verified(secure, last, request_id)
    assert told["status"] == "OK"
    assert told["payload"]["text"].split() == ["Hello", "client"]


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_a_receiver_is_told_why_a_clients_request_failed(
    request: pytest.FixtureRequest,
    secure: RunningService,
    receiver: Receiver,
    web: WebServer,
    language: str,
) -> None:
    submit = request.getfixturevalue(language)
    request_id = submit(f"http://127.0.0.1:{web.port}/none.png", f"{receiver.base}/ok")
    (received,) = receiver.wait(lambda received: received)
    told = verified(secure, received, request_id)
    assert (told["status"], told["error"]) == ("ERROR", "Invalid status code: 422")
    (detail,) = told["payload"]["detail"]
    assert (detail["loc"], detail["type"]) == (["body", "image_url"], "file_download_error")
