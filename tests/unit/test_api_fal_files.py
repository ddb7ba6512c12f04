"""fal's uploads, as fal's JavaScript client makes them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from casola_ocr.times import now_ms
from tests.api_stub import CONTENT, World, make_world

UPLOAD = "/fal/rest/storage/upload"
TOKEN = {"Authorization": "Key one"}


@pytest.fixture
def world() -> World:
    made = make_world(max_file_mb=1)
    made.tokens.secrets = {"one": "acme", "two": "other"}
    return made


def initiate(world: World, kind: str = "initiate", **headers: str) -> dict[str, str]:
    answer = world.client.post(
        f"{UPLOAD}/{kind}?storage_type=fal-cdn-v3",
        json={"content_type": "image/png", "file_name": "a/scan ü.png"},
        headers={**TOKEN, **headers},
    )
    assert answer.status_code == 200, answer.data
    assert answer.headers["x-fal-request-id"]
    made: dict[str, str] = answer.get_json()
    assert set(made) == {"upload_url", "file_url"}
    return made


def path(url: str) -> str:
    return urlsplit(url).path


def read(world: World, made: dict[str, str]) -> Any:
    return world.client.get(path(made["file_url"]))


def test_the_bytes_are_sent_without_a_token_and_read_back(world: World) -> None:
    made = initiate(world)
    assert read(world, made).status_code == 404
    sent = world.client.put(path(made["upload_url"]), data=CONTENT, content_type="image/png")
    assert (sent.status_code, sent.get_json()) == (200, {})
    answer = read(world, made)
    assert (answer.data, answer.headers["Content-Type"]) == (CONTENT, "image/png")
    assert world.client.put(path(made["upload_url"]), data=CONTENT).status_code == 200


def test_a_job_reads_the_file_by_its_url(world: World) -> None:
    made = initiate(world)
    world.client.put(path(made["upload_url"]), data=CONTENT)
    for token in ("one", "two"):
        answer = world.client.post(
            "/fal/ocr",
            json={"image_url": made["file_url"], "sync_mode": False},
            headers={"Authorization": f"Key {token}"},
        )
        assert answer.status_code == 200
        assert world.jobs.sources == [CONTENT]
        assert world.jobs.documents[0].file_name == "scan ü.png"


def test_a_job_whose_file_was_never_sent_blames_the_input(world: World) -> None:
    made = initiate(world)
    answer = world.client.post("/fal/ocr", json={"image_url": made["file_url"]}, headers=TOKEN)
    assert answer.status_code == 422
    assert answer.get_json()["detail"][0]["type"] == "file_download_error"


def test_parts_are_joined_when_all_have_come(world: World) -> None:
    made = initiate(world, "initiate-multipart")
    base = path(made["upload_url"])
    parts = []
    for number, content in ((1, CONTENT), (2, b"rest")):
        answer = world.client.put(f"{base}/{number}", data=content)
        assert answer.get_json()["partNumber"] == number
        parts.append(answer.get_json())
    for _ in range(2):
        done = world.client.post(f"{base}/complete", json={"parts": parts})
        assert done.status_code == 200
    assert read(world, made).data == CONTENT + b"rest"
    assert not [key for key in world.store.list("tenants/") if "/uploads/" in key]


def test_a_missing_part_is_told(world: World) -> None:
    base = path(initiate(world, "initiate-multipart")["upload_url"])
    world.client.put(f"{base}/1", data=CONTENT)
    parts = [{"partNumber": 1}, {"partNumber": 2}]
    assert world.client.post(f"{base}/complete", json={"parts": parts}).status_code == 409
    assert world.client.post(f"{base}/complete", json={"parts": []}).status_code == 422
    assert world.client.put(f"{base}/0", data=CONTENT).status_code == 422


def test_what_is_no_document_is_refused(world: World) -> None:
    url = path(initiate(world)["upload_url"])
    for content in (b"", bytes(1_000_001)):
        answer = world.client.put(url, data=content)
        assert answer.status_code == 422
        assert answer.headers["x-fal-request-id"]


def test_a_url_that_nobody_sealed_takes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = initiate(world)
    sealed = path(made["upload_url"])
    read_only = path(made["file_url"]).split("/")[2]
    for url in (f"{UPLOAD}/x", f"{UPLOAD}/{read_only}", f"{sealed}/1", sealed[:-4] + "AAAA"):
        assert world.client.put(url, data=CONTENT).status_code == 403
    monkeypatch.setattr("casola_ocr.signing.now_ms", lambda: now_ms() + 3_601_000)
    assert world.client.put(sealed, data=CONTENT).status_code == 403


def test_an_upload_is_begun_with_a_token_only(world: World) -> None:
    for kind in ("initiate", "initiate-multipart"):
        assert world.client.post(f"{UPLOAD}/{kind}", json={}).status_code == 401
    wrong = world.client.post(f"{UPLOAD}/initiate", json={"file_name": 7}, headers=TOKEN)
    assert wrong.status_code == 422


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [(None, 7 * 86_400), (3600, 3600), (1, 60), (10**12, 365 * 86_400)],
)
def test_the_client_says_how_long_the_file_is_kept(
    world: World, asked: int | None, seconds: int
) -> None:
    header = json.dumps({"expiration_duration_seconds": asked}) if asked else "{}"
    made = initiate(world, **{"X-Fal-Object-Lifecycle": header})
    world.client.put(path(made["upload_url"]), data=CONTENT)
    (about,) = [key for key in world.store.list("tenants/acme/") if key.endswith("about.json")]
    kept = json.loads(world.store.get(about))
    assert kept["expires_at"] - kept["created_at"] == seconds * 1000


def test_a_lifecycle_that_is_none_is_refused(world: World) -> None:
    for wrong in ("x", "[]", '{"expiration_duration_seconds": "soon"}'):
        answer = world.client.post(
            f"{UPLOAD}/initiate", json={}, headers={**TOKEN, "X-Fal-Object-Lifecycle": wrong}
        )
        assert answer.status_code == 400
