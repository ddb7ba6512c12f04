"""GET /healthz and /readyz."""

from __future__ import annotations

from tests.api_stub import make_world


def test_health_needs_neither_a_token_nor_anything_that_can_be_down() -> None:
    world = make_world()
    world.tokens.down = True
    assert world.client.get("/healthz").get_json() == {"status": "ok"}


def test_a_service_is_ready_when_all_its_parts_are() -> None:
    world = make_world()
    world.tokens.secrets["secret"] = "acme"
    answer = world.client.get("/readyz")
    assert answer.status_code == 200
    part = {"ready": True, "detail": None}
    assert answer.get_json() == {"ready": True, "parts": {"records": part, "store": part}}


def test_a_missing_part_is_503_and_told_in_a_sentence() -> None:
    world = make_world()
    world.jobs.parts["store"] = "The object store does not answer."
    answer = world.client.get("/readyz")
    assert answer.status_code == 503
    body = answer.get_json()
    assert body["ready"] is False
    assert body["parts"]["store"] == {
        "ready": False,
        "detail": "The object store does not answer.",
    }
    assert body["parts"]["records"]["ready"] is True
