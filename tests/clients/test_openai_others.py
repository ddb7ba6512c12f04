"""Clients that speak OpenAI's protocol: LangChain and LiteLLM, only the address changed."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import openai
import pydantic
import pytest
from langchain_openai import ChatOpenAI

from tests.clients.conftest import data_url
from tests.running import RunningService

#: What these libraries warn of at this Pydantic is theirs to mend.
pytestmark = pytest.mark.filterwarnings("ignore")


def message(hello: bytes) -> dict[str, Any]:
    image = {"type": "image_url", "image_url": {"url": data_url(hello)}}
    return {"role": "user", "content": [{"type": "text", "text": "Read this."}, image]}


def chat(service: RunningService, **more: Any) -> ChatOpenAI:
    url: Any = f"{service.url}/openai/v1"
    key: Any = "anything"
    return ChatOpenAI(**{"model": "auto", "base_url": url, "api_key": key, **more})


@pytest.mark.parametrize("stream_usage", [True, False])
def test_langchain_invokes_and_streams(
    service: RunningService, hello: bytes, stream_usage: bool
) -> None:
    model = chat(service, stream_usage=stream_usage)
    answer = model.invoke([message(hello)])
    assert str(answer.content).split() == ["Hello", "client"]
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 3
    chunks = list(model.stream([message(hello)]))
    assert "".join(str(chunk.content) for chunk in chunks) == answer.content
    counted = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
    assert [usage["total_tokens"] for usage in counted] == ([3] if stream_usage else [])


@pytest.mark.parametrize("responses", [False, True])
def test_langchain_reads_several_at_once(
    service: RunningService, hello: bytes, responses: bool
) -> None:
    model = chat(service, use_responses_api=responses)
    answers = model.batch([[message(hello)]] * 3)
    assert [answer.text.split() for answer in answers] == [["Hello", "client"]] * 3


class Page(pydantic.BaseModel):
    page: int
    text: str


class Pages(pydantic.BaseModel):
    pages: list[Page]


def test_langchain_fills_a_model_of_the_pages(service: RunningService, hello: bytes) -> None:
    model = chat(service).with_structured_output(Pages, method="json_schema")
    found: Any = model.invoke([message(hello)])
    assert [(page.page, page.text.split()) for page in found.pages] == [(1, ["Hello", "client"])]


def test_langchain_raises_the_class_of_an_error(service: RunningService, hello: bytes) -> None:
    with pytest.raises(openai.NotFoundError):
        chat(service, model="gpt-4o").invoke([message(hello)])


@pytest.fixture
def litellm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    # Its table of prices is on the web.
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    return litellm


def test_litellm_completes_and_streams(service: RunningService, hello: bytes, litellm: Any) -> None:
    asked = {
        "model": "openai/auto",
        "api_base": f"{service.url}/v1",
        "api_key": "anything",
        "messages": [message(hello)],
    }
    answer = litellm.completion(**asked)
    assert answer.choices[0].message.content.split() == ["Hello", "client"]
    assert answer.usage.total_tokens == 3
    stream = litellm.completion(**asked, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == answer.choices[0].message.content
    assert chunks[-1].usage.total_tokens == 3


def test_litellm_uses_responses(service: RunningService, hello: bytes, litellm: Any) -> None:
    part = {"type": "input_image", "image_url": data_url(hello)}
    made = litellm.responses(
        model="openai/auto",
        api_base=f"{service.url}/v1",
        api_key="anything",
        input=[{"role": "user", "content": [part]}],
    )
    assert made.output[0].content[0].text.split() == ["Hello", "client"]


def test_litellm_raises_the_class_of_an_error(
    service: RunningService, hello: bytes, litellm: Any
) -> None:
    asked = {"api_base": f"{service.url}/v1", "api_key": "x", "messages": [message(hello)]}
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(model="openai/gpt-4o", **asked)
    with pytest.raises(litellm.BadRequestError):
        litellm.completion(model="openai/auto", n=2, **asked)
