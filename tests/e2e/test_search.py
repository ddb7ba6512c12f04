"""The search of a running service: killed, deleted from, made anew beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import httpx
import pytest

from tests.pages import as_bytes, draw_page
from tests.running import RunningService

pytestmark = pytest.mark.e2e


def read(client: httpx.Client, name: str, words: str) -> str:
    files = {"file": (name, as_bytes(draw_page([words])))}
    answer = client.post("/api/v1/jobs", files=files, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200
    request_id: str = answer.json()["request_id"]
    return request_id


def found(client: httpx.Client, text: str) -> set[str]:
    answer = client.get("/api/v1/library", params={"text": text})
    assert answer.status_code == 200, answer.text
    return {job["request_id"] for job in answer.json()["data"]}


def wait_until_found(client: httpx.Client, text: str, expected: set[str]) -> None:
    deadline = time.monotonic() + 60
    while found(client, text) != expected:
        assert time.monotonic() < deadline, (text, found(client, text), expected)
        time.sleep(0.1)


def test_what_was_read_is_found_whatever_happens_to_the_index(
    make_service: Callable[..., RunningService],
) -> None:
    service = make_service()
    with service.client() as client:
        first = read(client, "first.png", "Pelican harbour")
        wait_until_found(client, "pelican", {first})
        (follower,) = service.processes("search", "follow")
        os.kill(follower.pid, signal.SIGKILL)
        second = read(client, "second.png", "Pelican island")
        wait_until_found(client, "pelican", {first, second})
        client.delete(f"/api/v1/jobs/{first}").raise_for_status()
        assert found(client, "pelican") == {second}
        environment = {**os.environ, "CASOLA_DATA_DIR": str(service.data_dir)}
        rebuild = [sys.executable, "-m", "casola_ocr.cli", "search", "rebuild"]
        told = subprocess.run(
            rebuild, env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        assert "local: 1 documents" in told.stdout
        assert found(client, "pelican") == {second}
        third = read(client, "third.png", "Pelican again")
        wait_until_found(client, "pelican", {second, third})
    assert service.stop() == 0
    service.start()
    with service.client() as client:
        wait_until_found(client, "pelican", {second, third})
        body = client.get("/api/v1/library?text=island").json()
        assert body["snippets"][second]["text"] == "Pelican island"
