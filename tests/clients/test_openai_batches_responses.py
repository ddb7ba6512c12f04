"""Batches of responses, by OpenAI's own Python client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from tests.clients.conftest import data_url
from tests.clients.test_openai_batches import ended, jsonl, lines_of, start
from tests.running import RunningService

ENDPOINT = "/v1/responses"


@pytest.fixture
def client(service: RunningService) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def asked(*urls: str, **more: Any) -> dict[str, Any]:
    content = [{"type": "input_image", "image_url": url} for url in urls]
    return {"model": "tesseract", "input": [{"role": "user", "content": content}], **more}


def line(custom_id: str, body: dict[str, Any], url: str = ENDPOINT) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def test_a_batch_of_responses_answers_each_as_the_route_would(
    client: openai.OpenAI, hello: bytes
) -> None:
    url = data_url(hello)
    logprobs = {"include": ["message.output_text.logprobs"], "top_logprobs": 1}
    bodies = {
        "good": asked(url, metadata={"for": "a test"}, user="somebody", **logprobs),
        "two": asked(url, url),
        "cut": asked(url, max_output_tokens=1),
        "unkept": asked(url, store=False),
    }
    wrong = {
        "no picture": (asked("data:image/png;base64,AAAA"), "input"),
        "no document": ({"model": "tesseract", "input": "only words"}, "input"),
        "stream": (asked(url, stream=True), "stream"),
        "metadata": (asked(url, metadata={"a": "b" * 513}), "metadata"),
    }
    lines = {**bodies, **{name: body for name, (body, _) in wrong.items()}}
    made = start(client, jsonl(*(line(*item) for item in lines.items())), endpoint=ENDPOINT)
    assert made.endpoint == ENDPOINT
    batch = ended(client, made.id)
    assert (batch.status, batch.model) == ("completed", "tesseract")
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 8, "completed": 4, "failed": 4}
    output = lines_of(client, batch.output_file_id)
    answers = {
        name: Response.model_validate(item["response"]["body"]) for name, item in output.items()
    }
    assert {name: answer.output_text.split() for name, answer in answers.items()} == {
        "good": ["Hello", "client"],
        "two": ["Hello", "client"] * 2,
        "cut": ["Hello"],
        "unkept": ["Hello", "client"],
    }
    assert {name: answer.status for name, answer in answers.items()} == {
        "good": "completed", "two": "completed", "cut": "incomplete", "unkept": "completed",
    }  # fmt: skip
    for name, answer in answers.items():
        live = client.responses.create(**bodies[name]).to_dict()
        assert unnamed(answer.to_dict()) == unnamed(live)
    usages = [answer.usage.total_tokens for answer in answers.values() if answer.usage]
    assert batch.usage is not None and batch.usage.total_tokens == sum(usages)
    for name, item in lines_of(client, batch.error_file_id).items():
        assert item["response"]["status_code"] == 400
        assert item["response"]["body"]["error"]["param"] == wrong[name][1]
    # Each can be asked for later, but the one that was not to be kept.
    assert client.responses.retrieve(answers["good"].id).output_text == "Hello client"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answers["unkept"].id)
    assert made.id in [item.id for item in client.batches.list()]


def unnamed(response: dict[str, Any]) -> dict[str, Any]:
    """What two responses to the same request have in common."""
    for name in ("id", "created_at", "completed_at"):
        response.pop(name)
    for item in response["output"]:
        item.pop("id")
    return response


def test_a_line_for_another_endpoint_than_the_batchs_fails_it(
    client: openai.OpenAI, hello: bytes
) -> None:
    content = jsonl(line("a", asked(data_url(hello)), url="/v1/chat/completions"))
    batch = ended(client, start(client, content, endpoint=ENDPOINT).id)
    assert batch.status == "failed" and batch.errors is not None
    assert [(error.code, error.line) for error in batch.errors.data or []] == [("url_mismatch", 1)]
