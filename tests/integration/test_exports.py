"""Exports of jobs that were really read, from the records or from the store alone."""

from __future__ import annotations

import io
import json
import zipfile

import jsonschema
import pypdfium2
import pytest

from casola_ocr.errors import Conflict, DamagedDocument, Gone, NoPageRead, PictureMissing
from casola_ocr.exports import FORMATS, result_schema
from casola_ocr.objects import keys
from casola_ocr.publisher import PREPARE_POOL
from casola_ocr.testing import ScriptedEngine
from tests.pages import broken_second_frame
from tests.pdfs import make_pdf, text_page
from tests.world import FailingEngine, World, tiff

pytestmark = pytest.mark.valkey


def exported(world: World, request_id: str, name: str) -> bytes:
    return b"".join(world.service.exports.job("acme", request_id, name).chunks)


def test_every_format_of_a_document_of_several_pages(world: World) -> None:
    world.engine = ScriptedEngine(script=lambda image, page, attempt: f"page {page}")
    request_id = world.submit_one(tiff(3))
    world.run()
    assert exported(world, request_id, "txt") == b"page 1\fpage 2\fpage 3"
    assert exported(world, request_id, "md").decode().split("\n\n---\n\n")[1] == "page 2"
    result = json.loads(exported(world, request_id, "json"))
    assert result == world.result(request_id)
    jsonschema.validate(result, result_schema(), cls=jsonschema.Draft202012Validator)
    assert exported(world, request_id, "hocr").count(b'class="ocr_page"') == 3
    assert exported(world, request_id, "alto").count(b"<Page ") == 3
    with pypdfium2.PdfDocument(exported(world, request_id, "pdf")) as made:
        texts = [made[n].get_textpage().get_text_range() for n in range(3)]
        assert texts == ["page 1", "page 2", "page 3"]


def test_a_document_without_its_records_is_exported_from_the_store(world: World) -> None:
    request_id = world.submit_one(tiff(2))
    world.run()
    before = {name: exported(world, request_id, name) for name in FORMATS}
    world.wipe()
    assert {name: exported(world, request_id, name) for name in FORMATS} == before


def test_a_page_that_failed_is_part_of_every_export(world: World) -> None:
    world.engine = FailingEngine({2: DamagedDocument()})
    request_id = world.submit_one(tiff(3))
    world.run()
    assert exported(world, request_id, "txt") == b"hello\f\fhello"
    with pypdfium2.PdfDocument(exported(world, request_id, "pdf")) as made:
        assert [len(page.get_textpage().get_text_range()) for page in made] == [5, 0, 5]
        # Its picture could be opened; only its text is missing.
        assert made[1].get_size() == made[0].get_size()


def test_a_job_is_exported_when_it_has_ended_and_something_was_read(world: World) -> None:
    request_id = world.submit_one()
    with pytest.raises(Conflict):
        world.service.exports.job("acme", request_id, "txt")
    world.engine = FailingEngine({1: DamagedDocument()})
    world.run()
    with pytest.raises(NoPageRead):
        world.service.exports.job("acme", request_id, "txt")
    world.jobs.delete("acme", request_id)
    with pytest.raises(Gone):
        world.service.exports.job("acme", request_id, "txt")


def test_a_cancelled_job_exports_the_pages_that_were_finished(world: World) -> None:
    request_id = world.submit_one(tiff(3))
    work = world.work()
    pool = next(iter(world.publisher.hints))
    work.run(pool)
    work.run("pages.pp-ocrv6")
    world.jobs.cancel("acme", request_id)
    found = exported(world, request_id, "txt")
    world.settle()
    assert exported(world, request_id, "txt") == found == b"hello"


def test_a_batch_of_which_one_document_was_deleted_is_the_rest(world: World) -> None:
    made = world.submit(*[tiff(1)] * 3)
    world.run()
    world.jobs.delete("acme", made[1].request_id)
    batch = world.service.exports.batch("acme", made[0].batch_id, "zip", "txt")
    with zipfile.ZipFile(io.BytesIO(b"".join(batch.chunks))) as found:
        assert found.namelist() == ["0.txt", "2.txt"]


def test_a_page_that_could_not_be_opened_is_blank_between_the_others(world: World) -> None:
    request_id = world.submit_one(broken_second_frame())
    world.settle()
    with pypdfium2.PdfDocument(exported(world, request_id, "pdf")) as made:
        assert [page.get_textpage().get_text_range() for page in made] == ["hello", ""]
        assert made[1].get_size()[1] > 800


def test_a_page_that_was_read_and_whose_picture_was_lost_is_not_shown_blank(world: World) -> None:
    request_id = world.submit_one(tiff(2))
    world.run()
    world.store.delete([keys.page_image("acme", request_id, 2)])
    with pytest.raises(PictureMissing, match="page 2"):
        exported(world, request_id, "pdf")
    assert exported(world, request_id, "txt") == b"hello\fhello"


def test_a_page_with_text_of_its_own_that_was_opened_late_has_a_picture(world: World) -> None:
    lines = [f"Line {n} of a page that is full of ordinary words to the end." for n in range(20)]
    request_id = world.submit_one(make_pdf([text_page(lines)]), text_layer="prefer")
    world.work().run(PREPARE_POOL)
    # As a worker leaves it that dies while it opens the page.
    made = (keys.page_image("acme", request_id, 1), keys.page_note("acme", request_id, 1))
    world.store.delete(made)
    world.settle()
    assert world.result(request_id)["page_results"][0]["flags"] == ["text_layer"]
    with pypdfium2.PdfDocument(exported(world, request_id, "pdf")) as shown:
        assert shown[0].get_textpage().get_text_range().split() == " ".join(lines).split()
