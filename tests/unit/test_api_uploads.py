"""POST /api/v1/uploads, and submitting uploads and files."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from werkzeug.test import TestResponse

from casola_ocr.times import now_ms
from tests.api_stub import CONTENT, World, form, make_world


@pytest.fixture
def world() -> World:
    return make_world(max_file_mb=1)


def create(world: World, **body: Any) -> dict[str, Any]:
    answer = world.client.post("/api/v1/uploads", json={"file_name": "scan.png", **body})
    assert answer.status_code == 201, answer.data
    made: dict[str, Any] = answer.get_json()
    assert answer.headers["Location"] == f"/api/v1/uploads/{made['upload_id']}"
    return made


def send(world: World, made: dict[str, Any], content: bytes = CONTENT) -> TestResponse:
    return world.client.post(urlsplit(made["url"]).path, **form(content, **made["fields"]))


def submit(world: World, **body: Any) -> TestResponse:
    return world.client.post("/api/v1/jobs", json=body)


def test_an_upload_is_made_sent_and_submitted(world: World) -> None:
    made = create(world, size=8)
    assert made["upload_id"].startswith("upload_")
    assert made["url"] == "http://localhost/api/v1/upload-content"
    assert list(made["fields"]) == ["policy"]
    assert made["max_bytes"] == 1_000_000
    assert made["form_expires_at"] < made["expires_at"]
    path = f"/api/v1/uploads/{made['upload_id']}"
    assert world.client.get(path).get_json()["uploaded"] is False
    assert submit(world, upload_id=made["upload_id"]).get_json()["code"] == "not_uploaded"
    assert send(world, made).status_code == 201
    assert world.client.get(path).get_json()["uploaded"] is True
    assert submit(world, upload_id=made["upload_id"]).status_code == 202
    assert world.jobs.documents[0].file_name == "scan.png"
    assert world.jobs.sources == [CONTENT]


def test_a_body_is_not_needed(world: World) -> None:
    answer = world.client.post("/api/v1/uploads")
    assert (answer.status_code, answer.get_json()["file_name"]) == (201, "document")


def test_several_uploads_files_and_urls_are_one_batch_in_that_order(world: World) -> None:
    ids = []
    for name in ("one", "two"):
        made = create(world, file_name=name)
        send(world, made, CONTENT + name.encode())
        ids.append(made["upload_id"])
    data = {"purpose": "vision", "file": (BytesIO(CONTENT + b"three"), "three")}
    file_id = world.client.post("/v1/files", data=data).get_json()["id"]
    answer = submit(world, urls=["https://example.com/a"], upload_ids=ids, file_id=file_id)
    assert answer.status_code == 202
    assert [document.file_name for document in world.jobs.documents] == ["a", "one", "two", "three"]
    assert world.jobs.sources[1:] == [CONTENT + name for name in (b"one", b"two", b"three")]


def test_large_bytes_come_from_a_temporary_file_that_is_closed(world: World) -> None:
    content = CONTENT + bytes(990_000)
    made = world.client.post("/v1/files", **form(content, purpose="vision"))
    file_id = made.get_json()["id"]
    assert submit(world, file_ids=[file_id]).status_code == 202
    assert world.jobs.sources == [content]
    source: Any = world.jobs.documents[0].source
    assert source.closed


def test_a_large_batch_file_is_no_document() -> None:
    world = make_world(max_file_mb=1, max_request_file_mb=2)
    made = world.client.post("/v1/files", **form(bytes(1_500_000), purpose="batch"))
    file_id = made.get_json()["id"]
    answer = submit(world, file_id=file_id)
    assert (answer.status_code, answer.get_json()["code"]) == (413, "file_too_large")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"upload_id": "upload_x"}, 404),
        ({"file_id": "file-01ARZ3NDEKTSV4RRFFQ69G5FAV"}, 404),
        ({"upload_id": ""}, 400),
        ({"upload_ids": []}, 400),
        ({"upload_id": 7}, 400),
        ({"file_ids": ["file-x"] * 101}, 400),
    ],
)
def test_what_names_nothing_is_refused(world: World, body: dict[str, Any], status: int) -> None:
    assert submit(world, **body).status_code == status
    assert world.jobs.calls == []


@pytest.mark.parametrize(
    "body", [{"size": 0}, {"size": "8"}, {"file_name": 7}, {"purpose": "x"}, []]
)
def test_a_wrong_body_is_refused(world: World, body: Any) -> None:
    assert world.client.post("/api/v1/uploads", json=body).status_code == 400


def test_what_is_too_large_is_refused_before_and_after_it_is_sent(world: World) -> None:
    early = world.client.post("/api/v1/uploads", json={"size": 1_000_001})
    assert early.status_code == 413
    for size in (1_000_001, 1_200_000):
        assert send(world, create(world), bytes(size)).status_code == 413
    assert send(world, create(world), b"").status_code == 422


def test_fields_that_come_without_a_token_are_not_read_into_memory(world: World) -> None:
    assert send(world, create(world), b"x" * 900_000).status_code == 201
    refused = send(world, {**create(world), "fields": {"policy": "x" * 100_000}})
    assert (refused.status_code, refused.get_json()["code"]) == (413, "form_too_large")


def test_a_form_that_is_wrong_or_over_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(world)
    url = "/api/v1/upload-content"
    file = {"file": (BytesIO(CONTENT), "x")}
    assert world.client.post(url, data=file).status_code == 400
    assert world.client.post(url, data=made["fields"] | {"x": "y"}).status_code == 415
    no_file = world.client.post(url, data=made["fields"], content_type="multipart/form-data")
    assert no_file.get_json()["code"] == "no_file"
    assert send(world, {**made, "fields": {"policy": "x"}}).status_code == 403
    with monkeypatch.context() as patch:
        patch.setattr("casola_ocr.signing.now_ms", lambda: now_ms() + 3_601_000)
        assert send(world, made).status_code == 403
    world.client.delete(f"/api/v1/uploads/{made['upload_id']}")
    assert send(world, made).status_code == 404
    assert not [key for key in world.store.list("tenants/") if key.endswith("content")]


def test_one_key_makes_one_upload(world: World) -> None:
    headers = {"Idempotency-Key": '"k"'}

    def post(name: str) -> TestResponse:
        return world.client.post("/api/v1/uploads", json={"file_name": name}, headers=headers)

    first, again = post("a"), post("a")
    assert (again.status_code, again.get_json()["upload_id"]) == (201, first.json["upload_id"])
    assert post("b").get_json()["code"] == "idempotency_key_reused"


def test_only_the_form_needs_no_token_and_tenants_are_apart(world: World) -> None:
    world.tokens.secrets = {"one": "acme", "two": "other"}
    one, two = ({"Authorization": f"Bearer {secret}"} for secret in ("one", "two"))
    assert world.client.post("/api/v1/uploads", json={}).status_code == 401
    made = world.client.post("/api/v1/uploads", json={}, headers=one).get_json()
    assert send(world, made).status_code == 201
    path = f"/api/v1/uploads/{made['upload_id']}"
    assert world.client.get(path).status_code == 401
    assert world.client.get(path, headers=two).status_code == 404
    assert world.client.delete(path, headers=two).status_code == 404
    body = {"upload_id": made["upload_id"]}
    assert world.client.post("/api/v1/jobs", json=body, headers=two).status_code == 404
    assert world.client.post("/api/v1/jobs", json=body, headers=one).status_code == 202


def test_where_the_bytes_go_is_no_upload_and_takes_nothing_but_a_form(world: World) -> None:
    assert world.client.get("/api/v1/uploads/content").status_code == 404
    answer = world.client.get("/api/v1/upload-content")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "OPTIONS, POST")
