"""Documents go in over HTTP and their text comes out."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pypdfium2
import pytest

from casola_ocr.sample import sample_image, sample_text
from tests.clients.conftest import data_url
from tests.pages import as_bytes, cer, draw_page
from tests.pdfs import encrypted, make_pdf, scan_page, text_page
from tests.running import RunningService

pytestmark = pytest.mark.e2e

WAIT = {"Prefer": "wait=60"}


@pytest.fixture
def client(service: RunningService) -> Iterator[httpx.Client]:
    with service.client() as made:
        yield made


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    """A web server with a document, a missing one, and one that never comes."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/never.png":
                stop.wait(30)
                return
            found = self.path == "/scans/sample%20one.png"
            body = sample_image() if found else b"nothing here"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    stop.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_is_read_while_the_client_waits(client: httpx.Client) -> None:
    answer = client.post(
        "/api/v1/jobs", files={"file": ("sample.png", sample_image())}, headers=WAIT
    )
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert result["status"] == "completed"
    assert cer(sample_text(), result["text"]) < 0.05
    assert result["pages"] == {"total": 1, "done": 1, "failed": 0}
    assert 0.5 < result["confidence"] <= 1
    assert result["words"] > 10
    (page,) = result["page_results"]
    assert page["engine"] == "pp-ocrv6"
    for line in page["lines"]:
        x0, y0, x1, y1 = line["box"]
        assert 0 <= x0 < x1 <= page["width"]
        assert 0 <= y0 < y1 <= page["height"]
        for word in line["words"]:
            assert line["text"][word["start"] :].startswith(word["text"])


def test_a_job_can_be_polled_and_its_result_and_pages_fetched(
    client: httpx.Client, service: RunningService
) -> None:
    answer = client.post("/api/v1/jobs", files={"file": ("../../a scan.png", sample_image())})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["Location"].endswith(f"/api/v1/jobs/{job['request_id']}")
    assert job["file_name"] == "a scan.png"
    ended = service.finished(job["request_id"])
    assert ended["status"] == "completed"
    assert ended["created_at"] <= ended["started_at"] <= ended["finished_at"]
    result = client.get(f"/api/v1/jobs/{job['request_id']}/result").json()
    page = client.get(f"/api/v1/jobs/{job['request_id']}/pages/1").json()
    assert page == result["page_results"][0]
    assert client.get(f"/api/v1/jobs/{job['request_id']}/pages/2").status_code == 404


def test_several_files_become_a_batch(client: httpx.Client) -> None:
    files = [
        ("file", (f"{n}.png", as_bytes(draw_page([f"Document number {n}"], seed=n), "PNG")))
        for n in range(3)
    ]
    answer = client.post("/api/v1/jobs", files=files)
    assert answer.status_code == 202
    batch_id = answer.json()["batch_id"]
    deadline = time.monotonic() + 90
    while (batch := client.get(f"/api/v1/batches/{batch_id}").json())["counts"]["completed"] < 3:
        assert time.monotonic() < deadline, batch
        time.sleep(0.2)
    texts = [
        client.get(f"/api/v1/jobs/{job['request_id']}/result").json()["text"]
        for job in batch["jobs"]
    ]
    assert [f"number {n}" in text for n, text in enumerate(texts)] == [True] * 3


def test_a_tiff_and_a_gif_with_several_frames_have_pages(client: httpx.Client) -> None:
    frames = [draw_page([f"This is page {n}"], width=900) for n in (1, 2, 3)]
    for media_format in ("TIFF", "GIF"):
        document = as_bytes(frames[0], media_format, save_all=True, append_images=frames[1:])
        answer = client.post(
            "/api/v1/jobs", files={"file": ("scan", document)}, data={"pages": "all"}, headers=WAIT
        )
        assert answer.status_code == 200, answer.text
        result = answer.json()
        assert result["pages"]["done"] == 3
        pages = result["text"].split("\f")
        assert [f"page {n}" in page for n, page in enumerate(pages, 1)] == [True] * 3


def test_chosen_pages_of_a_pdf_are_read_from_their_text_or_their_picture(
    client: httpx.Client,
) -> None:
    scan = scan_page(draw_page(["Words of a scan"], width=900), size=(432, 120))
    words = text_page([f"This is born-digital line {n}." for n in range(9)])
    document = make_pdf([text_page(["Not wanted"]), scan, words])
    answer = client.post(
        "/api/v1/jobs",
        files={"file": encrypted(document, user="s3cret")},
        data={"pages": "2-", "text_layer": "prefer", "password": "s3cret"},
        headers=WAIT,
    )
    assert answer.status_code == 200, answer.text
    result = answer.json()
    picture, own = result["page_results"]
    assert (picture["page"], picture["engine"], picture["flags"]) == (2, "pp-ocrv6", ["auto_first"])
    assert cer("Words of a scan", picture["text"]) < 0.1
    assert (own["page"], own["engine"], own["confidence"]) == (3, "text-layer", None)
    assert own["text"].splitlines()[8] == "This is born-digital line 8."
    assert "s3cret" not in answer.text


def test_a_photo_that_was_turned_is_read_as_its_reader_sees_it(client: httpx.Client) -> None:
    upright = draw_page(["Turned by the camera", "and read all the same"], width=1000)
    exif = upright.getexif()
    exif[0x0112] = 6  # the camera lay on its side
    turned = as_bytes(upright.transpose(2), "JPEG", exif=exif.tobytes(), quality=92)
    answer = client.post("/api/v1/jobs", files={"file": turned}, headers=WAIT)
    page = answer.json()["page_results"][0]
    assert (page["width"], page["height"]) == upright.size
    assert cer("Turned by the camera and read all the same", page["text"]) < 0.05


def test_a_noisy_slanted_scan_is_read(client: httpx.Client) -> None:
    lines = ["The quick brown fox jumps", "over the lazy dog near", "the old river bank."]
    scan = draw_page(lines, rotate=1.5, noise=0.08, seed=3)
    answer = client.post(
        "/api/v1/jobs", files={"file": as_bytes(scan, "JPEG", quality=80)}, headers=WAIT
    )
    assert cer(" ".join(lines), answer.json()["text"]) < 0.1


def test_json_with_a_data_url_is_read(client: httpx.Client) -> None:
    answer = client.post(
        "/api/v1/jobs",
        json={"url": data_url(sample_image()), "model": "auto", "language": "auto"},
        headers=WAIT,
    )
    assert answer.status_code == 200
    assert "Invoice" in answer.json()["text"]


def test_a_russian_page_goes_to_the_engine_that_reads_it(client: httpx.Client) -> None:
    lines = ["Съешь же ещё этих мягких", "французских булок, да выпей чаю"]
    answer = client.post(
        "/api/v1/jobs",
        files={"file": as_bytes(draw_page(lines))},
        data={"language": "ru"},
        headers=WAIT,
    )
    assert answer.status_code == 200, answer.text
    (page,) = answer.json()["page_results"]
    assert "tesseract" in page["engine"]
    assert (page["flags"], page["language"]) == (["auto_language"], "ru")
    assert cer(" ".join(lines), answer.json()["text"]) < 0.05


def test_a_url_is_downloaded_by_a_worker(client: httpx.Client, web: str) -> None:
    answer = client.post(
        "/api/v1/jobs", json={"url": f"{web}/scans/sample%20one.png"}, headers=WAIT
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["file_name"] == "sample one.png"
    assert "Invoice" in answer.json()["text"]


def test_a_url_that_answers_404_or_never_fails_the_job_with_a_reason(
    client: httpx.Client, web: str
) -> None:
    for path, code in (("/missing.png", "fetch_failed"), ("/never.png", "fetch_timeout")):
        answer = client.post("/api/v1/jobs", json={"url": web + path}, headers=WAIT)
        assert answer.status_code == 200
        assert answer.json()["status"] == "failed"
        assert answer.json()["error"]["code"] == code


def test_fal_clients_get_the_text_in_their_shape(client: httpx.Client) -> None:
    answer = client.post(
        "/fal/ocr", json={"image_url": data_url(sample_image()), "sync_mode": True}
    )
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"request_id", "status", "text"}
    assert body["status"] == "completed"
    assert "Invoice" in body["text"]
    assert answer.headers["x-fal-request-id"] == body["request_id"]


def test_fal_clients_can_poll(client: httpx.Client, service: RunningService) -> None:
    answer = client.post("/fal/ocr", json={"image_url": data_url(sample_image())})
    assert answer.json()["status"] == "IN_QUEUE"
    service.finished(answer.json()["request_id"])
    status = client.get(answer.json()["status_url"])
    assert status.json()["status"] == "COMPLETED"
    assert "Invoice" in client.get(answer.json()["response_url"]).json()["text"]


def test_the_openai_client_reads_an_image(service: RunningService) -> None:
    from openai import OpenAI

    with OpenAI(base_url=f"{service.url}/openai/v1", api_key="anything") as openai:
        answer = openai.chat.completions.create(
            model="auto",
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Extract all text from this image."},
                        {"type": "image_url", "image_url": {"url": data_url(sample_image())}},
                    ],
                }
            ],
        )
    assert "Invoice #12345" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"


def test_the_library_lists_what_was_read_newest_first(client: httpx.Client) -> None:
    ids = [
        client.post("/api/v1/jobs", files={"file": sample_image()}).json()["request_id"]
        for _ in range(3)
    ]
    first = client.get("/api/v1/library?limit=2").json()
    assert [job["request_id"] for job in first["data"]] == ids[:0:-1]
    assert first["has_more"]
    second = client.get(f"/api/v1/library?limit=2&after={first['next']}").json()
    assert second["data"][0]["request_id"] == ids[0]


def test_a_running_job_can_be_cancelled(client: httpx.Client) -> None:
    frames = [draw_page([f"page {n}"]) for n in range(30)]
    document = as_bytes(
        frames[0], "TIFF", save_all=True, append_images=frames[1:], compression="jpeg"
    )
    job = client.post("/api/v1/jobs", files={"file": document}).json()
    answer = client.post(f"/api/v1/jobs/{job['request_id']}/cancel")
    assert answer.json()["status"] == "cancelled"
    assert client.post(f"/api/v1/jobs/{job['request_id']}/cancel").json()["status"] == "cancelled"
    assert client.get(f"/api/v1/jobs/{job['request_id']}/result").status_code == 200


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("receipt-003-en.jpg", 0.25),
        ("scan-print-001-en.png", 0.15),
        ("multipage-003-en.tif", 0.25),
    ],
)
def test_real_documents_are_read(
    client: httpx.Client, corpus: Path, name: str, limit: float
) -> None:
    rows = map(json.loads, (corpus / "manifest.jsonl").read_text().splitlines())
    row = next(row for row in rows if row["file"] == f"images/{name}")
    truth = (corpus / row["text"]).read_text()
    answer = client.post(
        "/api/v1/jobs", files={"file": (corpus / row["file"]).read_bytes()}, headers=WAIT
    )
    assert answer.status_code == 200, answer.text
    text = answer.json()["text"]
    if row.get("case_insensitive"):
        truth, text = truth.lower(), text.lower()
    assert answer.json()["pages"]["done"] == row["pages"]
    assert cer(truth, text) < limit


def test_the_command_line_reads_a_folder_into_searchable_pdfs_and_takes_it_up_again(
    service: RunningService, tmp_path: Path
) -> None:
    folder, out = tmp_path / "scans", tmp_path / "read"
    (folder / "sub").mkdir(parents=True)
    (folder / "one.png").write_bytes(sample_image())
    (folder / "sub" / "two.jpg").write_bytes(as_bytes(draw_page(["second page"]), "JPEG"))
    (folder / "notes.txt").write_text("nothing to read")
    command = [sys.executable, "-m", "casola_ocr.cli", "read", folder, "--server", service.url,
               "--out", out, "--format", "txt,pdf"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 read, 0 there already, 0 with errors" in done.stderr
    assert sorted(str(file.relative_to(out)) for file in out.rglob("*.*")) == [
        "one.ocr.pdf", "one.txt", "sub/two.ocr.pdf", "sub/two.txt",
    ]  # fmt: skip
    with pypdfium2.PdfDocument(out / "one.ocr.pdf") as made:
        assert cer(sample_text(), made[0].get_textpage().get_text_range()) < 0.1
    (out / "one.txt").unlink()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "1 read, 1 there already, 0 with errors" in done.stderr
    with service.client() as client:
        names = [job["file_name"] for job in client.get("/api/v1/library").json()["data"]]
    assert names.count("one.png") == 1
