"""fal's queue protocol under /queue/fal/ocr."""

from __future__ import annotations

from typing import Any

import pytest

from casola_ocr.model import JobError, JobStatus, new_request_id
from tests.api_stub import DATA_URL, World, make_world


def queued(world: World, **body: Any) -> dict[str, Any]:
    answer = world.client.post("/queue/fal/ocr", json={"image_url": DATA_URL, **body})
    assert answer.status_code == 200
    told: dict[str, Any] = answer.get_json()
    assert answer.headers["x-fal-request-id"] == told["request_id"]
    return told


def put(world: World, request_id: str, status: JobStatus, error: JobError | None = None) -> None:
    world.jobs.error = error
    world.jobs.known[request_id] = world.jobs.ended(world.jobs.known[request_id], status)


def test_the_queue_never_waits_whatever_sync_mode_says() -> None:
    world = make_world()
    assert queued(world, sync_mode=True)["status"] == "IN_QUEUE"
    assert all(call[0] != "wait" for call in world.jobs.calls)


@pytest.mark.parametrize(
    ("status", "code", "word", "extra"),
    [
        (JobStatus.QUEUED, 202, "IN_QUEUE", {"queue_position": 0}),
        (JobStatus.PROCESSING, 202, "IN_PROGRESS", {"logs": []}),
        (JobStatus.COMPLETED, 200, "COMPLETED",
         {"logs": [], "metrics": {"inference_time": 1.5}}),
        (JobStatus.CANCELLED, 200, "COMPLETED",
         {"logs": [], "metrics": {"inference_time": 1.5},
          "error": "The request was cancelled.", "error_type": "client_cancelled"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("query", ["", "?logs=1", "?logs=true"])
def test_a_status_has_what_fals_clients_need(
    status: JobStatus, code: int, word: str, extra: dict[str, Any], query: str
) -> None:
    world = make_world()
    told = queued(world)
    put(world, told["request_id"], status)
    answer = world.client.get(told["status_url"] + query)
    assert answer.status_code == code
    urls = {name: told[name] for name in ("response_url", "status_url", "cancel_url")}
    assert answer.get_json() == {
        "status": word, "request_id": told["request_id"], **urls, **extra,
    }  # fmt: skip


def test_a_failed_request_is_completed_with_an_error() -> None:
    world = make_world()
    told = queued(world)
    put(world, told["request_id"], JobStatus.FAILED, JobError(code="no_page_read", detail="Why."))
    body = world.client.get(told["status_url"]).get_json()
    assert (body["status"], body["error"], body["error_type"]) == (
        "COMPLETED",
        "Why.",
        "image_load_error",
    )


@pytest.mark.parametrize("end", ["", "/response"])
def test_a_result_is_the_models_output(end: str) -> None:
    world = make_world()
    told = queued(world)
    put(world, told["request_id"], JobStatus.COMPLETED)
    answer = world.client.get(told["response_url"] + end)
    assert answer.get_json() == {
        "request_id": told["request_id"],
        "status": "completed",
        "text": "Grüße",
    }


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.PROCESSING])
def test_a_result_before_the_end_is_400(status: JobStatus) -> None:
    world = make_world()
    told = queued(world)
    put(world, told["request_id"], status)
    answer = world.client.get(told["response_url"])
    assert answer.status_code == 400
    assert isinstance(answer.get_json()["detail"], str)


def test_the_result_of_a_failed_request_replays_its_error() -> None:
    world = make_world()
    told = queued(world)
    put(world, told["request_id"], JobStatus.FAILED, JobError(code="fetch_failed", detail="Why."))
    answer = world.client.get(told["response_url"])
    assert answer.status_code == 422
    assert answer.get_json()["detail"] == [
        {"loc": ["body", "image_url"], "msg": "Why.", "type": "file_download_error"}
    ]


def test_cancelling_works_once() -> None:
    world = make_world()
    told = queued(world)
    first = world.client.put(told["cancel_url"])
    assert (first.status_code, first.get_json()) == (202, {"status": "CANCELLATION_REQUESTED"})
    second = world.client.put(told["cancel_url"])
    assert (second.status_code, second.get_json()) == (400, {"status": "ALREADY_COMPLETED"})


@pytest.mark.parametrize(
    ("method", "end"), [("GET", ""), ("GET", "/status"), ("GET", "/response"), ("PUT", "/cancel")]
)
def test_unknown_senseless_and_foreign_ids_are_404(method: str, end: str) -> None:
    world = make_world()
    foreign = queued(world)["request_id"]
    world.tokens.secrets["secret"] = "other"
    headers = {"Authorization": "Key secret"}
    for name in (foreign, new_request_id(), "nonsense"):
        path = f"/queue/fal/ocr/requests/{name}{end}"
        answer = world.client.open(path, method=method, headers=headers)
        assert answer.status_code == 404
        assert answer.get_json()["error_type"] == "not_found"
        assert answer.headers["x-fal-request-id"]
