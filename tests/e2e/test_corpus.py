"""Real documents of every kind through the whole service, as a user sends them and takes them home.

One document of each kind; all of them with ``TEST_CORPUS=all``, ten minutes on two cores. What
the text is worth is the benchmarks' business; here it has to be whole, consistent and readable by
other people's tools.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from lxml import etree

from casola_ocr.exports import FORMATS
from tests.running import RunningService, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.corpus]

ALL = os.environ.get("TEST_CORPUS") == "all"
#: A page of dense Korean takes some fifteen seconds on a busy core; more is a job that is stuck.
SECONDS_PER_PAGE = 30
#: Documents submitted together.
BATCH = 20
FLAGS = {
    "auto_first", "auto_language", "auto_script", "auto_no_data", "low_confidence",
}  # fmt: skip
#: Documents of which a page's language is not found, and what is found instead.
KNOWN_LANGUAGE_MISSES = {
    # Nearly every letter has points, of which the data knows little.
    "non-latin-001-he.png": {None, "cs", "tr"},
    # Its three pages are in three languages.
    "synthetic-014-it.tif": {"it", "fr", "de"},
}


@dataclass(frozen=True)
class Read:
    """A document of the corpus and what the service made of it."""

    name: str
    row: dict[str, Any]
    result: dict[str, Any]


@dataclass(frozen=True)
class Corpus:
    """The documents that were read, and the service that did it, still running."""

    service: RunningService
    documents: list[Read]
    batches: list[str]


@pytest.fixture(scope="module")
def read(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    rows = [json.loads(row) for row in (corpus / "manifest.jsonl").read_text().splitlines()]
    if not ALL:
        rows = list({row["kind"]: row for row in reversed(rows)}.values())[::-1]
    # A service of its own: its logs tell of nothing else.
    folder = tmp_path_factory.mktemp("corpus")
    service = RunningService(data_dir=folder / "data", port=free_port())
    try:
        service.start()
        with service.client() as client:
            batches = [
                submit(client, corpus, rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)
            ]
            jobs = [job for batch in batches for job in batch["jobs"]]
            wait(client, jobs, SECONDS_PER_PAGE * sum(row["pages"] for row in rows))
            results = [
                client.get(f"/api/v1/jobs/{job['request_id']}/result").json() for job in jobs
            ]
        documents = [
            Read(Path(row["file"]).name, row, result)
            for row, result in zip(rows, results, strict=True)
        ]
        yield Corpus(service, documents, [batch["batch_id"] for batch in batches])
    finally:
        service.stop()


def submit(client: httpx.Client, corpus: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    files = [
        ("file", (Path(row["file"]).name, (corpus / row["file"]).read_bytes())) for row in rows
    ]
    answer = client.post("/api/v1/jobs", files=files)
    assert answer.status_code == 202, answer.text
    batch: dict[str, Any] = answer.json()
    assert [job["file_name"] for job in batch["jobs"]] == [name for _, (name, _) in files]
    return batch


def wait(client: httpx.Client, jobs: list[dict[str, Any]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for job in jobs:
        status = job["status"]
        while status in ("queued", "processing"):
            assert time.monotonic() < deadline, f"{job['file_name']} is stuck"
            status = client.get(f"/api/v1/jobs/{job['request_id']}?wait=20").json()["status"]


def test_every_page_of_every_document_is_read(read: Corpus) -> None:
    for document in read.documents:
        pages, result = document.row["pages"], document.result
        assert result["status"] == "completed", document.name
        assert result["pages"] == {"total": pages, "done": pages, "failed": 0}, document.name
        numbers = [page["page"] for page in result["page_results"]]
        assert numbers == list(range(1, pages + 1)), document.name
        texts = [page["text"] for page in result["page_results"]]
        assert result["text"] == "\f".join(texts), document.name


def test_results_follow_their_schema(read: Corpus) -> None:
    with read.service.client() as client:
        schema = client.get("/api/v1/schemas/result.json").json()
    validator = jsonschema.Draft202012Validator(schema)
    for document in read.documents:
        validator.validate(document.result)


def test_confidences_words_and_flags_are_what_the_reference_says(read: Corpus) -> None:
    for document in read.documents:
        confidences = [document.result["confidence"]]
        for page in document.result["page_results"]:
            assert page["text"].strip(), document.name
            assert page["words"] > 0, document.name
            assert set(page["flags"]) <= FLAGS, document.name
            assert ("low_confidence" in page["flags"]) is (page["confidence"] < 0.8), document.name
            confidences += [page["confidence"], page["confidence_low"]]
            for line in page["lines"]:
                assert line["text"].strip(), document.name
                # A line's own may be unknown where two engines read it together.
                confidences += [word["confidence"] for word in line["words"]]
        assert all(0 <= confidence <= 1 for confidence in confidences), document.name


def test_boxes_are_inside_their_page_and_words_inside_their_line(read: Corpus) -> None:
    for document in read.documents:
        for page in document.result["page_results"]:
            for line in page["lines"]:
                for word in line["words"]:
                    assert is_inside(word["box"], page), (document.name, page["page"], word)
                    found = line["text"][word["start"] :][: len(word["text"])]
                    assert found == word["text"], (document.name, page["page"], line["text"])
                assert is_inside(line["box"], page), (document.name, page["page"], line["text"])


def is_inside(box: list[int] | None, page: dict[str, Any]) -> bool:
    if box is None:
        return True
    left, top, right, bottom = box
    return 0 <= left <= right <= page["width"] and 0 <= top <= bottom <= page["height"]


def test_the_language_is_found(read: Corpus) -> None:
    missed = {}
    for document in read.documents:
        pages = document.result["page_results"]
        # Chinese is found with its script: zh-hans, zh-hant.
        found = {page["language"] and page["language"].split("-")[0] for page in pages}
        if found != {document.row["language"]}:
            missed[document.name] = found
    assert {
        name: found
        for name, found in missed.items()
        if not found <= KNOWN_LANGUAGE_MISSES.get(name, set())
    } == {}


def test_turned_pages_are_recognised(read: Corpus) -> None:
    found = {
        document.name: [page["rotation"] for page in document.result["page_results"]]
        for document in read.documents
    }
    turned = {"degraded-003-en.png": [270], "multipage-001-en.pdf": [0, 270, 180, 90]}
    expected = {name: turned.get(name, [0] * len(pages)) for name, pages in found.items()}
    assert found == expected


@pytest.mark.parametrize("name", ["txt", "md", "json", "hocr", "alto", "pdf"])
def test_exports_open_in_other_peoples_tools(read: Corpus, name: str, tmp_path: Path) -> None:
    assert name in FORMATS
    with read.service.client() as client:
        for document in read.documents:
            answer = client.get(
                f"/api/v1/jobs/{document.result['request_id']}/export", params={"format": name}
            )
            assert answer.status_code == 200, (document.name, answer.text)
            stem = Path(document.name).stem
            assert stem in answer.headers["Content-Disposition"]
            made = tmp_path / f"{stem}.{name}"
            made.write_bytes(answer.content)
            check_export(made, document.result)


def check_export(made: Path, result: dict[str, Any]) -> None:
    pages = result["page_results"]
    if made.suffix == ".json":
        assert json.loads(made.read_bytes()) == result, made.name
    elif made.suffix == ".txt":
        assert made.read_text() == result["text"], made.name
    elif made.suffix == ".md":
        assert share(made.read_text(), result["text"]) > 0.98, made.name
    elif made.suffix == ".pdf":
        done = subprocess.run(
            ["pdftotext", "-enc", "UTF-8", made, "-"], capture_output=True, check=True
        )
        assert done.stderr == b"", made.name
        text = done.stdout.decode()
        assert text.count("\f") == len(pages), made.name
        assert share(text, result["text"]) > 0.98, made.name
    else:
        tree = etree.parse(made)
        kind = "//*[local-name()='Page']" if made.suffix == ".alto" else "//*[@class='ocr_page']"
        assert len(tree.xpath(kind)) == len(pages), made.name
        if made.suffix == ".hocr":
            tool = Path(sys.executable).with_name("hocr-check")
            subprocess.run([tool, made], check=True, capture_output=True)


def share(found: str, wanted: str) -> float:
    """How much of the text came out again; of letters and digits only, wherever they stand: others'
    tools join hyphened lines, escape signs, and have their own idea of an order."""
    counted, there = (Counter(filter(str.isalnum, text)) for text in (wanted, found))
    return (counted & there).total() / counted.total()


def test_batches_are_taken_home_as_one_file(read: Corpus, tmp_path: Path) -> None:
    names = []
    with read.service.client() as client:
        for number, batch_id in enumerate(read.batches):
            answer = client.get(f"/api/v1/batches/{batch_id}/export", params={"of": "txt"})
            assert answer.status_code == 200, answer.text
            made = tmp_path / f"{number}.zip"
            made.write_bytes(answer.content)
            with zipfile.ZipFile(made) as packed:
                assert packed.testzip() is None
                names += packed.namelist()
    assert names == [f"{Path(document.name).stem}.txt" for document in read.documents]


def test_nothing_went_wrong_on_the_way(read: Corpus) -> None:
    """Last: the logs of all of it, the exports too."""
    logs = [read.service.data_dir.parent / f"serve-{read.service.port}.log"]
    logs += sorted((read.service.data_dir / "logs").glob("*.log"))
    assert len(logs) > 3
    for log in logs:
        text = log.read_text(errors="replace")
        for sign in ("Traceback", '"level": "error"', "[error", "[critical", "step_failed"):
            assert sign not in text, f"{log.name}: {text[text.index(sign) - 500 :][:2000]}"
