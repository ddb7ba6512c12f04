"""GET /api/v1/jobs/{id}/export, /api/v1/batches/{id}/export and the schema of a result."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest
from werkzeug.http import parse_options_header

from casola_ocr.errors import StoreUnavailable
from casola_ocr.exports import FORMATS
from casola_ocr.ids import new_request_id
from casola_ocr.model import JobError, JobStatus
from casola_ocr.objects import keys
from tests.api_stub import DATA_URL, World, make_world
from tests.exported import line, page
from tests.pages import as_bytes, draw_page

PICTURE = as_bytes(draw_page(["Grüße"], width=800))


def ended_job(world: World, name: str = "scan.png", **changes: Any) -> str:
    made = world.client.post("/api/v1/jobs", json={"url": DATA_URL}).get_json()["request_id"]
    job = world.jobs.ended(world.jobs.known[made], JobStatus.COMPLETED)
    world.jobs.known[made] = replace(job, file_name=name, **changes)
    world.jobs.pages = [page(line("Grüße <b>"))]
    world.store.put(keys.source(job.tenant, made), PICTURE)
    return made


def export(world: World, request_id: str, query: str) -> Any:
    return world.client.get(f"/api/v1/jobs/{request_id}/export{query}")


@pytest.mark.parametrize(
    ("name", "media_type", "file_name"),
    [("txt", "text/plain; charset=utf-8", "scan.txt"),
     ("md", "text/markdown; charset=utf-8", "scan.md"),
     ("json", "application/json", "scan.json"),
     ("hocr", "text/vnd.hocr+html; charset=utf-8", "scan.hocr"),
     ("alto", "application/xml", "scan.alto.xml"),
     ("pdf", "application/pdf", "scan.ocr.pdf")],
)  # fmt: skip
def test_each_format_has_its_type_and_a_name_made_from_the_original(
    name: str, media_type: str, file_name: str
) -> None:
    world = make_world()
    answer = export(world, ended_job(world), f"?format={name}")
    assert answer.status_code == 200
    assert answer.content_type == media_type
    assert parse_options_header(answer.headers["Content-Disposition"]) == (
        "attachment", {"filename": file_name},
    )  # fmt: skip
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert len(answer.data) > 5


def test_a_name_that_is_not_ascii_is_written_as_rfc_8187_says() -> None:
    world = make_world()
    answer = export(world, ended_job(world, 'Größe "漢".tar.png'), "?format=txt")
    header = answer.headers["Content-Disposition"]
    assert header.isascii()
    assert 'filename="Groe \\"\\".tar.txt"' in header
    (encoded,) = re.findall(r"filename\*=UTF-8''(\S+)$", header)
    assert unquote(encoded) == 'Größe "漢".tar.txt'


@pytest.mark.parametrize("query", ["?format=docx", "?format=", "?format=zip"])
def test_an_unknown_format_is_422_with_all_formats(query: str) -> None:
    world = make_world()
    answer = export(world, ended_job(world), query)
    assert (answer.status_code, answer.get_json()["code"]) == (422, "unknown_format")
    assert all(name in answer.get_json()["detail"] for name in FORMATS)


def test_a_job_that_has_not_ended_is_409() -> None:
    world = make_world()
    made = world.client.post("/api/v1/jobs", json={"url": DATA_URL}).get_json()["request_id"]
    answer = export(world, made, "?format=txt")
    assert (answer.status_code, answer.get_json()["code"]) == (409, "conflict")


def test_a_job_of_which_no_page_was_read_is_422_with_the_reason() -> None:
    world = make_world()
    made = ended_job(world)
    error = JobError(code="damaged_document", detail="The document is damaged.")
    failed = world.jobs.ended(world.jobs.known[made], JobStatus.FAILED)
    world.jobs.known[made] = replace(failed, error=error)
    answer = export(world, made, "?format=txt").get_json()
    assert (answer["code"], answer["detail"]) == ("no_page_read", error.detail)


def test_a_pdf_whose_picture_is_gone_is_422_and_the_text_is_still_there() -> None:
    world = make_world()
    made = ended_job(world)
    world.store.delete([keys.source("local", made)])
    answer = export(world, made, "?format=pdf")
    assert (answer.status_code, answer.get_json()["code"]) == (422, "picture_missing")
    assert export(world, made, "?format=txt").status_code == 200


def test_a_store_that_is_down_is_503() -> None:
    world = make_world()
    made = ended_job(world)
    world.store.fail_with = StoreUnavailable()
    assert export(world, made, "?format=pdf").status_code == 503


def test_an_export_of_another_tenant_is_answered_like_an_unknown_one() -> None:
    world = make_world()
    made = ended_job(world)
    world.tokens.secrets["secret"] = "other"
    headers = {"Authorization": "Bearer secret"}
    answers = [
        world.client.get(f"/api/v1/jobs/{name}/export?format=txt", headers=headers)
        for name in (made, new_request_id(), "nonsense")
    ]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert len({answer.data for answer in answers}) == 1
    assert world.client.get(f"/api/v1/jobs/{made}/export?format=txt").status_code == 401


def ended_batch(world: World, names: list[str]) -> tuple[str, list[str]]:
    made = world.client.post("/api/v1/jobs", json={"urls": [DATA_URL] * len(names)}).get_json()
    ids = [job["request_id"] for job in made["jobs"]]
    for request_id, name in zip(ids, names, strict=True):
        job = world.jobs.ended(world.jobs.known[request_id], JobStatus.COMPLETED)
        world.jobs.known[request_id] = replace(job, file_name=name)
    world.jobs.pages = [page(line("Grüße"))]
    return made["batch_id"], ids


def opened(answer: Any) -> zipfile.ZipFile:
    assert answer.status_code == 200
    found = zipfile.ZipFile(io.BytesIO(answer.data))
    assert found.testzip() is None
    return found


def test_a_batch_is_a_zip_with_an_entry_for_each_document_and_no_name_twice() -> None:
    world = make_world()
    batch_id, _ = ended_batch(world, ["a.png", "A.jpg", "a-2.png", "errors.png", "漢.png"])
    answer = world.client.get(f"/api/v1/batches/{batch_id}/export")
    assert answer.content_type == "application/zip"
    assert parse_options_header(answer.headers["Content-Disposition"])[1] == {
        "filename": f"{batch_id}.zip"
    }
    with opened(answer) as found:
        assert found.namelist() == ["a.txt", "A-2.txt", "a-2-2.txt", "errors.txt", "漢.txt"]
        assert {found.read(name).decode() for name in found.namelist()} == {"Grüße"}


def test_what_a_batch_misses_is_told_in_an_entry_of_its_own() -> None:
    world = make_world()
    batch_id, ids = ended_batch(world, ["good.png", "bad.png", "errors.png", "half.png"])
    bad = world.jobs.ended(world.jobs.known[ids[1]], JobStatus.FAILED)
    error = JobError(code="damaged_document", detail="It is damaged.")
    world.jobs.known[ids[1]] = replace(bad, error=error)
    half = world.jobs.known[ids[3]]
    world.jobs.known[ids[3]] = replace(half, pages=replace(half.pages, total=3, failed=2))
    with opened(world.client.get(f"/api/v1/batches/{batch_id}/export?format=zip&of=json")) as found:
        assert found.namelist() == ["good.json", "errors-2.json", "half.json", "errors.json"]
        first, second = json.loads(found.read("errors.json"))
    assert (first["file_name"], first["request_id"], first["entry"]) == ("bad.png", ids[1], None)
    assert first["error"] == {"code": "no_page_read", "detail": "It is damaged."}
    assert (second["entry"], second["pages"]) == ("half.json", {"total": 3, "failed": 2})


def test_a_batch_of_pdfs_tells_of_a_picture_that_is_gone() -> None:
    world = make_world()
    batch_id, ids = ended_batch(world, ["a.png", "b.png"])
    world.store.put(keys.source("local", ids[0]), PICTURE)
    with opened(world.client.get(f"/api/v1/batches/{batch_id}/export?of=pdf")) as found:
        assert found.namelist() == ["a.ocr.pdf", "errors.json"]
        assert json.loads(found.read("errors.json"))[0]["error"]["code"] == "picture_missing"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [("?format=tar", 422, "unknown_format"), ("?of=zip", 422, "unknown_format")],
)
def test_a_batch_in_an_unknown_format_is_422(query: str, status: int, code: str) -> None:
    world = make_world()
    batch_id, _ = ended_batch(world, ["a.png", "b.png"])
    answer = world.client.get(f"/api/v1/batches/{batch_id}/export{query}")
    assert (answer.status_code, answer.get_json()["code"]) == (status, code)


def test_a_batch_with_a_job_that_has_not_ended_is_409() -> None:
    world = make_world()
    made = world.client.post("/api/v1/jobs", json={"urls": [DATA_URL] * 2}).get_json()
    answer = world.client.get(f"/api/v1/batches/{made['batch_id']}/export")
    assert (answer.status_code, answer.get_json()["code"]) == (409, "conflict")


def test_the_schema_of_a_result_is_published_and_results_follow_it() -> None:
    world = make_world()
    answer = world.client.get("/api/v1/schemas/result.json")
    assert answer.content_type == "application/schema+json"
    result = export(world, ended_job(world), "?format=json").get_json()
    jsonschema.validate(result, answer.get_json(), cls=jsonschema.Draft202012Validator)
