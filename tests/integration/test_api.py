"""The views and dialects in one process, on a real Valkey: shapes, errors, who may ask."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from casola_ocr.engines import announcement
from casola_ocr.errors import StoreUnavailable
from casola_ocr.ids import new_request_id
from casola_ocr.jobs import Jobs
from casola_ocr.service import Service
from casola_ocr.settings import Settings
from casola_ocr.testing import MemoryStore
from casola_ocr.tokens import Tokens
from tests.world import PNG, ListPublisher

pytestmark = pytest.mark.valkey

DATA_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


@pytest.fixture
def service(valkey: str) -> Iterator[Service]:
    made = make_service(valkey)
    made.records.pulse("worker", ["engine:pp-ocrv6", "prepare", "reconcile"])
    yield made
    made.records.close_connections()


def make_service(url: str, **changes: object) -> Service:
    return Service.open(Settings(redis_url=url, **changes), ListPublisher(), MemoryStore())


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return create_app(service.settings, service).test_client()


def upload(client: FlaskClient, content: bytes = PNG, **more: object) -> object:
    from io import BytesIO

    headers = more.pop("headers", {})
    return client.post(
        "/api/v1/jobs", data={"file": (BytesIO(content), "a.png"), **more}, headers=headers
    )


def test_a_submission_answers_202_with_the_fixed_shape(client: FlaskClient) -> None:
    answer = upload(client)
    assert answer.status_code == 202
    job = answer.get_json()
    fixed = {"request_id", "status", "model", "language", "file_name", "pages", "words",
             "confidence", "created_at", "started_at", "finished_at", "error", "links"}  # fmt: skip
    assert fixed <= set(job)
    assert job["status"] == "queued"
    assert answer.headers["Location"] == f"/api/v1/jobs/{job['request_id']}"


def test_waiting_stops_after_the_asked_time_and_tells_the_status(client: FlaskClient) -> None:
    answer = upload(client, headers={"Prefer": "respond-async, wait=1"})
    assert answer.status_code == 202
    assert answer.get_json()["status"] == "queued"


def test_an_unfinished_result_is_202_and_an_unfinished_page_409(client: FlaskClient) -> None:
    request_id = upload(client).get_json()["request_id"]
    answer = client.get(f"/api/v1/jobs/{request_id}/result")
    assert (answer.status_code, answer.get_json()["text"]) == (202, "")
    assert client.get(f"/api/v1/jobs/{request_id}/pages/1").status_code == 409


@pytest.mark.parametrize(
    "body", [{"url": 5}, {"url": DATA_URL, "modle": "x"}, [], {"urls": "x"}, {"lane": "fast"}]
)
def test_a_body_of_the_wrong_shape_is_400(client: FlaskClient, body: object) -> None:
    answer = client.post("/api/v1/jobs", json=body)
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"


def test_too_many_waiting_pages_are_429_with_retry_after(valkey: str) -> None:
    service = make_service(valkey, max_pending_pages_per_tenant=1)
    service.records.pulse("worker", ["engine:pp-ocrv6"])
    client = create_app(service.settings, service).test_client()
    assert upload(client).status_code == 202
    answer = upload(client)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    service.records.close_connections()


def test_a_store_that_is_down_is_503_and_readiness_says_so(
    client: FlaskClient, service: Service
) -> None:
    client.get("/api/v1/library")
    service.store.fail_with = StoreUnavailable()
    answer = upload(client)
    assert answer.status_code == 503
    assert answer.get_json()["code"] == "store_unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert not ready.get_json()["parts"]["store"]["ready"]
    assert client.get("/healthz").status_code == 200


def test_records_that_are_down_are_503_on_every_surface() -> None:
    service = make_service("redis://127.0.0.1:1/0")
    client = create_app(service.settings, service).test_client()
    answer = upload(client)
    assert (answer.status_code, answer.get_json()["code"]) == (503, "records_unavailable")
    assert answer.headers["Retry-After"]
    fal = client.post("/fal/ocr", json={"image_url": DATA_URL})
    assert fal.status_code == 503
    openai = client.post("/v1/chat/completions", json=chat(DATA_URL))
    assert openai.status_code == 503
    assert openai.get_json()["error"]["type"] == "server_error"
    assert list(service.store.list("tenants/")) == []
    service.records.close_connections()


def test_an_unexpected_error_shows_nothing(
    client: FlaskClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret /srv/path")

    monkeypatch.setattr(Jobs, "submit_or_find", broken)
    for answer in (
        upload(client),
        client.post("/fal/ocr", json={"image_url": DATA_URL}),
        client.post("/v1/chat/completions", json=chat(DATA_URL)),
    ):
        assert answer.status_code == 500
        assert "secret" not in answer.get_data(as_text=True)


def test_an_unknown_route_and_a_wrong_method_are_problems(client: FlaskClient) -> None:
    assert client.get("/api/v1/nothing").get_json()["code"] == "no_such_route"
    assert client.delete("/api/v1/library").get_json()["code"] == "method_not_allowed"


def test_without_tokens_everybody_on_this_machine_is_local(client: FlaskClient) -> None:
    answer = client.get("/api/v1/library", headers={"Authorization": "Bearer whatever"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}],
)
def test_without_tokens_other_sites_cannot_reach_in(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    assert upload(client, headers=headers).status_code == 403


def test_as_soon_as_a_token_exists_all_need_one(client: FlaskClient, service: Service) -> None:
    secret, token = service.tokens.create("acme")
    assert client.get("/api/v1/library").status_code == 401
    for header in (f"Bearer {secret}", f"Key {secret}", f"Key id:{secret}"):
        answer = client.get("/api/v1/library", headers={"Authorization": header})
        assert answer.status_code == 200
    for header in ("Bearer wrong", f"Basic {secret}", secret, "Bearer "):
        answer = client.get("/api/v1/library", headers={"Authorization": header})
        assert answer.status_code == 401
    service.tokens.revoke(token.id)
    fresh = Tokens(service.store)
    assert fresh.find(secret) is None


def chat(url: str, **more: object) -> dict[str, object]:
    content = [
        {"type": "text", "text": "Extract all text from this image."},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    return {"model": "auto", "messages": [{"role": "user", "content": content}], **more}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (chat("not a url"), 400, "invalid_image_url"),
        (chat("http://127.0.0.1/a.png"), 400, "invalid_image_url"),
        (chat("data:image/png;base64,???"), 400, "invalid_base64_image"),
        (chat("data:text/plain;base64,aGVsbG8gd29ybGQ="), 400, "invalid_image_format"),
        (chat(DATA_URL, n=2), 400, "malformed_request"),
        (chat(DATA_URL, model="gpt-9"), 404, "model_not_found"),
        ({"model": "auto", "messages": [{"role": "user", "content": "hi"}]}, 400,
         "malformed_request"),
        ([], 400, "malformed_request"),
    ],
)  # fmt: skip
def test_openai_errors_have_openais_shape(
    client: FlaskClient, body: object, status: int, code: str
) -> None:
    answer = client.post("/openai/v1/chat/completions", json=body)
    assert answer.status_code == status
    error = answer.get_json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert answer.headers["x-request-id"]


def test_openai_lists_live_models(client: FlaskClient) -> None:
    listed = client.get("/v1/models").get_json()
    assert [model["id"] for model in listed["data"]] == ["auto", "pp-ocrv6"]
    assert client.get("/openai/v1/models/pp-ocrv6").get_json()["object"] == "model"
    assert client.get("/v1/models/gpt-9").status_code == 404


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({}, "missing"),
        ({"image_url": 5}, "string_type"),
        ({"image_url": DATA_URL, "sync_mode": "yes"}, "bool_type"),
        ({"image_url": "http://10.0.0.1/x.png"}, "file_download_error"),
        ({"image_url": "data:image/png;base64,"}, "image_load_error"),
        ({"image_url": "data:text/plain,hello"}, "unsupported_image_format"),
    ],
)
def test_fal_blames_a_field_in_a_list(client: FlaskClient, body: object, kind: str) -> None:
    answer = client.post("/fal/ocr", json=body)
    assert answer.status_code == 422
    (detail,) = answer.get_json()["detail"]
    assert detail["type"] == kind
    assert detail["loc"][0] == "body"
    assert answer.headers["x-fal-request-id"]


def test_fal_polls_by_the_urls_that_it_was_given(client: FlaskClient) -> None:
    queued = client.post("/fal/ocr", json={"image_url": DATA_URL, "sync_mode": False}).get_json()
    assert queued["status"] == "IN_QUEUE"
    assert queued["queue_position"] == 0
    status = client.get(queued["status_url"])
    assert (status.status_code, status.get_json()["status"]) == (202, "IN_QUEUE")
    assert client.get(queued["response_url"]).status_code == 400
    assert client.put(queued["cancel_url"]).status_code == 202
    assert client.put(queued["cancel_url"]).get_json()["status"] == "ALREADY_COMPLETED"
    assert client.get(queued["status_url"]).get_json()["status"] == "COMPLETED"
    assert client.get(f"/queue/fal/ocr/requests/{new_request_id()}/status").status_code == 404


def test_above_the_cap_of_waiters_nobody_waits_and_what_can_only_wait_is_refused(
    valkey: str,
) -> None:
    service = make_service(valkey, max_waiters=0)
    service.records.pulse("worker", ["engine:pp-ocrv6"])
    client = create_app(service.settings, service).test_client()
    assert upload(client, headers={"Prefer": "wait=30"}).status_code == 202
    fal = client.post("/fal/ocr", json={"image_url": DATA_URL, "sync_mode": True})
    assert (fal.status_code, fal.get_json()["status"]) == (202, "queued")
    before = service.records.library("local", 9, None)
    openai = client.post("/v1/chat/completions", json=chat(DATA_URL))
    assert (openai.status_code, openai.get_json()["error"]["code"]) == (503, "overloaded")
    assert openai.headers["Retry-After"]
    assert service.records.library("local", 9, None) == before, "and nothing was accepted"
    service.records.close_connections()


@pytest.mark.parametrize(
    ("asked", "code", "told"),
    [
        ({"language": "klingon"}, "unknown_language", "en, es, fr"),
        ({"language": "ru", "model": "pp-ocrv6"}, "unknown_language", "tesseract"),
        ({"language": "en,ko"}, "language_not_installed", "tesseract-ocr-kor"),
    ],
)
def test_a_language_that_nobody_reads_here_is_422_and_says_what_would_help(
    client: FlaskClient, service: Service, asked: dict[str, str], code: str, told: str
) -> None:
    announced = announcement("tesseract", "tesseract 5", {"en", "ru"})
    service.records.pulse("worker", ["engine:pp-ocrv6", *announced])
    answer = upload(client, **asked)
    assert (answer.status_code, answer.get_json()["code"]) == (422, code)
    assert told in answer.get_json()["detail"]
    accepted = upload(client, language="Russian, en").get_json()
    assert (accepted["language"], accepted["engine"]) == ("ru,en", "tesseract")
    rows = {row["name"]: row for row in client.get("/api/v1/engines").get_json()["data"]}
    assert rows["tesseract"]["version"] == "tesseract 5"
    works = [known["code"] for known in rows["tesseract"]["languages"] if known["works"]]
    assert works == ["en", "ru"]
