"""What a person sees while documents are read: live, through reloads and lost lines."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from casola_ocr.errors import EngineFailed
from casola_ocr.model import JobStatus, Lane
from tests.studio.conftest import Studio
from tests.world import PAGES_POOL, PNG, FailingEngine, World, tiff

PREPARE = "prepare"


def document(name: str = "three.tif", pages: int = 3) -> dict[str, object]:
    return {"name": name, "mimeType": "image/tiff", "buffer": tiff(pages)}


def picture(name: str) -> dict[str, object]:
    return {"name": name, "mimeType": "image/png", "buffer": PNG}


def submit(studio: Studio, world: World, *files: dict[str, object]) -> Page:
    page = studio.open()
    page.get_by_label("Model").select_option("pp-ocrv6")
    studio.add(*files)
    # Drawing thumbnails may take longer than a silent worker counts as alive.
    world.announce()
    studio.submit()
    return page


def facts(page: Page) -> Locator:
    return page.locator(".result .facts")


def test_pages_are_counted_as_they_are_read_without_asking_again(
    idle: Studio, world: World
) -> None:
    page = submit(idle, world, document())
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    work = world.work()
    work.run(PREPARE)
    expect(facts(page)).to_contain_text("0 of 3 pages")
    work.run(PAGES_POOL)
    expect(facts(page)).to_contain_text("1 of 3 pages")
    expect(facts(page)).to_contain_text(re.compile("about .* left"))
    expect(page.get_by_role("progressbar", name="three.tif")).to_have_attribute(
        "aria-valuenow", "33"
    )
    work.run(PAGES_POOL)
    expect(facts(page)).to_contain_text("2 of 3 pages")
    # The thumbnail comes once a page was read.
    assert [url for url in asked if "/api/" in url and not url.endswith("/preview")] == []
    world.settle()
    expect(page.locator(".result .text")).to_contain_text("hello")


def test_the_picture_of_the_queue_stays_until_the_service_has_its_own(
    idle: Studio, world: World
) -> None:
    page = submit(idle, world, picture("seen.png"))
    shown = page.locator(".result .thumb img")
    expect(shown).to_have_attribute("src", re.compile("^blob:"))
    expect(shown).to_have_js_property("complete", True)
    assert shown.evaluate("image => image.naturalWidth") > 0
    world.settle()
    expect(shown).to_have_attribute("src", re.compile("/preview$"))


def test_its_place_in_the_queue_is_shown(idle: Studio, world: World) -> None:
    for _ in range(3):
        world.submit_one(lane=Lane.INTERACTIVE)
    page = submit(idle, world, picture("late.png"))
    expect(facts(page)).to_contain_text(re.compile(r"\d+ ahead in line|Next in line"))
    world.settle()
    expect(page.locator(".result .text")).to_contain_text("hello")


def test_a_reload_in_mid_run_goes_on_where_it_was(idle: Studio, world: World) -> None:
    page = submit(idle, world, document())
    work = world.work()
    work.run(PREPARE)
    work.run(PAGES_POOL)
    expect(facts(page)).to_contain_text("1 of 3 pages")
    page.reload()
    expect(facts(page)).to_contain_text("1 of 3 pages")
    work.run(PAGES_POOL)
    expect(facts(page)).to_contain_text("2 of 3 pages")
    world.settle()
    expect(page.locator(".result .text")).to_contain_text("hello")


def test_a_lost_line_is_told_and_what_was_missed_is_caught_up(idle: Studio, world: World) -> None:
    page = submit(idle, world, document("first.tif"), document("second.tif"))
    work = world.work()
    work.run(PREPARE)
    expect(facts(page).filter(has_text="0 of 3 pages")).to_have_count(1)
    page.context.set_offline(True)
    expect(page.locator("#offline")).to_contain_text("goes on being read")
    world.settle()
    page.context.set_offline(False)
    expect(page.locator("#offline")).to_be_hidden()
    expect(page.locator(".result .text")).to_have_count(2)
    idle.forgive("ERR_INTERNET_DISCONNECTED")


def test_a_reload_without_a_line_shows_everything_once_it_is_back(
    idle: Studio, world: World
) -> None:
    page = submit(idle, world, document())
    page.route("**/api/v1/jobs/**", lambda route: route.abort())
    page.route("**/api/v1/events*", lambda route: route.abort())
    page.reload()
    expect(page.locator("#offline")).to_contain_text("does not answer")
    world.settle()
    page.unroute_all()
    expect(page.locator(".result .text")).to_contain_text("hello", timeout=15_000)
    idle.forgive("ERR_FAILED")


def test_where_events_are_refused_it_asks(idle: Studio, world: World) -> None:
    refused = {"status": 503, "json": {"code": "overloaded"}}
    idle.page.route("**/api/v1/events*", lambda route: route.fulfill(**refused))
    page = submit(idle, world, document())
    world.work().run(PREPARE)
    expect(facts(page)).to_contain_text("0 of 3 pages", timeout=15_000)
    world.settle()
    expect(page.locator(".result .text")).to_contain_text("hello", timeout=15_000)
    idle.forgive("503")


def test_where_a_proxy_holds_events_back_it_asks(idle: Studio, world: World) -> None:
    held: list[Route] = []
    idle.page.route("**/api/v1/events*", lambda route: held.append(route))
    page = submit(idle, world, document())
    world.settle()
    expect(page.locator(".result .text")).to_contain_text("hello", timeout=20_000)
    assert held


def test_one_is_cancelled_and_the_others_go_on(idle: Studio, world: World) -> None:
    page = submit(idle, world, picture("keep.png"), picture("stop.png"))
    stopped = page.get_by_role("article", name="stop.png")
    stopped.get_by_role("button", name="Cancel").click()
    expect(stopped).to_contain_text("Cancelled")
    world.settle()
    expect(page.get_by_role("article", name="keep.png").locator(".text")).to_contain_text("hello")


def test_all_are_cancelled(idle: Studio, world: World) -> None:
    page = submit(idle, world, *(picture(f"{n}.png") for n in range(3)))
    page.get_by_role("button", name="Cancel all").click()
    expect(facts(page).filter(has_text="Cancelled")).to_have_count(3)
    expect(page.get_by_role("button", name="Cancel all")).to_be_hidden()
    found, _ = world.jobs.library("local", 10, None)
    assert [job.status for job in found] == [JobStatus.CANCELLED] * 3


def test_what_failed_is_tried_again_one_or_all(idle: Studio, world: World) -> None:
    world.engine = FailingEngine({1: EngineFailed()})
    page = submit(idle, world, *(picture(f"{n}.png") for n in range(3)))
    world.settle()
    expect(page.locator(".result .fail")).to_have_count(3)
    world.engine = FailingEngine({})
    world.announce()
    page.get_by_role("article", name="1.png").get_by_role("button", name="Try again").click()
    expect(page.locator(".result .fail")).to_have_count(2)
    world.settle()
    expect(page.locator(".result .text")).to_have_count(1)
    page.get_by_role("button", name="Try failed again").click()
    expect(page.locator(".result .fail")).to_have_count(0)
    world.settle()
    expect(page.locator(".result .text")).to_have_count(3)
    expect(page.get_by_role("button", name="Try failed again")).to_be_hidden()


def test_a_document_that_was_deleted_elsewhere_leaves_the_page(idle: Studio, world: World) -> None:
    page = submit(idle, world, picture("gone.png"), picture("here.png"))
    found, _ = world.jobs.library("local", 10, None)
    (gone,) = [job for job in found if job.file_name == "gone.png"]
    world.jobs.delete("local", gone.request_id)
    world.settle()
    expect(page.get_by_role("article", name="here.png").locator(".text")).to_contain_text("hello")
    expect(page.get_by_role("article", name="gone.png")).to_have_count(0, timeout=15_000)
    idle.forgive("410", "404")


@pytest.mark.usefixtures("axe")
def test_waiting_reading_and_failing_are_accessible(idle: Studio, world: World) -> None:
    world.engine = FailingEngine({1: EngineFailed()})
    page = submit(idle, world, document(), picture("1.png"), picture("2.png"))
    assert idle.violations() == []
    world.work().run(PREPARE)
    expect(facts(page).filter(has_text="0 of 3 pages")).to_have_count(1)
    assert idle.violations() == []
    world.settle()
    expect(page.locator(".result .fail")).to_have_count(2)
    assert idle.violations() == []
