"""A page that one DeepSeek-OCR cannot be trusted with is read by the other one, if it is alive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from casola_ocr.errors import CasolaError, EngineFailed, Unprocessable
from casola_ocr.jobs import Jobs
from casola_ocr.pages import PageResult, Try
from casola_ocr.publisher import pages_pool
from casola_ocr.testing import ScriptedEngine
from tests.verbs import claim
from tests.world import World, tiff

pytestmark = pytest.mark.valkey

V1, V2 = "deepseek-ocr", "deepseek-ocr-v2"


class Judged(ScriptedEngine):
    """An engine whose readings have these flags; it fails instead with what is in `failures`."""

    def __init__(self, name: str, *flags: str):
        super().__init__(name, f"by {name}")
        self.flags = flags
        self.failures: list[CasolaError] = []

    def read(self, image: Any, **told: Any) -> PageResult:
        read = super().read(image, **told)
        if self.failures:
            raise self.failures.pop()
        tries = (Try(engine=self.name, how="n-gram 30/90", flags=self.flags),)
        return replace(read, flags=self.flags, tries=tries)


def live(world: World, *engines: Judged) -> None:
    world.others.update({engine.name: engine for engine in engines})
    world.announce()


def page_of(world: World, request_id: str) -> dict[str, Any]:
    (page,) = world.result(request_id)["page_results"]
    found: dict[str, Any] = page
    return found


def engines_of(tries: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    return [(each["engine"], each["flags"]) for each in tries]


@pytest.mark.parametrize(("asked", "other"), [(V2, V1), (V1, V2)])
def test_a_page_that_one_version_loops_on_is_read_by_the_other(
    world: World, asked: str, other: str
) -> None:
    live(world, Judged(asked, "repetition"), Judged(other))
    request_id = world.submit_one(model=asked)
    world.run()
    page = page_of(world, request_id)
    assert (page["engine"], page["text"]) == (other, f"by {other}")
    assert page["flags"] == ["fallback"]
    assert page["attempts"] == 1, "both readings are one attempt"
    assert engines_of(page["tries"]) == [(asked, ["repetition"]), (other, [])]


def test_the_better_of_two_bad_readings_is_kept(world: World) -> None:
    live(world, Judged(V2, "truncated"), Judged(V1, "truncated", "repetition"))
    request_id = world.submit_one(model=V2)
    world.run()
    page = page_of(world, request_id)
    assert (page["engine"], page["flags"]) == (V2, ["truncated"])
    assert [each["engine"] for each in page["tries"]] == [V2, V1]


def test_a_cpu_engine_is_allowed_only_to_whoever_reads_last(world: World) -> None:
    first, second = Judged(V2, "truncated"), Judged(V1, "truncated")
    live(world, first, second)
    world.submit_one(model=V2, fallback=True)
    world.submit_one(model=V2)
    world.run()
    assert [wishes.fallback for wishes in first.wishes] == [False, False]
    assert sorted(wishes.fallback for wishes in second.wishes) == [False, True]


def test_a_page_that_can_be_trusted_is_not_lent(world: World) -> None:
    other = Judged(V1)
    live(world, Judged(V2, "low_confidence"), other)
    assert page_of(world, done(world, world.submit_one(model=V2)))["engine"] == V2
    assert not other.wishes


def test_without_the_other_version_the_ladder_ends_with_the_cpu_engine(world: World) -> None:
    alone = Judged(V2, "truncated")
    live(world, alone)
    page = page_of(world, done(world, world.submit_one(model=V2, fallback=True)))
    assert (page["engine"], page["flags"]) == (V2, ["truncated"])
    assert [wishes.fallback for wishes in alone.wishes] == [True]


def test_what_the_other_version_cannot_be_told_is_not_lent(world: World) -> None:
    other = Judged(V2)
    live(world, Judged(V1, "truncated"), other)
    page = page_of(world, done(world, world.submit_one(model=V1, prompt="Which total?")))
    assert page["engine"] == V1
    assert not other.wishes


def done(world: World, request_id: str) -> str:
    world.run()
    return request_id


def lent(world: World, **options: Any) -> tuple[str, Judged, Judged]:
    """A page that waits for the other version, its own engine and that one."""
    first, second = Judged(V2, "truncated"), Judged(V1)
    live(world, first, second)
    request_id = world.submit_one(model=V2, **options)
    world.work().run(pages_pool(V2))
    assert first.wishes and not second.wishes
    return request_id, first, second


def test_a_page_that_nobody_takes_in_time_is_read_at_home_with_what_was_read_before(
    world: World,
) -> None:
    request_id, first, second = lent(world, fallback=True)
    world.records.pulse("worker", [f"engine:{V2}"])
    world.publisher.hints.clear()
    world.sweep()
    world.run()
    page = page_of(world, request_id)
    assert (page["engine"], page["attempts"]) == (V2, 1)
    assert [each["engine"] for each in page["tries"]] == [V2, V2]
    assert [wishes.fallback for wishes in first.wishes] == [False, True]
    assert not second.wishes


def test_a_borrower_that_dies_gives_the_page_back_and_it_is_not_lent_again(world: World) -> None:
    request_id, first, second = lent(world)
    claim(world.records, pages_pool(V1), "a worker that dies")
    world.sweep()
    world.run()
    page = page_of(world, request_id)
    assert (page["engine"], page["attempts"]) == (V2, 2)
    assert len(first.wishes) == 2
    assert not second.wishes


@pytest.mark.parametrize("error", [Unprocessable("No."), EngineFailed()])
def test_what_was_read_is_kept_when_the_other_version_cannot_read_the_page(
    world: World, error: CasolaError
) -> None:
    request_id, _, second = lent(world)
    second.failures = [error]
    world.settle()
    page = page_of(world, request_id)
    assert (page["engine"], page["text"], page["error"]) == (V2, f"by {V2}", None)


def test_the_last_attempt_is_not_lent(world: World) -> None:
    first, second = Judged(V2, "truncated"), Judged(V1)
    first.failures = [EngineFailed()] * (world.settings.max_attempts - 1)
    live(world, first, second)
    request_id = world.submit_one(model=V2)
    world.settle()
    assert page_of(world, request_id)["engine"] == V2
    assert not second.wishes


@pytest.mark.parametrize("end", [Jobs.cancel, Jobs.delete])
def test_a_job_that_ends_meanwhile_waits_nowhere(world: World, end: Any) -> None:
    request_id, _, second = lent(world)
    end(world.jobs, "acme", request_id)
    world.settle()
    assert not second.wishes
    assert not world.raw.keys("wait:*")


def test_pages_of_a_long_document_are_lent_one_by_one(world: World) -> None:
    live(world, Judged(V2, "truncated"), Judged(V1))
    request_id = world.submit_one(tiff(5), model=V2)
    world.run()
    pages = world.result(request_id)["page_results"]
    assert [page["page"] for page in pages] == [1, 2, 3, 4, 5]
    assert {page["engine"] for page in pages} == {V1}
