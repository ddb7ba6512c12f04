"""What our client submits, reads, lists, saves and deletes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from casola_ocr.client import (
    Client,
    JobCancelled,
    JobFailed,
    JobStatus,
    NotFound,
    Refused,
    StillRunning,
    Unauthorized,
)
from casola_ocr.client.results import JOB
from casola_ocr.errors import FetchRefused, UnsupportedFormat
from casola_ocr.errors import NotFound as NoSuchJob
from casola_ocr.model import JobError, Lane
from casola_ocr.shapes import EXAMPLE_JOB
from tests.api_stub import CONTENT
from tests.both_clients import Either
from tests.exported import failed, line, page
from tests.served import Served


def test_a_document_is_read_in_one_request(client: Either, served: Served, scan: Path) -> None:
    served.world.jobs.pages = [page(line("Grüße aus Wien")), failed(2)]
    result = client.read(scan, language="de", fallback=True, expires_in=3600)
    assert result.text == "Grüße"
    assert [found.page for found in result.pages] == [1, 2]
    assert result.pages[0].lines[0].words[0].text == "Grüße"
    assert result.failed_pages == result.pages[1:]
    assert (result.job.status, result.job.file_name) == (JobStatus.COMPLETED, "scan.png")
    assert (result.job.language, result.job.languages_found) == ("de", ("de", "en"))
    options = served.world.jobs.options
    assert options is not None
    assert (options.language, options.fallback, options.expires_in) == ("de", True, 3600)
    assert options.lane is Lane.INTERACTIVE
    assert served.paths == ["POST /api/v1/jobs"]
    assert served.asked[0][2]["PREFER"] == "wait=20"
    assert len(options.idempotency_key) == 32


def test_a_document_that_takes_longer_is_waited_for(client: Either, served: Served) -> None:
    jobs = served.world.jobs
    jobs.ends = [JobStatus.PROCESSING, JobStatus.COMPLETED]
    assert client.read(CONTENT).text == "Grüße"
    (request_id,) = served.known()
    assert served.paths == [
        "POST /api/v1/jobs",
        f"GET /api/v1/jobs/{request_id}?wait=20",
        f"GET /api/v1/jobs/{request_id}/result",
    ]


@pytest.mark.parametrize(
    ("source", "name", "told"),
    [(CONTENT, None, "document"), (CONTENT, "a.png", "a.png"), ("https://x.test/a.pdf", None, "")],
)
def test_bytes_and_urls_are_documents_too(
    client: Either, served: Served, source: Any, name: str | None, told: str
) -> None:
    job = client.submit(source, file_name=name, pages="1-3", idempotency_key="mine")
    options, (document,) = served.world.jobs.options, served.world.jobs.documents
    assert options is not None
    assert (options.pages, options.idempotency_key) == ("1-3", "mine")
    assert (job.status, job.ended, job.pages.total) == (JobStatus.QUEUED, False, 1)
    assert document.url == (source if isinstance(source, str) else "")
    assert served.world.jobs.sources == [None if isinstance(source, str) else CONTENT]
    assert not told or document.file_name == told


def test_a_job_that_failed_is_an_error_with_its_code_and_what_to_do(
    client: Either, served: Served
) -> None:
    served.world.jobs.ends = [JobStatus.FAILED]
    served.world.jobs.error = JobError(code="wrong_password", detail="It does not open.")
    with pytest.raises(JobFailed) as caught:
        client.read(CONTENT)
    assert caught.value.code == "wrong_password"
    assert str(caught.value).startswith("It does not open. Check the password")
    assert caught.value.job.error == served.world.jobs.error
    served.world.jobs.ends = [JobStatus.CANCELLED]
    with pytest.raises(JobCancelled):
        client.read(CONTENT)


def test_who_waits_only_so_long_is_told_that_it_goes_on(client: Either, served: Served) -> None:
    served.world.jobs.ends = [JobStatus.PROCESSING]
    with pytest.raises(StillRunning) as caught:
        client.read(CONTENT, timeout=0)
    assert caught.value.job.request_id == served.known()[0]
    with pytest.raises(StillRunning):
        client.wait(caught.value.job, timeout=0.1)
    assert client.cancel(caught.value.job).status is JobStatus.CANCELLED


def test_what_the_server_refuses_has_its_code_and_what_to_do(
    client: Either, served: Served
) -> None:
    served.world.jobs.refuse = UnsupportedFormat("It looks like a web page.")
    with pytest.raises(Refused) as caught:
        client.read(CONTENT)
    error = caught.value
    assert (error.status, error.code, error.retryable) == (415, "unsupported_format", False)
    assert error.detail == "It looks like a web page."
    assert error.advice == UnsupportedFormat.advice
    with pytest.raises(Refused, match="'langauge'") as caught:
        client.submit(CONTENT, langauge="de")
    assert caught.value.code == "malformed_request"
    with pytest.raises(NotFound):
        client.job("../../healthz")
    assert served.paths[-1] != "GET /healthz"


def test_a_job_of_an_older_server_has_no_languages() -> None:
    told = dict(EXAMPLE_JOB)
    assert JOB.validate_python(told).languages_found == ("de", "en")
    del told["languages_found"]
    assert JOB.validate_python(told).languages_found == ()


def test_a_code_of_a_newer_server_is_kept(client: Either, served: Served) -> None:
    class Newer(FetchRefused):
        code = "phase_of_the_moon"

    served.world.jobs.refuse = Newer("Wait for it.")
    with pytest.raises(Refused) as caught:
        client.submit(CONTENT)
    del Newer
    assert (caught.value.code, caught.value.status) == ("phase_of_the_moon", 422)


def test_the_token_is_sent_and_shown_nowhere(kind: Any, served: Served) -> None:
    served.world.tokens.secrets = {"hush": "acme"}
    with pytest.raises(Unauthorized) as caught:
        Either(kind, served.url, "wrong").submit(CONTENT)
    assert caught.value.code == "unauthorized"
    assert Either(kind, served.url, "hush").submit(CONTENT).request_id
    made = Client(served.url, "hush")
    assert "hush" not in repr(made) + repr(vars(made._verbs)) + repr(vars(made._verbs._transport))
    made.close()


def test_a_large_document_goes_by_an_upload_of_which_nothing_is_left(
    kind: Any, served: Served, scan: Path
) -> None:
    served.world.tokens.secrets = {"hush": "acme"}
    client = Either(kind, served.url, "hush", inline_bytes=3)
    job = client.submit(scan, fallback=True, expires_in=60, idempotency_key="k")
    assert job.file_name == "scan.png"
    assert served.world.jobs.sources == [CONTENT]
    created, sent, submitted, deleted = served.asked
    assert (created[1], created[2]["IDEMPOTENCY_KEY"]) == ("/api/v1/uploads", "k-0")
    assert sent[1] == "/api/v1/upload-content"
    assert "AUTHORIZATION" not in sent[2]
    assert (submitted[1], submitted[2]["IDEMPOTENCY_KEY"]) == ("/api/v1/jobs", "k")
    assert deleted[0] == "DELETE"
    assert not [key for key in served.world.store.list("") if key.endswith("/content")]


def test_documents_are_submitted_together_in_their_order(kind: Any, served: Served) -> None:
    for inline_bytes in (100, 3):
        client = Either(kind, served.url, inline_bytes=inline_bytes)
        batch = client.submit_batch([CONTENT, CONTENT + b"2"], model="tesseract")
        assert served.world.jobs.sources == [CONTENT, CONTENT + b"2"]
        assert [job.model for job in batch.jobs] == ["tesseract", "tesseract"]
    assert not client.batch(batch.batch_id).ended
    assert client.wait_batch(batch).ended
    client.delete_batch(batch)
    urls = ["https://x.test/a", "https://x.test/b"]
    client.submit_batch(urls)
    assert [document.url for document in served.world.jobs.documents] == urls
    with pytest.raises(ValueError, match="not both"):
        client.submit_batch([CONTENT, "https://x.test/a"])
    with pytest.raises(ValueError, match="at least two"):
        client.submit_batch([CONTENT])


def test_a_batch_that_does_not_end_is_told_with_a_job_of_it(client: Either, served: Served) -> None:
    served.world.jobs.ends = [JobStatus.PROCESSING]
    batch = client.submit_batch([CONTENT, CONTENT])
    with pytest.raises(StillRunning) as caught:
        client.wait_batch(batch, timeout=0)
    assert caught.value.job in batch.jobs
    assert {job.status for job in client.cancel_batch(batch).jobs} == {JobStatus.CANCELLED}


def test_the_library_is_paged_through(client: Either, served: Served) -> None:
    made = [client.submit(CONTENT).request_id for _ in range(3)]
    served.asked.clear()
    library = served.world.jobs.library

    def pairs(tenant: str, limit: int, after: str | None, *wanted: Any) -> Any:
        return library(tenant, 2, after, *wanted)

    served.world.jobs.library = pairs  # type: ignore[method-assign]
    found = client.library(status="queued,completed", low_confidence=False)
    assert [job.request_id for job in found] == made[::-1]
    first, second = served.paths
    assert first == "GET /api/v1/library?status=queued%2Ccompleted&low_confidence=false"
    assert second == f"{first}&after={made[1]}"


def test_engines_are_listed_with_their_languages(client: Either) -> None:
    first, *others = client.engines()
    assert (first.name, first.live) == ("auto", True)
    assert "de" in {language.code for language in first.languages}
    assert {"pp-ocrv6", "tesseract"} <= {engine.name for engine in others}


def test_results_are_saved_as_files_that_are_whole(
    client: Either, served: Served, tmp_path: Path
) -> None:
    served.world.jobs.pages = [page(line("Grüße"))]
    job = client.wait(client.submit(CONTENT))
    assert client.export(job, "txt").decode() == "Grüße"
    saved = client.save(job, "hocr", tmp_path / "new" / "scan.hocr")
    assert "Grüße" in saved.read_text()
    batch = client.wait_batch(client.submit_batch([CONTENT, CONTENT]))
    assert client.save_batch(batch, "txt", tmp_path / "all.zip").read_bytes()[:2] == b"PK"
    with pytest.raises(Refused) as caught:
        client.save(job, "docx", tmp_path / "scan.docx")
    assert caught.value.code == "unknown_format"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.zip", "new"]


def test_a_deleted_job_may_be_deleted_again(client: Either, served: Served) -> None:
    job = client.submit(CONTENT)
    client.delete(job)

    def gone(tenant: str, request_id: str) -> None:
        from casola_ocr.errors import Gone

        raise Gone()

    served.world.jobs.delete = gone  # type: ignore[method-assign]
    client.delete(job)
    served.world.jobs.delete = lambda *_: (_ for _ in ()).throw(NoSuchJob())  # type: ignore
    with pytest.raises(NotFound):
        client.delete("req_unknown")


def test_failed_pages_are_read_again_as_asked_and_once(client: Either, served: Served) -> None:
    job = client.wait(client.submit(CONTENT))
    client.retry(job, model="tesseract", mode="text")
    client.retry(job)
    calls = [call for call in served.world.jobs.calls if call[0] == "retry"]
    assert [call[2:] for call in calls] == [("tesseract", {"mode": "text"}), ("",)]
    keys = {headers["IDEMPOTENCY_KEY"] for _, path, headers in served.asked if "retry" in path}
    assert len(keys) == 2
