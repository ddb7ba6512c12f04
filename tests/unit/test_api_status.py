"""GET /api/v1/status, and who may see the pages of operators."""

from __future__ import annotations

import pytest

from tests.api_stub import make_world

PAGES = ("/status", "/admin")


def headers(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize("path", ["/api/v1/status", *PAGES])
def test_a_tenants_token_is_not_enough(path: str) -> None:
    world = make_world()
    world.tokens.secrets["secret"] = "acme"
    assert world.client.get(path, headers=headers("secret")).status_code == 403


@pytest.mark.parametrize("path", PAGES)
def test_a_page_sends_to_sign_in_where_a_token_is_needed(path: str) -> None:
    world = make_world()
    world.tokens.secrets["secret"] = "acme"
    answer = world.client.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/sign-in")


@pytest.mark.parametrize("path", PAGES)
def test_an_admins_token_opens_the_page(path: str) -> None:
    world = make_world()
    world.tokens.secrets["secret"] = "acme"
    world.tokens.admins.add("secret")
    answer = world.client.get(path, headers=headers("secret"))
    assert answer.status_code == 200
    assert 'href="/status"' in answer.get_data(as_text=True)


def test_on_loopback_without_tokens_nothing_of_tenants_is_in_the_way() -> None:
    page = make_world().client.get("/ocr").get_data(as_text=True)
    assert 'href="/status"' in page
    assert 'href="/admin"' not in page
