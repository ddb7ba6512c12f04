"""From submitted bytes to page images: PDFs, chosen pages, passwords, embedded text, bad input."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image

from casola_ocr.errors import (
    BadSelection,
    CasolaError,
    DamagedDocument,
    EngineFailed,
    KeyReused,
    MalformedRequest,
    NotFound,
)
from casola_ocr.model import JobStatus, Manifest
from casola_ocr.objects import keys
from casola_ocr.publisher import PREPARE_POOL
from casola_ocr.testing import ScriptedEngine
from tests.pages import as_bytes, broken_second_frame, draw_page
from tests.pdfs import Page, encrypted, make_pdf, scan_page, text_page
from tests.world import PNG, FailingEngine, World, tiff

pytestmark = pytest.mark.valkey

SMALL = (60.0, 80.0)


def pdf(pages: int, **options: Any) -> bytes:
    return make_pdf([Page(f"0 0 {n + 1} 9 re f", SMALL) for n in range(pages)], **options)


def gif(count: int) -> bytes:
    frames = [Image.new("L", (20, 20), 10 * n) for n in range(count)]
    return as_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])


def read(world: World, source: bytes, **options: Any) -> dict[str, Any]:
    request_id = world.submit_one(source, **options)
    world.settle()
    return world.result(request_id)


def pages(result: dict[str, Any]) -> list[int]:
    return [page["page"] for page in result["page_results"]]


def test_every_page_of_a_pdf_is_read(world: World) -> None:
    result = read(world, pdf(40))
    assert (result["status"], result["media_type"]) == ("completed", "application/pdf")
    assert result["pages"] == {"total": 40, "done": 40, "failed": 0}
    assert pages(result) == list(range(1, 41))
    assert (result["pages_selected"], result["text_layer"]) == (None, "ignore")


@pytest.mark.parametrize("source", [pdf(9), tiff(9), gif(9)], ids=["pdf", "tiff", "gif"])
@pytest.mark.parametrize(
    ("asked", "normal", "expected"),
    [
        ("8,2-3", "2-3,8", [2, 3, 8]),
        ("7-", "7-", [7, 8, 9]),
        ("all", "all", list(range(1, 10))),
        ("9,10,77", "9-10,77", [9]),
    ],
)
def test_only_the_wanted_pages_are_read_under_their_own_numbers(
    world: World, source: bytes, asked: str, normal: str, expected: list[int]
) -> None:
    request_id = world.submit_one(source, pages=asked)
    world.run()
    result = world.result(request_id)
    assert pages(result) == expected
    assert result["pages"] == {"total": len(expected), "done": len(expected), "failed": 0}
    assert result["pages_selected"] == normal
    for number in range(1, 12):
        if number in expected:
            page = json.loads(world.jobs.page("acme", request_id, number))
            assert page["page"] == number
        else:
            with pytest.raises(NotFound):
                world.jobs.page("acme", request_id, number)


def test_the_image_is_the_one_of_the_page_with_that_number(world: World) -> None:
    world.engine = ScriptedEngine(script=lambda image, page, _: str(image.getpixel((5, 5))[0]))
    result = read(world, gif(5), pages="2,5")
    assert [page["text"] for page in result["page_results"]] == ["10", "40"]


def test_of_a_gif_only_the_first_frame_is_read_unless_asked(world: World) -> None:
    request_id = world.submit_one(gif(3))
    assert world.jobs.get("acme", request_id).pages.total == 1, "known before it is opened"
    world.run()
    assert pages(world.result(request_id)) == [1]


@pytest.mark.parametrize(
    ("source", "asked"), [(PNG, "2"), (gif(3), "4-"), (pdf(3), "4,9"), (tiff(2), "3")]
)
def test_wanting_nothing_that_exists_fails_the_job(world: World, source: bytes, asked: str) -> None:
    result = read(world, source, pages=asked)
    assert (result["status"], result["error"]["code"]) == ("failed", "no_such_pages")
    assert asked in result["error"]["detail"]
    assert world.inflight() == []


@pytest.mark.parametrize("asked", ["0", "x", "3-1"])
def test_a_malformed_selection_is_refused_at_once(world: World, asked: str) -> None:
    with pytest.raises(BadSelection):
        world.submit_one(pages=asked)
    assert list(world.store.list("")) == []


def test_an_unknown_use_of_embedded_text_is_refused_at_once(world: World) -> None:
    with pytest.raises(MalformedRequest, match="ignore, prefer"):
        world.submit_one(text_layer="always")


@pytest.mark.parametrize("password", ["a\0b", "\ud800", "a\nb"])
def test_a_password_that_cannot_be_one_is_refused_at_once(world: World, password: str) -> None:
    with pytest.raises(MalformedRequest, match="password"):
        world.submit_one(password=password, idempotency_key="k")


def test_chosen_pages_of_a_document_that_is_too_long_are_read(world: World) -> None:
    many = pdf(1, count=100_000)
    result = read(world, many)
    assert (result["status"], result["error"]["code"]) == ("failed", "too_many_pages")
    assert pages(read(world, many, pages="1")) == [1]
    assert read(world, many, pages="2-")["error"]["code"] == "too_many_pages"


def test_failed_pages_keep_their_numbers_and_only_they_are_retried(world: World) -> None:
    world.engine = FailingEngine({6: EngineFailed()})
    request_id = world.submit_one(pdf(8), pages="4-6,8")
    world.settle()
    result = world.result(request_id)
    assert pages(result) == [4, 5, 6, 8]
    assert [page["page"] for page in result["page_results"] if page["error"]] == [6]
    world.engine = engine = FailingEngine({})
    world.jobs.retry("acme", request_id)
    world.settle()
    again = world.result(request_id)
    assert (again["run"], engine.calls, again["pages"]["failed"]) == (2, 1, 0)
    assert pages(again) == [4, 5, 6, 8]
    assert again["pages_selected"] == "4-6,8"


def test_pages_keep_their_numbers_when_the_records_are_lost(world: World) -> None:
    request_id = world.submit_one(pdf(9), pages="3,5-9")
    world.work().run(PREPARE_POOL)
    for _ in range(2):
        world.work().run("pages.pp-ocrv6")
    world.wipe()
    assert world.recover() == 1
    world.settle()
    assert pages(world.result(request_id)) == [3, 5, 6, 7, 8, 9]
    world.wipe()
    assert json.loads(world.jobs.page("acme", request_id, 5))["page"] == 5
    job = world.jobs.get("acme", request_id)
    assert (job.selection, job.text_layer) == ("3,5-9", "ignore")
    with pytest.raises(NotFound):
        world.jobs.page("acme", request_id, 4)


def test_an_encrypted_document_needs_its_password_which_stays_in_the_manifest(
    world: World,
) -> None:
    source = encrypted(pdf(2), user="s3cret-word")
    assert read(world, source)["error"]["code"] == "password_needed"
    assert read(world, source, password="wr0ng-word")["error"]["code"] == "wrong_password"
    result = read(world, source, password="s3cret-word")
    assert result["pages"]["done"] == 2
    request_id = result["request_id"]
    for key in world.objects(request_id):
        held = b"s3cret-word" in world.store.get(key)
        assert held is (key == keys.manifest("acme", request_id)), key
    assert "s3cret-word" not in repr(dump(world))
    manifest = Manifest.from_json(world.store.get(keys.manifest("acme", request_id)))
    assert manifest.password == "s3cret-word"
    assert "s3cret-word" not in repr(manifest)


def dump(world: World) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in world.raw.scan_iter("*"):
        if world.raw.type(key) == "hash":
            found[key] = world.raw.hgetall(key)
        elif world.raw.type(key) == "stream":
            found[key] = world.raw.xrange(key)
    return found


def test_the_options_are_part_of_what_an_idempotency_key_stands_for(world: World) -> None:
    first = {"pages": "1-2", "password": "a", "text_layer": "prefer", "idempotency_key": "k"}
    request_id = world.submit_one(pdf(3), **first)
    assert world.submit_one(pdf(3), **{**first, "pages": "2,1"}) == request_id
    for other in (
        {"pages": "1"}, {"password": "b"}, {"text_layer": "ignore"}, {"mode": "text"},
        {"fallback": True},
    ):  # fmt: skip
        with pytest.raises(KeyReused):
            world.submit_one(pdf(3), **{**first, **other})


LINES = [f"Line {n} of a page that is full of ordinary words to the end." for n in range(20)]


def test_embedded_text_is_taken_where_it_is_plausible(world: World) -> None:
    stamp = text_page(["Received on 12 May 2021, file number 4711"], at=(50, 820), points=10)
    document = make_pdf(
        [
            text_page(LINES),
            scan_page(draw_page(LINES, font_size=24)),
            scan_page(draw_page(LINES, font_size=24), over=stamp),
        ]
    )
    result = read(world, document, text_layer="prefer", language="en")
    own, picture, refused = result["page_results"]
    assert own["text"] == "\n".join(LINES)
    assert (own["engine"], own["confidence"], own["language"]) == ("text-layer", None, "en")
    assert (own["flags"], own["attempts"], own["page"]) == (["text_layer"], 1, 1)
    assert own["engine_version"]
    assert own["lines"][0]["words"][0]["box"]
    assert (picture["text"], picture["engine"], picture["flags"]) == ("hello", "pp-ocrv6", [])
    assert (refused["text"], refused["flags"]) == ("hello", ["text_layer_refused"])
    assert result["text_layer"] == "prefer"


@pytest.mark.parametrize(("asked", "language"), [("auto", "en"), ("fr,en", "en"), ("fr", "fr")])
def test_embedded_text_tells_its_language_unless_it_was_told(
    world: World, asked: str, language: str
) -> None:
    result = read(world, make_pdf([text_page(LINES)]), text_layer="prefer", language=asked)
    assert result["page_results"][0]["language"] == language
    assert result["languages_found"] == [language]


def test_embedded_text_that_cannot_be_had_costs_no_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DamagedDocument()

    monkeypatch.setattr("casola_ocr.documents.pdf.PdfReader.text", fail)
    (page,) = read(world, make_pdf([text_page(LINES)]), text_layer="prefer")["page_results"]
    assert (page["text"], page["flags"]) == ("hello", ["text_layer_refused"])


def test_embedded_text_is_ignored_unless_asked_for(world: World) -> None:
    result = read(world, make_pdf([text_page(LINES)]))
    assert [page["text"] for page in result["page_results"]] == ["hello"]
    assert not [key for key in world.objects(result["request_id"]) if key.endswith("text.json")]


def test_a_chosen_page_with_embedded_text_has_its_own_number(world: World) -> None:
    document = make_pdf([text_page([f"This is page number {n} of four."]) for n in range(1, 5)])
    result = read(world, document, text_layer="prefer", pages="2,4")
    assert [(page["page"], page["text"]) for page in result["page_results"]] == [
        (2, "This is page number 2 of four."),
        (4, "This is page number 4 of four."),
    ]


@pytest.mark.parametrize("source", [PNG, tiff(2)], ids=["png", "tiff"])
def test_pictures_have_no_embedded_text_and_are_read(world: World, source: bytes) -> None:
    result = read(world, source, text_layer="prefer")
    assert {page["text"] for page in result["page_results"]} == {"hello"}
    assert result["page_results"][0]["flags"] == []


class Dies(BaseException):
    """Stands for the end of the process."""


def die_at(world: World, monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Let whoever opens the page with this number while preparing die; returns what was opened."""
    from casola_ocr.documents.pdf import PdfReader

    opened: list[int] = []
    whole = PdfReader.page

    def page(self: PdfReader, wanted: int) -> Image.Image:
        opened.append(wanted)
        if wanted == number:
            raise Dies
        return whole(self, wanted)

    monkeypatch.setattr(PdfReader, "page", page)
    return opened


def prepare(world: World) -> None:
    try:
        world.work().run(PREPARE_POOL)
    except Dies:
        world.sweep()


@pytest.mark.parametrize("number", [1, 3])
def test_a_page_that_kills_the_one_who_opens_it_is_left_to_its_own_attempt(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    opened = die_at(world, monkeypatch, number)
    request_id = world.submit_one(pdf(5))
    prepare(world)
    prepare(world)
    assert opened.count(number) == 1, "the second attempt does not open it again"
    assert [n for n in range(1, 6) if n in opened] == [1, 2, 3, 4, 5]
    monkeypatch.undo()
    # Its own attempt opens it from the source.
    world.settle()
    assert world.jobs.get("acme", request_id).pages.done == 5


def test_attempts_are_counted_for_the_page_and_not_for_the_document(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = die_at(world, monkeypatch, 2)
    request_id = world.submit_one(pdf(5))
    prepare(world)
    assert world.raw.hget(f"job:{request_id}:pages", "prepare") == "a:1"
    # Given back before it is done, the second attempt is the first one at the next page.
    monkeypatch.setattr("casola_ocr.preparing.PREPARE_SECONDS", 0.0)
    prepare(world)
    assert world.raw.hget(f"job:{request_id}:pages", "prepare") == "a:0"
    assert opened == [1, 2]
    monkeypatch.undo()
    world.settle()
    assert world.jobs.get("acme", request_id).pages.done == 5


def test_a_document_that_is_slow_to_open_is_given_back_in_between(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("casola_ocr.preparing.PREPARE_SECONDS", 0.0)
    request_id = world.submit_one(pdf(5))
    world.work().run(PREPARE_POOL)
    assert world.raw.hget(f"job:{request_id}", "ready") == "1"
    assert world.raw.hget(f"job:{request_id}:pages", "prepare") == "a:0"
    world.settle()
    assert world.jobs.get("acme", request_id).pages.done == 5


@pytest.mark.parametrize(
    ("source", "status", "done", "failed", "code"),
    [
        (make_pdf([]), "failed", 0, 0, "damaged_document"),
        (pdf(1, count=100_000), "failed", 0, 0, "too_many_pages"),
        (make_pdf([text_page(["x"], size=(1, 1))]), "completed", 1, 0, None),
        (make_pdf([text_page(LINES, size=(30_000, 30_000))]), "completed", 1, 0, None),
        (pdf(3).replace(b"startxref\n", b"startxref\n9"), "completed", 3, 0, None),
        (pdf(3)[: len(pdf(3)) // 2], "failed", 0, 0, "damaged_document"),
        (b"%PDF-1.7 and nothing else", "failed", 0, 0, "damaged_document"),
        (pdf(2, count=3), "completed", 2, 1, None),
        (encrypted(pdf(1), user="x"), "failed", 0, 0, "password_needed"),
        (broken_second_frame(), "completed", 1, 1, None),
    ],
    ids=["no pages", "100,000 pages", "1 x 1 point", "30,000 x 30,000 points", "damaged xref",
         "cut off", "a signature", "a page that is only claimed", "encrypted", "second frame"],
)  # fmt: skip
def test_bad_input_is_read_as_far_as_it_goes_or_fails_with_a_reason(
    world: World, source: bytes, status: str, done: int, failed: int, code: str | None
) -> None:
    try:
        result = read(world, source)
    except CasolaError as error:
        pytest.fail(f"refused at once: {error.code}")
    assert result["status"] == status
    assert (result["pages"]["done"], result["pages"]["failed"]) == (done, failed)
    assert (result["error"] or {}).get("code") == code
    for page in result["page_results"]:
        assert page["error"] is None or page["error"]["code"] == "damaged_document"
    assert world.inflight() == []


def test_a_pdf_is_not_opened_while_it_is_submitted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr("casola_ocr.documents.document.open_document", fail)
    monkeypatch.setattr("casola_ocr.documents.open_document", fail)
    request_id = world.submit_one(pdf(1))
    assert world.jobs.get("acme", request_id).status is JobStatus.QUEUED
