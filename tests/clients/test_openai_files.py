"""Files, by OpenAI's own Python client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from casola_ocr.sample import sample_image, sample_text
from tests.running import RunningService

pytestmark = pytest.mark.e2e


@pytest.fixture(params=["/openai/v1", "/v1"])
def client(service: RunningService, request: pytest.FixtureRequest) -> openai.OpenAI:
    return openai.OpenAI(base_url=service.url + request.param, api_key="none", max_retries=0)


def test_a_file_is_created_read_and_deleted(client: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "réçu.png"
    path.write_bytes(sample_image())
    made = client.files.create(file=path, purpose="user_data")
    assert (made.object, made.filename, made.status) == ("file", "réçu.png", "processed")
    assert made.bytes == path.stat().st_size
    assert made.expires_at is None
    assert client.files.retrieve(made.id) == made
    assert client.files.wait_for_processing(made.id) == made
    assert client.files.content(made.id).read() == path.read_bytes()
    gone = client.files.delete(made.id)
    assert (gone.id, gone.deleted) == (made.id, True)
    with pytest.raises(openai.NotFoundError) as error:
        client.files.retrieve(made.id)
    assert error.value.param == "id"
    assert error.value.request_id


def test_files_expire_as_asked_and_those_of_batches_in_30_days(client: openai.OpenAI) -> None:
    hour = client.files.create(
        file=("a.txt", b"hello"),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert hour.expires_at == hour.created_at + 3600
    batch = client.files.create(file=("b.jsonl", b"{}\n"), purpose="batch")
    assert batch.expires_at == batch.created_at + 30 * 86_400
    with pytest.raises(openai.BadRequestError) as error:
        client.files.create(
            file=("a.txt", b"hello"),
            purpose="user_data",
            expires_after={"anchor": "created_at", "seconds": 5},
        )
    assert error.value.param == "expires_after.seconds"
    for made in (hour, batch):
        client.files.delete(made.id)


def test_lists_are_paged_by_the_client(client: openai.OpenAI) -> None:
    made = [client.files.create(file=(f"{n}.jsonl", b"{}\n"), purpose="evals").id for n in range(5)]
    found = [file.id for file in client.files.list(limit=2, purpose="evals", order="asc")]
    assert found == sorted(made)
    assert [file.id for file in client.files.list(purpose="evals")] == sorted(made, reverse=True)
    for name in made:
        client.files.delete(name)
    assert list(client.files.list(purpose="evals")) == []


def test_what_is_wrong_raises_the_right_exception(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.files.create(file=("a", b""), purpose="user_data")
    assert error.value.param == "file"
    with pytest.raises(openai.APIStatusError) as large:
        client.files.create(file=("a", bytes(20_000_001)), purpose="user_data")
    assert (large.value.status_code, large.value.code) == (413, "file_size_exceeded")
    with pytest.raises(openai.NotFoundError):
        client.files.content("file-unknown")


async def _async_round_trip(url: str) -> bytes:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
        made = await client.files.create(file=("a.txt", b"hello"), purpose="assistants")
        content = await client.files.content(made.id)
        await client.files.delete(made.id)
        return content.read()


def test_the_asynchronous_client_too(service: RunningService) -> None:
    import asyncio

    assert asyncio.run(_async_round_trip(service.url)) == b"hello"


def test_a_file_is_submitted_by_its_id(client: openai.OpenAI, service: RunningService) -> None:
    made = client.files.create(file=("sample.png", sample_image()), purpose="vision")
    with service.client() as own:
        answer = own.post("/api/v1/jobs", json={"file_id": made.id}).json()
    job = service.finished(answer["request_id"])
    assert (job["status"], job["file_name"]) == ("completed", "sample.png")
    client.files.delete(made.id)


def test_a_chat_message_names_a_file_by_its_id(client: openai.OpenAI) -> None:
    made = client.files.create(file=("sample.png", sample_image()), purpose="vision")
    part: Any = {"type": "file", "file": {"file_id": made.id}}
    answer = client.chat.completions.create(
        model="auto", messages=[{"role": "user", "content": [part]}]
    )
    assert sample_text().split()[0] in str(answer.choices[0].message.content)
    client.files.delete(made.id)
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="auto", messages=[{"role": "user", "content": [part]}])
    assert caught.value.code == "not_found"
