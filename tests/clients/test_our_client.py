"""Our own client, of both kinds, against the running service with its real engine."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from casola_ocr.client import (
    Client,
    JobFailed,
    JobStatus,
    NotFound,
    Refused,
    Result,
    patience,
)
from tests.both_clients import KINDS, Either
from tests.clients.conftest import WebServer, small_page
from tests.cutting import cutting
from tests.pdfs import make_pdf, text_page
from tests.running import RunningService
from tests.servers import S3Server


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def client(kind: Any, service: RunningService) -> Either:
    return Either(kind, service.url)


def words(result: Result) -> list[str]:
    return result.text.split()


def test_a_file_is_read_with_boxes_and_confidence(
    client: Either, hello: bytes, tmp_path: Path
) -> None:
    scan = tmp_path / "scan.png"
    scan.write_bytes(hello)
    result = client.read(scan)
    assert words(result) == ["Hello", "client"]
    assert (result.job.status, result.job.file_name) == (JobStatus.COMPLETED, "scan.png")
    (page,) = result.pages
    (word, _) = page.lines[0].words
    assert (word.text, result.failed_pages) == ("Hello", ())
    assert 0.5 < (word.confidence or 0) <= 1
    x0, y0, x1, y1 = page.lines[0].box
    assert 0 <= x0 < x1 <= page.width
    assert 0 <= y0 < y1 <= page.height


def test_a_url_is_read(client: Either, web: WebServer, hello: bytes) -> None:
    assert words(client.read(web.put("ours.png", hello))) == ["Hello", "client"]


def test_a_file_that_is_no_document_is_refused(client: Either) -> None:
    with pytest.raises(Refused) as caught:
        client.read(b"<html>no document</html>", file_name="scan.png")
    assert (caught.value.code, caught.value.status) == ("unsupported_format", 415)
    assert "PDF" in caught.value.advice


def test_a_document_that_cannot_be_opened_fails_with_its_reason(
    client: Either, three_pages: bytes
) -> None:
    with pytest.raises(JobFailed) as caught:
        client.read(three_pages, pages="7")
    assert caught.value.code == "no_such_pages"
    with pytest.raises(JobFailed):
        client.pages(caught.value.job)


def test_pages_come_while_a_long_document_is_read(client: Either) -> None:
    document = make_pdf(
        [text_page([f"Number {n}"], size=(300, 100), points=24) for n in range(1, 9)]
    )
    job = client.submit(document, file_name="long.pdf", lane="bulk")
    pages = client.pages(job)
    assert sorted((page.page, page.text) for page in pages) == [
        (n, f"Number {n}") for n in range(1, 9)
    ]
    again = client.pages(job.request_id)
    assert [page.page for page in again] == list(range(1, 9))
    events = client.follow(job)
    assert events[-1].kind == "finished"
    assert events[-1].job.pages.done == 8


def test_a_connection_that_breaks_makes_no_second_job(
    kind: Any, service: RunningService, hello: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSE_SECONDS", 0.05)
    name = f"broken-{kind}.png"
    with cutting(service.url) as line:
        line.cuts = [0, 30, 200]
        assert words(Either(kind, line.url).read(hello, file_name=name)) == ["Hello", "client"]
    assert line.connections > 3
    assert len(Either(kind, service.url).library(file_name=name)) == 1


def test_a_stream_that_breaks_again_and_again_brings_every_page_once(
    kind: Any, service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSE_SECONDS", 0.05)
    document = make_pdf(
        [text_page([f"Number {n}"], size=(300, 100), points=24) for n in range(1, 9)]
    )
    job = Either(kind, service.url).submit(document)
    with cutting(service.url) as line:
        line.cuts = [0, 900, 2500, 3000, 4000]
        pages = Either(kind, line.url).pages(job)
    assert sorted(page.page for page in pages) == list(range(1, 9))


def test_a_service_that_says_wait_is_waited_for(
    make_service: Callable[..., RunningService],
) -> None:
    service = make_service(CASOLA_MAX_PENDING_PAGES_PER_TENANT="1")
    # Before it has read something it cannot tell for how long one should wait.
    Either("sync", service.url).read(small_page("Sheet zero"))
    told: list[int] = []

    def hear(response: httpx.Response) -> None:
        told.append(response.status_code)

    async def hear_too(response: httpx.Response) -> None:
        hear(response)

    sources = [small_page(f"Sheet {name}") for name in ("one", "two")]
    hearing: dict[Any, Any] = {
        "sync": httpx.Client(event_hooks={"response": [hear]}),
        "async": httpx.AsyncClient(event_hooks={"response": [hear_too]}),
    }
    for kind, http in hearing.items():
        told.clear()
        readings = Either(kind, service.url, http=http).read_all(sources, in_flight=2)
        read = {sources.index(reading.source): words(reading.result) for reading in readings}
        assert read == {0: ["Sheet", "one"], 1: ["Sheet", "two"]}
        assert 429 in told


def test_an_api_that_is_killed_meanwhile_costs_no_document(
    make_service: Callable[..., RunningService],
) -> None:
    service = make_service()
    sources = [small_page(f"Sheet {name}") for name in ("one", "two", "three", "four")]
    read = {}
    with Client(service.url) as client:
        for reading in client.read_all(sources, in_flight=2):
            if not read:
                for process in service.processes("gunicorn_api"):
                    os.kill(process.pid, signal.SIGKILL)
            assert reading.result is not None, reading.error
            read[sources.index(reading.source)] = words(reading.result)
        jobs = list(client.library())
    assert read == {n: ["Sheet", name] for n, name in enumerate(("one", "two", "three", "four"))}
    assert len(jobs) == 4


def test_a_folder_is_read_and_a_bad_document_in_it_is_told(
    client: Either, tmp_path: Path, hello: bytes, three_pages: bytes
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "hello.png").write_bytes(hello)
    (tmp_path / "sub" / "three.pdf").write_bytes(three_pages)
    (tmp_path / "cut.pdf").write_bytes(three_pages[:200])
    (tmp_path / "notes.txt").write_text("no document")
    readings = {Path(found.source).name: found for found in client.read_folder(tmp_path)}
    assert sorted(readings) == ["cut.pdf", "hello.png", "three.pdf"]
    assert readings["cut.pdf"].error.code == "damaged_document"
    assert words(readings["hello.png"].result) == ["Hello", "client"]
    assert len(readings["three.pdf"].result.pages) == 3


def test_a_large_document_is_uploaded_apart(
    kind: Any, service: RunningService, hello: bytes, tmp_path: Path
) -> None:
    scan = tmp_path / "large.png"
    scan.write_bytes(hello)
    client = Either(kind, service.url, inline_bytes=100)
    result = client.read(scan)
    assert words(result) == ["Hello", "client"]
    assert (result.job.file_name, result.job.size) == ("large.png", len(hello))
    left = service.data_dir.rglob("upload_*/content*")
    assert not list(left)


def test_a_large_document_goes_straight_to_s3_and_the_token_does_not(
    make_service: Callable[..., RunningService], s3_server: S3Server, hello: bytes
) -> None:
    service = make_service(
        CASOLA_OBJECT_STORE=f"s3://{s3_server.bucket}/our-client",
        CASOLA_S3_ENDPOINT_URL=s3_server.endpoint_url,
        AWS_ACCESS_KEY_ID=s3_server.access_key_id,
        AWS_SECRET_ACCESS_KEY=s3_server.secret_access_key,
        AWS_REGION="us-east-1",
        CASOLA_ENGINES="tesseract",
    )
    sent: list[httpx.Request] = []
    http = httpx.Client(event_hooks={"request": [sent.append]})
    with Client(service.url, "any token", inline_bytes=100, http=http) as client:
        assert words(client.read(hello, file_name="large.png")) == ["Hello", "client"]
    (to_s3,) = [request for request in sent if not str(request.url).startswith(service.url)]
    assert str(to_s3.url).startswith(s3_server.endpoint_url)
    assert "Authorization" not in to_s3.headers
    assert "Authorization" in sent[0].headers


def test_several_documents_are_one_batch_and_come_back_as_one_zip(
    client: Either, tmp_path: Path, hello: bytes
) -> None:
    batch = client.submit_batch([hello, small_page("Second one")])
    batch = client.wait_batch(batch, timeout=60)
    assert [job.status for job in batch.jobs] == [JobStatus.COMPLETED] * 2
    zipped = client.save_batch(batch, "txt", tmp_path / "all.zip")
    assert zipped.read_bytes()[:2] == b"PK"
    client.delete_batch(batch)
    with pytest.raises(NotFound):
        client.batch(batch)


def test_a_result_is_exported_a_job_cancelled_and_deleted(
    client: Either, tmp_path: Path, hello: bytes, three_pages: bytes
) -> None:
    job = client.wait(client.submit(hello, file_name="out.png"))
    assert client.export(job, "txt").split() == [b"Hello", b"client"]
    assert client.save(job, "pdf", tmp_path / "out.pdf").read_bytes()[:5] == b"%PDF-"
    assert client.page(job, 1).words == 2
    with pytest.raises(Refused) as caught:
        client.retry(job)
    assert caught.value.code == "conflict"
    cancelled = client.cancel(client.submit(three_pages, lane="bulk"))
    assert client.wait(cancelled).ended
    client.delete(job)
    client.delete(job)
    with pytest.raises(NotFound) as gone:
        client.result(job)
    assert gone.value.code == "gone"


def test_one_key_is_one_job(service: RunningService, hello: bytes) -> None:
    with Client(service.url) as client:
        one = client.submit(hello, idempotency_key="our-client-one")
        two = client.submit(hello, idempotency_key="our-client-one")
    assert one.request_id == two.request_id
