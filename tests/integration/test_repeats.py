"""Requests that come again: kept answers, and an SDK's tries, on a real Valkey."""

from __future__ import annotations

import threading
import time

import pytest
import redis

from api.dialects.openai_reading import Reading
from casola_ocr import repeats
from casola_ocr.errors import Conflict, InProgress, KeyReused, StoreUnavailable
from casola_ocr.jobs import NewDocument, Options
from casola_ocr.model import Job, JobStatus
from casola_ocr.repeats import Answer, Answers, forget_old_answers
from casola_ocr.wire.openai_answer import Answer as Answering
from tests.world import PNG, FailingEngine, World, tiff

pytestmark = pytest.mark.valkey

ANSWER = Answer(status=201, body=b'{"id": "\xc3\xbc"}', headers={"Location": "/x"})


@pytest.fixture
def answers(world: World) -> Answers:
    return world.service.answers


def must_not_run() -> Answer:
    raise AssertionError("it was done already")


def test_the_first_answer_is_given_again_also_after_a_wipe(world: World, answers: Answers) -> None:
    assert answers.once("acme", "k", "f", lambda: ANSWER) == (ANSWER, False)
    assert answers.once("acme", "k", "f", must_not_run) == (ANSWER, True)
    world.wipe()
    assert answers.once("acme", "k", "f", must_not_run) == (ANSWER, True)


def test_a_key_belongs_to_its_request_and_its_tenant(answers: Answers) -> None:
    answers.once("acme", "k", "f", lambda: ANSWER)
    with pytest.raises(KeyReused):
        answers.once("acme", "k", "other", must_not_run)
    other = Answer(status=200, body=b"2", headers={})
    assert answers.once("other", "k", "f", lambda: other) == (other, False)


def test_while_the_first_is_answered_the_second_is_told_to_come_back(answers: Answers) -> None:
    def meanwhile() -> Answer:
        with pytest.raises(InProgress) as told:
            answers.once("acme", "k", "f", must_not_run)
        assert told.value.retry_after_seconds == 1
        return ANSWER

    assert answers.once("acme", "k", "f", meanwhile) == (ANSWER, False)


def test_what_created_nothing_is_tried_again(answers: Answers) -> None:
    def refused() -> Answer:
        raise Conflict()

    with pytest.raises(Conflict):
        answers.once("acme", "k", "f", refused)
    bad = Answer(status=400, body=b"", headers={})
    assert answers.once("acme", "k", "f", lambda: bad) == (bad, False)
    assert answers.once("acme", "k", "f", lambda: ANSWER) == (ANSWER, False)


def test_of_many_at_once_one_runs(answers: Answers) -> None:
    ran, told = [], []

    def slow() -> Answer:
        ran.append(1)
        time.sleep(0.2)
        return ANSWER

    def ask() -> None:
        try:
            told.append(answers.once("acme", "k", "f", slow)[1])
        except InProgress:
            told.append(None)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ran) == 1
    assert told.count(False) == 1


def test_a_store_that_is_down_keeps_nothing_half(world: World, answers: Answers) -> None:
    world.store.fail_with = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        answers.once("acme", "k", "f", must_not_run)
    world.store.fail_with = None
    assert answers.once("acme", "k", "f", lambda: ANSWER) == (ANSWER, False)


def test_an_answer_is_found_over_midnight_and_forgotten_after_two_days(
    world: World, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    answers.once("acme", "k", "f", lambda: ANSWER)
    monkeypatch.setattr(repeats.time, "time", lambda: now + 86_400)
    assert answers.once("acme", "k", "f", must_not_run)[1]
    assert sum(forget_old_answers(world.store)) == 0
    monkeypatch.setattr(repeats.time, "time", lambda: now + 2 * 86_400)
    world.service.answers.once("acme", "k2", "f", lambda: ANSWER)
    assert answers.once("acme", "k", "other", lambda: ANSWER) == (ANSWER, False)
    monkeypatch.setattr(repeats.time, "time", lambda: now + 3 * 86_400)
    assert sum(forget_old_answers(world.store)) == 1
    assert len(list(world.store.list("answers/"))) == 2


def test_the_reconciler_forgets_answers(world: World) -> None:
    world.store.put("answers/2020-01-01/acme/x.json", b"{}")
    world.reconcile()
    assert list(world.store.list("answers/")) == []


def submit(
    world: World, attempt: int | None, source: bytes = PNG, tenant: str = "acme", **options: str
) -> tuple[Job, bool]:
    document = NewDocument(file_name="a.png", source=source)
    made, again = world.jobs.submit_or_find(tenant, [document], Options(**options), attempt=attempt)
    return made[0], again


def test_an_sdks_next_try_gets_the_job_of_the_one_before(world: World) -> None:
    world.engine = engine = FailingEngine({})
    first, again = submit(world, 0)
    assert not again
    assert submit(world, 1) == (world.jobs.get("acme", first.request_id), True)
    world.run()
    read, again = submit(world, 2)
    assert (read.request_id, read.pages.done, again) == (first.request_id, 1, True)
    assert engine.calls == 1


def test_a_try_that_was_given_up_does_not_cancel_what_the_next_one_waits_for(world: World) -> None:
    def reading(job: Job) -> Reading:
        return Reading(jobs=world.jobs, tenant="acme", made=[job], seconds=5, answer=Answering())

    job, _ = submit(world, 0)
    first = reading(job)
    second = reading(submit(world, 1)[0])
    first.cancel()
    assert world.jobs.get("acme", job.request_id).status is JobStatus.QUEUED
    second.cancel()
    assert world.jobs.get("acme", job.request_id).status is JobStatus.CANCELLED


def test_a_first_try_is_always_a_new_submission(world: World) -> None:
    ids = {submit(world, attempt)[0].request_id for attempt in (0, 0, None, None)}
    assert len(ids) == 4
    world.run()


def test_a_try_of_something_else_or_somebody_else_is_new(world: World) -> None:
    first, _ = submit(world, 0)
    for other in (
        submit(world, 1, tiff(2)),
        submit(world, 1, language="de"),
        submit(world, 1, tenant="other"),
    ):
        assert other[0].request_id != first.request_id
        assert not other[1]


def test_a_try_after_a_failure_or_a_cancellation_reads_again(world: World) -> None:
    first, _ = submit(world, 0)
    world.jobs.cancel("acme", first.request_id)
    second, again = submit(world, 1)
    assert not again
    assert second.request_id != first.request_id
    assert submit(world, 2)[0].request_id == second.request_id


def test_a_try_long_after_the_end_reads_again(
    world: World, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = submit(world, 0)
    world.run()
    finished = world.jobs.get("acme", first.request_id).finished_at or 0
    monkeypatch.setattr(repeats, "now_ms", lambda: finished + 60_001)
    assert not submit(world, 1)[1]
    assert raw.ttl(next(iter(raw.scan_iter("again:*")))) <= repeats.TRIES_SECONDS


def test_a_try_after_a_wipe_is_accepted(world: World) -> None:
    submit(world, 0)
    world.wipe()
    assert not submit(world, 1)[1]
