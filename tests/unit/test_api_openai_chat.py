"""POST /openai/v1/chat/completions (and /v1): the shapes that OpenAI's clients read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from casola_ocr.errors import (
    CasolaError,
    EngineUnavailable,
    FetchRefused,
    FileTooLarge,
    MalformedRequest,
    TooBusy,
    UnknownModel,
    UnsupportedFormat,
)
from casola_ocr.model import JobError, JobStatus, Lane
from casola_ocr.pages import Line, PageResult, Word
from tests.api_stub import CONTENT, CREATED_AT, DATA_URL, World, make_world

PATH = "/openai/v1/chat/completions"


def image(url: Any = DATA_URL) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def chat(*parts: Any, **more: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": "Extract all text."}, *(parts or (image(),))]
    return {"model": "auto", "messages": [{"role": "user", "content": content}], **more}


def ask(world: World, body: Any, path: str = PATH) -> Any:
    return world.client.post(path, json=body)


@pytest.mark.parametrize("path", [PATH, "/v1/chat/completions"])
def test_the_text_is_the_assistants_message(path: str) -> None:
    world = make_world()
    answer = ask(world, chat(temperature=0, unknown="ignored"), path)
    (request_id,) = world.jobs.known
    assert answer.status_code == 200
    assert answer.get_json() == {
        "id": f"chatcmpl-{request_id.removeprefix('req_')}",
        "created": CREATED_AT // 1000,
        "model": "pp-ocrv6",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Grüße", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    assert answer.headers["x-request-id"] == request_id
    assert world.jobs.options is not None
    assert world.jobs.options.lane is Lane.INTERACTIVE


def test_several_images_keep_their_order_and_share_the_wait() -> None:
    world = make_world()
    world.jobs.texts = ["one", "two"]
    answer = ask(world, chat(image(), image("https://example.com/b.png")))
    assert answer.get_json()["choices"][0]["message"]["content"] == "one\n\ntwo"
    assert world.jobs.sources == [CONTENT, None]
    first, second = (call[2] for call in world.jobs.calls if call[0] == "wait")
    assert second < first <= 120


PDF_URL = DATA_URL.replace("image/png", "application/pdf")


@pytest.mark.parametrize("data", [PDF_URL, PDF_URL.partition(",")[2]])
def test_a_file_part_holds_a_data_url_or_bare_base64(data: str) -> None:
    world = make_world()
    part = {"type": "file", "file": {"file_data": data, "filename": "bill.pdf"}}
    assert ask(world, chat(part)).status_code == 200
    assert world.jobs.sources == [CONTENT]
    assert world.jobs.documents[0].file_name == "bill.pdf"


def page(number: int, text: str, confidences: list[float | None]) -> PageResult:
    """A page of one line, whose words have these confidences."""
    words = tuple(
        Word(text=word, confidence=sure, start=text.index(word))
        for word, sure in zip(text.split(), confidences, strict=True)
    )
    line = Line(text=text, confidence=None, box=(0, 0, 9, 9), words=words)
    return PageResult(
        page=number, width=9, height=9, text=text, words=len(words), confidence=0.5,
        confidence_low=None, engine="e", engine_version="1", attempts=1, seconds=0.1,
        lines=(line,),
    )  # fmt: skip


def two_pages(*confidences: float | None) -> World:
    world = make_world()
    world.jobs.pages = [page(1, "one two", [0.5, 1.0]), page(2, "three", [*confidences] or [0.0])]
    return world


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    ("most", "text", "reason"),
    [(1, "one", "length"), (2, "one two", "length"), (3, "one two\fthree", "stop")],
)
def test_an_answer_is_cut_after_so_many_tokens(
    field: str, most: int, text: str, reason: str
) -> None:
    answer = ask(two_pages(), chat(**{field: most})).get_json()
    assert answer["choices"][0]["message"]["content"] == text
    assert answer["choices"][0]["finish_reason"] == reason
    assert answer["usage"]["completion_tokens"] == most


def test_logprobs_are_the_words_confidences() -> None:
    answer = ask(two_pages(), chat(logprobs=True, top_logprobs=2)).get_json()
    content = answer["choices"][0]["logprobs"]["content"]
    assert [(entry["token"], entry["logprob"]) for entry in content] == [
        ("one", -0.693147), (" two", 0.0), ("\fthree", -9999.0)
    ]  # fmt: skip
    assert bytes(content[1]["bytes"]) == b" two"
    assert [other["token"] for other in content[1]["top_logprobs"]] == [" two"]


def test_logprobs_are_null_where_a_word_has_no_confidence() -> None:
    answer = ask(two_pages(None), chat(logprobs=True)).get_json()
    assert answer["choices"][0]["logprobs"] is None


def test_a_json_schema_of_some_fields_is_filled_with_them() -> None:
    item: dict[str, Any] = {
        "type": "object",
        "properties": {"page": {"type": "integer"}, "text": {"type": "string"}},
        "required": ["page", "text"],
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": {"pages": {"type": "array", "items": {"$ref": "#/$defs/Page"}}},
        "$defs": {"Page": item},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "pages", "schema": schema}}
    answer = ask(two_pages(), chat(response_format=wanted)).get_json()
    assert json.loads(answer["choices"][0]["message"]["content"]) == {
        "pages": [{"page": 1, "text": "one two"}, {"page": 2, "text": "three"}]
    }
    item["properties"]["total"] = {"type": "number"}
    assert ask(two_pages(), chat(response_format=wanted)).status_code == 400


def test_a_stream_sends_each_page_for_itself() -> None:
    chunks = events(ask(two_pages(), chat(stream=True)))
    told = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
    assert told == ["", "one two", "\fthree", None]


def test_only_the_last_user_message_counts() -> None:
    world = make_world()
    body = chat(image("https://example.com/last.png"))
    body["messages"] = [chat(image(), image())["messages"][0], *body["messages"],
                        {"role": "assistant", "content": "ok"}]  # fmt: skip
    ask(world, body)
    assert [document.url for document in world.jobs.documents] == ["https://example.com/last.png"]


def events(answer: Any) -> list[Any]:
    assert answer.mimetype == "text/event-stream"
    lines = answer.get_data(as_text=True).split("\n\n")
    assert lines.pop() == ""
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_a_stream_adds_up_to_the_text_and_says_when_it_ends() -> None:
    world = make_world()
    answer = ask(world, chat(stream=True))
    chunks = events(answer)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    choices = [chunk["choices"][0] for chunk in chunks]
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "Grüße"
    assert [choice["finish_reason"] for choice in choices] == [None, None, "stop"]
    assert all("usage" not in chunk for chunk in chunks)
    assert answer.headers["x-request-id"] in world.jobs.known


def test_a_stream_ends_with_the_usage_when_asked() -> None:
    options = {"include_usage": True}
    *chunks, last = events(ask(make_world(), chat(stream=True, stream_options=options)))
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 1
    assert all(chunk["usage"] is None for chunk in chunks)


@pytest.mark.parametrize("body", [chat(stream=None, n=None), chat(stream=False, n=1)])
def test_defaults_may_be_sent_as_null(body: Any) -> None:
    assert ask(make_world(), body).get_json()["object"] == "chat.completion"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], None),
        ({}, "model"),
        ({"model": 5}, "model"),
        ({"model": "auto"}, "messages"),
        ({"model": "auto", "messages": "x"}, "messages"),
        ({"model": "auto", "messages": []}, "messages"),
        ({"model": "auto", "messages": [5]}, "messages"),
        ({"model": "auto", "messages": [{"role": "user", "content": "hi"}]}, "messages"),
        ({"model": "auto", "messages": [{"role": "user", "content": [5]}]}, "messages"),
        (chat(image(5)), "messages"),
        (chat({"type": "image_url"}), "messages"),
        (chat({"type": "input_audio"}), "messages"),
        (chat({"type": "file", "file": {}}), "messages"),
        (chat({"type": "file", "file": {"file_data": 5}}), "messages"),
        (chat(max_tokens=0), "max_tokens"),
        (chat(max_completion_tokens="5"), "max_completion_tokens"),
        (chat(max_tokens=True), "max_tokens"),
        (chat(logprobs=1), "logprobs"),
        (chat(top_logprobs=2), "top_logprobs"),
        (chat(logprobs=True, top_logprobs=21), "top_logprobs"),
        (chat(temperature="hot"), "temperature"),
        (chat(temperature=float("nan")), "temperature"),
        (chat(metadata={"a": 5}), "metadata"),
        (chat(user=5), "user"),
        (chat(response_format={"type": "xml"}), "response_format"),
        (chat(response_format={"type": "json_schema"}), "response_format"),
        (chat(response_format="text"), "response_format"),
        (chat(n=2), "n"),
        (chat(stream="yes"), "stream"),
        (chat(stream=True, stream_options="x"), "stream_options"),
    ],
)
def test_a_wrong_request_is_400_and_names_the_parameter(body: Any, param: str | None) -> None:
    world = make_world()
    answer = ask(world, body)
    error = answer.get_json()["error"]
    assert answer.status_code == 400
    assert error["type"] == "invalid_request_error"
    assert (error["param"] or "").partition("[")[0] == (param or "")
    assert error["message"]
    assert answer.headers["x-request-id"]
    assert world.jobs.calls == []


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("data:image/png;base64,???", "invalid_base64_image"),
        ("data:image/png;base64,", "empty_image_file"),
        ("data:," + "a" * 1_000_001, "image_file_too_large"),
        ("data:," + "a" * 1_500_000, "image_file_too_large"),
    ],
)
def test_an_image_that_cannot_be_decoded_has_openais_code(url: str, code: str) -> None:
    answer = ask(make_world(max_file_mb=1), chat(image(url)))
    error = answer.get_json()["error"]
    assert answer.status_code == 400
    assert (error["code"], error["param"]) == (code, "messages")


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (UnknownModel(), 404, "invalid_request_error", "model_not_found"),
        (FetchRefused(), 400, "invalid_request_error", "invalid_image_url"),
        (UnsupportedFormat(), 400, "invalid_request_error", "invalid_image_format"),
        (FileTooLarge(), 400, "invalid_request_error", "image_file_too_large"),
        (TooBusy(), 429, "rate_limit_error", "too_busy"),
        (EngineUnavailable(), 503, "server_error", "engine_unavailable"),
    ],
)
def test_a_refusal_has_openais_status_type_and_code(
    error: CasolaError, status: int, kind: str, code: str
) -> None:
    world = make_world()
    world.jobs.refuse = error
    answer = ask(world, chat())
    told = answer.get_json()["error"]
    assert set(told) == {"message", "type", "param", "code"}
    assert answer.status_code == status
    assert (told["type"], told["code"], told["message"]) == (kind, code, error.detail)
    assert ("Retry-After" in answer.headers) == (status in (429, 503))


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("fetch_timeout", 400, "failed_to_download_image"),
        ("damaged_document", 400, "image_parse_error"),
        ("engine_failed", 500, "engine_failed"),
    ],
)
def test_a_job_that_failed_is_an_error_with_its_request_id(
    code: str, status: int, told: str
) -> None:
    world = make_world()
    world.jobs.ends, world.jobs.error = [JobStatus.FAILED], JobError(code=code, detail="Why.")
    answer = ask(world, chat(stream=True))
    (request_id,) = world.jobs.known
    assert answer.status_code == status
    error = answer.get_json()["error"]
    assert (error["code"], error["message"]) == (told, "Why.")
    assert answer.headers["x-request-id"] == request_id


def test_a_wait_in_vain_is_504_and_must_not_be_sent_again() -> None:
    world = make_world()
    world.jobs.ends = [JobStatus.COMPLETED, JobStatus.PROCESSING]
    answer = ask(world, chat(image(), image()))
    slow = list(world.jobs.known)[1]
    assert answer.status_code == 504
    assert slow in answer.get_json()["error"]["message"]
    assert answer.headers["x-should-retry"] == "false"


def test_a_job_cancelled_meanwhile_is_409_and_must_not_be_sent_again() -> None:
    world = make_world()
    world.jobs.ends = [JobStatus.CANCELLED]
    answer = ask(world, chat())
    assert answer.status_code == 409
    assert answer.headers["x-should-retry"] == "false"


def test_no_token_is_an_authentication_error() -> None:
    world = make_world()
    world.tokens.secrets["secret"] = "acme"
    answer = ask(world, chat())
    assert answer.status_code == 401
    assert answer.get_json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [("{", "application/json", 400), ("[" * 100_000, "application/json", 400),
     ("{}", "text/plain", 415)],
)  # fmt: skip
def test_a_body_that_is_not_json_is_not_blamed_on_the_image(
    body: str, kind: str, status: int
) -> None:
    answer = make_world().client.post(PATH, data=body, content_type=kind)
    assert answer.status_code == status
    assert answer.get_json()["error"]["param"] is None


def test_too_many_images_are_refused() -> None:
    world = make_world(max_files_per_request=2)
    assert ask(world, chat(image(), image(), image())).status_code == 400
    assert world.jobs.calls == []


def said(world: World, text: Any, model: str = "auto") -> tuple[str, str]:
    """Mode and prompt of what was submitted for an image with this text."""
    world.jobs.options = None
    parts = [{"type": "text", "text": text}, image()]
    answer = ask(world, {"model": model, "messages": [{"role": "user", "content": parts}]})
    assert answer.status_code == 200, answer.get_json()
    assert world.jobs.options is not None
    return world.jobs.options.mode, world.jobs.options.prompt


@pytest.mark.parametrize("model", ["auto", "deepseek-ocr"])
def test_text_is_the_prompt_of_an_engine_that_takes_one(model: str) -> None:
    world = make_world()
    world.jobs.engines = ("deepseek-ocr", "pp-ocrv6")
    assert said(world, "Only the <|ref|>total<|/ref|>", model) == ("document", "Only the total")


@pytest.mark.parametrize(
    ("engines", "model"),
    [
        (("pp-ocrv6",), "auto"),
        (("deepseek-ocr-v2", "deepseek-ocr"), "auto"),
        (("deepseek-ocr-v2", "deepseek-ocr"), "deepseek-ocr-v2"),
    ],
)
def test_text_is_ignored_where_the_engine_takes_no_prompt(
    engines: tuple[str, ...], model: str
) -> None:
    world = make_world()
    world.jobs.engines = engines
    assert said(world, "x" * 5000, model) == ("document", "")


@pytest.mark.parametrize("engine", ["deepseek-ocr", "pp-ocrv6"])
def test_the_usual_phrases_choose_a_mode_of_any_engine(engine: str) -> None:
    world = make_world()
    world.jobs.engines = (engine,)
    assert said(world, "<image>\nFree OCR.") == ("text", "")
    assert said(world, "<|grounding|>Convert the document to markdown.") == ("document", "")


@pytest.mark.parametrize("text", ["", None, 5, {"a": "b"}])
def test_a_text_part_without_text_is_none(text: Any) -> None:
    world = make_world()
    world.jobs.engines = ("deepseek-ocr",)
    assert said(world, text) == ("document", "")


def test_all_text_parts_of_the_last_message_are_one_prompt_and_no_others() -> None:
    world = make_world()
    world.jobs.engines = ("deepseek-ocr",)
    body = chat({"type": "text", "text": "And this."}, image())
    body["messages"].insert(0, {"role": "system", "content": "You are a pirate."})
    assert ask(world, body).status_code == 200
    assert world.jobs.options is not None
    assert world.jobs.options.prompt == "Extract all text.\nAnd this."


def test_a_prompt_that_is_refused_is_blamed_on_the_messages() -> None:
    world = make_world()
    world.jobs.refuse = MalformedRequest("'prompt' has at most 2000 characters.", field="prompt")
    assert ask(world, chat()).get_json()["error"]["param"] == "messages"
