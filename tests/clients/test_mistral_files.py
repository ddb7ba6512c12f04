"""Files and their links, by Mistral's own Python client."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from mistralai.client import Mistral
from mistralai.client.errors import SDKError

from casola_ocr.sample import sample_image, sample_text
from tests.running import RunningService

pytestmark = pytest.mark.e2e


@pytest.fixture
def client(service: RunningService) -> Iterator[Mistral]:
    with Mistral(server_url=f"{service.url}/mistral", api_key="none") as made:
        yield made


def upload(client: Mistral, name: str = "sample.png", content: bytes | None = None) -> str:
    content = sample_image() if content is None else content
    made = client.files.upload(file={"file_name": name, "content": content}, purpose="ocr")
    return made.id


def test_a_file_is_uploaded_listed_read_and_deleted(client: Mistral) -> None:
    made = client.files.upload(
        file={"file_name": "scan é.png", "content": sample_image()}, purpose="ocr", expiry=2
    )
    assert (made.object, made.filename, made.purpose) == ("file", "scan é.png", "ocr")
    assert (made.size_bytes, made.mimetype) == (len(sample_image()), "image/png")
    assert made.expires_at == made.created_at + 7200
    found = client.files.retrieve(file_id=made.id)
    assert (found.id, found.deleted) == (made.id, False)
    listed = client.files.list(purpose="ocr", search="scan", page_size=1000)
    assert made.id in [file.id for file in listed.data]
    assert listed.total == len(listed.data)
    assert client.files.download(file_id=made.id).read() == sample_image()
    assert client.files.delete(file_id=made.id).deleted
    with pytest.raises(SDKError) as error:
        client.files.retrieve(file_id=made.id)
    assert error.value.status_code == 404


def test_a_signed_url_opens_without_a_key_and_can_be_read(
    client: Mistral, service: RunningService
) -> None:
    name = upload(client)
    url = client.files.get_signed_url(file_id=name, expiry=1).url
    answer = httpx.get(url)
    assert (answer.status_code, answer.content) == (200, sample_image())
    with service.client() as own:
        job = own.post("/api/v1/jobs", json={"url": url}).json()
    service.finished(job["request_id"])
    with service.client() as own:
        result = own.get(f"/api/v1/jobs/{job['request_id']}/result").json()
    assert result["status"] == "completed"
    assert sample_text().split()[0] in result["text"]
    client.files.delete(file_id=name)
    assert httpx.get(url).status_code == 404


def test_what_is_wrong_raises_the_right_exception(client: Mistral) -> None:
    # This client knows no validation error of an upload.
    with pytest.raises(SDKError) as empty:
        upload(client, content=b"")
    assert (empty.value.status_code, "no bytes" in empty.value.body) == (422, True)
    with pytest.raises(SDKError) as error:
        upload(client, content=bytes(20_000_001))
    assert error.value.status_code == 413
    with pytest.raises(SDKError):
        client.files.get_signed_url(file_id="file-unknown")
