"""POST /fal/ocr: the shapes that fal's clients read."""

from __future__ import annotations

from typing import Any

import pytest

from casola_ocr.errors import (
    CasolaError,
    EngineUnavailable,
    LanguageNotInstalled,
    RecordsUnavailable,
    TooBusy,
    UnknownLanguage,
    UnknownModel,
    UnsupportedFormat,
)
from casola_ocr.model import JobError, JobStatus, Lane
from tests.api_stub import CONTENT, DATA_URL, World, make_world


def ocr(world: World, **body: Any) -> Any:
    return world.client.post("/fal/ocr", json={"image_url": DATA_URL, **body})


def test_sync_mode_answers_exactly_id_status_and_text() -> None:
    world = make_world()
    answer = ocr(world, sync_mode=True)
    (request_id,) = world.jobs.known
    assert answer.status_code == 200
    assert answer.get_json() == {
        "request_id": request_id,
        "status": "completed",
        "text": "Grüße",
    }
    assert answer.headers["x-fal-request-id"] == request_id
    (seconds,) = [call[2] for call in world.jobs.calls if call[0] == "wait"]
    assert 119 < seconds <= 120


@pytest.mark.parametrize("body", [{}, {"sync_mode": False}])
def test_without_sync_mode_the_queues_object_comes_at_once(body: dict[str, Any]) -> None:
    world = make_world()
    answer = ocr(world, **body)
    (request_id,) = world.jobs.known
    base = f"http://localhost/queue/fal/ocr/requests/{request_id}"
    assert answer.status_code == 200
    assert answer.get_json() == {
        "status": "IN_QUEUE",
        "request_id": request_id,
        "queue_position": 3,
        "response_url": base,
        "status_url": f"{base}/status",
        "cancel_url": f"{base}/cancel",
    }
    assert all(call[0] != "wait" for call in world.jobs.calls)


def test_the_document_and_its_options_reach_the_job() -> None:
    world = make_world()
    ocr(world, model="tesseract", language="de")
    assert world.jobs.sources == [CONTENT]
    made = world.jobs.options
    assert made is not None
    assert (made.model, made.language, made.lane) == ("tesseract", "de", Lane.INTERACTIVE)
    ocr(world, image_url="https://example.com/a.png", seed=1)
    assert world.jobs.documents[0].url == "https://example.com/a.png"


def test_every_option_reaches_the_job_and_low_priority_is_the_bulk_lane() -> None:
    world = make_world()
    asked = {"pages": "2-3", "text_layer": "prefer", "mode": "text", "prompt": "The total"}
    body = {"image_url": DATA_URL, **asked}
    for priority, lane in (("low", Lane.BULK), ("normal", Lane.INTERACTIVE)):
        world.client.post("/queue/fal/ocr", json=body, headers={"X-Fal-Queue-Priority": priority})
        made = world.jobs.options
        assert made is not None
        assert {name: getattr(made, name) for name in asked} == asked
        assert (made.lane, made.origin) == (lane, "fal:fal/ocr")


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.PROCESSING])
def test_a_wait_in_vain_is_202_with_the_status(status: JobStatus) -> None:
    world = make_world()
    world.jobs.ends = [status]
    answer = ocr(world, sync_mode=True)
    (request_id,) = world.jobs.known
    assert answer.status_code == 202
    assert answer.get_json() == {"request_id": request_id, "status": status.value}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("damaged_document", "image_load_error"),
        ("no_page_read", "image_load_error"),
        ("fetch_failed", "file_download_error"),
        ("fetch_timeout", "file_download_error"),
        ("too_many_pixels", "image_too_large"),
        ("file_too_large", "file_too_large"),
        ("unsupported_format", "unsupported_image_format"),
    ],
)
def test_a_document_that_failed_is_blamed_in_a_list(code: str, kind: str) -> None:
    world = make_world()
    world.jobs.ends, world.jobs.error = [JobStatus.FAILED], JobError(code=code, detail="Why.")
    answer = ocr(world, sync_mode=True)
    (request_id,) = world.jobs.known
    assert answer.status_code == 422
    assert answer.get_json() == {
        "detail": [{"loc": ["body", "image_url"], "msg": "Why.", "type": kind}],
        "message": "Why.",
    }
    assert answer.headers["x-fal-request-id"] == request_id


def test_a_failure_of_ours_is_500_and_may_be_retried() -> None:
    world = make_world()
    world.jobs.ends = [JobStatus.FAILED]
    world.jobs.error = JobError(code="engine_failed", detail="The engine stopped.")
    answer = ocr(world, sync_mode=True)
    assert (answer.status_code, answer.get_json()["detail"]) == (500, "The engine stopped.")
    assert answer.headers["X-Fal-Needs-Retry"] == "1"


@pytest.mark.parametrize(
    ("body", "field", "kind"),
    [
        ({}, "image_url", "missing"),
        ({"image_url": 5}, "image_url", "string_type"),
        ({"image_url": DATA_URL, "sync_mode": "yes"}, "sync_mode", "bool_type"),
        ({"image_url": DATA_URL, "model": 1}, "model", "string_type"),
        ({"image_url": DATA_URL, "language": []}, "language", "string_type"),
        ({"image_url": "data:image/png;base64,???"}, "image_url", "image_load_error"),
        ({"image_url": "data:image/png;base64,"}, "image_url", "image_load_error"),
    ],
)
def test_a_wrong_field_is_named_in_a_list(body: Any, field: str, kind: str) -> None:
    world = make_world()
    answer = world.client.post("/fal/ocr", json=body)
    assert answer.status_code == 422
    (detail,) = answer.get_json()["detail"]
    assert (detail["loc"], detail["type"]) == (["body", field], kind)
    assert answer.headers["x-fal-request-id"]
    assert world.jobs.calls == []


@pytest.mark.parametrize(
    ("error", "field", "kind"),
    [
        (UnknownModel("No model."), "model", "one_of"),
        (UnknownLanguage("No language."), "language", "one_of"),
        (LanguageNotInstalled("No data."), "language", "one_of"),
        (UnsupportedFormat(), "image_url", "unsupported_image_format"),
    ],
)
def test_a_refused_input_names_its_field(error: CasolaError, field: str, kind: str) -> None:
    world = make_world()
    world.jobs.refuse = error
    answer = ocr(world)
    (detail,) = answer.get_json()["detail"]
    assert answer.status_code == 422
    assert detail == {"loc": ["body", field], "msg": error.detail, "type": kind}


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (TooBusy(), 429, "concurrent_requests_limit"),
        (EngineUnavailable(), 503, "runner_scheduling_failure"),
        (RecordsUnavailable(), 503, "records_unavailable"),
    ],
)
def test_a_refused_request_is_a_sentence_with_a_type(
    error: CasolaError, status: int, kind: str
) -> None:
    world = make_world()
    world.jobs.refuse = error
    answer = ocr(world)
    assert answer.status_code == status
    assert answer.get_json() == {
        "detail": error.detail,
        "message": error.detail,
        "error_type": kind,
    }
    assert answer.headers["X-Fal-Error-Type"] == kind
    assert answer.headers["X-Fal-Needs-Retry"] == "1"
    assert int(answer.headers["Retry-After"]) > 0


def test_no_token_is_401_with_a_sentence() -> None:
    world = make_world()
    world.tokens.secrets["secret"] = "acme"
    answer = ocr(world)
    assert answer.status_code == 401
    assert isinstance(answer.get_json()["detail"], str)
    assert answer.headers["x-fal-request-id"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("{", "application/json", 400),
        ("[" * 100_000, "application/json", 400),
        ("[]", "application/json", 400),
        ("{}", "text/plain", 415),
    ],
)
def test_a_body_that_is_no_json_object_is_not_blamed_on_the_image(
    body: str, kind: str, status: int
) -> None:
    answer = make_world().client.post("/fal/ocr", data=body, content_type=kind)
    assert answer.status_code == status
    assert isinstance(answer.get_json()["detail"], str)


def test_a_body_that_is_too_large_is_a_file_that_is_too_large() -> None:
    answer = ocr(make_world(max_file_mb=1), image_url="data:," + "a" * 1_500_000)
    assert answer.status_code == 422
    assert answer.get_json()["detail"][0]["type"] == "file_too_large"


def test_everything_that_is_wrong_with_an_input_is_named_at_once() -> None:
    world = make_world()
    answer = world.client.post("/fal/ocr", json={"sync_mode": "yes", "language": 5, "pages": "1"})
    assert answer.status_code == 422
    named = [(one["loc"], one["type"]) for one in answer.get_json()["detail"]]
    assert sorted(named) == [
        (["body", "image_url"], "missing"),
        (["body", "language"], "string_type"),
        (["body", "sync_mode"], "bool_type"),
    ]
    answer = world.client.post("/fal-ai/got-ocr/v2", json={"input_image_urls": [1, DATA_URL, 2]})
    named = [(one["loc"], one["type"]) for one in answer.get_json()["detail"]]
    assert named == [(["body", "input_image_urls", at], "string_type") for at in (0, 2)]
    assert not world.jobs.known
