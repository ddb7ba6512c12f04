"""What OpenAI's client sees when something is refused, or fails while it streams."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import openai
import psutil
import pytest

from tests.clients.conftest import WebServer, data_url, small_page
from tests.pages import as_bytes, draw_page
from tests.running import RunningService, free_port

#: Little room, and no second attempt.
ENVIRONMENT = {
    "CASOLA_CPU_WORKERS": "1",
    "CASOLA_MAX_ATTEMPTS": "1",
    "CASOLA_MAX_PENDING_PAGES_PER_TENANT": "2",
    "CASOLA_MAX_FILE_MB": "2",
    "CASOLA_FETCH_ALLOW_NETWORKS": "127.0.0.1/32",
    "CASOLA_LEASE_SECONDS": "4",
    "CASOLA_HEARTBEAT_SECONDS": "1",
    "CASOLA_RECONCILE_SECONDS": "0.5",
}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningService, str]]:
    """A service that refuses soon, and a token for it."""
    running = RunningService(
        data_dir=tmp_path_factory.mktemp("strict") / "data",
        port=free_port(),
        environment=ENVIRONMENT,
    )
    try:
        running.start()
        yield running, running.token("acme")
    finally:
        running.stop()


@pytest.fixture
def client(strict: tuple[RunningService, str]) -> Iterator[openai.OpenAI]:
    service, token = strict
    service.wait_until_ready()
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=token, max_retries=0) as made:
        yield made


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def ask(client: openai.OpenAI, *parts: Any, **more: Any) -> Any:
    asked: Any = {"model": "auto", "messages": [{"role": "user", "content": list(parts)}], **more}
    return client.chat.completions.create(**asked)


def input_of(page: bytes) -> Any:
    parts = [{"type": "input_image", "image_url": data_url(page), "detail": "auto"}]
    return [{"role": "user", "content": parts}]


def large_page(seed: int) -> bytes:
    """A page that takes an engine some seconds."""
    lines = [f"Line {n} of a page that is long and takes a while to read" for n in range(60)]
    return as_bytes(draw_page(lines, noise=0.02, seed=seed), "JPEG")


def until_empty(service: RunningService, token: str) -> None:
    deadline = time.monotonic() + 120
    with service.client(token) as own:
        while time.monotonic() < deadline:
            params = {"status": "queued,processing", "limit": 1}
            if not own.get("/api/v1/library", params=params).json()["data"]:
                return
            time.sleep(0.2)
    raise AssertionError("work is left")


def test_refusals_have_their_classes_and_codes(
    strict: tuple[RunningService, str], client: openai.OpenAI, hello: bytes
) -> None:
    good = image(data_url(hello))
    with pytest.raises(openai.AuthenticationError) as unknown:
        ask(client.with_options(api_key="casola_wrong"), good)
    assert (unknown.value.code, unknown.value.status_code) == ("unauthorized", 401)
    with pytest.raises(openai.NotFoundError) as model:
        ask(client, good, model="gpt-4o")
    assert model.value.code == "model_not_found"
    with pytest.raises(openai.InternalServerError) as engine:
        ask(client, good, model="deepseek-ocr")
    assert (engine.value.code, engine.value.status_code) == ("engine_unavailable", 503)
    with pytest.raises(openai.BadRequestError) as large:
        ask(client, image(data_url(hello + bytes(2_100_000))))
    assert large.value.code == "image_file_too_large"
    with pytest.raises(openai.APIStatusError) as body:
        ask(client, image(data_url(bytes(9_000_000))))
    assert body.value.code == "image_file_too_large"
    for caught in (unknown, model, engine, large, body):
        assert str(caught.value.request_id).startswith("req_")


def test_too_much_at_once_is_a_rate_limit_that_the_client_waits_for(
    strict: tuple[RunningService, str], client: openai.OpenAI, hello: bytes
) -> None:
    service, token = strict
    until_empty(service, token)
    for seed in range(2):
        made = client.responses.with_raw_response.create(
            model="auto", input=input_of(large_page(seed)), background=True
        )
        assert made.headers["x-ratelimit-limit-requests"] == "2"
    assert made.headers["x-ratelimit-remaining-requests"] == "0"
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client, image(data_url(hello)))
    assert (caught.value.type, caught.value.code) == ("rate_limit_error", "too_busy")
    assert int(caught.value.response.headers["retry-after"]) >= 1
    patient = client.with_options(max_retries=8)
    answer = patient.chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": [image(data_url(hello))]}]
    )  # type: ignore[call-overload]
    assert answer.retries_taken >= 1
    assert answer.parse().choices[0].message.content.split() == ["Hello", "client"]


def test_what_fails_in_the_middle_of_a_stream_is_an_error_event(
    client: openai.OpenAI, web: WebServer, hello: bytes
) -> None:
    missing = web.put("middle.png", b"") + ".none"
    text = ""
    with pytest.raises(openai.APIError) as caught:
        for chunk in ask(client, image(data_url(hello)), image(missing), stream=True):
            text += chunk.choices[0].delta.content or ""
    assert text.split() == ["Hello", "client"]
    assert not isinstance(caught.value, openai.APIStatusError)
    assert caught.value.code == "failed_to_download_image"
    assert caught.value.param == "messages"


@pytest.mark.parametrize("surface", ["chat", "responses"])
def test_an_engine_that_dies_in_the_middle_of_a_stream_is_told(
    strict: tuple[RunningService, str], client: openai.OpenAI, surface: str
) -> None:
    service, token = strict
    until_empty(service, token)
    pages = [small_page("Hello"), large_page(7), large_page(8)]
    if surface == "chat":
        stream: Any = ask(client, *(image(data_url(page)) for page in pages), stream=True)
    else:
        parts = [input_of(page)[0]["content"][0] for page in pages]
        asked: Any = [{"role": "user", "content": parts}]
        stream = client.responses.create(model="auto", input=asked, stream=True)
    events = iter(stream)
    first = next(event for event in events if "Hello" in event.to_json())
    assert first
    kill_while_it_reads(service, token, stream.response.headers["x-request-id"])
    if surface == "chat":
        with pytest.raises(openai.APIError) as caught:
            list(events)
        assert caught.value.type == "server_error"
    else:
        *_, last = events
        assert (last.type, last.response.status) == ("response.failed", "failed")
        assert last.response.error.code == "server_error"


def kill_while_it_reads(service: RunningService, token: str, first: str) -> None:
    """End the workers while they read the second document of a request, or one after it."""
    deadline = time.monotonic() + 60
    with service.client(token) as own:
        batch = own.get(f"/api/v1/jobs/{first}").json()["batch_id"]
        while own.get(f"/api/v1/batches/{batch}").json()["jobs"][1]["status"] == "queued":
            assert time.monotonic() < deadline
            time.sleep(0.02)
    for process in service.processes("worker", "pages"):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
