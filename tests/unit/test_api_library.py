"""GET /api/v1/library."""

from __future__ import annotations

import pytest

from tests.api_stub import DATA_URL, make_world


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
    assert "from 1 to 200" in answer.get_json()["detail"]
