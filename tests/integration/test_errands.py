"""Errands on a real Valkey: what is submitted once, what is kept, how they end."""

from __future__ import annotations

import errno
import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ulid import ULID

from casola_ocr.errands import Errand, ErrandStatus, endpoints, running
from casola_ocr.errands.parts import PART_LINES
from casola_ocr.errands.runner import Runner
from casola_ocr.errors import KeyReused, NotFound, StoreUnavailable
from casola_ocr.ids import new_batch_id
from casola_ocr.jobs import NewDocument, Options
from casola_ocr.objects import keys
from tests.errand_world import CHAT, chat, create, errand_pool, finish, jobs, lines_of, steps
from tests.world import PAGES_POOL, PNG, World

pytestmark = pytest.mark.valkey


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at lines and cancellations whenever there is an occasion."""
    monkeypatch.setattr(running, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(running, "STOP_SECONDS", 0.0)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with errand_pool() as made:
        yield made


def test_lines_of_several_parts_are_answered_in_their_order(
    world: World, pool: ThreadPoolExecutor
) -> None:
    names = [f"line {number}" for number in range(PART_LINES + 5)]
    errand = create(world, *(chat(name) for name in names))
    report = finish(world, errand, pool)
    assert report.status is ErrandStatus.COMPLETED
    assert (report.total, report.counts.completed, report.error_file_id) == (len(names),) * 2 + (
        None,
    )
    output = lines_of(world, report.output_file_id)
    assert [line["custom_id"] for line in output] == names
    assert {line["response"]["body"]["choices"][0]["message"]["content"] for line in output} == {
        "hello"
    }
    assert report.counts.output_tokens == len(names)
    # Nothing is left of the work but how it ended.
    left = list(world.store.list(keys.kept_prefix("acme", keys.ERRANDS)))
    assert [key.rpartition("/")[2] for key in sorted(left)] == [
        "about.json", "outcome.json", "progress.json",
    ]  # fmt: skip
    assert not list(world.store.list(keys.ERRANDS_PREFIX))


def test_a_runner_that_died_at_any_moment_is_followed_by_one_that_repeats_nothing(
    world: World, pool: ThreadPoolExecutor
) -> None:
    names = [str(number) for number in range(PART_LINES + 20)]
    errand = create(world, *(chat(name) for name in names))
    died = 0
    while world.service.errands.get("acme", errand.errand_id)[1].status.terminal is False:
        work = steps(world, errand, pool)
        # Each runner dies after so many steps; those in between see a wiped Redis, too.
        for _ in range(died + 2):
            world.run()
            if next(work, None) is None:
                break
        died += 1
        if died % 3 == 0:
            world.wipe()
            world.reconcile()
    assert died > 3
    report = world.service.errands.get("acme", errand.errand_id)[1]
    output = lines_of(world, report.output_file_id)
    assert [line["custom_id"] for line in output] == names
    assert (report.status, report.error_file_id) == (ErrandStatus.COMPLETED, None)
    assert len(jobs(world)) == len(names)
    assert len(world.engine.wishes) == len(names)


def test_a_line_that_is_refused_and_one_that_cannot_be_read_are_errors(
    world: World, pool: ThreadPoolExecutor
) -> None:
    bad = chat("bad", url="http://127.0.0.1/x.png")
    errand = create(world, chat("a"), bad, {**chat("text"), "body": {"model": "auto"}})
    report = finish(world, errand, pool)
    assert (report.counts.completed, report.counts.failed) == (1, 2)
    errors = {line["custom_id"]: line["response"] for line in lines_of(world, report.error_file_id)}
    assert errors["bad"]["status_code"] == 400
    assert errors["bad"]["body"]["error"]["code"] == "invalid_image_url"
    assert errors["text"]["body"]["error"]["param"] == "messages"


def test_what_is_not_done_in_time_is_told_and_what_is_done_is_kept(
    world: World, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    errand = create(world, chat("a"), chat("b"), seconds=3600)
    work = steps(world, errand, pool)
    while len(jobs(world)) < 2:
        next(work)
    # One of the two is read.
    world.work().run(PAGES_POOL)
    monkeypatch.setattr(running, "now_ms", lambda: errand.deadline_at)
    for _ in work:
        world.run()
    report = world.service.errands.get("acme", errand.errand_id)[1]
    assert report.status is ErrandStatus.EXPIRED
    output, errors = lines_of(world, report.output_file_id), lines_of(world, report.error_file_id)
    assert len(output) + len(errors) == 2
    assert len(errors) == report.counts.failed == 1
    assert {line["error"]["code"] for line in errors} == {"batch_expired"}
    assert {line["response"] for line in errors} == {None}


def test_a_cancelled_errand_stops_what_another_runner_submitted(
    world: World, pool: ThreadPoolExecutor
) -> None:
    errand = create(world, *(chat(str(number)) for number in range(40)))
    work = steps(world, errand, pool)
    while not jobs(world):
        next(work)
    submitted = jobs(world)
    report = world.service.errands.cancel("acme", errand.errand_id)[1]
    assert report.status is ErrandStatus.CANCELLING
    # The runner dies here; the next one has submitted nothing itself.
    for _ in steps(world, errand, pool):
        continue
    report = world.service.errands.get("acme", errand.errand_id)[1]
    assert (report.status, report.counts.failed) == (ErrandStatus.CANCELLED, 40)
    assert jobs(world) == submitted
    states = {world.jobs.get("acme", name).status for name in submitted}
    assert states == {"cancelled"}
    world.settle()
    assert world.engine.wishes == []


def test_a_line_waits_while_no_engine_lives(world: World, pool: ThreadPoolExecutor) -> None:
    errand = create(world, chat("a"))
    world.records.pulse("worker", ())
    work = steps(world, errand, pool)
    for _ in range(4):
        next(work)
    assert not jobs(world)
    world.announce()
    # It tries again after a while: another runner does at once.
    assert finish(world, errand, pool).counts.completed == 1


def test_an_input_that_is_deleted_meanwhile(world: World, pool: ThreadPoolExecutor) -> None:
    early, late = create(world, chat("a")), create(world, chat("a"))
    work = steps(world, late, pool)
    while world.service.errands.get("acme", late.errand_id)[1].status is ErrandStatus.VALIDATING:
        next(work)
    for errand in (early, late):
        world.service.files.delete("acme", errand.input_files[0])
    report = finish(world, early, pool)
    assert report.status is ErrandStatus.FAILED
    assert [error.code for error in report.errors] == ["file_not_found"]
    # Its lines were looked through, and so are its own.
    assert finish(world, late, pool).counts.completed == 1


def test_a_broken_line_far_down_is_named_and_nothing_runs(
    world: World, pool: ThreadPoolExecutor
) -> None:
    good = json.dumps(chat("%d", url="https://x.example/a.png"))
    content = "".join(
        good.replace("%d", str(number)) + "\n" if number != 31_337 else '{"custom_id": \n'
        for number in range(1, 50_001)
    )
    errand, _ = world.service.errands.create(
        "acme", endpoint=CHAT, content=io.BytesIO(content.encode()), window="1h", seconds=3600
    )
    report = finish(world, errand, pool)
    assert report.status is ErrandStatus.FAILED
    assert [(error.code, error.line) for error in report.errors] == [("invalid_json_line", 31_337)]
    assert not jobs(world)


def test_a_file_with_too_many_lines_fails(world: World, pool: ThreadPoolExecutor) -> None:
    line = json.dumps(chat("x", url="https://x.example/a.png"))
    content = "".join(line.replace('"x"', f'"{number}"') + "\n" for number in range(50_001))
    errand, _ = world.service.errands.create(
        "acme", endpoint=CHAT, content=io.BytesIO(content.encode()), window="1h", seconds=3600
    )
    report = finish(world, errand, pool)
    assert [error.code for error in report.errors] == ["too_many_tasks"]


def test_a_store_that_is_down_delays_and_loses_nothing(
    world: World, pool: ThreadPoolExecutor
) -> None:
    errand = create(world, chat("a"), chat("b"))
    work = steps(world, errand, pool)
    while len(jobs(world)) < 2:
        next(work)
    world.store.fail_with = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        for _ in work:
            continue
    world.store.fail_with = None
    assert finish(world, errand, pool).counts.completed == 2
    assert len(jobs(world)) == 2


def test_errands_belong_to_their_tenant(world: World, pool: ThreadPoolExecutor) -> None:
    errand = create(world, chat("a"))
    for verb in (world.service.errands.get, world.service.errands.cancel):
        with pytest.raises(NotFound):
            verb("other", errand.errand_id)
    assert list(world.service.errands.list("other", CHAT)) == []
    assert finish(world, errand, pool).status is ErrandStatus.COMPLETED


def test_a_line_with_several_images_is_one_answer(world: World, pool: ThreadPoolExecutor) -> None:
    two = chat("two")
    two["body"]["messages"][0]["content"] *= 2
    report = finish(world, create(world, two), pool)
    (line,) = lines_of(world, report.output_file_id)
    assert line["response"]["body"]["choices"][0]["message"]["content"] == "hello\n\nhello"
    assert len(jobs(world)) == 2


def test_an_errand_is_made_once_for_each_key(world: World) -> None:
    content = json.dumps(chat("a")).encode()

    def make(content: bytes = content, **more: Any) -> Errand:
        asked = {"endpoint": CHAT, "window": "1h", "seconds": 3600, "idempotency_key": "k", **more}
        return world.service.errands.create("acme", content=io.BytesIO(content), **asked)[0]

    made = make()
    assert make() == made
    assert make(idempotency_key="other") != made != make(idempotency_key="")
    for other in ({"content": content + b"\n"}, {"metadata": {"a": "b"}}):
        with pytest.raises(KeyReused):
            make(**other)
    # Lists are by age, with a key or without: IDs begin with their moment.
    assert ULID.from_str(made.errand_id.removeprefix("batch_")).milliseconds in range(
        made.created_at - 10_000, made.created_at + 1
    )


def test_lines_go_past_those_that_cannot_be_accepted_now(
    world: World, pool: ThreadPoolExecutor
) -> None:
    late = [chat(f"late {number}", model="tesseract") for number in range(40)]
    errand = create(world, *late, *(chat(f"now {number}") for number in range(3)))
    world.records.pulse("worker", ["engine:pp-ocrv6"])
    work = steps(world, errand, pool)
    for _ in range(10):
        next(work)
    assert len(jobs(world)) == 3
    world.announce()
    assert finish(world, errand, pool).counts.completed == 43


def test_a_line_that_fails_unexpectedly_is_an_error_and_the_others_are_answered(
    world: World, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = endpoints.openai_chat.completion
    failures = [ValueError("no such thing")]

    def completion(*told: Any) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return made(*told)

    monkeypatch.setattr(endpoints.openai_chat, "completion", completion)
    report = finish(world, create(world, chat("a"), chat("b")), pool)
    assert (report.status, report.counts.completed) == (ErrandStatus.COMPLETED, 1)
    (line,) = lines_of(world, report.error_file_id)
    assert line["response"]["status_code"] == 500
    assert "no such thing" not in json.dumps(line)


@pytest.mark.parametrize("step", ["parse", "completion"])
def test_a_full_disk_is_no_fault_of_a_line(
    world: World, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    made, full = getattr(endpoints.openai_chat, step), [True]

    def stepped(*told: Any) -> Any:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return made(*told)

    monkeypatch.setattr(endpoints.openai_chat, step, stepped)
    errand = create(world, chat("a"), chat("b"))
    with pytest.raises(OSError, match="No space"):
        finish(world, errand, pool)
    full.clear()
    report = finish(world, errand, pool)
    assert (report.status, report.counts.completed) == (ErrandStatus.COMPLETED, 2)


def test_a_cancelled_errand_ends_although_a_line_cannot_be_parsed(
    world: World, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    errand = create(world, chat("a"), chat("b"))
    work = steps(world, errand, pool)
    while not jobs(world):
        next(work)
    world.service.errands.cancel("acme", errand.errand_id)

    def parse(*told: Any) -> None:
        raise RecursionError

    monkeypatch.setattr(endpoints.openai_chat, "parse", parse)
    report = finish(world, errand, pool)
    assert (report.status, report.counts.failed) == (ErrandStatus.CANCELLED, 2)
    world.settle()


def test_a_marker_of_what_was_never_accepted_is_removed_later(world: World) -> None:
    old = keys.errand_marker("acme", "batch_01BX5ZZKBKACTAV9WEVGEMMVS0")
    new = keys.errand_marker("acme", new_batch_id())
    for key in (old, new):
        world.store.put(key, b"")
    Runner(world.service).work(threading.Event())
    # The other may be about to be accepted.
    assert (world.store.exists(old), world.store.exists(new)) == (False, True)


def test_a_job_that_was_deleted_is_told_as_gone(world: World, pool: ThreadPoolExecutor) -> None:
    errand = create(world, chat("a"))
    work = steps(world, errand, pool)
    while not jobs(world):
        next(work)
    world.jobs.delete("acme", jobs(world)[0])
    for _ in work:
        world.run()
    report = world.service.errands.get("acme", errand.errand_id)[1]
    (line,) = lines_of(world, report.error_file_id)
    assert line["response"]["status_code"] == 410


def test_own_jobs_and_those_of_errands_share_the_library(
    world: World, pool: ThreadPoolExecutor
) -> None:
    errand = create(world, chat("a"))
    finish(world, errand, pool)
    world.jobs.submit("acme", [NewDocument(file_name="b", source=PNG)], Options())
    world.run()
    assert len(world.jobs.library("acme", 10, None)[0]) == 2
