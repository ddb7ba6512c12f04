"""Mistral's /files, and links to files that need no token."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from werkzeug.test import TestResponse

from casola_ocr.errors import StoreUnavailable
from casola_ocr.times import now_ms
from tests.api_stub import CONTENT, World, make_world

HOUR_MS = 3_600_000
FILES = "/mistral/v1/files"


@pytest.fixture
def world() -> World:
    return make_world(max_file_mb=1)


def post(world: World, content: bytes = CONTENT, name: str = "a.png", **fields: Any) -> Any:
    answer = world.client.post(FILES, data={**fields, "file": (BytesIO(content), name)})
    assert answer.status_code == 200, answer.data
    return answer.get_json()


def link(world: World, made: dict[str, Any], **query: Any) -> str:
    answer = world.client.get(f"{FILES}/{made['id']}/url", query_string=query)
    assert answer.status_code == 200
    url: str = answer.get_json()["url"]
    return url


def follow(world: World, url: str) -> TestResponse:
    return world.client.get(urlsplit(url).path)


def test_a_file_is_created_retrieved_and_deleted(world: World) -> None:
    made = post(world, purpose="ocr", visibility="user")
    assert {**made, "id": "", "created_at": 0} == {
        "id": "", "object": "file", "bytes": 8, "created_at": 0, "expires_at": None,
        "filename": "a.png", "purpose": "ocr", "sample_type": "ocr_input", "source": "upload",
        "num_lines": None, "mimetype": "image/png", "signature": None, "visibility": "workspace",
    }  # fmt: skip
    path = f"{FILES}/{made['id']}"
    assert world.client.get(path).get_json() == {**made, "deleted": False}
    content = world.client.get(f"{path}/content")
    assert (content.data, content.mimetype) == (CONTENT, "application/octet-stream")
    assert world.client.get(f"/v1/files/{made['id']}").get_json()["filename"] == "a.png"
    assert world.client.delete(path).get_json() == {
        "id": made["id"], "object": "file", "deleted": True,
    }  # fmt: skip
    assert world.client.get(path).status_code == 404


def test_the_expiry_is_in_hours(world: World) -> None:
    made = post(world, expiry="2")
    assert made["expires_at"] - made["created_at"] == 7200
    for wrong in ("0", "x", "-1", "9" * 99):
        data = {"expiry": wrong, "file": (BytesIO(CONTENT), "a")}
        answer = world.client.post(FILES, data=data)
        assert (answer.status_code, answer.get_json()["param"]) == (400, "expiry")


def test_lists_have_pages_and_filters(world: World) -> None:
    ids = sorted(
        post(world, name=name, purpose=purpose)["id"]
        for name, purpose in (("Scan.png", "ocr"), ("b.jsonl", "batch"), ("scan2", "ocr"))
    )

    def find(**query: Any) -> tuple[list[str], int | None]:
        body = world.client.get(FILES, query_string=query).get_json()
        return [file["id"] for file in body["data"]], body.get("total")

    assert find() == (ids[::-1], 3)
    assert find(page=1, page_size=2) == ([ids[0]], 3)
    assert find(include_total="false") == (ids[::-1], None)
    assert find(purpose="ocr")[1] == find(search="SCAN")[1] == find(sample_type="ocr_input")[1] == 2
    assert find(source="mistral")[1] == find(mimetypes="application/pdf")[1] == 0
    assert world.client.get(f"{FILES}?page_size=0").status_code == 400


@pytest.mark.parametrize("data", [{}, {"purpose": "batch_output", "file": None}])
def test_a_wrong_form_is_a_clean_400(world: World, data: dict[str, Any]) -> None:
    if "file" in data:
        data = {**data, "file": (BytesIO(CONTENT), "a")}
    answer = world.client.post(FILES, data=data, content_type="multipart/form-data")
    assert answer.status_code == 400
    assert answer.get_json()["object"] == "error"


def test_an_empty_file_is_a_validation_error_with_a_list(world: World) -> None:
    answer = world.client.post(FILES, data={"file": (BytesIO(), "a")})
    assert answer.status_code == 422
    (detail,) = answer.get_json()["detail"]
    assert set(detail) == {"loc", "msg", "type"}


def test_a_link_needs_no_token_and_shows_nobody_s_page(world: World) -> None:
    made = post(world, name="a b/é.png")
    url = link(world, made)
    assert url.startswith("http://localhost/files/")
    world.tokens.secrets = {"one": "acme"}
    answer = follow(world, url)
    assert (answer.status_code, answer.data) == (200, CONTENT)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Length"] == "8"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private, no-store"


def test_bytes_that_cannot_be_read_are_answered_as_a_problem(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = post(world)
    url = link(world, made)

    def broken(key: str) -> Iterator[bytes]:
        raise StoreUnavailable()
        yield b""

    monkeypatch.setattr(world.store, "stream", broken)
    assert follow(world, url).status_code == 503
    for prefix in (FILES, "/v1/files"):
        assert world.client.get(f"{prefix}/{made['id']}/content").status_code == 503


def test_a_link_that_was_changed_is_over_or_leads_to_nothing_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = post(world)
    url = link(world, made, expiry=1)
    assert follow(world, url[:-8] + "x" + url[-7:]).status_code in (200, 403)
    sealed = urlsplit(url).path.split("/")[2]
    assert world.client.get(f"/files/{sealed[:-5]}AAAAA/a.png").status_code == 403
    assert world.client.get("/files/x/a.png").status_code == 403
    with monkeypatch.context() as patch:
        patch.setattr("casola_ocr.signing.now_ms", lambda: now_ms() + HOUR_MS + 1000)
        assert follow(world, url).status_code == 403
    world.client.delete(f"{FILES}/{made['id']}")
    assert follow(world, url).status_code == 404


@pytest.mark.parametrize("expiry", ["0", "169", "x"])
def test_a_link_lives_for_1_to_168_hours(world: World, expiry: str) -> None:
    made = post(world)
    answer = world.client.get(f"{FILES}/{made['id']}/url?expiry={expiry}")
    assert (answer.status_code, answer.get_json()["param"]) == (400, "expiry")


def test_no_link_is_made_to_a_foreign_file(world: World) -> None:
    world.tokens.secrets = {"one": "acme", "two": "other"}
    one, two = ({"Authorization": f"Bearer {secret}"} for secret in ("one", "two"))
    data = {"file": (BytesIO(CONTENT), "a")}
    made = world.client.post(FILES, data=data, headers=one).get_json()
    assert world.client.get(f"{FILES}/{made['id']}/url", headers=two).status_code == 404


def submit(world: World, url: str, token: str = "") -> TestResponse:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return world.client.post("/api/v1/jobs", json={"url": url}, headers=headers)


def test_a_job_with_a_link_reads_the_file_and_asks_nobody(world: World) -> None:
    url = link(world, post(world, name="scan.png"))
    for form in (url, url.replace("localhost", "ocr.example.com:8443")):
        assert submit(world, form).status_code == 202
        assert world.jobs.sources == [CONTENT]
        assert (world.jobs.documents[0].file_name, world.jobs.documents[0].url) == ("scan.png", "")


def test_a_link_that_is_over_serves_its_own_tenant_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.tokens.secrets = {"one": "acme", "two": "other"}
    headers = {"Authorization": "Bearer one"}
    data = {"file": (BytesIO(CONTENT), "a")}
    made = world.client.post(FILES, data=data, headers=headers).get_json()
    answer = world.client.get(f"{FILES}/{made['id']}/url?expiry=1", headers=headers)
    url = answer.get_json()["url"]
    assert submit(world, url, "two").status_code == 202
    monkeypatch.setattr("casola_ocr.signing.now_ms", lambda: now_ms() + HOUR_MS + 1000)
    assert submit(world, url, "one").status_code == 202
    refused = submit(world, url, "two")
    assert (refused.status_code, refused.get_json()["code"]) == (422, "bad_url")


def test_a_link_to_a_deleted_file_and_a_forged_one_are_no_files(world: World) -> None:
    made = post(world)
    url = link(world, made)
    world.client.delete(f"{FILES}/{made['id']}")
    assert submit(world, url).get_json()["code"] == "bad_url"
    forged = url.replace(".", ".A", 1)
    assert submit(world, forged).status_code == 202
    # It is fetched like any other URL, with all guards.
    assert world.jobs.documents[0].url == forged
