"""`kill -9` of every part between submit and finish: the job still completes, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import httpx
import psutil
import pytest
import redis

from casola_ocr.sample import sample_image
from tests.pages import as_bytes, draw_page
from tests.running import RunningService

pytestmark = pytest.mark.e2e

PAGES = 4


def submit(service: RunningService) -> str:
    """A document that keeps the worker busy for some seconds."""
    frames = [
        draw_page([f"Page {n} line {i} of some text" for i in range(25)], noise=0.05, seed=n)
        for n in range(1, PAGES + 1)
    ]
    document = as_bytes(
        frames[0], "TIFF", save_all=True, append_images=frames[1:], compression="jpeg"
    )
    answer = httpx.post(f"{service.url}/api/v1/jobs", files={"file": document}, timeout=30)
    assert answer.status_code == 202, answer.text
    request_id: str = answer.json()["request_id"]
    return request_id


def wait_until_processing(service: RunningService, request_id: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        job = httpx.get(f"{service.url}/api/v1/jobs/{request_id}", timeout=10).json()
        if job["status"] == "processing" and job["pages"]["total"]:
            return
        time.sleep(0.05)
    raise AssertionError(f"never began: {job}")


def check_completed_once(service: RunningService, request_id: str) -> None:
    job = service.finished(request_id)
    assert job["status"] == "completed", job
    assert job["pages"] == {"total": PAGES, "done": PAGES, "failed": 0}
    result = httpx.get(f"{service.url}/api/v1/jobs/{request_id}/result", timeout=10).json()
    assert [page["page"] for page in result["page_results"]] == list(range(1, PAGES + 1))
    for page in result["page_results"]:
        assert f"Page {page['page']} line" in page["text"]
    client = redis.Redis.from_url(service.redis_url(), decode_responses=True)
    try:
        ends = [e for _, e in client.xrange(f"ev:{request_id}") if e["type"] == "finished"]
        assert len(ends) == 1
        assert int(client.hget("casola:pending", "*") or 0) == 0
        assert client.zcard("casola:due") == 0
    finally:
        client.close()
    assert not list((service.data_dir / "objects" / "inflight").glob("*"))


def worker_child(service: RunningService) -> psutil.Process:
    (main,) = [p for p in service.processes("worker", "pages") if p.ppid() == service.process.pid]
    return main.children()[0]


def test_a_killed_worker_child(make_service: Callable[..., RunningService]) -> None:
    service = make_service()
    request_id = submit(service)
    wait_until_processing(service, request_id)
    worker_child(service).kill()
    check_completed_once(service, request_id)


def test_a_killed_worker_with_all_its_children(
    make_service: Callable[..., RunningService],
) -> None:
    service = make_service()
    request_id = submit(service)
    wait_until_processing(service, request_id)
    for process in reversed(service.processes("worker", "pages")):
        process.kill()
    check_completed_once(service, request_id)


def test_a_worker_killed_without_its_children_leaves_no_orphan(
    make_service: Callable[..., RunningService],
) -> None:
    service = make_service()
    child = worker_child(service)
    child.parent().kill()
    child.wait(timeout=20)
    request_id = submit(service)
    check_completed_once(service, request_id)


def test_a_killed_api(make_service: Callable[..., RunningService]) -> None:
    service = make_service()
    request_id = submit(service)
    for process in reversed(service.processes("gunicorn")):
        process.kill()
    check_completed_once(service, request_id)


def test_a_killed_valkey_and_then_a_wiped_one(make_service: Callable[..., RunningService]) -> None:
    service = make_service()
    request_id = submit(service)
    wait_until_processing(service, request_id)
    (valkey,) = service.processes("valkey-server")
    valkey.kill()
    check_completed_once(service, request_id)

    request_id = submit(service)
    wait_until_processing(service, request_id)
    client = redis.Redis.from_url(service.redis_url())
    client.flushall()
    client.close()
    check_completed_once(service, request_id)


def test_a_killed_supervisor_leaves_nothing_and_a_restart_finds_all_data(
    make_service: Callable[..., RunningService],
) -> None:
    service = make_service()
    first = httpx.post(
        f"{service.url}/api/v1/jobs", files={"file": sample_image()},
        headers={"Prefer": "wait=60"}, timeout=90,
    ).json()  # fmt: skip
    request_id = submit(service)
    family = service.processes()
    os.kill(service.process.pid, signal.SIGKILL)
    service.process.wait()
    _, alive = psutil.wait_procs(family, timeout=25)
    assert not alive, [process.cmdline() for process in alive]

    service.start()
    check_completed_once(service, request_id)
    again = httpx.get(f"{service.url}/api/v1/jobs/{first['request_id']}/result", timeout=10)
    assert again.json()["text"] == first["text"]


def test_a_second_start_on_the_same_folder_is_refused(
    make_service: Callable[..., RunningService],
) -> None:
    service = make_service()
    second = subprocess.run(
        [sys.executable, "-m", "casola_ocr.cli", "serve", "--port", "0",
         "--data-dir", str(service.data_dir)],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert second.returncode != 0
    assert "in use" in second.stderr
    assert "Traceback" not in second.stderr
    assert httpx.get(f"{service.url}/readyz").status_code == 200
    assert service.stop() == 0
