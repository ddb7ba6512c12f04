"""OpenAI's Responses with its Python client, against the running service."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pydantic
import pytest
import redis

from tests.clients.conftest import WebServer, data_url, small_page
from tests.clients.node import passed, run_node
from tests.running import RunningService

HOPELESS = b"\x89PNG\r\n\x1a\n" + b"no picture" * 20


@pytest.fixture(params=["/openai/v1", "/v1"])
def client(service: RunningService, request: pytest.FixtureRequest) -> Iterator[openai.OpenAI]:
    url = f"{service.url}{request.param}"
    with openai.OpenAI(base_url=url, api_key="anything", max_retries=0) as made:
        yield made


@pytest.fixture
def plain(service: RunningService) -> Iterator[openai.OpenAI]:
    url = f"{service.url}/openai/v1"
    with openai.OpenAI(base_url=url, api_key="anything", max_retries=0) as made:
        yield made


def image(url: str) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url, "detail": "auto"}


def pdf(content: bytes) -> dict[str, Any]:
    data = data_url(content, "application/pdf")
    return {"type": "input_file", "filename": "three.pdf", "file_data": data}


def said(*parts: Any) -> Any:
    text = {"type": "input_text", "text": "Extract all text."}
    return [{"role": "user", "content": [text, *parts]}]


def timeless(response: Any) -> dict[str, Any]:
    """Who waits is told the time of the answer, who asks later that of the last page."""
    told: dict[str, Any] = response.to_dict()
    assert told.pop("completed_at") >= told["created_at"]
    return told


def ended(client: openai.OpenAI, response_id: str, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    response = client.responses.retrieve(response_id)
    while response.status in ("queued", "in_progress"):
        assert time.monotonic() < deadline, response
        time.sleep(0.1)
        response = client.responses.retrieve(response_id)
    return response


def test_an_image_and_a_pdf_are_the_output_text(
    client: openai.OpenAI, hello: bytes, three_pages: bytes
) -> None:
    made = client.responses.create(
        model="auto",
        input=said(image(data_url(hello)), pdf(three_pages)),
        metadata={"case": "7"},
        user="somebody",
    )
    words = [word for word in made.output_text.split() if word != "page"]
    assert words == ["Hello", "client", "Alpha", "Bravo", "Charlie"]
    assert (made.status, made.error, made.metadata) == ("completed", None, {"case": "7"})
    assert made.usage is not None
    assert (made.usage.input_tokens, made.usage.output_tokens) == (4, 8)
    assert made.usage.total_tokens == 12
    assert made._request_id == made.id.replace("resp_", "req_")
    assert timeless(client.responses.retrieve(made.id)) == timeless(made)


def test_files_are_named_by_a_url_or_an_id(
    plain: openai.OpenAI, web: WebServer, hello: bytes, three_pages: bytes
) -> None:
    kept = plain.files.create(file=("three.pdf", three_pages), purpose="user_data")
    picture = plain.files.create(file=("hello.png", hello), purpose="vision")
    made = plain.responses.create(
        model="auto",
        input=said(
            {"type": "input_file", "file_id": kept.id},
            {"type": "input_image", "file_id": picture.id, "detail": "high"},
            {"type": "input_file", "file_url": web.put("again.pdf", three_pages)},
            image(web.put("hello.png", hello)),
        ),
    )
    words = [word for word in made.output_text.split() if word != "page"]
    assert words == ["Alpha", "Bravo", "Charlie", "Hello", "client"] * 2
    with pytest.raises(openai.NotFoundError):
        plain.responses.create(
            model="auto", input=said({"type": "input_image", "file_id": "file-none"})
        )


def test_a_stream_has_the_packages_events_and_adds_up(
    client: openai.OpenAI, three_pages: bytes
) -> None:
    with client.responses.stream(model="auto", input=said(pdf(three_pages))) as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert set(kinds[4:-4]) == {"response.output_text.delta"}
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == final.output_text == client.responses.retrieve(final.id).output_text
    assert text.split() == ["Alpha", "page", "Bravo", "page", "Charlie", "page"]


def test_work_in_the_background_is_asked_for_later(
    client: openai.OpenAI, three_pages: bytes
) -> None:
    made = client.responses.create(
        model="auto", input=said(pdf(three_pages)), background=True, metadata={"a": "b"}
    )
    assert made.status in ("queued", "in_progress")
    assert (made.output, made.background) == ([], True)
    done = ended(client, made.id)
    assert (done.status, done.metadata) == ("completed", {"a": "b"})
    assert done.completed_at >= done.created_at == made.created_at
    assert done.output_text.split()[::2] == ["Alpha", "Bravo", "Charlie"]
    assert client.responses.cancel(made.id).status == "completed"
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(made.id)


def test_a_stream_of_the_background_is_taken_up_where_it_ended(
    plain: openai.OpenAI, three_pages: bytes
) -> None:
    asked = plain.responses.create(
        model="auto", input=said(pdf(three_pages)), background=True, stream=True
    )
    begun = []
    with asked as stream:
        for event in stream:
            begun.append(event)
            if event.type == "response.in_progress":
                break
    assert [event.type for event in begun] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    made: Any = begun[0]
    with plain.responses.retrieve(made.response.id, stream=True, starting_after=2) as rest:
        later: list[Any] = list(rest)
    assert [event.sequence_number for event in later] == list(range(3, 3 + len(later)))
    assert later[-1].type == "response.completed"
    again: list[Any] = list(plain.responses.retrieve(made.response.id, stream=True))
    assert again[3:] == later
    assert later[-1].response == plain.responses.retrieve(made.response.id)


def test_a_cancelled_response_stays_cancelled(plain: openai.OpenAI) -> None:
    pages = [small_page(*[f"Line {n} of a long page"] * 60) for n in range(6)]
    made = plain.responses.create(
        model="auto", input=said(*(image(data_url(page)) for page in pages)), background=True
    )
    assert plain.responses.cancel(made.id).status == "cancelled"
    assert plain.responses.cancel(made.id).status == "cancelled"
    assert plain.responses.retrieve(made.id).status == "cancelled"
    *_, last = plain.responses.retrieve(made.id, stream=True)
    assert last.type == "response.incomplete"


def test_only_the_background_can_be_cancelled(plain: openai.OpenAI, hello: bytes) -> None:
    made = plain.responses.create(model="auto", input=said(image(data_url(hello))))
    with pytest.raises(openai.BadRequestError):
        plain.responses.cancel(made.id)


def test_what_is_not_to_be_stored_cannot_be_asked_for(
    plain: openai.OpenAI, service: RunningService, hello: bytes
) -> None:
    made = plain.responses.create(model="auto", input=said(image(data_url(hello))), store=False)
    assert made.output_text.split() == ["Hello", "client"]
    with pytest.raises(openai.NotFoundError):
        plain.responses.retrieve(made.id)
    with service.client() as own:
        job = own.get(f"/api/v1/jobs/{made._request_id}").json()
    assert job["expires_at"] is not None
    with pytest.raises(openai.BadRequestError) as caught:
        plain.responses.create(
            model="auto", input=said(image(data_url(hello))), store=False, background=True
        )
    assert caught.value.param == "store"


def test_max_output_tokens_makes_it_incomplete(plain: openai.OpenAI, three_pages: bytes) -> None:
    made = plain.responses.create(model="auto", input=said(pdf(three_pages)), max_output_tokens=3)
    assert made.status == "incomplete"
    assert made.incomplete_details is not None
    assert made.incomplete_details.reason == "max_output_tokens"
    assert made.output_text.split() == ["Alpha", "page", "Bravo"]
    assert timeless(ended(plain, made.id)) == timeless(made)


class Page(pydantic.BaseModel):
    page: int
    text: str


class Pages(pydantic.BaseModel):
    pages: list[Page]


def test_parse_fills_a_model_of_the_pages(plain: openai.OpenAI, three_pages: bytes) -> None:
    made = plain.responses.parse(model="auto", input=said(pdf(three_pages)), text_format=Pages)
    assert made.output_parsed is not None
    assert [page.text.split()[0] for page in made.output_parsed.pages] == [
        "Alpha", "Bravo", "Charlie"
    ]  # fmt: skip

    class Bill(pydantic.BaseModel):
        total: float

    with pytest.raises(openai.BadRequestError) as caught:
        plain.responses.parse(model="auto", input=said(pdf(three_pages)), text_format=Bill)
    assert caught.value.param == "text.format"


def test_logprobs_are_there_when_they_are_included(plain: openai.OpenAI, hello: bytes) -> None:
    made: Any = plain.responses.create(
        model="auto",
        input=said(image(data_url(hello))),
        include=["message.output_text.logprobs"],
        top_logprobs=2,
    )
    entries = made.output[0].content[0].logprobs
    assert "".join(entry.token for entry in entries) == made.output_text
    assert all(entry.logprob <= 0 for entry in entries)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (image("http://10.0.0.1/a.png"), "invalid_image_url"),
        (image("data:image/png;base64,!!"), "invalid_base64_image"),
        (image(data_url(HOPELESS)), "image_parse_error"),
    ],
)
def test_what_cannot_be_read_names_the_input(plain: openai.OpenAI, wanted: Any, code: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        plain.responses.create(model="auto", input=said(wanted))
    assert (caught.value.param, caught.value.code) == ("input", code)
    assert caught.value.request_id


def test_words_alone_and_unknown_parts_are_refused(plain: openai.OpenAI) -> None:
    for asked in ("Hello?", said(), [{"role": "user", "content": "Hello?"}]):
        with pytest.raises(openai.BadRequestError) as caught:
            plain.responses.create(model="auto", input=asked)
        assert caught.value.param == "input"
    sound: Any = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
    with pytest.raises(openai.BadRequestError) as caught:
        plain.responses.create(model="auto", input=said(sound))
    assert caught.value.param == "input[0].content[1].type"


def test_a_failure_in_the_background_is_told_with_the_response(
    plain: openai.OpenAI, web: WebServer
) -> None:
    missing = web.put("there.png", b"") + ".not"
    made = plain.responses.create(model="auto", input=said(image(missing)), background=True)
    done = ended(plain, made.id)
    assert done.status == "failed"
    assert done.error is not None
    assert done.error.code == "failed_to_download_image"
    *_, last = plain.responses.retrieve(made.id, stream=True)
    assert last.type == "response.failed"
    assert last.response.error == done.error


def test_responses_survive_a_wiped_valkey(
    make_service: Callable[..., RunningService], hello: bytes, three_pages: bytes
) -> None:
    service = make_service()
    url = f"{service.url}/v1"
    with openai.OpenAI(base_url=url, api_key="anything", max_retries=2) as client:
        parts = [image(data_url(hello)), pdf(three_pages)]
        made = client.responses.create(model="auto", input=said(*parts), metadata={"a": "b"})
        with redis.Redis.from_url(service.redis_url()) as records:
            records.flushall()
        assert timeless(client.responses.retrieve(made.id)) == timeless(made)


def test_an_unknown_id_is_not_found(plain: openai.OpenAI, service: RunningService) -> None:
    with service.client() as own:
        body = {"url": data_url(small_page("Own"))}
        job = own.post("/api/v1/jobs", json=body).json()
    foreign = job["request_id"].replace("req_", "resp_")
    for name in ("resp_none", "req_1", foreign):
        with pytest.raises(openai.NotFoundError):
            plain.responses.retrieve(name)


def test_openais_javascript_client_uses_responses(
    service: RunningService, hello: bytes, three_pages: bytes
) -> None:
    env = {
        "SERVICE_URL": service.url,
        "IMAGE_URL": data_url(hello),
        "PDF_URL": data_url(three_pages, "application/pdf"),
    }
    passed(run_node("openai_responses.test.mjs", env))
