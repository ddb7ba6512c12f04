"""Bad input gets a clear error with a code, at the right time, and the service goes on."""

from __future__ import annotations

import json
import socket
import struct
import zlib
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

import httpx
import pypdfium2
import pytest

from casola_ocr.ids import new_batch_id, new_request_id
from casola_ocr.sample import sample_image
from tests.pages import as_bytes, broken_second_frame, cer, draw_page
from tests.pdfs import encrypted, make_pdf, text_page
from tests.running import RunningService

pytestmark = pytest.mark.e2e

WAIT = {"Prefer": "wait=60"}


@pytest.fixture
def client(service: RunningService) -> Iterator[httpx.Client]:
    with service.client() as made:
        yield made
        assert made.get("/readyz").status_code == 200, "the service must go on"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int) -> bytes:
    """A small PNG whose picture is side × side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 100_000)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "empty_file"),
        (b"just some text, not a picture", 415, "unsupported_format"),
        (b"\x89PNG\r\n\x1a\n", 422, "damaged_document"),
        (bomb(60_000), 422, "too_many_pixels"),
        (sample_image() + b"\0" * 30_000_000, 413, "file_too_large"),
    ],
    ids=["empty", "text", "cut-off-header", "bomb", "30-MB"],
)
def test_a_file_that_cannot_be_read_is_refused_at_once(
    client: httpx.Client, content: bytes, status: int, code: str
) -> None:
    answer = client.post("/api/v1/jobs", files={"file": ("scan.png", content)})
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["code"] == code
    assert problem["advice"]
    assert "/" not in problem["detail"].replace("https://", "")


def test_a_truncated_jpeg_fails_its_job_with_a_reason(client: httpx.Client) -> None:
    whole = as_bytes(draw_page(["some text"] * 20, noise=0.2), "JPEG")
    answer = client.post("/api/v1/jobs", files={"file": whole[: len(whole) // 2]}, headers=WAIT)
    job = answer.json()
    assert job["status"] == "failed"
    assert job["error"]["code"] == "damaged_document"
    assert job["pages"] == {"total": 1, "done": 0, "failed": 1}


PDF = make_pdf([text_page([f"This is page {n} of three."]) for n in (1, 2, 3)])


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"%PDF-1.7\n...", "damaged_document"),
        (PDF[: len(PDF) // 2], "damaged_document"),
        (make_pdf([]), "damaged_document"),
        (make_pdf([text_page()], count=100_000), "too_many_pages"),
        (encrypted(PDF, user="s3cret"), "password_needed"),
    ],
    ids=["signature", "cut off", "no pages", "100,000 pages", "encrypted"],
)
def test_a_pdf_that_cannot_be_opened_fails_its_job_with_a_reason(
    client: httpx.Client, document: bytes, code: str
) -> None:
    answer = client.post("/api/v1/jobs", files={"file": document}, headers=WAIT)
    assert answer.status_code == 200, answer.text
    job = answer.json()
    assert (job["status"], job["error"]["code"]) == ("failed", code)
    assert job["error"]["detail"]
    assert (job["text"], job["page_results"]) == ("", [])
    answer = client.get(f"/api/v1/jobs/{job['request_id']}/export?format=pdf")
    assert (answer.status_code, answer.json()["code"]) == (422, "no_page_read")


def test_a_pdf_is_opened_with_its_password_only(client: httpx.Client) -> None:
    for revision in (3, 4, 6):
        files = {"file": encrypted(PDF, user="s3cret", revision=revision)}
        answer = client.post("/api/v1/jobs", files=files, data={"password": "no"}, headers=WAIT)
        assert answer.json()["error"]["code"] == "wrong_password"
        answer = client.post("/api/v1/jobs", files=files, data={"password": "s3cret"}, headers=WAIT)
        assert answer.json()["pages"] == {"total": 3, "done": 3, "failed": 0}
        assert "This is page 2 of three." in answer.json()["text"]
        made = client.get(f"/api/v1/jobs/{answer.json()['request_id']}/export?format=pdf")
        assert b"/Encrypt" not in made.content
        assert "s3cret" not in answer.text


def test_a_pdf_with_a_damaged_table_of_objects_is_repaired(client: httpx.Client) -> None:
    damaged = PDF.replace(b"startxref\n", b"startxref\n9")
    answer = client.post("/api/v1/jobs", files={"file": damaged}, headers=WAIT)
    assert answer.json()["pages"] == {"total": 3, "done": 3, "failed": 0}
    assert "This is page 3 of three." in answer.json()["text"]


def test_pages_of_no_size_and_of_enormous_size_are_read(client: httpx.Client) -> None:
    side = 30_000
    large = text_page(["This is huge"], size=(side, side), points=2_000, at=(2_000, side // 2))
    document = make_pdf([text_page([], size=(1, 1)), large])
    answer = client.post("/api/v1/jobs", files={"file": document}, headers=WAIT)
    assert answer.json()["pages"] == {"total": 2, "done": 2, "failed": 0}
    small, large_result = answer.json()["page_results"]
    assert (small["text"], small["flags"][-1]) == ("", "blank")
    assert cer("This is huge", large_result["text"]) < 0.1
    assert max(large_result["width"], large_result["height"]) <= 4_000


def test_of_a_tiff_with_a_broken_frame_the_other_one_is_read(client: httpx.Client) -> None:
    frames = [draw_page([f"This is frame {n}"], width=900) for n in (1, 2)]
    document = broken_second_frame(frames)
    answer = client.post("/api/v1/jobs", files={"file": document}, headers=WAIT)
    job = answer.json()
    assert (job["status"], job["pages"]) == ("completed", {"total": 2, "done": 1, "failed": 1})
    good, bad = job["page_results"]
    assert cer("This is frame 1", good["text"]) < 0.1
    assert (bad["page"], bad["flags"], bad["error"]["code"]) == (2, ["failed"], "damaged_document")
    made = client.get(f"/api/v1/jobs/{job['request_id']}/export?format=pdf")
    with pypdfium2.PdfDocument(made.content) as opened:
        assert [page.get_textpage().count_chars() > 0 for page in opened] == [True, False]
    answer = client.post(f"/api/v1/jobs/{job['request_id']}/retry", json={"model": "tesseract"})
    assert (answer.status_code, answer.json()["run"]) == (202, 2)


def test_one_bad_file_among_good_ones_refuses_the_submission_and_is_named(
    client: httpx.Client,
) -> None:
    before = client.get("/api/v1/library?limit=1").json()["data"]
    files = [("file", ("good.png", sample_image())), ("file", ("bad.png", b"hello"))]
    answer = client.post("/api/v1/jobs", files=files)
    assert answer.status_code == 415
    assert "bad.png" in answer.json()["detail"]
    assert client.get("/api/v1/library?limit=1").json()["data"] == before


def test_a_request_without_a_file_is_refused(client: httpx.Client) -> None:
    answer = client.post("/api/v1/jobs", data={"model": "auto"}, files={"other": b"x"})
    assert answer.status_code == 400
    assert answer.json()["code"] in ("no_file", "malformed_request")
    assert client.post("/api/v1/jobs", json={}).status_code == 400


def test_malformed_json_and_a_wrong_content_type_are_refused(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post("/api/v1/jobs", content=b"{", headers=headers)
    assert answer.status_code == 400
    answer = client.post("/api/v1/jobs", content=b"x", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/jobs/{new_request_id()}",
        "/api/v1/jobs/req_nonsense",
        f"/api/v1/jobs/{new_request_id()}/result",
        f"/api/v1/jobs/{new_request_id()}/pages/1",
        f"/api/v1/batches/{new_batch_id()}",
    ],
)
def test_an_unknown_id_is_not_found(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://169.254.169.254/latest/meta-data", "fetch_refused"),
        ("http://10.0.0.1/a.png", "fetch_refused"),
        ("http://[::1]/a.png", "fetch_refused"),
        ("http://2852039166/a.png", "fetch_refused"),
        ("file:///etc/passwd", "bad_url"),
        ("ftp://example.org/a.png", "bad_url"),
        ("http://user:secret@example.org/a.png", "bad_url"),
        ("not a url", "bad_url"),
        ("data:image/png;base64,????", "bad_data_url"),
    ],
)
def test_a_url_that_must_not_be_downloaded_is_refused(
    client: httpx.Client, url: str, code: str
) -> None:
    answer = client.post("/api/v1/jobs", json={"url": url})
    assert answer.status_code in (400, 422)
    assert answer.json()["code"] == code


def test_an_unknown_model_is_refused_with_the_live_ones(client: httpx.Client) -> None:
    files = {"file": sample_image()}
    answer = client.post("/api/v1/jobs", files=files, data={"model": "gpt-9"})
    assert answer.status_code == 422
    assert "pp-ocrv6" in answer.json()["detail"]
    answer = client.post("/api/v1/jobs", files=files, data={"model": "deepseek-ocr-v2"})
    assert answer.status_code == 503
    assert answer.json()["code"] == "engine_unavailable"
    assert int(answer.headers["Retry-After"]) > 0


def test_a_host_name_that_is_not_this_machines_is_refused(client: httpx.Client) -> None:
    answer = client.get("/api/v1/library", headers={"Host": "rebound.example"})
    assert answer.status_code == 403


def raw(service: RunningService, request: bytes) -> tuple[int, str, dict[str, Any]]:
    """Status, content type and JSON of the answer to bytes as they are sent."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(request)
        answer = HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.headers["Content-Type"], json.loads(answer.read())


@pytest.mark.parametrize(
    "path", ["/api/v1/jobs", "/fal/ocr", "/openai/v1/chat/completions", "/mistral/v1/ocr"]
)
def test_a_body_whose_chunks_are_none_is_malformed(service: RunningService, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\n"
    told = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"
    status, media_type, _ = raw(service, (head + told).encode())
    assert (status // 100, media_type.split(";")[0].split("/")[0]) == (4, "application")


@pytest.mark.parametrize(
    ("line", "status"), [("GET /api/v1/library?text=" + "x" * 9000, 414), ("NO SUCH THING", 400)]
)
def test_a_request_that_cannot_be_read_is_answered_with_a_problem(
    service: RunningService, line: str, status: int
) -> None:
    found = raw(service, f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    assert found[:2] == (status, "application/problem+json")
    assert (found[2]["status"], found[2]["code"]) == (status, "malformed_request")
    assert "xxxx" not in found[2]["detail"]
