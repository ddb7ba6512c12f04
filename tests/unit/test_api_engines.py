"""GET /api/v1/engines."""

from __future__ import annotations

from typing import Any

from tests.api_stub import World, make_world


def ask(world: World) -> dict[str, dict[str, Any]]:
    rows = world.client.get("/api/v1/engines").get_json()["data"]
    assert len({row["name"] for row in rows}) == len(rows)
    return {row["name"]: row for row in rows}


def works(row: dict[str, Any], code: str) -> bool | None:
    return {known["code"]: known["works"] for known in row["languages"]}.get(code)


def test_every_engine_is_listed_with_what_it_reads_here() -> None:
    world = make_world()
    world.jobs.engines = ("pp-ocrv6",)
    rows = ask(world)
    assert list(rows) == ["auto", "deepseek-ocr-v2", "deepseek-ocr", "pp-ocrv6", "tesseract"]
    assert {name for name, row in rows.items() if row["live"]} == {"auto", "pp-ocrv6"}
    assert rows["pp-ocrv6"]["languages"][0] == {"code": "en", "name": "English", "works": True}
    assert works(rows["pp-ocrv6"], "ru") is None, "its alphabet has no Cyrillic"
    assert works(rows["tesseract"], "ru") is False, "it could, were it live"
    assert (works(rows["auto"], "ja"), works(rows["auto"], "ru")) == (True, False)
    assert all(row["about"] for row in rows.values())


def test_without_live_workers_nothing_works() -> None:
    world = make_world()
    world.jobs.engines = ()
    for row in ask(world).values():
        assert (row["live"], row["version"]) == (False, None)
        assert not any(known["works"] for known in row["languages"])
