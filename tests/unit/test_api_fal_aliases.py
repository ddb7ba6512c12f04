"""fal's own OCR endpoints by other names: their inputs and outputs."""

from __future__ import annotations

from typing import Any

import pytest

from casola_ocr.errors import TooManyPixels
from casola_ocr.model import Job, JobError, JobStatus
from casola_ocr.pages import Line, PageResult
from tests.api_stub import DATA_URL, World, make_world

GOT, FLORENCE = "/fal-ai/got-ocr/v2", "/fal-ai/florence-2-large"


def page(number: int = 1, **more: Any) -> PageResult:
    lines = (
        Line(text="Hello", confidence=0.9, box=(10, 20, 110, 50)),
        Line(text="world", confidence=0.9, box=(10, 60, 90, 95)),
    )
    made: dict[str, Any] = {
        "page": number, "width": 200, "height": 100, "text": "Hello\nworld", "words": 2,
        "confidence": 0.9, "confidence_low": None, "engine": "pp-ocrv6", "engine_version": "1",
        "attempts": 1, "seconds": 0.1, "lines": lines,
    }  # fmt: skip
    return PageResult(**{**made, **more})


def got(world: World, *urls: str, **body: Any) -> Any:
    return world.client.post(GOT, json={"input_image_urls": list(urls), **body})


def test_got_answers_a_text_for_each_image() -> None:
    world = make_world()
    world.jobs.texts = ["first", "second"]
    answer = got(world, DATA_URL, DATA_URL)
    assert (answer.status_code, answer.get_json()) == (200, {"outputs": ["first", "second"]})
    (batch_id,) = {job.batch_id for job in world.jobs.known.values()}
    assert answer.headers["x-fal-request-id"] == batch_id


def test_got_joins_the_images_of_one_document() -> None:
    world = make_world()
    world.jobs.texts = ["first", "second"]
    answer = got(world, DATA_URL, DATA_URL, multi_page=True)
    assert answer.get_json() == {"outputs": ["first\fsecond"]}


def test_got_writes_markdown_where_a_format_is_asked_for() -> None:
    world = make_world()
    world.jobs.pages = [page(markdown="# Hello\n"), page(2, markdown="*world*")]
    assert got(world, DATA_URL, do_format=True).get_json() == {"outputs": ["# Hello\f*world*"]}
    world.jobs.pages = [page()]
    assert got(world, DATA_URL, do_format=True).get_json() == {"outputs": ["Hello\nworld"]}


def test_florence_answers_the_text() -> None:
    answer = make_world().client.post(f"{FLORENCE}/ocr", json={"image_url": DATA_URL})
    assert answer.get_json() == {"results": "Grüße"}


def test_florence_answers_each_line_with_its_box() -> None:
    world = make_world()
    world.jobs.pages = [page()]
    answer = world.client.post(f"{FLORENCE}/ocr-with-region", json={"image_url": DATA_URL})
    assert answer.get_json() == {
        "results": {
            "quad_boxes": [
                {"x": 10, "y": 20, "w": 100, "h": 30, "label": "Hello"},
                {"x": 10, "y": 60, "w": 80, "h": 35, "label": "world"},
            ]
        }
    }


@pytest.mark.parametrize(
    ("path", "body", "location", "kind"),
    [
        (GOT, {}, ["input_image_urls"], "missing"),
        (GOT, {"input_image_urls": []}, ["input_image_urls"], "too_short"),
        (GOT, {"input_image_urls": [DATA_URL, 7]}, ["input_image_urls", 1], "string_type"),
        (GOT, {"input_image_urls": [DATA_URL, "data:,"]}, ["input_image_urls", 1],
         "image_load_error"),
        (GOT, {"input_image_urls": [DATA_URL], "do_format": "yes"}, ["do_format"], "bool_type"),
        (f"{FLORENCE}/ocr", {}, ["image_url"], "missing"),
        (f"{FLORENCE}/ocr-with-region", {"image_url": 1}, ["image_url"], "string_type"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(path: str, body: Any, location: list[Any], kind: str) -> None:
    world = make_world()
    for prefix in ("", "/queue"):
        answer = world.client.post(prefix + path, json=body)
        assert answer.status_code == 422
        (detail,) = answer.get_json()["detail"]
        assert (detail["loc"], detail["type"]) == (["body", *location], kind)
    assert world.jobs.known == {}


def test_an_image_that_failed_is_blamed_by_its_place() -> None:
    world = make_world()
    world.jobs.ends = [JobStatus.COMPLETED, JobStatus.FAILED]
    world.jobs.error = JobError(code=TooManyPixels.code, detail="Too large.")
    answer = got(world, DATA_URL, DATA_URL)
    assert answer.status_code == 422
    assert answer.get_json()["detail"] == [
        {"loc": ["body", "input_image_urls", 1], "msg": "Too large.", "type": "image_too_large"}
    ]


def test_pages_that_could_not_be_read_are_counted() -> None:
    world = make_world()
    ended = world.jobs.ended

    def partly(job: Job, status: JobStatus) -> Job:
        job = ended(job, status)
        object.__setattr__(job.pages, "failed", 2)
        return job

    world.jobs.ended = partly  # type: ignore[method-assign]
    answer = world.client.post(f"{FLORENCE}/ocr", json={"image_url": DATA_URL})
    assert answer.get_json() == {"results": "Grüße", "pages_failed": 2}


def test_several_images_are_one_request_of_the_queue() -> None:
    world = make_world()
    world.jobs.texts = ["first", "second"]
    told = world.client.post(f"/queue{GOT}", json={"input_image_urls": [DATA_URL] * 2}).get_json()
    name = told["request_id"]
    assert told["status_url"].endswith(f"/queue/fal-ai/got-ocr/requests/{name}/status")
    status = world.client.get(told["status_url"])
    assert (status.status_code, status.get_json()["status"]) == (202, "IN_QUEUE")
    first, second = world.jobs.known
    world.jobs.wait(world.jobs.get("local", first), 1)
    assert world.client.get(told["status_url"]).get_json()["status"] == "IN_PROGRESS"
    assert world.client.get(told["response_url"]).status_code == 400
    world.jobs.wait(world.jobs.get("local", second), 1)
    assert world.client.get(told["status_url"]).get_json()["status"] == "COMPLETED"
    answer = world.client.get(told["response_url"])
    assert answer.get_json() == {"outputs": ["first", "second"]}
    assert answer.headers["x-fal-request-id"] == name
    assert world.client.put(told["cancel_url"]).status_code == 400


def test_all_images_of_a_request_are_cancelled() -> None:
    world = make_world()
    told = world.client.post(f"/queue{GOT}", json={"input_image_urls": [DATA_URL] * 2}).get_json()
    assert world.client.put(told["cancel_url"]).status_code == 202
    assert {job.status for job in world.jobs.known.values()} == {JobStatus.CANCELLED}
    assert world.client.get(told["response_url"]).status_code == 499


def test_a_webhook_is_for_one_image_and_a_start_timeout_too() -> None:
    world = make_world()
    body = {"input_image_urls": [DATA_URL] * 2}
    answer = world.client.post(f"/queue{GOT}?fal_webhook=https://example.com/", json=body)
    assert answer.status_code == 422
    assert answer.get_json()["detail"][0]["type"] == "feature_not_supported"
    world.client.post(f"/queue{GOT}", json=body, headers={"X-Fal-Request-Timeout": "5"})
    assert world.jobs.options is not None and world.jobs.options.start_within is None


def test_a_batch_of_our_own_is_no_request_of_fals() -> None:
    world = make_world()
    made = world.client.post(
        "/api/v1/jobs",
        json={"urls": [DATA_URL, DATA_URL]},
    ).get_json()
    answer = world.client.get(f"/queue/fal/ocr/requests/{made['batch_id']}/status")
    assert answer.status_code == 404


def test_a_wait_in_vain_is_504_and_not_to_be_sent_again() -> None:
    world = make_world()
    world.jobs.ends = [JobStatus.PROCESSING]
    answer = world.client.post(f"{FLORENCE}/ocr", json={"image_url": DATA_URL})
    (request_id,) = world.jobs.known
    assert answer.status_code == 504
    assert request_id in answer.get_json()["detail"]
    assert answer.headers["X-Fal-Request-Timeout-Type"] == "user"


def test_who_can_only_wait_is_refused_before_anything_is_accepted() -> None:
    world = make_world()
    world.jobs.full = True
    for path in (f"{FLORENCE}/ocr", "/fal/ocr/stream"):
        answer = world.client.post(path, json={"image_url": DATA_URL})
        assert (answer.status_code, answer.get_json()["error_type"]) == (503, "overloaded")
    assert world.jobs.known == {}
