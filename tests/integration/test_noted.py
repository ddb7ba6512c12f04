"""What a dialect noted with a submission is found again with its jobs, on a real Valkey."""

from __future__ import annotations

import pytest

from casola_ocr.errors import Gone, NotFound
from casola_ocr.jobs import NewDocument, Options
from tests.world import PNG, World

pytestmark = pytest.mark.valkey

NOTE = {"metadata": {"a": "ü"}, "most": None}


def test_the_note_and_all_jobs_are_found_by_the_first_one_also_after_a_wipe(world: World) -> None:
    made = world.submit(PNG, PNG, PNG, note=NOTE)
    first = made[0].request_id
    names = [job.request_id for job in made]
    note, jobs = world.jobs.noted("acme", first)
    assert (note, [job.request_id for job in jobs]) == (NOTE, names)
    world.settle()
    world.wipe()
    note, jobs = world.jobs.noted("acme", first)
    assert (note, [job.request_id for job in jobs]) == (NOTE, names)
    assert {job.status for job in jobs} == {"completed"}


def test_nothing_is_found_by_another_job_or_tenant_or_where_nothing_was_noted(
    world: World,
) -> None:
    made = world.submit(PNG, PNG, note=NOTE)
    plain = world.submit_one()
    for tenant, name in (
        ("acme", made[1].request_id), ("acme", plain), ("other", made[0].request_id)
    ):  # fmt: skip
        with pytest.raises(NotFound):
            world.jobs.noted(tenant, name)


def test_a_submission_of_which_a_job_was_deleted_is_gone(world: World) -> None:
    made = world.submit(PNG, PNG, note=NOTE)
    world.settle()
    world.jobs.delete("acme", made[1].request_id)
    with pytest.raises(Gone):
        world.jobs.noted("acme", made[0].request_id)
    _, left = world.jobs.noted("acme", made[0].request_id, whole=False)
    assert [job.request_id for job in left] == [made[0].request_id]


def test_a_later_try_with_another_note_is_another_submission(world: World) -> None:
    def tried(attempt: int, note: dict[str, str]) -> str:
        document = NewDocument(file_name="a", source=PNG)
        made, _ = world.jobs.submit_or_find("acme", [document], Options(note=note), attempt=attempt)
        return made[0].request_id

    first = tried(0, {"a": "1"})
    assert tried(1, {"a": "1"}) == first
    assert tried(1, {"a": "2"}) != first
