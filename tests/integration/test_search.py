"""Full-text search on a real Valkey: what is found, and what never is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from casola_ocr.errors import SearchUnavailable
from casola_ocr.jobs import NewDocument, Options
from casola_ocr.library import Wanted
from casola_ocr.model import JobStatus
from casola_ocr.search.indexes import Indexes
from casola_ocr.testing import ScriptedEngine
from tests.search_world import found, read
from tests.world import PNG, World, open_world, tiff

pytestmark = [pytest.mark.valkey, pytest.mark.usefixtures("patient")]


@pytest.fixture
def world(valkey: str, tmp_path: Path) -> Iterator[World]:
    with open_world(valkey, search_dir=str(tmp_path / "search")) as made:
        yield made


def test_a_document_is_found_by_its_text_and_by_its_name(
    world: World, follow: Callable[[], None]
) -> None:
    invoice = read(world, "The invoice of\nMr Müller-Lüdenscheidt", "scan_17.png")
    other = read(world, "Nothing but inter-\nnational con-\nTracts", "Rechnung März.pdf")
    chinese = read(world, "增值税专用发票\f号码 12345678", "发票.tif")
    follow()
    for text, expected in (
        ("invoice", [invoice]),
        ("INVOICE mr", [invoice]),
        ("inv", [invoice]),
        ("nv", []),
        ("muller", [invoice]),
        ("Müller-Lüdenscheidt", [invoice]),
        ('"invoice of mr"', [invoice]),
        ('"mr invoice"', []),
        ("invoice contracts", []),
        ("international", [other]),
        ("con-tracts", [other]),
        ("scan_17", [invoice]),
        ("rechnung marz", [other]),
        ("rechnung international", [other]),
        ("专用发票", [chinese]),
        ("税", [chinese]),
        ("票增", []),
        ("发票 12345678", [chinese]),
        ("of", [invoice]),
        ("   ", []),
        ("?!", []),
    ):
        assert found(world, text) == expected, text


def test_what_was_found_shows_where(world: World, follow: Callable[[], None]) -> None:
    tenth = read(world, "no needle\fsecond\fthe needle is here\flast", "hay.tif", pages="2-4")
    named = read(world, "first", "needles.png")
    follow()
    jobs, _ = world.jobs.library("acme", 9, None, Wanted(text="needle"))
    assert {job.request_id for job in jobs} == {tenth, named}
    snippets = world.jobs.snippets("acme", "needle", jobs)
    assert snippets[named].to_dict() == {
        "source": "file_name", "page": None, "text": "needles.png", "marks": [[0, 7]],
    }  # fmt: skip
    assert snippets[tenth].to_dict() == {
        "source": "text", "page": 3, "text": "the needle is here", "marks": [[4, 10]],
    }  # fmt: skip


def test_what_waits_is_found_by_its_name_and_what_ended_by_its_state(
    world: World, follow: Callable[[], None]
) -> None:
    done = read(world, "plain text", "plain.png")
    document = NewDocument(file_name="plain too.png", source=PNG)
    (waits,) = world.jobs.submit("acme", [document], Options())
    follow()
    unfinished = frozenset({JobStatus.PROCESSING, JobStatus.QUEUED})
    assert found(world, "plain") == [waits.request_id, done]
    assert found(world, "plain", statuses=unfinished) == [waits.request_id]
    assert found(world, "plain", statuses=frozenset({JobStatus.COMPLETED})) == [done]
    world.jobs.cancel("acme", waits.request_id)
    # The index does not know it yet; what is told is what is so.
    assert found(world, "plain", statuses=unfinished) == []
    world.run()
    follow()
    assert found(world, "plain", statuses=frozenset({JobStatus.CANCELLED})) == [waits.request_id]


def test_what_was_deleted_is_not_found_from_that_moment_on(
    world: World, follow: Callable[[], None], indexes: Indexes
) -> None:
    secret = read(world, "zebraword and more", "zebraword.png")
    kept = read(world, "more of it")
    follow()
    assert found(world, "zebraword") == [secret]
    world.jobs.delete("acme", secret)
    assert found(world, "zebraword") == []
    assert found(world, "more") == [kept]
    follow()
    path = indexes.path("acme")
    assert path is not None
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM texts").fetchone() == (1,)
    with indexes.writing("acme") as index:
        index.tidy()
    files = [file.read_bytes() for file in path.parent.iterdir()]
    assert not any(b"zebraword" in file for file in files)
    assert found(world, "more") == [kept]
    world.settle()


def test_a_tenant_never_finds_what_is_anothers(
    world: World, follow: Callable[[], None], indexes: Indexes
) -> None:
    mine = read(world, "common words", "common.png")
    theirs = read(world, "common words", "common.png", tenant="other")
    follow()
    assert found(world, "common") == [mine]
    assert found(world, "common", tenant="other") == [theirs]
    assert found(world, "common", tenant="third") == []
    # Not even when the files are mixed up.
    own, other = indexes.path("acme"), indexes.path("other")
    assert own is not None
    assert other is not None
    own.write_bytes(other.read_bytes())
    assert found(world, "common") == []


def test_without_an_index_the_search_says_so(world: World) -> None:
    read(world, "some words")
    with pytest.raises(SearchUnavailable):
        found(world, "words")
    assert not world.jobs.search_is_complete()


def test_filters_hold_and_cursors_lead_through_everything_once(
    world: World, follow: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    base = 1_800_000_000_000
    for number in range(24):
        # Three in each millisecond.
        monkeypatch.setattr("casola_ocr.submission.now_ms", lambda n=number: base + n // 3)
        text = "even word" if number % 2 == 0 else "odd word"
        name = f"{'A' if number % 3 else 'B'}{number}.png"
        options = {"model": "tesseract", "language": "fr,en"} if number % 4 == 0 else {}
        made.append(read(world, text, name, **options))
    follow()
    for wanted, expected in (
        ({}, made),
        ({"model": "tesseract"}, made[::4]),
        ({"language": "en"}, made[::4]),
        ({"language": "e"}, []),
        ({"file_name": "a"}, [name for n, name in enumerate(made) if n % 3]),
        ({"created_from": base + 2, "created_to": base + 4}, made[6:15]),
        ({"low_confidence": True}, []),
        ({"low_confidence": False, "file_name": "b"}, made[::3]),
    ):
        for limit in (1, 2, 5, 50):
            ids = found(world, "word", limit=limit, **wanted)
            assert len(ids) == len(set(ids))
            assert set(ids) == set(expected), (wanted, limit)
            moments = [made.index(name) // 3 for name in ids]
            assert moments == sorted(moments, reverse=True)
    assert found(world, "even", limit=3, model="auto") == found(world, "even", model="auto")


def test_a_cursor_whose_document_was_deleted_goes_on(
    world: World, follow: Callable[[], None]
) -> None:
    made = [read(world, "word") for _ in range(4)]
    follow()
    jobs, after = world.jobs.library("acme", 2, None, Wanted(text="word"))
    world.jobs.delete("acme", jobs[-1].request_id)
    follow()
    rest, after = world.jobs.library("acme", 5, after, Wanted(text="word"))
    assert [job.request_id for job in rest] == [made[1], made[0]]
    assert after is None
    world.settle()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=st.one_of(
        st.text(max_size=40), st.text(alphabet="\"*()^:-+{}NEARORAND \\'%_;发", max_size=40)
    )
)
def test_no_text_that_one_can_type_is_an_error(
    world: World, follow: Callable[[], None], indexes: Indexes, text: str
) -> None:
    if not indexes.tenants():
        read(world, "near or and not")
        follow()
    found(world, text)


def test_a_job_that_is_read_again_is_found_by_its_new_text(
    world: World, follow: Callable[[], None]
) -> None:
    world.engine = ScriptedEngine(script=_fails_on_two)
    (job,) = world.submit(tiff(2))
    world.settle()
    follow()
    assert found(world, "readable") == [job.request_id]
    assert found(world, "second") == []
    world.engine = ScriptedEngine(text="second try")
    world.jobs.retry("acme", job.request_id)
    follow()
    assert found(world, "readable") == [job.request_id]
    world.run()
    follow()
    assert found(world, "second") == [job.request_id]


def _fails_on_two(image: Image.Image, page: int, attempt: int) -> str:
    if page == 2:
        raise ValueError("unreadable")
    return "readable"
