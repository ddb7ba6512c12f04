"""/openai/v1/responses (and /v1): what the domain is asked for, and what is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from casola_ocr.errors import NotFound, Overloaded, RecordsUnavailable
from casola_ocr.model import JobError, JobStatus, Lane, Manifest
from tests.api_stub import CONTENT, CREATED_AT, DATA_URL, World, make_world

PATH = "/openai/v1/responses"


def image(url: Any = DATA_URL) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url}


def body(*parts: Any, **more: Any) -> dict[str, Any]:
    content = [{"type": "input_text", "text": "Extract all text."}, *(parts or (image(),))]
    return {"model": "auto", "input": [{"role": "user", "content": content}], **more}


def ask(world: World, **more: Any) -> Any:
    return world.client.post(PATH, json=body(**more))


def events(answer: Any) -> list[dict[str, Any]]:
    found = []
    for block in answer.get_data(as_text=True).split("\n\n"):
        if block and not block.startswith(":"):
            kind, data = block.split("\n")
            found.append(json.loads(data.removeprefix("data: ")))
            assert kind == f"event: {found[-1]['type']}"
    return found


@pytest.mark.parametrize("path", [PATH, "/v1/responses"])
def test_the_text_is_one_output_message(path: str) -> None:
    world = make_world()
    answer = world.client.post(path, json=body(metadata={"a": "b"}))
    (request_id,) = world.jobs.known
    told = answer.get_json()
    ulid = request_id.removeprefix("req_")
    assert answer.headers["x-request-id"] == request_id
    assert told["id"] == f"resp_{ulid}"
    assert (told["object"], told["status"], told["created_at"]) == (
        "response", "completed", CREATED_AT // 1000
    )  # fmt: skip
    assert told["output"] == [
        {
            "id": f"msg_{ulid}",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": "Grüße", "annotations": [], "logprobs": []}
            ],
        }
    ]
    assert told["metadata"] == {"a": "b"}
    assert told["usage"]["total_tokens"] == 2
    assert "alternatives" not in told


def test_who_waits_is_served_first_and_the_background_is_bulk() -> None:
    world = make_world()
    ask(world)
    assert world.jobs.options is not None
    assert (world.jobs.options.lane, world.jobs.options.origin) == (
        Lane.INTERACTIVE, "openai:responses"
    )  # fmt: skip
    answer = ask(world, background=True)
    assert world.jobs.options.lane is Lane.BULK
    assert (answer.status_code, answer.get_json()["status"]) == (200, "queued")
    assert not [call for call in world.jobs.calls if call[0] == "wait"][1:]


def test_the_background_needs_no_seat_and_everything_else_does() -> None:
    world = make_world()
    world.jobs.full = True
    assert ask(world, background=True).status_code == 200
    for more in ({}, {"stream": True}, {"stream": True, "background": True}):
        answer = ask(world, **more)
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (503, Overloaded.code)
    assert len(world.jobs.known) == 1


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([JobStatus.QUEUED, JobStatus.QUEUED], "queued"),
        ([JobStatus.QUEUED, JobStatus.COMPLETED], "in_progress"),
        ([JobStatus.PROCESSING, JobStatus.COMPLETED], "in_progress"),
        ([JobStatus.COMPLETED, JobStatus.COMPLETED], "completed"),
        ([JobStatus.COMPLETED, JobStatus.FAILED], "failed"),
        ([JobStatus.CANCELLED, JobStatus.COMPLETED], "cancelled"),
    ],
)
def test_a_response_stands_where_its_jobs_do(states: list[JobStatus], status: str) -> None:
    world = make_world()
    world.jobs.error = JobError(code="fetch_failed", detail="It answered 404.")
    parts = [image(), image("https://example.com/b.png")]
    made = world.client.post(PATH, json=body(*parts, background=True)).get_json()
    for name, state in zip(list(world.jobs.known), states, strict=True):
        world.jobs.known[name] = world.jobs.ended(world.jobs.known[name], state)
    told = world.client.get(f"{PATH}/{made['id']}").get_json()
    assert told["status"] == status
    wrong = {"code": "failed_to_download_image", "message": "It answered 404."}
    assert told["error"] == (wrong if status == "failed" else None)


def test_a_stream_numbers_its_events_and_names_their_kind() -> None:
    answer = ask(make_world(), stream=True)
    assert answer.content_type == "text/event-stream"
    told = events(answer)
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert told[-1]["type"] == "response.completed"


def test_what_fails_at_once_has_a_status_unless_the_response_can_be_asked_for() -> None:
    world = make_world()
    world.jobs.ends = [JobStatus.FAILED]
    world.jobs.error = JobError(code="damaged_document", detail="It is cut off.")
    answer = ask(world, stream=True)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (400, "image_parse_error")
    *_, last = events(ask(world, stream=True, background=True))
    assert last["type"] == "response.failed"
    assert last["response"]["error"] == {"code": "image_parse_error", "message": "It is cut off."}


def test_a_stream_that_has_to_end_says_so_and_the_response_goes_on() -> None:
    world = make_world()
    world.jobs.ends = [JobStatus.PROCESSING]
    *_, last = events(ask(world, stream=True, background=True))
    assert (last["type"], last["code"], last["param"]) == ("error", "wait_timeout", None)
    assert not [call for call in world.jobs.calls if call[0] == "cancel"]


def test_asking_for_a_response_stops_none_of_its_jobs() -> None:
    world = make_world()
    made = ask(world).get_json()
    (name,) = world.jobs.known
    world.jobs.known[name] = world.jobs.ended(world.jobs.known[name], JobStatus.PROCESSING)
    world.jobs.ends = [JobStatus.PROCESSING]
    world.client.get(f"{PATH}/{made['id']}?stream=true").get_data()
    assert not [call for call in world.jobs.calls if call[0] == "cancel"]


def test_the_first_job_of_a_response_is_deleted_last() -> None:
    world = make_world()
    made = world.client.post(PATH, json=body(image(), image("https://example.com/b.png")))
    path = f"{PATH}/{made.get_json()['id']}"
    assert world.client.delete(path).get_json()["deleted"] is True
    deleted = [call[1] for call in world.jobs.calls if call[0] == "delete"]
    assert deleted == list(reversed(world.jobs.known))


def test_a_deletion_that_was_interrupted_can_be_repeated() -> None:
    world = make_world()
    made = world.client.post(PATH, json=body(image(), image(), image())).get_json()
    path = f"{PATH}/{made['id']}"
    *left, _ = world.jobs.known
    world.jobs.known.popitem()
    assert world.client.get(path).status_code == 404
    assert world.client.delete(path).get_json()["deleted"] is True
    assert [call[1] for call in world.jobs.calls if call[0] == "delete"] == left[::-1]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"background": "yes"}, "background"),
        ({"store": False, "background": True}, "store"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {"a": "b" * 513}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"),
        ({"text": {"format": {"type": "json_object"}}, "include": ["message.output_text.logprobs"]},
         "include"),
        ({"user": "u" * 70_000}, "text"),
        ({"input": 7}, "input"),
        ({"input": []}, "input"),
        ({"model": ""}, "model"),
        ({"stream": "yes"}, "stream"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_and_nothing_is_accepted(more: dict[str, Any], field: str) -> None:
    world = make_world()
    answer = ask(world, **more)
    assert (answer.status_code, answer.get_json()["error"]["param"]) == (400, field)
    assert not world.jobs.known


def test_of_several_messages_the_last_one_of_the_user_counts() -> None:
    world = make_world()
    asked = body()
    other = {"role": "user", "content": [image("https://example.com/old.png")]}
    later = {"type": "message", "role": "assistant", "content": "Which one?"}
    asked["input"] = [other, later, *asked["input"], {"role": "developer", "content": "x"}]
    assert world.client.post(PATH, json=asked).status_code == 200
    assert world.jobs.sources == [CONTENT]


def test_a_job_of_another_surface_is_no_response() -> None:
    world = make_world()
    world.client.post("/openai/v1/chat/completions", json={
        "model": "auto",
        "messages": [{
            "role": "user", "content": [{"type": "image_url", "image_url": {"url": DATA_URL}}]
        }],
    })  # fmt: skip
    (name,) = world.jobs.known
    for path in (name, name.replace("req_", "resp_"), "resp_", "x"):
        answer = world.client.get(f"{PATH}/{path}")
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (404, NotFound.code)


def test_records_that_are_down_are_not_an_unknown_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = make_world()
    made = ask(world).get_json()

    def down(tenant: str, request_id: str, *, whole: bool) -> None:
        raise RecordsUnavailable()

    monkeypatch.setattr(world.jobs, "noted", down)
    assert world.client.get(f"{PATH}/{made['id']}").status_code == 503


def test_a_manifest_keeps_what_was_noted() -> None:
    manifest = Manifest(
        request_id="r", tenant="t", file_name="", media_type="", url="", model="", engine="",
        language="", lane=Lane.BULK, batch_id="", created_at=0,
        note={"text": {"format": None}}, noted_jobs=("r", "s"),
    )  # fmt: skip
    assert Manifest.from_json(manifest.to_json()) == manifest
