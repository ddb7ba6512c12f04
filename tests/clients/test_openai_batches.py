"""Batches, by OpenAI's own Python client."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest
import redis

from tests.clients.conftest import data_url, small_page
from tests.running import RunningService

pytestmark = pytest.mark.e2e

ENDPOINT = "/v1/chat/completions"
WORDS = (
    "alpha", "bravo", "charlie", "delta", "echo", "golf", "hotel", "india", "kilo", "lima", "mike",
    "november", "oscar", "papa", "quebec", "romeo",
)  # fmt: skip
ENDS = ("completed", "failed", "expired", "cancelled")


@pytest.fixture(params=["/openai/v1", "/v1"])
def client(service: RunningService, request: pytest.FixtureRequest) -> openai.OpenAI:
    return openai.OpenAI(base_url=service.url + request.param, api_key="none", max_retries=0)


def plain(service: RunningService) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=5)


def line(custom_id: str, url: str, **body: Any) -> dict[str, Any]:
    content = [{"type": "image_url", "image_url": {"url": url}}]
    asked = {"model": "tesseract", "messages": [{"role": "user", "content": content}], **body}
    return {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": asked}


def start(client: openai.OpenAI, content: bytes, **more: Any) -> openai.types.Batch:
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    asked = {"endpoint": ENDPOINT, "completion_window": "24h", **more}
    return client.batches.create(input_file_id=file.id, **asked)


def jsonl(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in lines)


def ended(client: openai.OpenAI, batch_id: str, seconds: float = 300) -> openai.types.Batch:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        batch = client.batches.retrieve(batch_id)
        if batch.status in ENDS:
            return batch
        time.sleep(0.2)
    raise AssertionError(f"the batch did not end: {batch}")


def begun(client: openai.OpenAI, batch_id: str) -> int:
    """How many of its lines were read, once one was."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        counts = client.batches.retrieve(batch_id).request_counts
        if counts is not None and counts.completed:
            return counts.completed
        time.sleep(0.05)
    raise AssertionError("no line was read")


def lines_of(client: openai.OpenAI, file_id: str | None) -> dict[str, dict[str, Any]]:
    """The lines of a file by their custom_id, each of which is there once."""
    if file_id is None:
        return {}
    found = [json.loads(item) for item in client.files.content(file_id).read().splitlines()]
    by_name = {item["custom_id"]: item for item in found}
    assert len(by_name) == len(found)
    return by_name


def test_a_batch_of_three_with_a_bad_one(client: openai.OpenAI, hello: bytes) -> None:
    made = start(
        client,
        jsonl(
            line("good", data_url(hello)),
            line("bad", "data:image/png;base64,AAAA"),
            line("grüße", data_url(hello), max_tokens=1),
        ),
        metadata={"for": "a test"},
        output_expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert (made.object, made.endpoint, made.completion_window) == ("batch", ENDPOINT, "24h")
    assert made.expires_at == made.created_at + 86_400
    batch = ended(client, made.id)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 3, "completed": 2, "failed": 1}
    assert (batch.metadata, batch.model, batch.errors) == ({"for": "a test"}, "tesseract", None)
    times = (batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at)
    assert list(times) == sorted(at for at in times if at)
    output = lines_of(client, batch.output_file_id)
    assert set(output) == {"good", "grüße"}
    answer = output["good"]["response"]
    assert (answer["status_code"], output["good"]["error"]) == (200, None)
    completion = openai.types.chat.ChatCompletion.model_validate(answer["body"])
    assert completion.choices[0].message.content == "Hello client"
    assert output["grüße"]["response"]["body"]["choices"][0]["finish_reason"] == "length"
    (error,) = lines_of(client, batch.error_file_id).values()
    assert (error["custom_id"], error["response"]["status_code"]) == ("bad", 400)
    assert error["response"]["body"]["error"]["type"] == "invalid_request_error"
    assert batch.usage is not None
    assert batch.usage.total_tokens == sum(
        item["response"]["body"]["usage"]["total_tokens"] for item in output.values()
    )
    assert batch.output_file_id is not None
    file = client.files.retrieve(batch.output_file_id)
    assert file.purpose == "batch_output"
    assert file.expires_at == file.created_at + 3600


@pytest.mark.parametrize(
    ("content", "code", "number"),
    [
        (b'{"custom_id": "a"\n', "invalid_json_line", 1),
        (jsonl(line("a", "https://x.example/1.png")) + b"[]\n", "invalid_json_line", 2),
        (jsonl(line("a", "https://x.example/1.png")) * 2, "duplicate_custom_id", 2),
        (jsonl({**line("a", "https://x.example/1.png"), "url": "/v1/x"}), "url_mismatch", 1),
        (jsonl({"custom_id": "a"}), "missing_required_parameter", 1),
        (b"\n\n", "empty_file", None),
    ],
    ids=["broken", "no object", "duplicate", "url", "no method", "empty"],
)
def test_a_file_that_is_not_in_order_fails_the_batch(
    service: RunningService, content: bytes, code: str, number: int | None
) -> None:
    client = plain(service)
    batch = ended(client, start(client, content).id)
    assert (batch.status, batch.output_file_id) == ("failed", None)
    assert batch.failed_at is not None
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [(error.code, error.line) for error in batch.errors.data] == [(code, number)]


def test_what_is_wrong_raises_the_right_exception(service: RunningService) -> None:
    client = plain(service)
    file = client.files.create(file=("a", b"{}"), purpose="user_data")
    for wrong, field in (
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"completion_window": "1 week"}, "completion_window"),
        ({"input_file_id": "file-unknown"}, "input_file_id"),
        ({"input_file_id": file.id}, "input_file_id"),
        ({"metadata": {"a": "b" * 513}}, "metadata"),
    ):
        asked: dict[str, Any] = {
            "endpoint": ENDPOINT, "completion_window": "24h", "input_file_id": file.id,
        }  # fmt: skip
        good = client.files.create(file=("a", b"{}"), purpose="batch")
        with pytest.raises(openai.BadRequestError) as error:
            client.batches.create(**{**asked, "input_file_id": good.id, **wrong})
        assert error.value.param == field
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_unknown")
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(ended(client, start(client, b"\n").id).id)


def test_a_cancelled_batch_keeps_what_was_read(service: RunningService, hello: bytes) -> None:
    client = plain(service)
    slow = [line(str(number), data_url(small_page(f"page {number}"))) for number in range(40)]
    made = start(client, jsonl(*slow))
    began = begun(client, made.id)
    stopped = client.batches.cancel(made.id)
    assert stopped.status in ("cancelling", "cancelled")
    assert stopped.cancelling_at is not None
    batch = ended(client, made.id)
    assert batch.status == "cancelled"
    assert batch.cancelled_at is not None
    output = lines_of(client, batch.output_file_id)
    errors = lines_of(client, batch.error_file_id)
    assert len(output) >= began
    assert set(output) | set(errors) == {item["custom_id"] for item in slow}
    assert not set(output) & set(errors)
    assert {item["error"]["code"] for item in errors.values()} <= {"batch_cancelled"}


def test_lists_are_paged_by_the_client(service: RunningService) -> None:
    client = plain(service)
    made = [start(client, b"\n").id for _ in range(5)]
    found = [batch.id for batch in client.batches.list(limit=2)]
    assert found[:5] == made[::-1]
    first = client.batches.list(limit=2)
    assert (first.has_more, [batch.id for batch in first.data]) == (True, found[:2])


def test_a_batch_survives_kill_9_of_its_runner_and_a_wiped_valkey(
    make_service: Callable[..., RunningService],
) -> None:
    service = make_service()
    client = plain(service)
    asked = [line(word, data_url(small_page(f"say {word}"))) for word in WORDS]
    made = start(client, jsonl(*asked))
    assert begun(client, made.id) < 16
    raw = redis.Redis.from_url(service.redis_url())
    for process in service.processes("reconcile"):
        process.kill()
    raw.flushall()
    raw.close()
    for process in reversed(service.processes("worker", "pages")):
        process.kill()
    batch = ended(client, made.id)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 16, "completed": 16, "failed": 0}
    output = lines_of(client, batch.output_file_id)
    for word in WORDS:
        text = output[word]["response"]["body"]["choices"][0]["message"]["content"]
        assert text == f"say {word}"
    # No line became two jobs.
    jobs = service.data_dir / "objects" / "tenants" / "local" / "jobs"
    assert len(list(jobs.iterdir())) == 16
    assert not list((service.data_dir / "objects").glob("errands/*"))
