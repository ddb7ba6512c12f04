"""Pages of other sites that may use fal's routes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api_stub import DATA_URL, World, make_world

SITE = "https://app.example.com"


def preflight(world: World, path: str, origin: str = SITE, method: str = "POST") -> Any:
    return world.client.options(
        path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type,x-fal-queue-priority,x-b",
        },
    )


def told(answer: Any) -> set[str]:
    return {name for name, _ in answer.headers if name.startswith("Access-Control-")}


@pytest.mark.parametrize(
    "path", ["/fal/ocr", "/queue/fal/ocr", "/fal/proxy", "/fal-ai/got-ocr/v2",
             "/queue/fal/ocr/requests/x/cancel", "/fal/rest/storage/upload/initiate"],
)  # fmt: skip
def test_a_named_site_may_send_fals_headers(path: str) -> None:
    world = make_world(cors_origins=SITE)
    world.tokens.secrets["secret"] = "acme"
    answer = preflight(world, path)
    assert answer.status_code == 204
    headers = answer.headers
    assert headers["Access-Control-Allow-Origin"] == SITE
    assert headers["Access-Control-Allow-Headers"] == (
        "authorization, content-type, x-fal-queue-priority"
    )
    assert "PUT" in headers["Access-Control-Allow-Methods"]
    assert "Access-Control-Allow-Credentials" not in headers
    assert headers["Vary"] == "Origin"


def test_its_page_may_read_the_answer_and_the_request_id() -> None:
    world = make_world(cors_origins=f"https://other.example.com,{SITE}")
    body = {"image_url": DATA_URL, "sync_mode": True}
    answer = world.client.post("/fal/ocr", json=body, headers={"Origin": SITE})
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == SITE
    assert "x-fal-request-id" in answer.headers["Access-Control-Expose-Headers"]
    wrong = world.client.post("/fal/ocr", json={}, headers={"Origin": SITE})
    assert (wrong.status_code, wrong.headers["Access-Control-Allow-Origin"]) == (422, SITE)


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", f"{SITE}.evil.com"])
def test_other_sites_may_not(origin: str) -> None:
    world = make_world(cors_origins=SITE)
    assert told(preflight(world, "/fal/ocr", origin)) == set()
    answer = world.client.post("/fal/ocr", json={}, headers={"Origin": origin})
    assert (answer.status_code, told(answer)) == (403, set())


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/openai/v1/files", "/session"])
def test_the_other_surfaces_are_no_sites_business(path: str) -> None:
    world = make_world(cors_origins=SITE)
    assert told(preflight(world, path)) == set()
    answer = world.client.post(path, json={}, headers={"Origin": SITE})
    assert told(answer) == set()
    assert answer.status_code in (400, 401, 403, 415)


def test_without_the_setting_there_is_none_of_it() -> None:
    world = make_world()
    assert told(preflight(world, "/fal/ocr")) == set()
    answer = world.client.post("/fal/ocr", json={}, headers={"Origin": SITE})
    assert (answer.status_code, told(answer)) == (403, set())


def test_a_cookie_of_studio_is_still_for_our_own_pages() -> None:
    world = make_world(cors_origins=SITE)
    world.tokens.secrets["secret"] = "acme"
    world.client.set_cookie("casola_session", "secret")
    answer = world.client.post("/fal/ocr", json={}, headers={"Origin": SITE})
    assert answer.status_code == 403
