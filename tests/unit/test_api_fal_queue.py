"""fal's queue protocol under /queue/fal/ocr."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from casola_ocr.errors import MalformedRequest
from casola_ocr.ids import new_request_id
from casola_ocr.jobs import Event
from casola_ocr.model import JobError, JobStatus, Webhook
from tests.api_stub import CREATED_AT, DATA_URL, World, make_world


def queued(world: World, **body: Any) -> dict[str, Any]:
    answer = world.client.post("/queue/fal/ocr", json={"image_url": DATA_URL, **body})
    assert answer.status_code == 200
    told: dict[str, Any] = answer.get_json()
    assert answer.headers["x-fal-request-id"] == told["request_id"]
    return told


def put(world: World, request_id: str, status: JobStatus, error: JobError | None = None) -> None:
    world.jobs.error = error
    job = world.jobs.known[request_id]
    if status is JobStatus.QUEUED:
        world.jobs.known[request_id] = replace(job, status=status)
        return
    world.jobs.known[request_id] = replace(world.jobs.ended(job, status), error=error)


def test_the_queue_never_waits_whatever_sync_mode_says() -> None:
    world = make_world()
    assert queued(world, sync_mode=True)["status"] == "IN_QUEUE"
    assert all(call[0] != "wait" for call in world.jobs.calls)


@pytest.mark.parametrize(
    ("status", "code", "word", "extra"),
    [
        (JobStatus.QUEUED, 202, "IN_QUEUE", {"queue_position": 3}),
        (JobStatus.PROCESSING, 202, "IN_PROGRESS", {"logs": []}),
        (JobStatus.COMPLETED, 200, "COMPLETED",
         {"logs": [], "metrics": {"inference_time": 1.5}}),
        (JobStatus.CANCELLED, 200, "COMPLETED",
         {"logs": [], "metrics": {"inference_time": 1.5},
          "error": "The request was cancelled.", "error_type": "client_cancelled"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("query", ["", "?logs=0", "?logs=false"])
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


def page(request_id: str, number: int, **fields: Any) -> Event:
    data = {"request_id": request_id, "page": number, "status": "done", "words": 7, **fields}
    return Event(
        kind="page",
        request_id=request_id,
        data={"confidence": 0.987, **data},
        at=CREATED_AT + number,
    )


@pytest.mark.parametrize("logs", ["1", "true"])
def test_each_page_is_a_log(logs: str) -> None:
    world = make_world()
    told = queued(world)
    name = told["request_id"]
    world.jobs.happens = [page(name, 1), page(name, 2, status="failed")]
    put(world, name, JobStatus.PROCESSING)
    made = world.client.get(f"{told['status_url']}?logs={logs}").get_json()["logs"]
    assert [(log["level"], log["message"]) for log in made] == [
        ("INFO", "Reading has begun."),
        ("INFO", "Page 1: 7 words, confidence 0.99."),
        ("ERROR", "Page 2 could not be read."),
    ]
    assert {log["source"] for log in made} == {"USER"}
    assert made[1]["timestamp"] == "2025-10-09T08:53:20.001Z"
    put(world, name, JobStatus.COMPLETED)
    assert world.client.get(f"{told['status_url']}?logs={logs}").get_json()["logs"] == made


def events_of(answer: Any) -> list[dict[str, Any]]:
    assert answer.content_type == "text/event-stream"
    assert answer.headers["x-fal-request-id"]
    parts = answer.get_data(as_text=True).split("\n\n")
    return [json.loads(part.removeprefix("data: ")) for part in parts if part.startswith("data: ")]


@pytest.mark.parametrize("logs", [True, False])
def test_a_stream_of_statuses_tells_each_log_once_and_ends_with_completed(logs: bool) -> None:
    world = make_world()
    told = queued(world)
    name = told["request_id"]
    job = world.jobs.look("local", name)
    begun = world.jobs.ended(job, JobStatus.PROCESSING)
    done = world.jobs.ended(job, JobStatus.COMPLETED)

    def stands(kind: Any, at: Any) -> Event:
        return Event(kind=kind, request_id=name, data=at.to_dict())

    world.jobs.happens = [
        stands("progress", job), None, stands("progress", begun), page(name, 1),
        stands("progress", begun), page(name, 2), stands("finished", done),
    ]  # fmt: skip
    answer = world.client.get(f"{told['status_url']}/stream?logs={int(logs)}")
    made = events_of(answer)
    assert ": ping" in answer.get_data(as_text=True)
    assert [status["status"] for status in made] == [
        "IN_QUEUE", "IN_PROGRESS", "IN_PROGRESS", "COMPLETED"
    ]  # fmt: skip
    assert made[0]["queue_position"] == 3
    words = [[log["message"].split()[0] for log in status["logs"]] for status in made[1:]]
    assert words == ([["Reading"], ["Page"], ["Page"]] if logs else [[], [], []])
    assert all(status["status_url"] == told["status_url"] for status in made)


def test_a_stream_of_a_request_that_is_deleted_ends_with_completed() -> None:
    world = make_world()
    told = queued(world)
    name = told["request_id"]
    gone = {"request_id": name, "code": "gone", "detail": "The job was deleted."}
    world.jobs.happens = [
        Event(kind="progress", request_id=name, data=world.jobs.known[name].to_dict()),
        Event(kind="error", request_id=name, data=gone),
    ]
    last = events_of(world.client.get(f"{told['status_url']}/stream"))[-1]
    assert (last["status"], last["error"]) == ("COMPLETED", "The job was deleted.")


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


def test_the_result_of_a_cancelled_request_is_fals_own_status() -> None:
    world = make_world()
    told = queued(world)
    world.client.put(told["cancel_url"])
    answer = world.client.get(told["response_url"])
    assert (answer.status_code, answer.get_json()["error_type"]) == (499, "client_cancelled")
    assert answer.headers["X-Fal-Error-Type"] == "client_cancelled"
    assert "X-Fal-Needs-Retry" not in answer.headers


@pytest.mark.parametrize("header", ["X-Fal-Request-Timeout", "X-Fal-Request-Start-Timeout"])
def test_a_request_that_did_not_start_in_time_is_504_and_not_to_be_sent_again(header: str) -> None:
    world = make_world()
    answer = world.client.post(
        "/queue/fal/ocr", json={"image_url": DATA_URL}, headers={header: "2.0"}
    )
    told = answer.get_json()
    assert world.jobs.options is not None and world.jobs.options.start_within == 2.0
    late = JobError(code="start_timeout", detail="Too late.")
    put(world, told["request_id"], JobStatus.CANCELLED, late)
    status = world.client.get(told["status_url"]).get_json()
    assert (status["error"], status["error_type"]) == ("Too late.", "startup_timeout")
    answer = world.client.get(told["response_url"])
    assert (answer.status_code, answer.get_json()["detail"]) == (504, "Too late.")
    assert answer.headers["X-Fal-Request-Timeout-Type"] == "user"
    assert "X-Fal-Needs-Retry" not in answer.headers


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "nan", "inf"])
def test_a_start_timeout_that_is_none_is_a_bad_request(seconds: str) -> None:
    world = make_world()
    answer = world.client.post(
        "/queue/fal/ocr", json={"image_url": DATA_URL}, headers={"X-Fal-Request-Timeout": seconds}
    )
    assert (answer.status_code, answer.get_json()["error_type"]) == (400, "bad_request")
    assert world.jobs.known == {}


def test_a_webhook_is_passed_on_with_the_endpoint_whose_output_it_tells() -> None:
    world = make_world()
    world.client.post(
        "/queue/fal-ai/got-ocr/v2",
        query_string={"fal_webhook": "https://example.com/hook?a=1&b=2"},
        json={"input_image_urls": [DATA_URL], "do_format": True},
    )
    assert world.jobs.options is not None
    assert world.jobs.options.webhook == Webhook("https://example.com/hook?a=1&b=2", "fal")
    # By this its output is shaped.
    assert world.jobs.options.origin == "fal:fal-ai/got-ocr/v2?do_format=true"
    world.jobs.refuse = MalformedRequest("The webhook: no.", field="webhook_url")
    answer = world.client.post("/queue/fal/ocr?fal_webhook=x", json={"image_url": DATA_URL})
    assert answer.status_code == 422
    assert answer.get_json()["detail"][0]["loc"] == ["query", "fal_webhook"]


def test_an_idempotency_key_reaches_the_job() -> None:
    world = make_world()
    headers = {"Idempotency-Key": "k1"}
    world.client.post("/queue/fal/ocr", json={"image_url": DATA_URL}, headers=headers)
    assert world.jobs.options is not None and world.jobs.options.idempotency_key == "k1"


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [({"expiration_duration_seconds": 3600}, 3600), ({"expiration_duration_seconds": 1}, 60),
     ({"initial_acl": {}}, None), ({}, None)],
)  # fmt: skip
def test_a_client_says_how_long_its_output_is_kept(
    asked: dict[str, Any], seconds: int | None
) -> None:
    world = make_world()
    headers = {"X-Fal-Object-Lifecycle-Preference": json.dumps(asked)}
    world.client.post("/queue/fal/ocr", json={"image_url": DATA_URL}, headers=headers)
    assert world.jobs.options is not None and world.jobs.options.expires_in == seconds


@pytest.mark.parametrize("wrong", ["soon", "[" * 8000])
def test_a_client_that_does_not_say_how_long_in_json_is_refused(wrong: str) -> None:
    answer = make_world().client.post(
        "/queue/fal/ocr",
        json={"image_url": DATA_URL},
        headers={"X-Fal-Object-Lifecycle-Preference": wrong},
    )
    assert (answer.status_code, answer.get_json()["error_type"]) == (400, "bad_request")


@pytest.mark.parametrize("path", ["/queue/fal/other", "/queue/acme/ocr/requests/x", "/queue/x"])
def test_an_app_that_is_not_there_is_404_in_fals_shape(path: str) -> None:
    answer = make_world().client.open(path, method="GET" if "x" in path else "POST")
    assert answer.status_code == 404
    assert answer.get_json()["error_type"]
    assert answer.headers["x-fal-request-id"]


@pytest.mark.parametrize(
    ("method", "end"), [("GET", ""), ("GET", "/status"), ("GET", "/response"), ("PUT", "/cancel"),
                        ("GET", "/status/stream")]
)  # fmt: skip
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
