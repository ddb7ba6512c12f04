"""Who may ask, on every surface."""

from __future__ import annotations

import pytest

from tests.api_stub import DATA_URL, make_world

ROUTES = [
    ("POST", "/api/v1/jobs"),
    ("GET", "/api/v1/jobs/x"),
    ("GET", "/api/v1/jobs/x/result"),
    ("GET", "/api/v1/jobs/x/pages/1"),
    ("POST", "/api/v1/jobs/x/cancel"),
    ("GET", "/api/v1/batches/x"),
    ("GET", "/api/v1/library"),
    ("GET", "/api/v1/engines"),
    ("POST", "/fal/ocr"),
    ("POST", "/queue/fal/ocr"),
    ("GET", "/queue/fal/ocr/requests/x"),
    ("GET", "/queue/fal/ocr/requests/x/status"),
    ("PUT", "/queue/fal/ocr/requests/x/cancel"),
    ("POST", "/openai/v1/chat/completions"),
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/x"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_needs_a_token_as_soon_as_one_exists(method: str, path: str) -> None:
    world = make_world()
    world.tokens.secrets["secret"] = "acme"
    answer = world.client.open(path, method=method)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert world.jobs.calls == []


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_needs_a_token_where_others_can_reach_it(method: str, path: str) -> None:
    world = make_world(host="0.0.0.0")  # noqa: S104 - what the test is about
    assert world.client.open(path, method=method).status_code == 401


@pytest.mark.parametrize(
    "header",
    ["Bearer secret", "bearer secret", "Key secret", "Key id:secret", "Bearer  secret "],
)
def test_a_valid_token_names_the_tenant(header: str) -> None:
    world = make_world()
    world.tokens.secrets["secret"] = "acme"
    answer = world.client.get("/api/v1/library", headers={"Authorization": header})
    assert answer.status_code == 200
    assert world.jobs.calls == [("library", "acme", 50, None)]


def test_a_token_with_a_colon_is_looked_up_whole_first() -> None:
    world = make_world()
    world.tokens.secrets.update({"id:secret": "whole", "secret": "part"})
    world.client.get("/api/v1/library", headers={"Authorization": "Key id:secret"})
    assert world.tokens.asked == ["id:secret"]
    assert world.jobs.calls[0][1] == "whole"


@pytest.mark.parametrize(
    "header", ["", "secret", "Basic secret", "Bearer", "Bearer wrong", "Key secret:", "Key x:wrong"]
)
def test_anything_else_is_unauthorized(header: str) -> None:
    world = make_world()
    world.tokens.secrets["secret"] = "acme"
    answer = world.client.get("/api/v1/library", headers={"Authorization": header})
    assert (answer.status_code, answer.get_json()["code"]) == (401, "unauthorized")


def test_without_tokens_on_loopback_everybody_is_local_whatever_they_send() -> None:
    world = make_world()
    world.client.get("/api/v1/library", headers={"Authorization": "Bearer whatever"})
    assert world.jobs.calls == [("library", "local", 50, None)]
    assert world.tokens.asked == []


def test_a_store_that_is_down_is_503_and_lets_nobody_in() -> None:
    world = make_world()
    world.tokens.down = True
    answer = world.client.get("/api/v1/library")
    assert (answer.status_code, answer.get_json()["code"]) == (503, "store_unavailable")
    assert world.jobs.calls == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080"])
def test_without_tokens_the_servers_own_names_are_answered(host: str) -> None:
    assert make_world().client.get("/api/v1/library", headers={"Host": host}).status_code == 200


def test_without_tokens_the_address_it_listens_on_is_a_name_too() -> None:
    world = make_world(host="127.0.0.2")
    answer = world.client.get("/api/v1/library", headers={"Host": "127.0.0.2:8080"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::1"]
)
def test_without_tokens_a_rebound_name_is_forbidden(host: str) -> None:
    answer = make_world().client.get("/api/v1/library", headers={"Host": host})
    assert (answer.status_code, answer.get_json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost:9999", "http://[x", "http://localhost.x"],
)
def test_without_tokens_a_foreign_origin_may_not_write(origin: str) -> None:
    world = make_world()
    answer = world.client.post("/api/v1/jobs", json={"url": DATA_URL}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert world.jobs.calls == []


def test_without_tokens_the_own_origin_may_write_and_a_foreign_one_may_only_get() -> None:
    client = make_world().client
    own = {"Host": "localhost:8080", "Origin": "http://localhost:8080"}
    assert client.post("/api/v1/jobs", json={"url": DATA_URL}, headers=own).status_code == 202
    foreign = {"Origin": "https://evil.example"}
    assert client.get("/api/v1/library", headers=foreign).status_code == 200


def test_with_tokens_host_and_origin_do_not_matter() -> None:
    world = make_world()
    world.tokens.secrets["secret"] = "acme"
    headers = {
        "Authorization": "Bearer secret",
        "Host": "ocr.example",
        "Origin": "https://app.example",
    }
    answer = world.client.post("/api/v1/jobs", json={"url": DATA_URL}, headers=headers)
    assert answer.status_code == 202


def test_who_wants_a_session_is_read_no_long_body() -> None:
    world = make_world()
    world.tokens.secrets["secret"] = "acme"
    own = {"Origin": "http://localhost"}
    told = world.client.post("/session", json={"token": "secret"}, headers=own)
    assert told.status_code == 204
    long = world.client.post("/session", json={"token": "x" * 10_000}, headers=own)
    assert long.status_code == 413
    assert world.tokens.asked == ["secret"]
