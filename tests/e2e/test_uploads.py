"""`kill -9` of the API between the steps of an upload: each step is durable."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import httpx
import pytest

from casola_ocr.sample import sample_image
from tests.running import RunningService

pytestmark = pytest.mark.e2e


def kill_api(service: RunningService) -> None:
    for process in service.processes("gunicorn_api"):
        os.kill(process.pid, signal.SIGKILL)
    service.wait_until_ready()


def test_an_upload_survives_the_death_of_the_api_after_each_step(
    make_service: Callable[..., RunningService],
) -> None:
    service = make_service()
    made = httpx.post(f"{service.url}/api/v1/uploads", json={"file_name": "sample.png"}).json()
    kill_api(service)
    form = {"data": made["fields"], "files": {"file": ("sample.png", sample_image())}}
    assert httpx.post(made["url"], **form).status_code == 201
    kill_api(service)
    body = {"upload_id": made["upload_id"]}
    answer = httpx.post(f"{service.url}/api/v1/jobs", json=body, timeout=30)
    assert answer.status_code == 202
    kill_api(service)
    job = service.finished(answer.json()["request_id"])
    assert (job["status"], job["file_name"]) == ("completed", "sample.png")
