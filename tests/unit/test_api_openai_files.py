"""OpenAI's /files, under /openai/v1 and /v1."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from werkzeug.test import TestResponse

from casola_ocr.times import now_ms
from tests.api_stub import World, form, make_world

DAY = 86_400


@pytest.fixture
def world() -> World:
    return make_world(max_file_mb=1, max_request_file_mb=2)


def post(
    world: World, content: bytes = b"{}\n", name: str = "a.jsonl", **fields: Any
) -> TestResponse:
    fields = {"purpose": "user_data", **fields}
    return world.client.post("/v1/files", **form(content, name, **fields))


@pytest.mark.parametrize("prefix", ["/openai/v1", "/v1"])
def test_a_file_is_created_and_retrieved(world: World, prefix: str) -> None:
    data = {"purpose": "user_data", "file": (BytesIO(b"hello"), "été.txt")}
    made = world.client.post(f"{prefix}/files", data=data)
    assert made.status_code == 200
    body = made.get_json()
    assert body["id"].startswith("file-")
    assert abs(body["created_at"] - now_ms() / 1000) < 60
    assert {**body, "id": "", "created_at": 0} == {
        "id": "", "object": "file", "bytes": 5, "created_at": 0, "expires_at": None,
        "filename": "été.txt", "purpose": "user_data", "status": "processed",
        "status_details": None,
    }  # fmt: skip
    assert world.client.get(f"{prefix}/files/{body['id']}").get_json() == body
    assert made.headers["x-request-id"]


def test_the_content_is_an_attachment_of_its_own_bytes(world: World) -> None:
    made = post(world, b"<script>", "é.html").get_json()
    answer = world.client.get(f"/v1/files/{made['id']}/content")
    assert answer.data == b"<script>"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Length"] == "8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"].startswith("attachment;")


def test_a_deleted_file_is_not_found(world: World) -> None:
    made = post(world).get_json()
    answer = world.client.delete(f"/v1/files/{made['id']}")
    assert answer.get_json() == {"id": made["id"], "object": "file", "deleted": True}
    for path in ("", "/content"):
        missing = world.client.get(f"/v1/files/{made['id']}{path}")
        assert missing.status_code == 404
        error = missing.get_json()["error"]
        assert (error["type"], error["param"]) == ("invalid_request_error", "id")


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, None),
        ({"purpose": "batch"}, 30 * DAY),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}, 3600),
        (
            {
                "purpose": "batch",
                "expires_after[anchor]": "created_at",
                "expires_after[seconds]": "2592000",
            },
            2_592_000,
        ),
    ],
)
def test_files_expire_when_asked_and_those_of_batches_always(
    world: World, fields: dict[str, str], seconds: int | None
) -> None:
    body = post(world, **fields).get_json()
    expected = None if seconds is None else body["created_at"] + seconds
    assert body["expires_at"] == expected


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": ""}, "purpose"),
        ({"purpose": "batch_output"}, "purpose"),
        ({"purpose": "ocr"}, "purpose"),
        ({"expires_after[seconds]": "3600"}, "expires_after.anchor"),
        (
            {"expires_after[anchor]": "now", "expires_after[seconds]": "3600"},
            "expires_after.anchor",
        ),
        ({"expires_after[anchor]": "created_at"}, "expires_after.seconds"),
        *(
            (
                {"expires_after[anchor]": "created_at", "expires_after[seconds]": wrong},
                "expires_after.seconds",
            )
            for wrong in ("3599", "2592001", "", "-5", "1e4", "9" * 500)
        ),
    ],
)
def test_wrong_fields_are_named(world: World, fields: dict[str, str], param: str) -> None:
    answer = post(world, **fields)
    assert answer.status_code == 400
    error = answer.get_json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert list(world.store.list("tenants/")) == []


def test_a_form_without_a_file_and_a_body_that_is_no_form_are_refused(world: World) -> None:
    for file in ({}, {"file": "text"}):
        answer = world.client.post(
            "/v1/files", data={"purpose": "batch", **file}, content_type="multipart/form-data"
        )
        assert answer.status_code == 400
        assert answer.get_json()["error"]["param"] == "file"
    assert world.client.post("/v1/files", json={"purpose": "batch"}).status_code == 415


def test_sizes_are_told_in_this_surface_s_shape(world: World) -> None:
    empty = post(world, b"")
    assert (empty.status_code, empty.get_json()["error"]["param"]) == (400, "file")
    large = post(world, bytes(1_000_001))
    assert large.status_code == 413
    assert large.get_json()["error"]["code"] == "file_size_exceeded"
    assert post(world, bytes(2_000_000), purpose="batch").status_code == 200
    assert post(world, bytes(2_000_001), purpose="batch").status_code == 413
    assert post(world, bytes(2_100_000), purpose="batch").status_code in (400, 413)


def test_lists_have_pages_an_order_and_a_purpose(world: World) -> None:
    made = sorted(post(world, purpose=p).get_json()["id"] for p in ("batch", "vision", "batch"))

    def find(**query: Any) -> dict[str, Any]:
        body: dict[str, Any] = world.client.get("/v1/files", query_string=query).get_json()
        assert body["object"] == "list"
        return {**body, "data": [file["id"] for file in body["data"]]}

    first = find(limit=2)
    assert first["data"] == made[:0:-1]
    assert (first["first_id"], first["last_id"], first["has_more"]) == (made[2], made[1], True)
    last = find(limit=2, after=first["last_id"])
    assert (last["data"], last["has_more"]) == ([made[0]], False)
    assert find(order="asc")["data"] == made
    assert len(find(purpose="batch")["data"]) == 2
    assert find(purpose="evals") == {
        "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=10001", "limit"), ("limit=x", "limit"), ("order=up", "order")],
)
def test_wrong_queries_are_named(world: World, query: str, param: str) -> None:
    answer = world.client.get(f"/v1/files?{query}")
    assert (answer.status_code, answer.get_json()["error"]["param"]) == (400, param)


def test_a_token_is_needed_and_tenants_are_apart(world: World) -> None:
    world.tokens.secrets = {"one": "acme", "two": "other"}
    one, two = ({"Authorization": f"Bearer {secret}"} for secret in ("one", "two"))
    data = {"purpose": "batch", "file": (BytesIO(b"{}"), "a")}
    assert world.client.post("/v1/files", data=data).status_code == 401
    data["file"] = (BytesIO(b"{}"), "a")
    made = world.client.post("/v1/files", data=data, headers=one).get_json()["id"]
    assert world.client.get(f"/v1/files/{made}", headers=one).status_code == 200
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        foreign = world.client.open(f"/v1/files/{made}{path}", method=method, headers=two)
        unknown = world.client.open(
            f"/v1/files/file-01ARZ3NDEKTSV4RRFFQ69G5FAV{path}", method=method, headers=two
        )
        assert (foreign.status_code, foreign.data) == (404, unknown.data)
    assert world.client.get("/v1/files", headers=two).get_json()["data"] == []
