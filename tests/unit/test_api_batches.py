"""GET /api/v1/batches/{id}."""

from __future__ import annotations

from casola_ocr.ids import new_batch_id
from casola_ocr.model import JobStatus
from tests.api_stub import DATA_URL, make_world


def test_a_batch_counts_its_jobs_by_status() -> None:
    world = make_world()
    made = world.client.post("/api/v1/jobs", json={"urls": [DATA_URL] * 3}).get_json()
    ids = [job["request_id"] for job in made["jobs"]]
    for name, status in zip(ids, (JobStatus.COMPLETED, JobStatus.FAILED), strict=False):
        world.jobs.known[name] = world.jobs.ended(world.jobs.known[name], status)
    batch = world.client.get(f"/api/v1/batches/{made['batch_id']}").get_json()
    assert batch["status"] == "processing"
    assert batch["created_at"].endswith("Z")
    assert batch["counts"] == {
        "total": 3, "queued": 1, "processing": 0, "completed": 1, "failed": 1, "cancelled": 0,
    }  # fmt: skip
    assert [job["request_id"] for job in batch["jobs"]] == ids


def test_a_batch_is_completed_when_every_job_ended_however() -> None:
    world = make_world()
    made = world.client.post("/api/v1/jobs", json={"urls": [DATA_URL] * 2}).get_json()
    for job in made["jobs"]:
        world.client.post(f"/api/v1/jobs/{job['request_id']}/cancel")
    batch = world.client.get(f"/api/v1/batches/{made['batch_id']}").get_json()
    assert (batch["status"], batch["counts"]["cancelled"]) == ("completed", 2)


def test_a_foreign_batch_is_answered_like_an_unknown_one() -> None:
    world = make_world()
    made = world.client.post("/api/v1/jobs", json={"urls": [DATA_URL] * 2}).get_json()
    world.tokens.secrets["secret"] = "other"
    headers = {"Authorization": "Bearer secret"}
    answers = [
        world.client.get(f"/api/v1/batches/{name}", headers=headers)
        for name in (made["batch_id"], new_batch_id(), "nonsense")
    ]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert len({answer.get_data() for answer in answers}) == 1


def test_a_batch_is_waited_for() -> None:
    world = make_world()
    made = world.client.post("/api/v1/jobs", json={"urls": [DATA_URL] * 2}).get_json()
    batch = world.client.get(f"/api/v1/batches/{made['batch_id']}?wait=5").get_json()
    assert batch["status"] == "completed"
    assert len([call for call in world.jobs.calls if call[0] == "wait"]) == 2


def test_a_batch_is_deleted_with_its_jobs() -> None:
    world = make_world()
    made = world.client.post("/api/v1/jobs", json={"urls": [DATA_URL] * 2}).get_json()
    assert world.client.delete(f"/api/v1/batches/{made['batch_id']}").status_code == 204
    deleted = [call[1] for call in world.jobs.calls if call[0] == "delete"]
    assert deleted == [job["request_id"] for job in made["jobs"]]
    assert world.client.delete(f"/api/v1/batches/{new_batch_id()}").status_code == 404
