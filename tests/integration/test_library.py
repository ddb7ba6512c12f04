"""A library's filters and cursors, deleting many, on a real Valkey."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from casola_ocr import library
from casola_ocr.errors import NotFound
from casola_ocr.ids import new_request_id
from casola_ocr.jobs import NewDocument, Options
from casola_ocr.library import Wanted
from casola_ocr.model import JobStatus
from casola_ocr.testing import ScriptedEngine
from tests.world import PNG, FailingEngine, World, tiff

pytestmark = pytest.mark.valkey


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a busy machine changes nothing."""
    monkeypatch.setattr(library, "MAX_SECONDS", 60)


def submit(world: World, *names: str, tenant: str = "acme", **options: str) -> list[str]:
    found = []
    for name in names:
        document = NewDocument(file_name=name, source=PNG)
        (job,) = world.jobs.submit(tenant, [document], Options(**options))
        found.append(job.request_id)
    return found


def pages(world: World, wanted: Wanted, limit: int) -> Iterator[list[str]]:
    after = None
    while True:
        found, after = world.jobs.library("acme", limit, after, wanted)
        yield [job.request_id for job in found]
        if after is None:
            return


def every(world: World, wanted: Wanted, limit: int = 3) -> list[str]:
    return [name for page in pages(world, wanted, limit) for name in page]


def test_jobs_are_found_by_what_they_are(world: World) -> None:
    world.engine = FailingEngine({})
    rechnung, brief = submit(world, "Rechnung Müller.png", "brief.png")
    world.run()
    world.engine = ScriptedEngine(text="")
    (french,) = submit(world, "RECHNUNG 2.PNG", model="tesseract", language="fr,en")
    world.jobs.cancel("acme", french)
    world.run()
    (waits,) = submit(world, "rechnung3.png", language="de")
    submit(world, "rechnung.png", tenant="other")
    for wanted, expected in (
        (Wanted(), [waits, french, brief, rechnung]),
        (Wanted(statuses=frozenset({JobStatus.COMPLETED})), [brief, rechnung]),
        (Wanted(statuses=frozenset({JobStatus.QUEUED, JobStatus.CANCELLED})), [waits, french]),
        (Wanted(model="tesseract"), [french]),
        (Wanted(language="en"), [french]),
        (Wanted(file_name="rechnung"), [waits, french, rechnung]),
        (Wanted(file_name="MÜLLER"), [rechnung]),
        (Wanted(file_name="rechnung", model="auto"), [waits, rechnung]),
        (Wanted(file_name="nothing"), []),
    ):
        found = every(world, wanted)
        assert sorted(found) == sorted(expected), wanted


def test_low_confidence_is_that_of_what_was_read(world: World, raw: redis.Redis) -> None:
    low, high, none = submit(world, "a", "b", "c")
    world.run()
    raw.hset(f"job:{low}", "confidence", "0.79")
    raw.hset(f"job:{high}", "confidence", "0.8")
    raw.hdel(f"job:{none}", "confidence")
    assert every(world, Wanted(low_confidence=True)) == [low]
    assert sorted(every(world, Wanted(low_confidence=False))) == sorted([high, none])


def test_times_bound_the_library_on_both_sides(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for number in range(6):
        monkeypatch.setattr("casola_ocr.submission.now_ms", lambda n=number: 1_800_000_000_000 + n)
        made += submit(world, "a")
    base = 1_800_000_000_000
    for first, last, expected in (
        (base + 2, base + 4, made[4:1:-1]),
        (base + 5, 0, made[5:]),
        (0, base, made[:1]),
        (base + 9, 0, []),
        (base + 3, base + 2, []),
    ):
        assert every(world, Wanted(created_from=first, created_to=last), 2) == expected
        narrowed = Wanted(created_from=first, created_to=last, file_name="a")
        assert every(world, narrowed, 2) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_cursors_lead_through_everything_once(
    world: World, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(library, "STEP", 4)
    names = submit(world, *("odd" if n % 3 else "even" for n in range(13)))
    wanted = Wanted(file_name="even")
    assert every(world, Wanted(), limit) == every(world, Wanted(), 50)
    assert sorted(every(world, Wanted(), limit)) == sorted(names)
    assert sorted(every(world, wanted, limit)) == sorted(names[::3])


def test_a_filter_that_matches_little_looks_at_so_many_and_hands_back_a_cursor(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "STEP", 2)
    monkeypatch.setattr(library, "MAX_LOOKED_AT", 4)
    (oldest,) = submit(world, "wanted")
    submit(world, *["other"] * 9)
    counts = [len(page) for page in pages(world, Wanted(file_name="wanted"), 50)]
    assert sum(counts) == 1
    assert len(counts) == 3
    monkeypatch.setattr(library, "MAX_LOOKED_AT", 1000)
    monkeypatch.setattr(library, "MAX_SECONDS", 0)
    assert len(list(pages(world, Wanted(file_name="wanted"), 50))) == 5
    assert every(world, Wanted(file_name="wanted")) == [oldest]


def test_what_left_the_records_is_found_in_the_store(world: World, raw: redis.Redis) -> None:
    kept, gone = submit(world, "a.png", "b.png")
    world.run()
    raw.delete(f"job:{gone}", f"job:{gone}:pages")
    assert every(world, Wanted(file_name="B.png")) == [gone]
    assert kept in every(world, Wanted(statuses=frozenset({JobStatus.COMPLETED})))


def test_many_are_deleted_and_each_says_how_it_went(world: World) -> None:
    mine = submit(world, "a", "b")
    (theirs,) = submit(world, "c", tenant="other")
    world.jobs.delete("acme", mine[1])
    unknown = new_request_id()
    outcomes = world.jobs.delete_many("acme", [*mine, theirs, unknown, "nonsense"])
    assert [outcomes[name] for name in mine] == [None, None]
    for name in (theirs, unknown, "nonsense"):
        assert isinstance(outcomes[name], NotFound)
    assert world.jobs.get("other", theirs)
    assert world.objects(mine[0]) == []
    world.run()


def test_a_batch_is_deleted_with_all_its_jobs(world: World) -> None:
    made = world.submit(PNG, tiff(2), PNG)
    world.run()
    batch_id = made[0].batch_id
    with pytest.raises(NotFound):
        world.jobs.delete_batch("other", batch_id)
    world.jobs.delete_batch("acme", batch_id)
    assert [world.objects(job.request_id) for job in made] == [[], [], []]
    assert every(world, Wanted()) == []
    with pytest.raises(NotFound):
        world.jobs.delete_batch("acme", batch_id)
    world.settle()
    assert world.inflight() == []


def test_two_bounds_and_a_cursor_take_the_older_one() -> None:
    wanted = replace(Wanted(), created_to=5)
    cursor = f"{3:013}/req_x"
    assert wanted.begin(cursor) == cursor
    assert wanted.begin(f"{9:013}/req_x") == f"{5:013}/~"
    assert wanted.begin(None) == f"{5:013}/~"
