"""POST /fal/ocr/stream: each page as it is read, then the output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from casola_ocr.errors import CasolaError, EngineFailed, WaitTimeout
from casola_ocr.model import JobError, JobStatus
from tests.api_stub import DATA_URL, World, make_world
from tests.unit.test_api_fal_aliases import page


def streamed(world: World) -> Any:
    return world.client.post("/fal/ocr/stream", json={"image_url": DATA_URL})


def events_of(answer: Any) -> list[dict[str, Any]]:
    assert answer.content_type == "text/event-stream"
    parts = answer.get_data(as_text=True).split("\n\n")
    return [json.loads(part.removeprefix("data: ")) for part in parts if part.startswith("data: ")]


def test_the_last_event_is_the_output() -> None:
    world = make_world()
    world.jobs.pages, world.jobs.texts = [page(), page(2)], ["Hello\nworld\fHello\nworld"]
    answer = streamed(world)
    (request_id,) = world.jobs.known
    assert answer.headers["x-fal-request-id"] == request_id
    *pages, last = events_of(answer)
    assert [(told["page"], told["text"], told["status"]) for told in pages] == [
        (1, "Hello\nworld", "processing"),
        (2, "Hello\nworld", "processing"),
    ]
    assert last == {
        "request_id": request_id,
        "status": "completed",
        "text": "Hello\nworld\fHello\nworld",
    }


def test_what_fails_at_once_has_its_own_status() -> None:
    world = make_world()
    world.jobs.ends = [JobStatus.FAILED]
    world.jobs.error = JobError(code="damaged_document", detail="Why.")
    answer = streamed(world)
    assert (answer.status_code, answer.get_json()["detail"][0]["msg"]) == (422, "Why.")


@pytest.mark.parametrize("error", [EngineFailed("It stopped."), WaitTimeout("Too long.")])
def test_what_fails_later_is_the_last_event(error: CasolaError) -> None:
    world = make_world()

    def read_along(*_: Any, **__: Any) -> Iterator[dict[str, Any] | None]:
        yield None
        yield json.loads(page().to_json())
        raise error

    world.jobs.read_along = read_along  # type: ignore[method-assign]
    answer = streamed(world)
    assert answer.get_data(as_text=True).startswith(": ping")
    last = events_of(answer)[-1]
    assert (last["status"], last["detail"]) == ("failed", error.detail)


def test_a_client_that_goes_away_cancels_the_request() -> None:
    world = make_world()

    def read_along(*_: Any, **__: Any) -> Iterator[dict[str, Any] | None]:
        while True:
            yield None

    world.jobs.read_along = read_along  # type: ignore[method-assign]
    answer = streamed(world)
    next(answer.response)
    answer.close()
    assert [job.status for job in world.jobs.known.values()] == [JobStatus.CANCELLED]
