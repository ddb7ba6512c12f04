"""The address that fal's JavaScript client takes for a proxy."""

from __future__ import annotations

from typing import Any

import pytest

from casola_ocr.model import JobStatus
from tests.api_stub import DATA_URL, World, make_world


def proxied(world: World, method: str, target: str | None, **more: Any) -> Any:
    headers = {**more.pop("headers", {}), **({"x-fal-target-url": target} if target else {})}
    return world.client.open("/fal/proxy", method=method, headers=headers, **more)


def test_a_run_is_led_to_our_own_route() -> None:
    world = make_world()
    body = {"image_url": DATA_URL, "sync_mode": True}
    answer = proxied(world, "POST", "https://fal.run/fal/ocr", json=body)
    (request_id,) = world.jobs.known
    assert answer.get_json() == {"request_id": request_id, "status": "completed", "text": "Grüße"}
    assert answer.headers["x-fal-request-id"] == request_id


def test_the_queue_is_led_to_our_own_routes_with_the_query() -> None:
    world = make_world()
    host = "https://queue.fal.run"
    body = {"input_image_urls": [DATA_URL]}
    target = f"{host}/fal-ai/got-ocr/v2?fal_webhook=https%3A%2F%2Fexample.com%2F%3Fa%3D1"
    told = proxied(world, "POST", target, json=body).get_json()
    assert world.jobs.options is not None and world.jobs.options.webhook is not None
    assert world.jobs.options.webhook.url == "https://example.com/?a=1"
    name = told["request_id"]
    base = f"{host}/fal-ai/got-ocr/requests/{name}"
    assert proxied(world, "GET", f"{base}/status?logs=1").get_json()["status"] == "IN_QUEUE"
    stream = proxied(world, "GET", f"{base}/status/stream?logs=1")
    assert stream.content_type == "text/event-stream"
    assert proxied(world, "PUT", f"{base}/cancel").status_code == 202
    assert world.jobs.known[name].status is JobStatus.CANCELLED
    assert proxied(world, "GET", base).status_code == 499


@pytest.mark.parametrize("host", ["rest.fal.ai", "rest.alpha.fal.ai"])
def test_an_upload_is_begun_through_it(host: str) -> None:
    target = f"https://{host}/storage/upload/initiate?storage_type=fal-cdn-v3"
    told = proxied(make_world(), "POST", target, json={"file_name": "a.png"}).get_json()
    assert told["upload_url"].startswith("http://localhost/fal/rest/storage/upload/")


@pytest.mark.parametrize(
    "target",
    [
        None, "", "nonsense", "http://[", "http://fal.run/fal/ocr", "https://example.com/fal/ocr",
        "https://fal.run.example.com/fal/ocr", "https://fal.run@example.com/fal/ocr",
        "https://fal.run:8080/fal/ocr", "https://fal.run/api/v1/library", "https://fal.run/healthz",
        "https://fal.run/fal/proxy", "https://fal.run/queue/fal/ocr",
        "https://rest.fal.ai/tokens/", "file:///etc/passwd", "//fal.run/fal/ocr",
    ],
)  # fmt: skip
def test_any_other_target_is_refused_and_reaches_nothing(target: str | None) -> None:
    world = make_world()
    for method in ("GET", "POST", "PUT"):
        answer = proxied(world, method, target)
        assert answer.status_code == 400
        assert answer.get_json()["error_type"] == "bad_request"
        assert answer.headers["x-fal-request-id"]
    assert world.jobs.calls == []


@pytest.mark.parametrize(
    "path", ["/../api/v1/library", "/fal/../../api/v1/library", "/%2e%2e/api/v1/library"]
)
def test_no_path_leads_out_of_fals_routes(path: str) -> None:
    world = make_world()
    answer = proxied(world, "GET", f"https://queue.fal.run{path}")
    assert answer.status_code == 404
    assert world.jobs.calls == []


def test_it_needs_the_token_that_its_targets_need() -> None:
    world = make_world()
    world.tokens.secrets["secret"] = "acme"
    for target in ("https://fal.run/fal/ocr", "https://example.com/", None):
        answer = proxied(world, "POST", target, json={"image_url": DATA_URL})
        assert answer.status_code == 401
    headers = {"Authorization": "Key secret"}
    body = {"image_url": DATA_URL}
    answer = proxied(world, "POST", "https://queue.fal.run/fal/ocr", json=body, headers=headers)
    assert answer.status_code == 200


def test_the_header_means_nothing_elsewhere() -> None:
    world = make_world()
    headers = {"x-fal-target-url": "https://fal.run/fal/ocr"}
    assert world.client.get("/healthz", headers=headers).get_json() == {"status": "ok"}
