"""GET /api/v1/library."""

from __future__ import annotations

from io import BytesIO

import pytest
from werkzeug.datastructures import MultiDict

from casola_ocr.library import Wanted
from casola_ocr.model import JobStatus
from tests.api_stub import CONTENT, DATA_URL, make_world


def test_pages_of_the_library_follow_each_other_newest_first() -> None:
    world = make_world()
    ids = [
        world.client.post("/api/v1/jobs", json={"url": DATA_URL}).get_json()["request_id"]
        for _ in range(3)
    ]
    first = world.client.get("/api/v1/library?limit=2").get_json()
    assert [job["request_id"] for job in first["data"]] == [ids[2], ids[1]]
    assert (first["has_more"], first["next"]) == (True, ids[1])
    second = world.client.get(f"/api/v1/library?limit=2&after={first['next']}").get_json()
    assert [job["request_id"] for job in second["data"]] == [ids[0]]
    assert (second["has_more"], second["next"]) == (False, None)


def test_the_library_gives_fifty_jobs_unless_told_otherwise() -> None:
    world = make_world()
    world.client.get("/api/v1/library")
    assert world.jobs.calls == [("library", "local", 50, None)]


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "", "1.5", "9" * 5000])
def test_a_limit_out_of_range_is_400(limit: str) -> None:
    world = make_world()
    answer = world.client.get("/api/v1/library", query_string={"limit": limit})
    assert answer.status_code == 400
    assert "'limit'" in answer.get_json()["detail"]


def test_the_next_page_has_a_link_that_keeps_what_was_asked() -> None:
    world = make_world()
    for _ in range(3):
        world.client.post("/api/v1/jobs", json={"url": DATA_URL})
    answer = world.client.get("/api/v1/library?limit=2&file_name=a+%26b&fields=status")
    following = answer.get_json()["next"]
    assert answer.headers["Link"] == (
        f'</api/v1/library?limit=2&file_name=a+%26b&fields=status&after={following}>; rel="next"'
    )
    last = world.client.get(answer.headers["Link"].partition(">")[0].removeprefix("<"))
    assert "Link" not in last.headers


def test_a_text_is_looked_for_and_each_job_tells_where_it_was_found() -> None:
    world = make_world()
    for _ in range(2):
        world.client.post("/api/v1/jobs", json={"url": DATA_URL})
    plain = world.client.get("/api/v1/library?text=++").get_json()
    assert "complete" not in plain
    assert "snippets" not in plain
    found = world.client.get("/api/v1/library?text=+two+words+&fields=status&status=completed")
    assert world.jobs.calls[-1][-1] == Wanted(
        text="two words", statuses=frozenset({JobStatus.COMPLETED})
    )
    body = found.get_json()
    assert body["complete"] is True
    assert body["snippets"] == {
        body["data"][0]["request_id"]: {
            "source": "text", "page": 2, "text": "two words <b>", "marks": [[0, 9]],
        }
    }  # fmt: skip
    assert world.client.get(f"/api/v1/library?text={'x' * 256}").status_code == 400


def test_what_is_asked_of_jobs_is_passed_on() -> None:
    world = make_world()
    world.client.get(
        "/api/v1/library?status=queued,failed&model=auto&language=de&file_name=Rech"
        "&created_from=2026-11-25&created_to=2026-11-25T12:00:00%2B02:00&low_confidence=true"
    )
    assert world.jobs.calls == [
        (
            "library",
            "local",
            50,
            None,
            Wanted(
                statuses=frozenset({JobStatus.QUEUED, JobStatus.FAILED}),
                model="auto",
                language="de",
                file_name="Rech",
                created_from=1_795_564_800_000,
                created_to=1_795_600_800_000,
                low_confidence=True,
            ),
        )
    ]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("status=done", "status"),
        ("status=", "status"),
        ("created_from=yesterday", "created_from"),
        ("created_to=2026-13-01", "created_to"),
        ("low_confidence=perhaps", "low_confidence"),
        ("colour=red", "colour"),
        ("model=a&model=b", "model"),
        ("fields=status,colour", "fields"),
        ("fields=", "fields"),
    ],
)
def test_what_cannot_be_asked_of_jobs_is_400(query: str, named: str) -> None:
    world = make_world()
    answer = world.client.get(f"/api/v1/library?{query}")
    assert answer.status_code == 400
    assert named in answer.get_json()["detail"]


def test_only_the_fields_that_are_asked_for_are_told() -> None:
    world = make_world()
    files = [("file", (BytesIO(CONTENT), name)) for name in ("a.png", "b.png")]
    made = world.client.post("/api/v1/jobs", data=MultiDict(files)).get_json()
    request_id = made["jobs"][0]["request_id"]
    wanted = {"request_id", "status", "pages"}
    (job, _) = world.client.get("/api/v1/library?fields=pages,status").get_json()["data"]
    assert set(job) == wanted
    assert set(world.client.get(f"/api/v1/jobs/{request_id}?fields=pages, status").json) == wanted
    batch = world.client.get(f"/api/v1/batches/{made['batch_id']}?fields=pages,status").json
    assert set(batch["jobs"][0]) == wanted
    assert world.client.get(f"/api/v1/jobs/{request_id}?fields=color").status_code == 400


def test_many_jobs_are_deleted_with_an_outcome_for_each() -> None:
    world = make_world()
    made = world.client.post("/api/v1/jobs", json={"url": DATA_URL}).get_json()["request_id"]
    body = {"request_ids": [made, "req_nothing", made]}
    answer = world.client.post("/api/v1/library/delete", json=body)
    assert answer.status_code == 200
    deleted, unknown = answer.get_json()["data"]
    assert deleted == {"request_id": made, "deleted": True}
    assert (unknown["deleted"], unknown["code"]) == (False, "not_found")
    assert ("delete_many", made, "req_nothing") in world.jobs.calls


@pytest.mark.parametrize(
    "body", [{}, {"request_ids": []}, {"request_ids": [1]}, {"request_ids": ["a"] * 201}, []]
)
def test_a_deletion_names_one_to_two_hundred_jobs(body: object) -> None:
    assert make_world().client.post("/api/v1/library/delete", json=body).status_code == 400
