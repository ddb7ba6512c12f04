"""Batch jobs, by Mistral's own Python client."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from mistralai.client import Mistral
from mistralai.client.errors import HTTPValidationError, SDKError

from tests.clients.conftest import data_url
from tests.clients.node import passed, run_node
from tests.running import RunningService

pytestmark = pytest.mark.e2e

ENDS = ("SUCCESS", "FAILED", "TIMEOUT_EXCEEDED", "CANCELLED")


@pytest.fixture
def client(service: RunningService) -> Iterator[Mistral]:
    with Mistral(server_url=f"{service.url}/mistral", api_key="none") as made:
        yield made


def body(url: str, **more: Any) -> dict[str, Any]:
    return {"document": {"type": "image_url", "image_url": url}, **more}


def ended(client: Mistral, job_id: str, *, inline: bool = False) -> Any:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        job = client.batch.jobs.get(job_id=job_id, inline=inline)
        if job.status in ENDS:
            return job
        time.sleep(0.2)
    raise AssertionError(f"the job did not end: {job}")


def upload(client: Mistral, *lines: dict[str, Any]) -> str:
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    file = {"file_name": "in.jsonl", "content": content}
    return client.files.upload(file=file, purpose="batch").id


def lines_of(client: Mistral, file_id: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.files.download(file_id=file_id).read().splitlines()]


def test_a_job_of_two_files(client: Mistral, hello: bytes, three_pages: bytes) -> None:
    pdf = {"type": "document_url", "document_url": data_url(three_pages, "application/pdf")}
    first = upload(client, {"custom_id": "a", "body": body(data_url(hello))})
    second = upload(
        client,
        {"custom_id": "b", "body": {"document": pdf, "pages": [0, 2]}},
        {"custom_id": "c", "body": body("data:image/png;base64,AAAA")},
    )
    made = client.batch.jobs.create(
        endpoint="/v1/ocr", input_files=[first, second], model="tesseract",
        metadata={"for": "a test"}, timeout_hours=2,
    )  # fmt: skip
    assert (made.object, made.input_files, made.model) == ("batch", [first, second], "tesseract")
    job = ended(client, made.id)
    assert (job.status, job.metadata) == ("SUCCESS", {"for": "a test"})
    counts = (job.total_requests, job.completed_requests, job.succeeded_requests)
    assert (*counts, job.failed_requests) == (3, 3, 2, 1)
    output = {line["custom_id"]: line["response"] for line in lines_of(client, job.output_file)}
    assert set(output) == {"a", "b"}
    assert output["a"]["status_code"] == 200
    assert "Hello client" in output["a"]["body"]["pages"][0]["markdown"]
    assert [page["index"] for page in output["b"]["body"]["pages"]] == [0, 2]
    (error,) = lines_of(client, job.error_file)
    assert (error["custom_id"], error["response"]["status_code"] // 100) == ("c", 4)


def test_requests_and_answers_inline(client: Mistral, hello: bytes) -> None:
    made = client.batch.jobs.create(
        endpoint="/v1/ocr",
        model="tesseract",
        requests=[{"custom_id": "x", "body": body(data_url(hello))}, {"body": body("nothing")}],
    )
    job = ended(client, made.id, inline=True)
    assert (job.input_files, job.succeeded_requests, job.failed_requests) == ([], 1, 1)
    answers = {line["custom_id"]: line["response"] for line in job.outputs}
    assert "Hello client" in answers["x"]["body"]["pages"][0]["markdown"]
    assert answers["1"]["status_code"] == 422
    assert client.batch.jobs.delete(job_id=job.id).deleted
    with pytest.raises(SDKError) as error:
        client.batch.jobs.get(job_id=job.id)
    assert error.value.status_code == 404


def test_a_broken_line_fails_the_job(client: Mistral) -> None:
    job = ended(
        client,
        client.batch.jobs.create(
            endpoint="/v1/ocr", input_files=[upload(client, {"custom_id": "a"})]
        ).id,
    )
    assert (job.status, job.output_file) == ("FAILED", None)
    assert [error.message for error in job.errors] == ["Line 1: 'body' is an object."]


def test_jobs_are_listed_and_cancelled(client: Mistral, hello: bytes) -> None:
    asked = [{"custom_id": str(n), "body": body(data_url(hello))} for n in range(60)]
    made = client.batch.jobs.create(
        endpoint="/v1/ocr", model="tesseract", input_files=[upload(client, *asked)]
    )
    stopped = client.batch.jobs.cancel(job_id=made.id)
    assert stopped.status in ("CANCELLATION_REQUESTED", "CANCELLED")
    assert ended(client, made.id).status == "CANCELLED"
    found = client.batch.jobs.list(status=["CANCELLED"], page_size=1)
    assert [job.id for job in found.data] == [made.id]
    assert found.total >= 1
    assert not client.batch.jobs.list(model="nothing").data


def test_what_is_wrong_raises_the_right_exception(client: Mistral) -> None:
    for wrong in (
        {"endpoint": "/v1/chat/completions", "input_files": ["file-unknown"]},
        {"endpoint": "/v1/ocr"},
        {"endpoint": "/v1/ocr", "input_files": ["file-unknown"], "timeout_hours": 0},
    ):
        with pytest.raises((SDKError, HTTPValidationError)) as error:
            client.batch.jobs.create(**wrong)
        assert error.value.status_code == 422
    with pytest.raises(SDKError) as unknown:
        client.batch.jobs.create(endpoint="/v1/ocr", input_files=["file-unknown"])
    assert unknown.value.status_code == 400


def test_the_javascript_client_does_the_same(
    service: RunningService, hello: bytes, three_pages: bytes
) -> None:
    env = {
        "SERVER_URL": f"{service.url}/mistral",
        "IMAGE": data_url(hello),
        "PDF": data_url(three_pages, "application/pdf"),
    }
    passed(run_node("mistral_batches.test.mjs", env))
