"""GET /api/v1/engines."""

from __future__ import annotations

from tests.api_stub import make_world


def test_live_engines_are_listed_by_name() -> None:
    answer = make_world().client.get("/api/v1/engines")
    assert answer.get_json() == {"data": [{"name": "pp-ocrv6"}, {"name": "tesseract"}]}


def test_without_live_engines_the_list_is_empty() -> None:
    world = make_world()
    world.jobs.engines = ()
    assert world.client.get("/api/v1/engines").get_json() == {"data": []}
