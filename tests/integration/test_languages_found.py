"""Which languages a job is in, and finding it by them: on a real Valkey and a directory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from casola_ocr.errors import EngineFailed
from casola_ocr.library import Wanted
from casola_ocr.model import Job
from casola_ocr.objects import keys
from casola_ocr.objects.directory import DirectoryStore
from casola_ocr.results import MOST_LANGUAGES_FOUND
from casola_ocr.search.follow import rebuild
from casola_ocr.search.indexes import Indexes
from casola_ocr.testing import ScriptedEngine
from tests.search_world import found
from tests.world import PNG, World, open_world, tiff

pytestmark = [pytest.mark.valkey, pytest.mark.usefixtures("patient")]


@pytest.fixture
def world(valkey: str, tmp_path: Path) -> Iterator[World]:
    store = DirectoryStore(tmp_path / "objects")
    with open_world(valkey, store, search_dir=str(tmp_path / "search")) as made:
        yield made


class Polyglot(ScriptedEngine):
    """Finds on each page so many words, in this language."""

    def __init__(self, *pages: tuple[str | None, int]):
        super().__init__(script=lambda _, page, __: " ".join(["word"] * pages[page - 1][1]))
        self.pages = pages
        self.broken: set[int] = set()

    def read(self, image: Any, *, page: int, **told: Any) -> Any:
        if page in self.broken:
            raise EngineFailed()
        return replace(super().read(image, page=page, **told), language=self.pages[page - 1][0])


def read(world: World, *pages: tuple[str | None, int], **options: str) -> str:
    world.engine = world.others["tesseract"] = Polyglot(*pages)
    request_id = world.submit_one(PNG if len(pages) == 1 else tiff(len(pages)), **options)
    world.run()
    return request_id


def job(world: World, request_id: str) -> Job:
    return world.jobs.get("acme", request_id)


def listed(world: World, language: str) -> set[str]:
    jobs, after = world.jobs.library("acme", 50, None, Wanted(language=language))
    assert after is None
    return {job.request_id for job in jobs}


def test_the_languages_of_a_document_come_by_their_words(world: World) -> None:
    request_id = read(world, ("en", 3), ("ru", 5), (None, 9), ("en", 1), ("de", 0))
    assert job(world, request_id).languages_found == ("ru", "en")
    assert world.result(request_id)["languages_found"] == ["ru", "en"]
    many = read(
        world, *((code, 9 - n) for n, code in enumerate(("en", "es", "fr", "de", "it", "pt")))
    )
    assert job(world, many).languages_found == ("en", "es", "fr", "de", "it")
    assert MOST_LANGUAGES_FOUND == 5
    unknown = read(world, (None, 3))
    assert job(world, unknown).languages_found == ()
    assert world.result(unknown)["languages_found"] == []


def test_jobs_are_found_by_what_they_are_in_and_only_else_by_what_was_asked_for(
    world: World, follow: Callable[[], None], indexes: Indexes
) -> None:
    russian = read(world, ("ru", 3), ("ru", 2), ("en", 1))
    named = read(world, ("ru", 2), language="fr,ru")
    chinese = read(world, ("zh-hans", 1))
    unknown = read(world, (None, 2))
    french = read(world, (None, 2), language="fr")
    expected = {
        "ru": {russian, named},
        "en": {russian},
        "fr": {french},
        "zh": {chinese},
        "zh-hans": {chinese},
        "zh-hant": set(),
        "auto": {unknown},
        "r": set(),
        "ru,en": set(),
    }

    def check() -> None:
        for language, ids in expected.items():
            assert listed(world, language) == ids, language
            assert set(found(world, "word", language=language)) == ids, language

    follow()
    check()
    # Whatever was lost, all of it is in the store.
    world.raw.delete(f"job:{russian}", f"job:{russian}:pages")
    check()
    world.wipe()
    world.reconcile()
    assert world.records.get(russian) == replace(job(world, russian), hook="")
    follow()
    check()
    rebuild(world.service, indexes, "acme", lambda _: None)
    check()


def test_a_job_that_has_not_ended_is_in_what_was_asked_for(world: World) -> None:
    world.engine = Polyglot(("ru", 1))
    waits = world.submit_one(language="fr,en")
    assert listed(world, "fr") == listed(world, "en") == {waits}
    world.run()
    assert listed(world, "ru") == {waits}
    assert listed(world, "fr") == set()


def test_a_job_whose_failed_pages_are_read_again_is_in_their_language_too(world: World) -> None:
    world.engine = engine = Polyglot(("ru", 3), ("en", 5))
    engine.broken = {2}
    request_id = world.submit_one(tiff(2))
    world.settle()
    assert job(world, request_id).languages_found == ("ru",)
    engine.broken = set()
    world.jobs.retry("acme", request_id)
    assert job(world, request_id).languages_found == ()
    world.settle()
    assert job(world, request_id).languages_found == ("en", "ru")


def test_a_cancelled_job_is_in_the_languages_of_the_pages_that_were_read(world: World) -> None:
    world.engine = Polyglot(*[("ru", 2)] * 3)
    request_id = world.submit_one(tiff(3))
    work = world.work()
    for pool in ("prepare", "pages.pp-ocrv6"):
        work.run(pool)
    world.jobs.cancel("acme", request_id)
    world.settle()
    assert job(world, request_id).pages.done == 1
    assert listed(world, "ru") == {request_id}


def test_a_job_that_ended_before_languages_were_kept_is_in_what_was_asked_for(
    world: World, follow: Callable[[], None], indexes: Indexes
) -> None:
    request_id = read(world, ("ru", 3), language="fr,ru")
    key = keys.result("acme", request_id)
    stored = json.loads(world.store.get(key))
    del stored["languages_found"]
    world.store.put(key, json.dumps(stored, separators=(",", ":")).encode())
    world.raw.hdel(f"job:{request_id}", "languages")
    for lost in (False, True):
        if lost:
            world.wipe()
            world.reconcile()
        follow()
        for language in ("fr", "ru"):
            assert listed(world, language) == {request_id}
            assert found(world, "word", language=language) == [request_id]
    assert rebuild(world.service, indexes, "acme", lambda _: None) == 1
    assert found(world, "word", language="fr") == [request_id]
