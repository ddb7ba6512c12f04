"""GET /api/v1/jobs/{id}/events and GET /api/v1/events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from casola_ocr.errors import Gone
from casola_ocr.ids import new_request_id
from casola_ocr.jobs import Event
from casola_ocr.model import JobStatus
from tests.api_stub import DATA_URL, World, make_world


def submitted(world: World) -> str:
    request_id: str = world.client.post("/api/v1/jobs", json={"url": DATA_URL}).json["request_id"]
    return request_id


def finish(world: World, request_id: str) -> None:
    world.jobs.known[request_id] = world.jobs.ended(
        world.jobs.known[request_id], JobStatus.COMPLETED
    )


def event(kind: Any, request_id: str, position: str = "", **data: Any) -> Event:
    return Event(kind=kind, request_id=request_id, data=data, position=position)


def test_a_stream_names_its_events_and_their_positions() -> None:
    world = make_world()
    request_id = submitted(world)
    world.jobs.happens = [
        event("progress", request_id, status="queued"),
        None,
        event("page", request_id, "5-0", page=1, text="Grüße\nzweite"),
        event("finished", request_id, "7-1", status="completed"),
    ]
    answer = world.client.get(f"/api/v1/jobs/{request_id}/events")
    assert answer.status_code == 200
    assert answer.mimetype == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Accel-Buffering"] == "no"
    retry, progress, ping, page, finished, rest = answer.get_data(as_text=True).split("\n\n")
    assert retry == "retry: 2000"
    assert progress == 'event: progress\ndata: {"status": "queued"}'
    assert ping == ": ping"
    assert page.startswith("id: 5-0\nevent: page\ndata: ")
    assert json.loads(page.partition("data: ")[2]) == {"page": 1, "text": "Grüße\nzweite"}
    assert finished.startswith("id: 7-1/end\nevent: finished\n")
    assert rest == ""


def test_a_stream_goes_on_after_the_last_event_id() -> None:
    world = make_world()
    request_id = submitted(world)
    world.client.get(f"/api/v1/jobs/{request_id}/events", headers={"Last-Event-ID": "5-2"})
    assert ("events", request_id, "5-2", 3600) in world.jobs.calls


@pytest.mark.parametrize("odd", ["x", "5", "-", "9" * 40 + "-0", "5-2\u00e9", "$", "5-2/other"])
def test_a_last_event_id_that_is_not_ours_begins_anew(odd: str) -> None:
    world = make_world()
    request_id = submitted(world)
    answer = world.client.get(f"/api/v1/jobs/{request_id}/events", headers={"Last-Event-ID": odd})
    assert answer.status_code == 200
    assert ("events", request_id, "", 3600) in world.jobs.calls


def test_who_has_seen_the_end_is_told_not_to_come_back() -> None:
    world = make_world()
    request_id = submitted(world)
    finish(world, request_id)
    route = f"/api/v1/jobs/{request_id}/events"
    assert world.client.get(route, headers={"Last-Event-ID": "7-1/end"}).status_code == 204
    assert world.client.get(route, headers={"Last-Event-ID": "7-1"}).status_code == 200


def test_a_job_that_is_read_again_is_followed_again() -> None:
    world = make_world()
    request_id = submitted(world)
    answer = world.client.get(
        f"/api/v1/jobs/{request_id}/events", headers={"Last-Event-ID": "7-1/end"}
    )
    assert answer.status_code == 200
    assert ("events", request_id, "7-1", 3600) in world.jobs.calls


def test_several_jobs_share_a_stream_whose_last_event_ends_it() -> None:
    world = make_world()
    one, two = submitted(world), submitted(world)
    world.jobs.happens = [
        event("finished", one, "5-0", status="completed"),
        Event(kind="error", request_id=two, data={"code": "gone"}, error=Gone()),
    ]
    route = f"/api/v1/events?request_id={one}&request_id={two}&request_id={one}"
    answer = world.client.get(route)
    assert ("events_of_many", one, two) in world.jobs.calls
    _, first, last, _ = answer.get_data(as_text=True).split("\n\n")
    assert first.startswith("event: finished\n")
    assert last.startswith("id: /end\nevent: error\n")
    for request_id in (one, two):
        finish(world, request_id)
    assert world.client.get(route, headers={"Last-Event-ID": "/end"}).status_code == 204
    assert world.client.get(route, headers={"Last-Event-ID": "5-0"}).status_code == 200


@pytest.mark.parametrize("names", [0, 101])
def test_one_stream_follows_at_least_one_job_and_at_most_a_hundred(names: int) -> None:
    world = make_world()
    query = "&".join(f"request_id={new_request_id()}" for _ in range(names))
    answer = world.client.get(f"/api/v1/events?{query}")
    assert answer.status_code == 400
    assert "'request_id'" in answer.get_json()["detail"]


def test_a_job_of_somebody_else_cannot_be_followed() -> None:
    world = make_world()
    world.tokens.secrets = {"a": "acme", "b": "other"}
    mine, theirs = {"Authorization": "Bearer a"}, {"Authorization": "Bearer b"}
    made = world.client.post("/api/v1/jobs", json={"url": DATA_URL}, headers=mine).get_json()
    request_id = made["request_id"]
    for route in (f"/api/v1/jobs/{request_id}/events", f"/api/v1/events?request_id={request_id}"):
        assert world.client.get(route, headers=mine).status_code == 200
        assert world.client.get(route, headers=theirs).status_code == 404
        assert world.client.get(route).status_code == 401


def test_a_job_tells_its_place_and_when_it_may_end() -> None:
    world = make_world()
    submit = world.client.post("/api/v1/jobs", json={"url": DATA_URL}).get_json()
    job = world.client.get(f"/api/v1/jobs/{submit['request_id']}").get_json()
    for told in (submit, job):
        assert (told["queue_position"], told["eta_seconds"]) == (3, 1.5)
    finish(world, submit["request_id"])
    job = world.client.get(f"/api/v1/jobs/{submit['request_id']}").get_json()
    assert (job["queue_position"], job["eta_seconds"]) == (None, None)
