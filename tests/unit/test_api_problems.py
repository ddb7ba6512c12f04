"""How errors are answered where no route of ours raised them."""

from __future__ import annotations

from io import RawIOBase
from typing import Any

import pytest
from structlog.testing import capture_logs

from casola_ocr.errors import NotFound
from tests.api_stub import DATA_URL, make_world


def test_a_problem_has_every_member() -> None:
    answer = make_world().client.get("/api/v1/jobs/x")
    assert answer.content_type == "application/problem+json"
    assert answer.get_json() == {
        "type": "urn:casola:error:not_found",
        "title": "There is nothing with this ID.",
        "status": 404,
        "code": "not_found",
        "detail": "There is nothing with this ID.",
        "advice": NotFound.advice,
        "retryable": False,
    }


def test_an_unknown_route_is_a_problem() -> None:
    answer = make_world().client.get("/api/v1/nothing")
    body = answer.get_json()
    assert (answer.status_code, body["code"]) == (404, "no_such_route")
    assert body["title"] == "There is no such route."


def test_a_wrong_method_is_a_problem_that_names_the_right_ones() -> None:
    answer = make_world().client.delete("/api/v1/library")
    assert (answer.status_code, answer.get_json()["code"]) == (405, "method_not_allowed")
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/openai/v1/embeddings", "/v1"])
def test_an_unknown_openai_route_has_openais_shape(path: str) -> None:
    answer = make_world().client.post(path)
    assert answer.status_code == 404
    assert set(answer.get_json()["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/fal/other", "/queue/fal/ocr/requests/x/nothing"])
def test_an_unknown_fal_route_has_fals_shape(path: str) -> None:
    answer = make_world().client.get(path)
    assert answer.status_code == 404
    assert answer.get_json()["error_type"] == answer.headers["X-Fal-Error-Type"] == "no_such_route"
    assert answer.headers["x-fal-request-id"]


def test_a_path_that_only_begins_like_a_dialect_is_our_own() -> None:
    answer = make_world().client.get("/v10/models")
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/jobs", {"url": DATA_URL}),
        ("/fal/ocr", {"image_url": DATA_URL}),
        ("/v1/chat/completions", {"model": "auto", "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": DATA_URL}}]}]}),
    ],
)  # fmt: skip
def test_an_unexpected_error_is_logged_and_shows_nothing(path: str, body: object) -> None:
    world = make_world()
    world.jobs.refuse = RuntimeError("secret /srv/path")
    with capture_logs() as logs:
        answer = world.client.post(path, json=body)
    assert answer.status_code == 500
    assert "internal_error" in answer.get_data(as_text=True)
    assert "secret" not in answer.get_data(as_text=True)
    (entry,) = logs
    assert entry["exc_info"] is world.jobs.refuse
    assert entry["route"] == path


class Silent(RawIOBase):
    """A body of which the rest does not come."""

    def readable(self) -> bool:
        return True

    def readinto(self, _: Any) -> int:
        raise TimeoutError


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/api/v1/jobs", "multipart/form-data; boundary=x"),
        ("/api/v1/jobs", "application/json"),
        ("/v1/chat/completions", "application/json"),
        ("/v1/files", "multipart/form-data; boundary=x"),
    ],
)
def test_a_body_that_does_not_arrive_whole_is_400(path: str, media_type: str) -> None:
    answer = make_world().client.post(
        path,
        content_length=5000,
        content_type=media_type,
        environ_overrides={"wsgi.input": Silent()},
    )
    assert answer.status_code == 400
    assert "The body did not arrive whole." in answer.text


def test_a_form_of_too_many_parts_is_not_called_a_file_that_is_too_large() -> None:
    fields = {f"field{n}": "1" for n in range(1200)}
    answer = make_world().client.post(
        "/api/v1/jobs", data=fields, content_type="multipart/form-data"
    )
    assert (answer.status_code, answer.get_json()["code"]) == (413, "form_too_large")
    assert "parts" in answer.get_json()["detail"]
