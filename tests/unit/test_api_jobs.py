"""GET /api/v1/jobs/{id}, its result and pages, and POST …/cancel."""

from __future__ import annotations

from typing import Any

import pytest

from casola_ocr.ids import new_request_id
from casola_ocr.model import JobStatus
from tests.api_stub import DATA_URL, World, make_world


def submitted(world: World) -> str:
    request_id: str = world.client.post("/api/v1/jobs", json={"url": DATA_URL}).json["request_id"]
    return request_id


def finish(world: World, request_id: str, status: JobStatus = JobStatus.COMPLETED) -> None:
    world.jobs.known[request_id] = world.jobs.ended(world.jobs.known[request_id], status)


def test_a_job_has_the_fixed_shape() -> None:
    world = make_world()
    request_id = submitted(world)
    job = world.client.get(f"/api/v1/jobs/{request_id}").get_json()
    fixed = {"request_id", "status", "model", "language", "file_name", "pages", "words",
             "confidence", "created_at", "started_at", "finished_at", "error", "links"}  # fmt: skip
    assert fixed <= set(job)
    assert job["pages"] == {"total": 1, "done": 0, "failed": 0}


@pytest.mark.parametrize(("asked", "seconds"), [("", 0), ("?wait=20", 20), ("?wait=9999", 120)])
def test_a_job_can_be_waited_for_within_the_limit(asked: str, seconds: int) -> None:
    world = make_world()
    request_id = submitted(world)
    answer = world.client.get(f"/api/v1/jobs/{request_id}{asked}")
    assert answer.get_json()["status"] == ("completed" if seconds else "queued")
    waited = [call[2] for call in world.jobs.calls if call[0] == "wait"]
    assert waited == ([seconds] if seconds else [])


@pytest.mark.parametrize("wait", ["x", "-1", "1.5", "", "²", "9" * 5000])
def test_a_wait_that_is_no_number_is_400(wait: str) -> None:
    world = make_world()
    answer = world.client.get(f"/api/v1/jobs/{submitted(world)}", query_string={"wait": wait})
    assert answer.status_code == 400
    assert "'wait'" in answer.get_json()["detail"]


@pytest.mark.parametrize(
    ("status", "code", "retry_after"),
    [
        (JobStatus.PROCESSING, 202, "1"),
        (JobStatus.COMPLETED, 200, None),
        (JobStatus.FAILED, 200, None),
        (JobStatus.CANCELLED, 200, None),
    ],
)
def test_a_result_is_200_once_the_job_ended(
    status: JobStatus, code: int, retry_after: str | None
) -> None:
    world = make_world()
    request_id = submitted(world)
    finish(world, request_id, status)
    answer = world.client.get(f"/api/v1/jobs/{request_id}/result")
    assert answer.status_code == code
    assert answer.content_type == "application/json"
    assert answer.headers.get("Retry-After") == retry_after
    assert answer.get_json()["request_id"] == request_id


def test_a_page_is_its_own_json_once_it_is_finished() -> None:
    world = make_world()
    request_id = submitted(world)
    assert world.client.get(f"/api/v1/jobs/{request_id}/pages/1").status_code == 409
    finish(world, request_id)
    answer = world.client.get(f"/api/v1/jobs/{request_id}/pages/1")
    assert answer.get_json() == {"page": 1, "text": "Grüße"}


@pytest.mark.parametrize("page", ["0", "2", "-1", "x", "9" * 5000])
def test_a_page_that_is_not_there_is_404(page: str) -> None:
    world = make_world()
    assert world.client.get(f"/api/v1/jobs/{submitted(world)}/pages/{page}").status_code == 404


def test_cancel_answers_the_job_and_changes_an_ended_one_no_more() -> None:
    world = make_world()
    request_id = submitted(world)
    answer = world.client.post(f"/api/v1/jobs/{request_id}/cancel")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "cancelled")
    finish(world, request_id)
    again = world.client.post(f"/api/v1/jobs/{request_id}/cancel")
    assert again.get_json()["status"] == "completed"


@pytest.mark.parametrize(
    ("method", "end"), [("GET", ""), ("GET", "/result"), ("GET", "/pages/1"), ("POST", "/cancel")]
)
def test_a_foreign_id_is_answered_like_an_unknown_and_a_senseless_one(
    method: str, end: str
) -> None:
    world = make_world()
    foreign = submitted(world)
    world.tokens.secrets["secret"] = "other"
    headers = {"Authorization": "Bearer secret"}
    answers = [
        world.client.open(f"/api/v1/jobs/{name}{end}", method=method, headers=headers)
        for name in (foreign, new_request_id(), "req_nonsense")
    ]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert len({answer.get_data() for answer in answers}) == 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (None, ("",)),
        ({}, ("",)),
        ({"model": "tesseract"}, ("tesseract",)),
        (
            {"model": "deepseek-ocr", "mode": "text", "prompt": "", "fallback": False},
            ("deepseek-ocr", {"mode": "text", "prompt": "", "fallback": False}),
        ),
    ],
)
def test_a_retry_changes_only_what_it_names(body: Any, told: tuple[Any, ...]) -> None:
    world = make_world()
    request_id = submitted(world)
    answer = world.client.post(f"/api/v1/jobs/{request_id}/retry", json=body)
    assert answer.status_code == 202
    assert ("retry", request_id, *told) in world.jobs.calls
