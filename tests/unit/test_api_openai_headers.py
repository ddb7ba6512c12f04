"""What every answer under /openai/v1 and /v1 carries: a request ID, and limits where they count."""

from __future__ import annotations

import re
from typing import Any

import pytest

from casola_ocr.errors import RecordsUnavailable
from casola_ocr.wire.openai_errors import duration
from tests.api_stub import DATA_URL, World, make_world

CHAT: dict[str, Any] = {
    "model": "auto",
    "messages": [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": DATA_URL}}]}
    ],
}
RESPONSE: dict[str, Any] = {
    "model": "auto",
    "input": [{"role": "user", "content": [{"type": "input_image", "image_url": DATA_URL}]}],
}


def routes(world: World) -> list[tuple[str, str]]:
    """Every method and path of the surface, with something for each variable."""
    found = []
    for rule in world.client.application.url_map.iter_rules():
        if rule.rule.startswith(("/openai/v1", "/v1")):
            path = re.sub(r"<[^>]+>", "none", rule.rule)
            found += [(method, path) for method in sorted(rule.methods or ())]
    return found


def test_every_route_answers_with_a_request_id_whatever_becomes_of_it() -> None:
    world = make_world()
    asked = routes(world)
    assert {"/v1/responses", "/openai/v1/chat/completions", "/v1/files"} <= {p for _, p in asked}
    asked += [("GET", "/v1/none"), ("GET", "/openai/v1"), ("PUT", "/v1/models")]
    world.tokens.secrets["secret"] = "acme"
    for headers in ({}, {"Authorization": "Bearer secret"}):
        for method, path in asked:
            answer = world.client.open(path, method=method, headers=headers)
            assert answer.headers.get("x-request-id", "").startswith("req_"), (method, path)


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/chat/completions", CHAT), ("/v1/responses", RESPONSE)]
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_read_tells_how_much_more_is_accepted(
    path: str, body: dict[str, Any], stream: bool
) -> None:
    answer = make_world().client.post(path, json={**body, "stream": stream})
    told = {k: v for k, v in answer.headers.items() if k.startswith("x-ratelimit")}
    assert told == {
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "99",
        "x-ratelimit-reset-requests": "1m2s",
    }


def test_a_refusal_tells_it_too_but_not_to_strangers() -> None:
    world = make_world()
    answer = world.client.post("/v1/chat/completions", json={})
    assert answer.status_code == 400
    assert answer.headers["x-ratelimit-remaining-requests"] == "100"
    world.tokens.secrets["secret"] = "acme"
    answer = world.client.post("/v1/chat/completions", json=CHAT)
    assert answer.status_code == 401
    assert "x-ratelimit-remaining-requests" not in answer.headers


def test_what_nobody_can_tell_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(tenant: str) -> None:
        raise RecordsUnavailable()

    world = make_world()
    monkeypatch.setattr(world.jobs, "room", down)
    answer = world.client.post("/v1/chat/completions", json=CHAT)
    assert answer.status_code == 200
    assert "x-ratelimit-limit-requests" not in answer.headers


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0s"), (0.0111, "12ms"), (1, "1s"), (59.2, "1m0s"), (360, "6m0s"), (3723, "1h2m3s")],
)
def test_times_are_written_as_openai_writes_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told
