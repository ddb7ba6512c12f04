"""Partial results, reading failed pages again, and the dead letters of operators."""

from __future__ import annotations

import json

import pytest

from casola_ocr.errors import (
    Conflict,
    DamagedDocument,
    EngineFailed,
    EngineUnavailable,
    MalformedRequest,
    NotFound,
)
from casola_ocr.jobs import NewDocument, Options
from casola_ocr.model import JobStatus
from casola_ocr.testing import ScriptedEngine
from tests.world import PAGES_POOL, PNG, FailingEngine, World, tiff

pytestmark = pytest.mark.valkey


def partly_failed(world: World, error: Exception | None = None) -> str:
    world.engine = FailingEngine({2: error or EngineFailed()})
    request_id = world.submit_one(tiff(3))
    world.settle()
    world.engine = ScriptedEngine(text="again")
    return request_id


def test_finished_pages_are_readable_while_the_rest_runs(world: World) -> None:
    request_id = world.submit_one(tiff(3))
    work = world.work()
    work.run("prepare")
    work.run(PAGES_POOL)
    found = world.result(request_id)
    assert (found["status"], found["pages"]) == ("processing", {"total": 3, "done": 1, "failed": 0})
    assert [page["page"] for page in found["page_results"]] == [1]
    assert json.loads(world.jobs.page("acme", request_id, 1))["text"] == "hello"
    world.run()


def test_a_failed_page_carries_its_reason_and_its_attempts(world: World) -> None:
    request_id = partly_failed(world)
    page = json.loads(world.jobs.page("acme", request_id, 2))
    assert (page["error"]["code"], page["attempts"], page["flags"]) == (
        "engine_failed", 3, ["failed"],
    )  # fmt: skip


def test_only_failed_pages_are_read_again(world: World) -> None:
    request_id = partly_failed(world)
    asked = world.jobs.retry("acme", request_id)
    assert (asked.status, asked.pages.done, asked.run) == (JobStatus.QUEUED, 2, 2)
    assert world.result(request_id)["text"] == "hello\fhello", "what was read stays readable"
    world.run()
    found = world.result(request_id)
    assert found["text"] == "hello\fagain\fhello"
    assert (found["status"], found["pages"]["failed"], found["run"]) == ("completed", 0, 2)
    assert world.inflight() == []


def test_another_model_may_be_named(world: World) -> None:
    request_id = partly_failed(world)
    world.jobs.retry("acme", request_id, "tesseract")
    world.run()
    assert world.result(request_id)["text"] == "hello\fbonjour\fhello"
    with pytest.raises(EngineUnavailable):
        world.jobs.retry("acme", partly_failed(world), "deepseek-ocr")


def test_a_retry_keeps_what_the_job_wished_unless_it_names_something_else(world: World) -> None:
    world.others["deepseek-ocr"] = ScriptedEngine("deepseek-ocr", "the total")
    world.announce()
    world.engine = FailingEngine({1: EngineFailed()})
    first = world.submit_one(model="pp-ocrv6", mode="text")
    second = world.submit_one(model="pp-ocrv6", mode="text")
    world.settle()
    with pytest.raises(MalformedRequest, match="A prompt is taken by none"):
        world.jobs.retry("acme", first, prompt="The total")
    world.jobs.retry("acme", first, "deepseek-ocr")
    world.jobs.retry(
        "acme", second, "deepseek-ocr", mode="figure", prompt="<image>The total", fallback=True
    )
    world.wipe()
    world.recover()
    world.settle()
    told = [(wish.mode, wish.prompt, wish.fallback) for wish in world.others["deepseek-ocr"].wishes]
    assert sorted(told) == [("figure", "The total", True), ("text", "", False)]
    assert world.jobs.get("acme", second).prompt == "The total"


def test_a_second_click_changes_nothing(world: World) -> None:
    request_id = partly_failed(world)
    world.jobs.retry("acme", request_id)
    assert world.jobs.retry("acme", request_id).run == 2
    world.run()
    with pytest.raises(Conflict):
        world.jobs.retry("acme", request_id)


def test_there_is_nothing_to_retry_in_a_cancelled_job(world: World) -> None:
    request_id = world.submit_one()
    world.jobs.cancel("acme", request_id)
    with pytest.raises(Conflict):
        world.jobs.retry("acme", request_id)
    world.run()


def test_a_document_that_could_not_be_fetched_can_be_fetched_again(world: World) -> None:
    document = NewDocument(file_name="a.png", source=None, url="http://nowhere.invalid/a.png")
    (job,) = world.jobs.submit("acme", [document], Options())
    world.settle()
    ended = world.jobs.get("acme", job.request_id)
    assert ended.status is JobStatus.FAILED
    world.store.put(f"tenants/acme/jobs/{job.request_id}/source", PNG)
    world.jobs.retry("acme", job.request_id)
    world.run()
    assert world.jobs.get("acme", job.request_id).status is JobStatus.COMPLETED


def test_a_failed_page_that_fails_again_is_failed_again(world: World) -> None:
    request_id = partly_failed(world)
    world.engine = FailingEngine({2: DamagedDocument()})
    world.jobs.retry("acme", request_id)
    world.settle()
    job = world.jobs.get("acme", request_id)
    assert (job.status, job.pages.failed, job.run) == (JobStatus.COMPLETED, 1, 2)


def test_pages_that_failed_through_our_fault_are_dead_letters(world: World) -> None:
    ours = partly_failed(world)
    partly_failed(world, DamagedDocument())
    letters, following = world.service.dead.list(10)
    assert following is None
    (letter,) = letters
    assert (letter.request_id, letter.tenant) == (ours, "acme")
    assert [(page.page, page.code, page.attempts) for page in letter.pages] == [
        (2, "engine_failed", 3)
    ]


def test_a_dead_letter_is_retried_or_dropped(world: World) -> None:
    first, second = partly_failed(world), partly_failed(world)
    world.service.dead.retry(first)
    world.run()
    assert world.jobs.get("acme", first).pages.failed == 0
    assert [letter.request_id for letter in world.service.dead.list(10)[0]] == [second]
    world.service.dead.drop(second)
    assert world.service.dead.list(10) == ([], None)
    with pytest.raises(NotFound):
        world.service.dead.drop(second)
