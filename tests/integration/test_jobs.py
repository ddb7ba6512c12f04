"""The verbs of clients and workers together, on a real Valkey, without Celery."""

from __future__ import annotations

import json

import pytest

from casola_ocr.engines import announcement
from casola_ocr.errors import (
    Conflict,
    DamagedDocument,
    EngineFailed,
    EngineUnavailable,
    LanguageNotInstalled,
    NotFound,
    RecordsUnavailable,
    StoreUnavailable,
    UnknownLanguage,
    UnknownModel,
)
from casola_ocr.jobs import Jobs, NewDocument, Options
from casola_ocr.model import JobStatus, Lane, Webhook
from casola_ocr.objects import keys
from casola_ocr.records import Records
from casola_ocr.testing import ScriptedEngine
from tests.world import PNG, POOLS, FailingEngine, World, tiff

pytestmark = pytest.mark.valkey


def test_a_document_is_accepted_read_and_closed(world: World) -> None:
    request_id = world.submit_one()
    assert world.jobs.get("acme", request_id).status is JobStatus.QUEUED
    assert world.inflight() == [keys.inflight(request_id)]
    world.run()
    job = world.jobs.get("acme", request_id)
    assert (job.status, job.pages.done, job.words) == (JobStatus.COMPLETED, 1, 1)
    assert world.result(request_id)["text"] == "hello"
    assert world.jobs.text(world.jobs.get("acme", request_id)) == "hello"
    assert world.inflight() == []


def test_a_new_job_is_answered_as_its_record_tells_it(world: World) -> None:
    webhook = Webhook("https://93.184.216.34/hook")
    made = [
        *world.submit(PNG, expires_in=3600, webhook=webhook, origin="fal:fal/ocr", prompt=""),
        *world.submit(tiff(3), pages="1-2", language="ru,en", text_layer="prefer", fallback=True),
        *world.submit(PNG, tiff(2), lane=Lane.BULK),
    ]
    assert made == world.records.jobs([job.request_id for job in made])


def test_every_frame_of_a_tiff_is_a_page_and_pages_run_in_a_window(world: World) -> None:
    request_id = world.submit_one(tiff(40))
    world.run()
    job = world.jobs.get("acme", request_id)
    assert (job.pages.total, job.pages.done) == (40, 40)
    assert world.result(request_id)["text"] == "\f".join(["hello"] * 40)


def test_a_damaged_page_fails_alone_and_says_why(world: World) -> None:
    world.engine = FailingEngine({2: DamagedDocument()})
    request_id = world.submit_one(tiff(3))
    world.run()
    job = world.jobs.get("acme", request_id)
    assert (job.status, job.pages.done, job.pages.failed) == (JobStatus.COMPLETED, 2, 1)
    page = json.loads(world.jobs.page("acme", request_id, 2))
    assert page["error"]["code"] == "damaged_document"
    assert page["flags"] == ["failed"]


def test_an_engine_that_fails_is_tried_again_and_then_the_page_fails(world: World) -> None:
    world.engine = engine = FailingEngine({1: EngineFailed()})
    request_id = world.submit_one()
    for _ in range(6):
        world.run()
        world.sweep()
    job = world.jobs.get("acme", request_id)
    assert engine.calls == 3
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.code == "engine_failed"
    assert world.inflight() == []


def test_an_exception_inside_an_engine_is_not_shown_to_the_client(world: World) -> None:
    class Broken(ScriptedEngine):
        def read(self, image: object, **_: object) -> object:
            raise RuntimeError("secret path /srv/models")

    world.engine = Broken()
    request_id = world.submit_one()
    for _ in range(6):
        world.run()
        world.sweep()
    job = world.jobs.get("acme", request_id)
    assert job.status is JobStatus.FAILED
    assert "/srv" not in json.dumps(world.result(request_id))


def test_lost_hints_are_published_again(world: World) -> None:
    world.publisher.lose = True
    request_id = world.submit_one(tiff(3))
    world.publisher.lose = False
    for _ in range(3):
        world.sweep()
        world.run()
    assert world.jobs.get("acme", request_id).status is JobStatus.COMPLETED


def test_hints_that_come_twice_change_nothing(world: World) -> None:
    request_id = world.submit_one(tiff(3))
    for _ in range(10):
        world.publisher.publish(dict.fromkeys(POOLS, 2))
        world.run()
    job = world.jobs.get("acme", request_id)
    assert (job.status, job.pages.done) == (JobStatus.COMPLETED, 3)


def test_a_store_that_is_down_refuses_the_submission_and_nothing_stays(world: World) -> None:
    world.store.fail_with = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        world.submit_one()
    world.store.fail_with = None
    assert list(world.store.list("tenants/")) == []
    assert world.inflight() == []
    assert world.jobs.library("acme", 10, None) == ([], None)


def test_records_that_are_down_refuse_the_submission_and_nothing_stays(world: World) -> None:
    class Gone(Records):
        def submit(self, *_: object, **__: object) -> dict[str, int]:
            raise RecordsUnavailable()

    gone = Gone(world.raw.connection_pool.connection_kwargs.get("path", "") or _url(world))
    jobs = Jobs(world.settings, gone, world.store, world.publisher)
    with pytest.raises(RecordsUnavailable):
        jobs.submit("acme", [NewDocument(file_name="a", source=PNG)], Options())
    gone.close_connections()
    assert list(world.store.list("tenants/")) == []
    assert world.inflight() == []


def _url(world: World) -> str:
    options = world.raw.connection_pool.connection_kwargs
    return f"redis://{options['host']}:{options['port']}/0"


def test_a_store_that_goes_down_while_reading_costs_no_attempt(world: World) -> None:
    request_id = world.submit_one()
    world.store.fail_with = StoreUnavailable()
    for _ in range(5):
        world.run()
        world.sweep()
    world.store.fail_with = None
    for _ in range(2):
        world.run()
        world.sweep()
    assert world.jobs.get("acme", request_id).status is JobStatus.COMPLETED
    page = json.loads(world.jobs.page("acme", request_id, 1))
    assert page["attempts"] == 1


def test_a_record_whose_document_is_gone_was_never_accepted(world: World) -> None:
    request_id = world.submit_one()
    world.store.delete(list(world.store.list("tenants/")) + world.inflight())
    world.run()
    with pytest.raises(NotFound):
        world.jobs.get("acme", request_id)


def test_a_foreign_job_is_not_found_by_any_verb(world: World) -> None:
    request_id = world.submit_one()
    for verb in (world.jobs.get, world.jobs.cancel, world.jobs.result):
        with pytest.raises(NotFound):
            verb("other", request_id)
    with pytest.raises(NotFound):
        world.jobs.page("other", request_id, 1)
    batch = world.submit(PNG, PNG)[0].batch_id
    assert len(world.jobs.batch("acme", batch).jobs) == 2
    with pytest.raises(NotFound):
        world.jobs.batch("other", batch)


def test_a_page_that_is_not_finished_is_a_conflict_and_one_beyond_the_end_is_unknown(
    world: World,
) -> None:
    request_id = world.submit_one()
    with pytest.raises(Conflict):
        world.jobs.page("acme", request_id, 1)
    with pytest.raises(NotFound):
        world.jobs.page("acme", request_id, 2)


def test_models_are_those_of_live_workers(world: World) -> None:
    assert world.jobs.live_engines() == ("pp-ocrv6", "tesseract")
    with pytest.raises(UnknownModel, match="pp-ocrv6"):
        world.submit(PNG, model="no-such-model")
    with pytest.raises(EngineUnavailable, match="pp-ocrv6"):
        world.submit(PNG, model="deepseek-ocr")
    with pytest.raises(UnknownLanguage):
        world.submit(PNG, language="klingon")
    with pytest.raises(UnknownLanguage, match=r"Russian here. Models that can: .*tesseract"):
        world.submit(PNG, model="pp-ocrv6", language="Russian")
    german = world.submit(PNG, language="German, pt-BR")[0]
    assert (german.language, german.engine) == ("de,pt", "pp-ocrv6")
    assert world.submit(PNG, language="ru,en")[0].engine == "tesseract"


def test_a_language_without_data_is_told_before_anything_is_accepted(world: World) -> None:
    told = announcement("tesseract", "5", {"en", "ru"})
    world.records.pulse("worker", ["engine:pp-ocrv6", *told])
    assert world.submit(PNG, language="ru")[0].engine == "tesseract"
    with pytest.raises(LanguageNotInstalled, match="tesseract-ocr-kor"):
        world.submit(PNG, language="ko")
    assert len(world.jobs.library("acme", 10, None)[0]) == 1
