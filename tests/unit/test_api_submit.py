"""POST /api/v1/jobs."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from casola_ocr.errors import (
    BadSelection,
    CasolaError,
    EngineUnavailable,
    FileTooLarge,
    MalformedRequest,
    TooBusy,
)
from casola_ocr.ids import is_batch_id
from casola_ocr.model import JobStatus, Lane
from tests.api_stub import CONTENT, DATA_URL, World, make_world

URL = "https://example.com/scans/page%201.png"


def upload(world: World, *names: str, field: str = "file", prefer: str = "", **form: Any) -> Any:
    files = [(BytesIO(CONTENT), name) for name in names or ("a.png",)]
    headers = {"Prefer": prefer} if prefer else {}
    return world.client.post("/api/v1/jobs", data={field: files, **form}, headers=headers)


def waits(world: World) -> list[float]:
    return [round(call[2]) for call in world.jobs.calls if call[0] == "wait"]


def test_one_file_answers_202_with_the_job_and_where_to_ask() -> None:
    world = make_world()
    answer = upload(world, "scan.png")
    job = answer.get_json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/v1/jobs/{job['request_id']}"
    assert answer.headers["Retry-After"] == "1"
    assert list(job)[:2] == ["request_id", "status"]
    assert (job["status"], job["file_name"]) == ("queued", "scan.png")
    assert world.jobs.sources == [CONTENT]


@pytest.mark.parametrize("field", ["file", "files"])
def test_several_files_become_a_batch_in_their_order(field: str) -> None:
    world = make_world()
    answer = upload(world, "b.png", "a.png", field=field)
    batch = answer.get_json()
    assert answer.status_code == 202
    assert is_batch_id(batch["batch_id"])
    assert answer.headers["Location"] == f"/api/v1/batches/{batch['batch_id']}"
    assert [job["file_name"] for job in batch["jobs"]] == ["b.png", "a.png"]


def test_a_url_is_left_to_a_worker_and_names_the_document() -> None:
    world = make_world()
    assert world.client.post("/api/v1/jobs", json={"url": URL}).status_code == 202
    (document,) = world.jobs.documents
    assert (document.source, document.url, document.file_name) == (None, URL, "page 1.png")


def test_a_data_url_is_decoded_here() -> None:
    world = make_world()
    assert world.client.post("/api/v1/jobs", json={"url": DATA_URL}).status_code == 202
    assert world.jobs.sources == [CONTENT]
    assert world.jobs.documents[0].file_name == "document"


def test_many_urls_become_a_batch() -> None:
    world = make_world()
    answer = world.client.post("/api/v1/jobs", json={"urls": [URL, DATA_URL]})
    assert len(answer.get_json()["jobs"]) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"model": "tesseract", "language": "de", "lane": "bulk"},
        {"pages": "1-5,8", "password": "s3cret", "text_layer": "prefer"},
        {"mode": "text", "prompt": "Only the total"},
    ],
    ids=["reading", "document", "wishes"],
)
def test_options_come_from_form_and_json_alike(options: dict[str, str]) -> None:
    world = make_world()
    for answer in (
        upload(world, **options),
        world.client.post("/api/v1/jobs", json={"url": URL, **options}),
    ):
        assert answer.status_code == 202
        made = world.jobs.options
        assert made is not None
        assert {name: getattr(made, name) for name in options} == options


@pytest.mark.parametrize(("given", "taken"), [("true", True), ("false", False)])
def test_fallback_is_a_word_in_a_form_and_a_truth_value_in_json(given: str, taken: bool) -> None:
    world = make_world()
    for answer in (
        upload(world, fallback=given),
        world.client.post("/api/v1/jobs", json={"url": URL, "fallback": taken}),
    ):
        assert answer.status_code == 202
        assert world.jobs.options is not None
        assert world.jobs.options.fallback is taken


def test_fallback_that_is_neither_true_nor_false_is_refused() -> None:
    answer = upload(make_world(), fallback="perhaps")
    assert answer.status_code == 400
    assert "'fallback'" in answer.get_json()["detail"]


def test_a_password_that_is_too_long_is_refused_and_not_repeated() -> None:
    answer = upload(make_world(), password="s3cret" * 30)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "malformed_request")
    assert "s3cret" not in answer.get_data(as_text=True)
    assert "password" in answer.get_json()["detail"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadSelection("'pages' has a part that is no page or range: 'x'."), "bad_pages"),
        (MalformedRequest("'text_layer' is one of ignore, prefer."), "malformed_request"),
    ],
)
def test_options_that_the_domain_refuses_are_told_as_problems(
    error: CasolaError, code: str
) -> None:
    world = make_world()
    world.jobs.refuse = error
    answer = upload(world, pages="x")
    assert (answer.status_code, answer.get_json()["code"]) == (error.status, code)


@pytest.mark.parametrize(
    ("files", "prefer", "form", "lane"),
    [
        (("a",), "", {}, Lane.INTERACTIVE),
        (("a", "b"), "", {}, Lane.BULK),
        (("a", "b"), "wait=5", {}, Lane.INTERACTIVE),
        (("a", "b"), "", {"lane": "interactive"}, Lane.INTERACTIVE),
        (("a",), "wait=5", {"lane": "bulk"}, Lane.BULK),
    ],
)
def test_the_lane_follows_from_whether_somebody_waits(
    files: tuple[str, ...], prefer: str, form: dict[str, str], lane: Lane
) -> None:
    world = make_world()
    upload(world, *files, prefer=prefer, **form)
    assert world.jobs.options is not None
    assert world.jobs.options.lane is lane


def test_waiting_answers_200_with_the_result_when_the_job_ends() -> None:
    world = make_world()
    answer = upload(world, prefer="wait=10")
    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"] == "wait=10"
    assert answer.content_type == "application/json"
    assert answer.get_json()["text"] == "Grüße"
    assert answer.get_json()["page_results"] == []
    assert "ü" in answer.get_data(as_text=True)


def test_waiting_in_vain_answers_202_with_the_job_as_it_stands() -> None:
    world = make_world()
    world.jobs.ends = [JobStatus.PROCESSING]
    answer = upload(world, prefer="wait=1")
    assert (answer.status_code, answer.get_json()["status"]) == (202, "processing")
    assert "Preference-Applied" not in answer.headers
    assert answer.headers["Location"]


def test_waiting_for_a_batch_answers_200_only_when_all_of_it_ended() -> None:
    world = make_world()
    answer = upload(world, "a", "b", prefer="wait=10")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "completed")
    world.jobs.ends = [JobStatus.COMPLETED, JobStatus.PROCESSING]
    answer = upload(world, "a", "b", prefer="wait=10")
    assert (answer.status_code, answer.get_json()["status"]) == (202, "processing")


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=10", 10),
        ("respond-async, wait=10", 10),
        ("wait=10; foo=bar, handling=lenient", 10),
        ('Wait = "7"', 7),
        ("wait=5, wait=9", 5),
        ("wait=99999", 120),
        ("wait=" + "9" * 5000, 120),
    ],
)
def test_prefer_wait_is_understood_and_capped(prefer: str, seconds: int) -> None:
    world = make_world()
    upload(world, prefer=prefer)
    assert waits(world) == [seconds]


@pytest.mark.parametrize(
    "prefer",
    ["respond-async", "await=5", "wait", "wait=", "wait=x", "wait=1.5", "wait=-1", "wait=5x",
     'foo="a, wait=5"', "respond-async; wait=5", "wait=٣", "wait=0"],
)  # fmt: skip
def test_what_is_not_a_wait_is_ignored(prefer: str) -> None:
    world = make_world()
    headers = [("Prefer", prefer.encode().decode("latin-1"))]
    answer = world.client.post("/api/v1/jobs", json={"url": URL}, headers=headers)
    assert answer.status_code == 202
    assert waits(world) == []


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"url": 5}, "'url'"),
        ({"urls": "x"}, "'urls'"),
        ({"urls": [1]}, "'urls.0'"),
        ({"url": URL, "modle": "x"}, "'modle'"),
        ({"url": URL, "model": None}, "'model'"),
        ({"url": URL, "lane": "fast"}, "'lane'"),
        ([], "JSON object"),
    ],
)
def test_a_wrong_body_is_400_and_names_the_field(body: object, named: str) -> None:
    world = make_world()
    answer = world.client.post("/api/v1/jobs", json=body)
    assert answer.status_code == 400
    assert answer.get_json()["code"] == "malformed_request"
    assert named in answer.get_json()["detail"]
    assert world.jobs.calls == []


@pytest.mark.parametrize("form", [{"url": URL}, {"modle": "x"}, {"model": ["a", "b"]}])
def test_a_form_with_an_unknown_or_repeated_field_is_400(form: dict[str, Any]) -> None:
    world = make_world()
    answer = upload(world, **form)
    assert answer.status_code == 400
    assert f"'{next(iter(form))}'" in answer.get_json()["detail"]
    assert world.jobs.calls == []


@pytest.mark.parametrize("body", ["{", "", "\xff", "[" * 100_000, '{"url": ' + "9" * 5000 + "}"])
def test_what_is_not_json_is_400(body: str) -> None:
    answer = make_world().client.post(
        "/api/v1/jobs", data=body.encode("latin-1"), content_type="application/json"
    )
    assert answer.status_code == 400
    assert answer.get_json()["detail"] == "The body is not valid JSON."


def test_half_a_character_is_refused_and_never_breaks_the_answer() -> None:
    client = make_world().client
    for body in (r'{"url": "http://a.example/\ud800"}', r'{"\ud800": 1}'):
        answer = client.post("/api/v1/jobs", data=body, content_type="application/json")
        assert answer.status_code == 400
        assert answer.get_json()["detail"] == "The body is not valid JSON."


@pytest.mark.parametrize("body", [{}, {"urls": []}, {"url": ""}])
def test_a_submission_without_a_document_is_no_file(body: dict[str, Any]) -> None:
    client = make_world().client
    assert client.post("/api/v1/jobs", json=body).get_json()["code"] == "no_file"
    answer = client.post("/api/v1/jobs", data={"model": "auto"}, content_type="multipart/form-data")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "no_file")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_content_type_is_415(kind: str) -> None:
    answer = make_world().client.post("/api/v1/jobs", data=b"x", content_type=kind)
    assert (answer.status_code, answer.get_json()["code"]) == (415, "unsupported_media_type")


def test_too_many_documents_are_refused_in_files_and_in_urls() -> None:
    world = make_world(max_files_per_request=2)
    assert upload(world, "a", "b", "c").status_code == 400
    answer = world.client.post("/api/v1/jobs", json={"urls": [URL] * 3})
    assert answer.status_code == 400
    assert "2" in answer.get_json()["detail"]
    assert world.jobs.calls == []


def test_a_whole_request_is_bounded_and_json_more_tightly() -> None:
    world = make_world(max_file_mb=1)
    answer = world.client.post("/api/v1/jobs", json={"url": "data:," + "a" * 1_500_000})
    assert (answer.status_code, answer.get_json()["code"]) == (413, "file_too_large")
    assert post_large_file(world, 1_500_000).status_code == 202
    assert post_large_file(world, 17_100_000).status_code == 413


def post_large_file(world: World, size: int) -> Any:
    # By hand, because the test client would leave its own temporary file open.
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    body = head + bytes(size) + b"\r\n--x--\r\n"
    kind = "multipart/form-data; boundary=x"
    return world.client.post("/api/v1/jobs", data=body, content_type=kind)


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (FileTooLarge("The file has 21.0 MB; the limit is 20 MB."), 413, None),
        (TooBusy(retry_after_seconds=7), 429, "7"),
        (EngineUnavailable("No live worker runs this model."), 503, "5"),
    ],
)
def test_a_refusal_is_a_problem_with_its_own_words(
    error: Exception, status: int, retry_after: str | None
) -> None:
    world = make_world()
    world.jobs.refuse = error
    answer = upload(world)
    assert answer.status_code == status
    assert answer.get_json()["detail"] == str(error)
    assert answer.headers.get("Retry-After") == retry_after
