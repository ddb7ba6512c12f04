"""POST /openai/v1/batches (and /v1): what is accepted, once."""

from __future__ import annotations

from typing import Any

import pytest

from casola_ocr import repeats
from casola_ocr.errors import StoreUnavailable
from tests.api_stub import World, form, make_world

PATH = "/openai/v1/batches"


@pytest.fixture
def world() -> World:
    return make_world()


def asked(world: World, **more: Any) -> dict[str, Any]:
    file = world.client.post("/v1/files", **form(b"{}\n", purpose="batch")).get_json()
    return {
        "input_file_id": file["id"],
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        **more,
    }


def test_a_batch_begins_with_its_validation(world: World) -> None:
    made = world.client.post(PATH, json=asked(world, metadata={"a": "b"})).get_json()
    assert (made["status"], made["metadata"], made["errors"]) == ("validating", {"a": "b"}, None)
    assert made["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert made["expires_at"] == made["created_at"] + 86_400
    assert world.client.get(f"/v1/batches/{made['id']}").get_json() == made


def test_an_sdks_next_try_is_given_what_the_first_one_made(world: World) -> None:
    body = asked(world)
    ids = [
        world.client.post(
            PATH, json=body, headers={"X-Stainless-Retry-Count": str(attempt)}
        ).get_json()["id"]
        for attempt in (0, 1, 2, 0)
    ]
    assert ids[0] == ids[1] == ids[2] != ids[3]


def test_an_idempotency_key_makes_one_batch(world: World) -> None:
    body, headers = asked(world), {"Idempotency-Key": "k"}
    first, second = (world.client.post(PATH, json=body, headers=headers) for _ in range(2))
    assert first.get_json() == second.get_json()
    assert second.headers["Idempotent-Replayed"] == "true"


def test_a_key_makes_one_batch_though_its_answer_could_not_be_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [{"body": {"document": {"type": "image_url", "image_url": "https://x.example/a.png"}}}]
    inline = {"endpoint": "/v1/ocr", "model": "auto", "requests": lines}
    for path, body in ((PATH, asked(world)), ("/mistral/v1/batch/jobs", inline)):
        with monkeypatch.context() as patched:
            patched.setattr(repeats, "_written", fail)
            answer = world.client.post(path, json=body, headers={"Idempotency-Key": "k" + path})
            assert answer.status_code == 503
        again = world.client.post(path, json=body, headers={"Idempotency-Key": "k" + path})
        listed = world.client.get(path).get_json()["data"]
        assert [batch["id"] for batch in listed] == [again.get_json()["id"]]


def fail(*told: Any) -> bytes:
    raise StoreUnavailable()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"endpoint": None}, "endpoint"),
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"completion_window": 24}, "completion_window"),
        ({"completion_window": "0h"}, "completion_window"),
        ({"completion_window": "169h"}, "completion_window"),
        ({"input_file_id": None}, "input_file_id"),
        ({"input_file_id": "../x"}, "input_file_id"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"output_expires_after": {"anchor": "now"}}, "output_expires_after.anchor"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}}, "seconds"),
        (
            {"output_expires_after": {"anchor": "created_at"}},
            "output_expires_after.seconds",
        ),
    ],
)
def test_what_is_wrong_is_named(world: World, wrong: dict[str, Any], field: str) -> None:
    answer = world.client.post(PATH, json=asked(world, **wrong))
    error = answer.get_json()["error"]
    assert (answer.status_code, error["param"]) == (400, field)
    assert error["type"] == "invalid_request_error"
    assert world.client.get(PATH).get_json()["data"] == []


def test_what_does_not_exist_is_told_so(world: World) -> None:
    for answer in (
        world.client.get(f"{PATH}/batch_unknown"),
        world.client.post(f"{PATH}/batch_unknown/cancel"),
        world.client.get(f"{PATH}?after=x"),
    ):
        assert answer.status_code == 404
        assert answer.get_json()["error"]["param"] == "id"


def test_cancelling_again_changes_nothing(world: World) -> None:
    made = world.client.post(PATH, json=asked(world)).get_json()
    first, second = (world.client.post(f"{PATH}/{made['id']}/cancel").get_json() for _ in range(2))
    assert first["status"] == "cancelling"
    assert first["cancelling_at"] >= made["created_at"]
    assert first == second


def test_mistral_does_not_see_what_was_made_here(world: World) -> None:
    made = world.client.post(PATH, json=asked(world)).get_json()
    assert world.client.get("/mistral/v1/batch/jobs").get_json()["total"] == 0
    assert world.client.get(f"/mistral/v1/batch/jobs/{made['id']}").status_code == 404
