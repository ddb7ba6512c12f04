"""Server-sent events of the running service, through its own web server."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from casola_ocr.sample import sample_image
from tests.pages import as_bytes, draw_page
from tests.running import RunningService

pytestmark = pytest.mark.e2e


def stream(client: httpx.Client, route: str, **headers: str) -> list[tuple[str, str, Any]]:
    """(event, id, data) of each event until the stream ends."""
    found, fields = [], dict[str, str]()
    with client.stream("GET", route, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif not line and "event" in fields:
                event, position = fields["event"], fields.get("id", "")
                found.append((event, position, json.loads(fields["data"])))
                fields = {}
    return found


def tiff(pages: int) -> bytes:
    frames = [draw_page([f"page {n}"], width=300) for n in range(pages)]
    return as_bytes(frames[0], "TIFF", save_all=True, append_images=frames[1:])


def test_a_document_is_followed_page_by_page_and_again_from_the_middle(
    service: RunningService,
) -> None:
    with service.client() as client:
        job = client.post("/api/v1/jobs", files={"file": ("a.tiff", tiff(4))}).json()
        route = job["links"]["events"]
        events = stream(client, route)
        assert events[0][0] == "progress"
        pages = [(data["page"], data["status"]) for name, _, data in events if name == "page"]
        assert sorted(pages) == [(n, "done") for n in range(1, 5)]
        assert events[-1][0] == "finished"
        assert events[-1][2]["status"] == "completed"
        middle = next(index for index, (name, _, _) in enumerate(events) if name == "page")
        rest = stream(client, route, **{"Last-Event-ID": events[middle][1]})
        seen = [event for event in events[middle + 1 :] if event[0] == "page"]
        assert [event for event in rest if event[0] == "page"] == seen
        again = client.get(route, headers={"Last-Event-ID": events[-1][1]})
        assert again.status_code == 204


def test_several_jobs_end_on_one_stream(service: RunningService) -> None:
    with service.client() as client:
        files = [("file", (f"{n}.png", sample_image())) for n in range(3)]
        batch = client.post("/api/v1/jobs", files=files).json()
        ids = [job["request_id"] for job in batch["jobs"]]
        query = "&".join(f"request_id={name}" for name in ids)
        events = stream(client, f"/api/v1/events?{query}")
        finished = [data["request_id"] for name, _, data in events if name == "finished"]
        assert sorted(finished) == sorted(ids)
        assert events[-1][1] == "/end"


def test_a_synchronous_call_is_woken_when_its_job_ends(service: RunningService) -> None:
    with service.client() as client:
        client.post("/api/v1/jobs", files={"file": sample_image()}, headers={"Prefer": "wait=60"})
        begun = time.monotonic()
        answer = client.post(
            "/api/v1/jobs", files={"file": sample_image()}, headers={"Prefer": "wait=60"}
        )
        took = time.monotonic() - begun
    assert answer.status_code == 200
    # Not when the job is looked at though nothing was heard.
    assert took < 9
    assert answer.json()["status"] == "completed"
