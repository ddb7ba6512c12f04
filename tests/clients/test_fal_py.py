"""fal's Python client over TLS against the running service: only its environment is changed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.clients.conftest import WebServer, data_url, small_page
from tests.clients.fal import imported
from tests.running import RunningService, free_port

#: One page at a time, so that requests wait for each other.
ENVIRONMENT = {
    "CASOLA_TLS": "1",
    "CASOLA_CPU_WORKERS": "1",
    "CASOLA_FETCH_ALLOW_NETWORKS": "127.0.0.1/32",
    "CASOLA_RECONCILE_SECONDS": "0.5",
}


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    running = RunningService(
        data_dir=tmp_path_factory.mktemp("secure") / "data",
        port=free_port(),
        environment=ENVIRONMENT,
    )
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def fal(secure: RunningService) -> Iterator[ModuleType]:
    with imported(secure) as made:
        yield made


@pytest.fixture
def client(fal: ModuleType) -> Iterator[Any]:
    made = fal.SyncClient()
    yield made
    made._client.close()


def heard(client: Any) -> list[httpx.Response]:
    """Every answer that the client gets from now on."""
    answers: list[httpx.Response] = []
    client._client.event_hooks["response"].append(answers.append)
    return answers


@contextmanager
def busy(service: RunningService) -> Iterator[int]:
    """While this holds, the only worker has so many other pages to read first."""
    pages = [small_page(*[f"Line {n} of a page that takes its time"] * 60) for n in range(30)]
    files = [("file", (f"{n}.png", page)) for n, page in enumerate(pages)]
    with service.client() as own:
        batch = own.post("/api/v1/jobs", files=files, data={"lane": "interactive"}).json()
        try:
            yield len(pages)
        finally:
            for job in batch["jobs"]:
                own.post(f"/api/v1/jobs/{job['request_id']}/cancel")


def test_run_answers_exactly_what_the_route_promises(client: Any, hello: bytes) -> None:
    answers = heard(client)
    told = client.run("fal/ocr", {"image_url": data_url(hello), "sync_mode": True})
    assert set(told) == {"request_id", "status", "text"}
    assert (told["status"], told["text"].split()) == ("completed", ["Hello", "client"])
    assert [answer.headers["x-fal-request-id"] for answer in answers] == [told["request_id"]]


def test_a_handle_has_three_urls_of_this_server(
    client: Any, secure: RunningService, hello: bytes
) -> None:
    handle = client.submit("fal/ocr", {"image_url": data_url(hello)})
    for url in (handle.response_url, handle.status_url, handle.cancel_url):
        assert url.startswith(f"{secure.url}/queue/fal/ocr/requests/{handle.request_id}")
    assert handle.get()["text"].split() == ["Hello", "client"]


def test_a_webhooks_address_arrives_as_it_was_given(
    client: Any, secure: RunningService, hello: bytes
) -> None:
    hook = "https://example.com/hook?a=1&b=%20"
    handle = client.submit("fal/ocr", {"image_url": data_url(hello)}, webhook_url=hook)
    (manifest,) = secure.data_dir.rglob(f"{handle.request_id}/manifest.json")
    kept = json.loads(manifest.read_bytes())["webhook"]
    assert (kept["url"], kept["style"]) == (hook, "fal")
    handle.cancel()


def test_subscribe_sees_the_place_in_the_queue_then_the_reading_then_the_end(
    fal: ModuleType, client: Any, secure: RunningService
) -> None:
    seen: list[Any] = []
    page = small_page(*["A line of a page that takes its time"] * 60)
    with busy(secure) as others:
        told = client.subscribe(
            "fal/ocr", {"image_url": data_url(page)}, interval=0.05, on_queue_update=seen.append
        )
    assert told["status"] == "completed"
    kinds = list(dict.fromkeys(type(status) for status in seen))
    assert kinds == [fal.Queued, fal.InProgress, fal.Completed]
    places = [status.position for status in seen if isinstance(status, fal.Queued)]
    assert 0 < max(places) <= others
    assert places == sorted(places, reverse=True)


def test_subscribe_hears_of_every_page_as_it_is_read(
    fal: ModuleType, client: Any, three_pages: bytes
) -> None:
    seen: list[Any] = []
    told = client.subscribe(
        "fal/ocr",
        {"image_url": data_url(three_pages, "application/pdf")},
        with_logs=True,
        on_queue_update=seen.append,
    )
    last = seen[-1]
    assert [log["message"].partition(":")[0] for log in last.logs] == [
        "Reading has begun.", "Page 1", "Page 2", "Page 3"
    ]  # fmt: skip
    for status in seen:
        if isinstance(status, fal.InProgress):
            assert status.logs == last.logs[: len(status.logs)]
    assert last.metrics["inference_time"] > 0
    assert [page.split()[0] for page in told["text"].split("\f")] == ["Alpha", "Bravo", "Charlie"]


def test_a_status_is_found_by_any_path_of_the_app_and_without_logs(
    fal: ModuleType, client: Any, hello: bytes
) -> None:
    handle = client.submit("fal/ocr", {"image_url": data_url(hello)})
    handle.get()
    for app in ("fal/ocr", "fal/ocr/any/path"):
        status = client.status(app, handle.request_id, with_logs=False)
        assert isinstance(status, fal.Completed)
        assert (status.logs, status.error) == ([], None)
        assert client.result(app, handle.request_id)["status"] == "completed"


def test_the_result_of_a_failed_request_raises_its_own_error(
    fal: ModuleType, client: Any, web: WebServer
) -> None:
    handle = client.submit("fal/ocr", {"image_url": f"http://127.0.0.1:{web.port}/none.png"})
    with pytest.raises(fal.FalClientHTTPError) as caught:
        handle.get()
    assert caught.value.status_code == 422
    (detail,) = caught.value.message
    assert (detail["loc"], detail["type"]) == (["body", "image_url"], "file_download_error")
    status = handle.status()
    assert isinstance(status, fal.Completed) and status.error_type == "file_download_error"


@pytest.mark.parametrize("url", ["no URL", "http://10.0.0.1/a.png", "data:image/png;base64,!!"])
def test_an_image_url_that_cannot_be_read_is_blamed(fal: ModuleType, client: Any, url: str) -> None:
    answers = heard(client)
    with pytest.raises(fal.FalClientHTTPError) as caught:
        client.run("fal/ocr", {"image_url": url, "sync_mode": True})
    assert caught.value.message[0]["loc"] == ["body", "image_url"]
    assert [answer.status_code for answer in answers] == [422]


def test_a_queued_request_can_be_cancelled_and_only_once(
    fal: ModuleType, client: Any, secure: RunningService, hello: bytes
) -> None:
    with busy(secure):
        handle = client.submit("fal/ocr", {"image_url": data_url(hello)})
        handle.cancel()
    answers = heard(client)
    with pytest.raises(fal.FalClientHTTPError) as caught:
        handle.cancel()
    assert caught.value.status_code == 400
    assert [answer.request.method for answer in answers] == ["PUT"]
    with pytest.raises(fal.FalClientHTTPError) as caught:
        handle.get()
    assert (caught.value.status_code, caught.value.error_type) == (499, "client_cancelled")


def test_a_start_timeout_ends_the_wait_and_is_not_tried_again(
    fal: ModuleType, client: Any, secure: RunningService, hello: bytes
) -> None:
    answers = heard(client)
    asked = {"image_url": data_url(hello), "sync_mode": True}
    with busy(secure), pytest.raises(fal.FalClientHTTPError) as caught:
        client.run("fal/ocr", asked, start_timeout=1.5)
    assert (caught.value.status_code, caught.value.error_type) == (504, "startup_timeout")
    (answer,) = answers
    assert answer.headers["x-fal-request-timeout-type"] == "user"
    with secure.client() as own:
        job = own.get(f"/api/v1/jobs/{answer.headers['x-fal-request-id']}").json()
    assert (job["status"], job["error"]["code"]) == ("cancelled", "start_timeout")


def test_a_timeout_of_the_client_cancels_the_request(
    fal: ModuleType, client: Any, secure: RunningService, hello: bytes
) -> None:
    with busy(secure), pytest.raises(fal.FalClientTimeoutError) as caught:
        client.subscribe("fal/ocr", {"image_url": data_url(hello)}, client_timeout=2)
    job = secure_job(secure, caught.value.request_id)
    assert job["status"] == "cancelled"


def secure_job(service: RunningService, request_id: str | None) -> dict[str, Any]:
    with service.client() as own:
        found: dict[str, Any] = own.get(f"/api/v1/jobs/{request_id}").json()
        return found


def test_low_priority_is_read_after_normal(
    client: Any, secure: RunningService, hello: bytes
) -> None:
    asked = {"image_url": data_url(hello)}
    with busy(secure):
        # Every fifth turn is the low ones', so the second of them is last.
        low = [client.submit("fal/ocr", asked, priority="low") for _ in range(2)]
        normal = [client.submit("fal/ocr", asked, priority="normal") for _ in range(4)]
    for handle in (*low, *normal):
        handle.get()
    begun = {
        handle.request_id: secure_job(secure, handle.request_id)["started_at"]
        for handle in (*low, *normal)
    }
    assert max(begun, key=lambda name: begun[name]) in {handle.request_id for handle in low}


def test_a_stream_yields_each_page_and_ends_with_the_output(
    client: Any, three_pages: bytes
) -> None:
    asked = {"image_url": data_url(three_pages, "application/pdf")}
    *pages, last = client.stream("fal/ocr", asked)
    words = ["Alpha", "Bravo", "Charlie"]
    assert [(page["page"], page["text"].split()[0]) for page in pages] == list(enumerate(words, 1))
    assert last["status"] == "completed"
    assert last["text"] == "\f".join(page["text"] for page in pages)


def test_fals_own_ocr_endpoints_answer_in_their_own_shapes(client: Any, hello: bytes) -> None:
    url = data_url(hello)
    got = client.subscribe("fal-ai/got-ocr/v2", {"input_image_urls": [url, url]})
    assert [text.split() for text in got["outputs"]] == [["Hello", "client"]] * 2
    joined = client.run(
        "fal-ai/got-ocr/v2",
        {"input_image_urls": [url, url], "multi_page": True, "do_format": True},
    )
    assert [text.split() for text in joined["outputs"]] == [["Hello", "client"] * 2]
    florence = client.run("fal-ai/florence-2-large/ocr", {"image_url": url})
    assert florence["results"].split() == ["Hello", "client"]
    regions = client.subscribe("fal-ai/florence-2-large/ocr-with-region", {"image_url": url})
    (box,) = regions["results"]["quad_boxes"]
    assert box["label"].split() == ["Hello", "client"]
    assert box["w"] > box["h"] > 0


def test_a_file_is_uploaded_where_its_host_is_set(
    fal: ModuleType, client: Any, secure: RunningService, hello: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(fal.client, "REST_URL", f"{secure.url}/fal/rest")
    url = client.upload(hello, "image/png", "hello.png", repository="fal")
    assert url.startswith(secure.url)
    told = client.run("fal/ocr", {"image_url": url, "sync_mode": True})
    assert told["text"].split() == ["Hello", "client"]


def test_the_async_client_uses_every_route_without_a_redirect(
    fal: ModuleType, hello: bytes, three_pages: bytes
) -> None:
    asked = {"image_url": data_url(hello)}
    statuses: list[int] = []

    async def note(response: httpx.Response) -> None:
        statuses.append(response.status_code)

    async def use() -> None:
        client = fal.AsyncClient()
        http = await client._client
        http.event_hooks["response"].append(note)
        ran = await client.run("fal/ocr", {**asked, "sync_mode": True})
        assert ran["text"].split() == ["Hello", "client"]
        assert (await client.subscribe("fal/ocr", asked))["text"] == ran["text"]
        handle = await client.submit("fal/ocr", asked)
        kinds = [type(status) async for status in handle.iter_events(with_logs=True)]
        assert kinds[-1] is fal.Completed
        assert (await handle.get())["text"] == ran["text"]
        pdf = {"image_url": data_url(three_pages, "application/pdf")}
        told = [part async for part in client.stream("fal/ocr", pdf)]
        assert len(told) == 4
        await http.aclose()

    asyncio.run(use())
    assert {status // 100 for status in statuses} == {2}


def test_a_bad_key_and_an_overload_are_told_once_with_a_request_id(
    make_service: Callable[..., RunningService], hello: bytes
) -> None:
    service = make_service(CASOLA_TLS="1", CASOLA_MAX_WAITERS="0")
    key = service.token("acme")
    for used, status, kind in ((key, 503, "overloaded"), ("wrong", 401, "unauthorized")):
        with imported(service, used) as fal:
            client = fal.SyncClient()
            answers = heard(client)
            with pytest.raises(fal.FalClientHTTPError) as caught:
                client.run("fal-ai/florence-2-large/ocr", {"image_url": data_url(hello)})
            client._client.close()
        assert (caught.value.status_code, caught.value.error_type) == (status, kind)
        assert isinstance(caught.value.message, str)
        (answer,) = answers
        assert answer.headers["x-fal-request-id"]


def test_the_snippet_of_the_api_reference_runs(
    secure: RunningService, hello: bytes, tmp_path: Path
) -> None:
    reference = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    section = reference.partition("\n## fal")[2]
    exports, snippet = re.findall(r"```(?:sh|python)\n(.*?)```", section, re.DOTALL)[:2]
    (tmp_path / "scan.png").write_bytes(hello)
    (tmp_path / "snippet.py").write_text(snippet)
    script = exports.replace("8080", str(secure.port)).replace(
        "casola-data/tls/ca.pem", str(secure.ca_file)
    )
    done = subprocess.run(
        ["sh", "-ec", f"{script}\nexec {sys.executable} snippet.py"],
        cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Completed(" in done.stdout
    assert done.stdout.split()[-2:] == ["Hello", "client"]
