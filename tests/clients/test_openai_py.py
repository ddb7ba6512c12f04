"""OpenAI's Python client against the running service: only its base URL and key are changed."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pydantic
import pytest

from tests.clients.conftest import WebServer, data_url, small_page
from tests.running import RunningService


@pytest.fixture
def client(service: RunningService) -> Iterator[openai.OpenAI]:
    url = f"{service.url}/openai/v1"
    with openai.OpenAI(base_url=url, api_key="anything", max_retries=0) as made:
        yield made


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def pdf(content: bytes) -> dict[str, Any]:
    data = data_url(content, "application/pdf")
    return {"type": "file", "file": {"file_data": data, "filename": "three.pdf"}}


def ask(client: openai.OpenAI, *parts: Any, **more: Any) -> Any:
    content = [{"type": "text", "text": "Extract all text."}, *parts]
    asked: Any = {"model": "auto", "messages": [{"role": "user", "content": content}], **more}
    return client.chat.completions.create(**asked)


def test_a_data_url_is_read_and_the_usage_sums(client: openai.OpenAI, hello: bytes) -> None:
    answer = ask(client, image(data_url(hello)))
    assert answer.choices[0].message.content.split() == ["Hello", "client"]
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1, 2, 3)
    assert answer._request_id.startswith("req_")


def test_a_url_is_downloaded(client: openai.OpenAI, web: WebServer, hello: bytes) -> None:
    answer = ask(client, image(web.put("hello.png", hello)))
    assert "Hello" in answer.choices[0].message.content


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/a.png", "not a url", "data:image/png;base64,!!", "ftp://a/b.png"]
)
def test_a_url_that_cannot_be_read_names_the_parameter(client: openai.OpenAI, url: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, image(url))
    assert caught.value.param == "messages"
    assert caught.value.code in ("invalid_image_url", "invalid_base64_image")
    assert caught.value.request_id


def test_two_images_keep_their_order(client: openai.OpenAI) -> None:
    urls = [data_url(small_page(word)) for word in ("Zebra", "Apple")]
    assert ask(client, *map(image, urls)).choices[0].message.content.split() == ["Zebra", "Apple"]


def test_words_alone_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client)
    assert (caught.value.type, caught.value.param) == ("invalid_request_error", "messages")


def test_a_stream_of_a_pdf_is_its_text_and_ends_with_the_usage(
    client: openai.OpenAI, three_pages: bytes
) -> None:
    whole = ask(client, pdf(three_pages))
    with ask(client, pdf(three_pages), stream=True, stream_options={"include_usage": True}) as said:
        *chunks, last = list(said)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert [word for word in text.split() if word != "page"] == ["Alpha", "Bravo", "Charlie"]
    assert (last.choices, last.usage) == ([], whole.usage)
    assert whole.usage.prompt_tokens == 3
    with ask(client, pdf(three_pages), stream=True) as said:
        assert all(chunk.usage is None and chunk.choices for chunk in said)


def test_max_tokens_ends_with_length(client: openai.OpenAI, three_pages: bytes) -> None:
    answer = ask(client, pdf(three_pages), max_tokens=5)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 5


def test_logprobs_have_an_entry_for_each_token(client: openai.OpenAI, hello: bytes) -> None:
    choice = ask(client, image(data_url(hello)), logprobs=True, top_logprobs=2).choices[0]
    assert "".join(entry.token for entry in choice.logprobs.content) == choice.message.content
    assert all(entry.logprob <= 0 for entry in choice.logprobs.content)


def test_more_than_one_choice_is_refused(client: openai.OpenAI, hello: bytes) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, image(data_url(hello)), n=2)
    assert caught.value.param == "n"


class Page(pydantic.BaseModel):
    page: int
    text: str
    confidence: float | None


class Pages(pydantic.BaseModel):
    pages: list[Page]


def test_parse_fills_a_model_of_the_pages(client: openai.OpenAI, three_pages: bytes) -> None:
    messages: Any = [{"role": "user", "content": [pdf(three_pages)]}]
    answer = client.chat.completions.parse(model="auto", messages=messages, response_format=Pages)
    parsed = answer.choices[0].message.parsed
    assert parsed is not None
    assert [(page.page, page.text.split()[0]) for page in parsed.pages] == [
        (1, "Alpha"), (2, "Bravo"), (3, "Charlie")
    ]  # fmt: skip


def test_models_are_listed_and_an_unknown_one_is_not_found(
    client: openai.OpenAI, hello: bytes
) -> None:
    names = [model.id for model in client.models.list()]
    assert "auto" in names
    assert client.models.retrieve(names[-1]).id == names[-1]
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4o")
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, image(data_url(hello)), model="gpt-4o")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_cancels_its_job(service: RunningService, stream: bool) -> None:
    pages = [small_page(*[f"Line {n} of a long page"] * 60) for n in range(6)]
    body = {
        "model": "auto",
        "stream": stream,
        "messages": [{"role": "user", "content": [image(data_url(page)) for page in pages]}],
    }
    content = json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(
            b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(content) + content
        )
        with service.client() as own:
            newest = _newest(own, len(pages))
    with service.client() as own:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            states = {own.get(f"/api/v1/jobs/{name}").json()["status"] for name in newest}
            if states <= {"completed", "cancelled"}:
                break
            time.sleep(0.2)
    assert "cancelled" in states, states


def _newest(own: httpx.Client, count: int) -> list[str]:
    """The batch that was accepted a moment ago."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        jobs = own.get("/api/v1/library", params={"limit": count}).json()["data"]
        together = len(jobs) == count and len({job["batch_id"] for job in jobs}) == 1
        if together and {job["status"] for job in jobs} & {"queued", "processing"}:
            return [job["request_id"] for job in jobs]
        time.sleep(0.05)
    raise AssertionError("the request was not accepted")
