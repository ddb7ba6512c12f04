"""GET /openai/v1/models (and /v1)."""

from __future__ import annotations

import pytest

from tests.api_stub import make_world


@pytest.mark.parametrize("prefix", ["/openai/v1", "/v1"])
def test_live_engines_and_auto_are_models(prefix: str) -> None:
    body = make_world().client.get(f"{prefix}/models").get_json()
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["auto", "pp-ocrv6", "tesseract"]
    assert all(set(model) == {"id", "object", "created", "owned_by"} for model in body["data"])


@pytest.mark.parametrize("name", ["auto", "tesseract"])
def test_a_model_can_be_asked_for(name: str) -> None:
    model = make_world().client.get(f"/v1/models/{name}").get_json()
    assert (model["id"], model["object"]) == (name, "model")


def test_an_unknown_model_is_404_and_lists_the_live_ones() -> None:
    answer = make_world().client.get("/v1/models/gpt-9")
    error = answer.get_json()["error"]
    assert answer.status_code == 404
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "tesseract" in error["message"]


def test_without_live_engines_there_are_no_models() -> None:
    world = make_world()
    world.jobs.engines = ()
    assert world.client.get("/v1/models").get_json()["data"] == []
    assert world.client.get("/v1/models/auto").status_code == 404
