"""POST /mistral/v1/ocr: what Mistral's clients send and read."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest

from casola_ocr.errors import CasolaError, EngineUnavailable, UnknownModel, UnsupportedFormat
from casola_ocr.model import JobError, JobStatus, Lane
from casola_ocr.pages import PageResult
from tests.api_stub import CONTENT, DATA_URL, World, make_world
from tests.exported import failed, line, page

PATH = "/mistral/v1/ocr"
IMAGE = {"type": "image_url", "image_url": DATA_URL}


@pytest.fixture
def world() -> World:
    made = make_world()
    made.jobs.pages = [page(line("Hello there"))]
    return made


def ask(world: World, document: Any = IMAGE, **more: Any) -> Any:
    body = {"model": "mistral-ocr-latest", "document": document, **more}
    return world.client.post(PATH, json=body)


def refused(world: World, document: Any = IMAGE, **more: Any) -> Any:
    answer = ask(world, document, **more)
    assert answer.status_code == 422, answer.data
    (detail,) = answer.get_json()["detail"]
    assert set(detail) == {"loc", "msg", "type"}
    assert world.jobs.documents == []
    return detail


def test_a_page_is_answered_with_its_markdown(world: World) -> None:
    answer = ask(world)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    body = answer.get_json()
    (found,) = body["pages"]
    assert (found["index"], found["markdown"]) == (0, "Hello there")
    assert (found["images"], found["tables"], found["header"]) == ([], [], None)
    assert set(found["dimensions"]) == {"dpi", "height", "width"}
    assert body["model"] == "pp-ocrv6"
    assert body["usage_info"] == {"pages_processed": 1, "doc_size_bytes": None}
    assert "failed_pages" not in body
    assert answer.headers["x-request-id"] == next(iter(world.jobs.known))


@pytest.mark.parametrize(
    "document",
    [
        IMAGE,
        {"type": "image_url", "image_url": {"url": DATA_URL, "detail": "auto"}},
        {"type": "document_url", "document_url": DATA_URL},
    ],
)
def test_a_document_comes_as_an_image_or_a_document(world: World, document: Any) -> None:
    assert ask(world, document, id="what LiteLLM adds").status_code == 200
    assert world.jobs.sources == [CONTENT]


def test_a_document_keeps_the_name_that_it_was_given(world: World) -> None:
    document = {"type": "document_url", "document_url": DATA_URL, "document_name": "../a.pdf"}
    ask(world, document)
    assert world.jobs.documents[0].file_name == "a.pdf"


def test_an_uploaded_file_is_read_and_an_unknown_one_is_not_found(world: World) -> None:
    form = {"file": (BytesIO(CONTENT), "a.png"), "purpose": "ocr"}
    made = world.client.post("/mistral/v1/files", data=form).get_json()
    assert ask(world, {"type": "file", "file_id": made["id"]}).status_code == 200
    assert (world.jobs.sources, world.jobs.documents[0].file_name) == ([CONTENT], "a.png")
    answer = ask(world, {"type": "file", "file_id": "file-unknown"})
    assert (answer.status_code, answer.get_json()["type"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("pages", "ours"),
    [([0, 2], "1-1,3-3"), ("0-5,7", "1-6,8-8"), (" 0, 2 - 3", "1-1,3-4"), (None, "")],
)
def test_pages_count_from_0(world: World, pages: Any, ours: str) -> None:
    assert ask(world, pages=pages).status_code == 200
    assert world.jobs.options is not None
    assert (world.jobs.options.pages, world.jobs.options.lane) == (ours, Lane.INTERACTIVE)


@pytest.mark.parametrize("pages", ["", "a", "3-1", "1,", [], [-1], [True], ["1"], 3, "9999999"])
def test_pages_that_are_none_are_refused(world: World, pages: Any) -> None:
    assert refused(world, pages=pages)["loc"][:2] == ["body", "pages"]


@pytest.mark.parametrize(
    ("model", "ours"),
    [("mistral-ocr-latest", "auto"), ("mistral-ocr-2505", "auto"), (None, "auto"), ("x", "x")],
)
def test_mistrals_own_names_stand_for_whichever_engine_suits(
    world: World, model: Any, ours: str
) -> None:
    ask(world, model=model)
    assert world.jobs.options is not None
    assert world.jobs.options.model == ours


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"document": None}, "document"),
        ({"document": {"type": "audio"}}, "document"),
        ({"document": {"type": "image_url"}}, "document"),
        ({"document": {"type": "image_url", "image_url": 5}}, "document"),
        ({"table_format": "csv"}, "table_format"),
        ({"include_image_base64": "yes"}, "include_image_base64"),
        ({"image_limit": -1}, "image_limit"),
        ({"confidence_scores_granularity": "line"}, "confidence_scores_granularity"),
        ({"document_annotation_format": {"type": "json_schema"}}, "document_annotation_format"),
        ({"bbox_annotation_format": {"type": "json_schema"}}, "bbox_annotation_format"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    world: World, fields: dict[str, Any], where: str
) -> None:
    assert refused(world, **fields)["loc"][:2] == ["body", where]


def test_base64_that_is_none_is_told_of_the_document(world: World) -> None:
    answer = ask(world, {"type": "image_url", "image_url": "data:image/png;base64,*"})
    assert answer.status_code == 400
    assert answer.get_json()["type"] == "bad_data_url"


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (UnknownModel("No model has this name."), 400, "invalid_model"),
        (UnsupportedFormat(), 415, "unsupported_format"),
        (EngineUnavailable(), 503, "engine_unavailable"),
    ],
)
def test_other_errors_are_objects(world: World, error: CasolaError, status: int, kind: str) -> None:
    world.jobs.refuse = error
    answer = ask(world)
    assert (answer.status_code, answer.get_json()["object"]) == (status, "error")
    assert answer.get_json()["type"] == kind


def test_a_document_of_which_no_page_was_read_is_refused_with_the_reason(world: World) -> None:
    world.jobs.ends = [JobStatus.FAILED]
    world.jobs.error = JobError(code="damaged_document", detail="It is cut off.")
    (detail,) = ask(world).get_json()["detail"]
    assert detail == {
        "loc": ["body", "document"], "msg": "It is cut off.", "type": "damaged_document"
    }  # fmt: skip


def test_a_wait_that_is_over_names_the_request(world: World) -> None:
    world.jobs.ends = [JobStatus.PROCESSING]
    answer = ask(world)
    (request_id,) = world.jobs.known
    assert (answer.status_code, answer.get_json()["type"]) == (504, "wait_timeout")
    assert request_id in answer.get_json()["message"]
    assert answer.headers["x-request-id"] == request_id


def test_a_cancelled_request_is_a_conflict(world: World) -> None:
    world.jobs.ends = [JobStatus.CANCELLED]
    assert ask(world).status_code == 409


def test_a_page_that_failed_is_empty_and_named(world: World) -> None:
    world.jobs.pages = [page(line("one")), failed(2)]
    body = ask(world).get_json()
    empty = body["pages"][1]
    assert (empty["index"], empty["markdown"], empty["images"]) == (1, "", [])
    assert empty["dimensions"] is None
    assert empty["error"]["code"] == "damaged_document"
    assert body["failed_pages"] == [1]
    assert body["usage_info"]["pages_processed"] == 1


def test_nothing_is_accepted_when_nobody_can_wait(world: World) -> None:
    world.jobs.full = True
    assert ask(world).status_code == 503
    assert world.jobs.documents == []


def test_a_page_keeps_its_number(world: World) -> None:
    world.jobs.pages = [_numbered(3), _numbered(5)]
    assert [found["index"] for found in ask(world).get_json()["pages"]] == [2, 4]


def _numbered(number: int) -> PageResult:
    return replace(page(line("a")), page=number)
