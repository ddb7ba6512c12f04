"""The pages of long documents: fetched when they are looked at."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from casola_ocr.errors import EngineFailed
from casola_ocr.testing import ScriptedEngine
from tests.studio.conftest import Studio
from tests.world import FailingEngine, World, tiff

PAGES = 120


@pytest.fixture
def long(idle: Studio, world: World) -> Page:
    """The viewer on a document of many pages."""
    world.engine = ScriptedEngine(script=lambda image, page, attempt: f"this is sheet {page} here")
    page = idle.open()
    submit(idle, world, "long.tif", PAGES)
    page.get_by_role("button", name="View pages", exact=True).click()
    expect(page.locator(".ln")).to_have_text("this is sheet 1 here")
    return page


def submit(idle: Studio, world: World, name: str, pages: int) -> None:
    page = idle.page
    page.get_by_label("Model").select_option("pp-ocrv6")
    idle.add({"name": name, "mimeType": "image/tiff", "buffer": tiff(pages)})
    # Drawing thumbnails may take longer than a silent worker counts as alive.
    world.announce()
    idle.submit()
    world.settle()
    expect(page.locator(".result .text")).to_be_visible(timeout=30_000)


def number(page: Page) -> Locator:
    return page.get_by_label("Page", exact=True)


def test_only_pages_that_are_looked_at_are_fetched(idle: Studio, world: World) -> None:
    asked: list[str] = []
    idle.page.on("request", lambda request: asked.append(request.url))
    page = idle.open()
    world.engine = ScriptedEngine(script=lambda image, page, attempt: f"this is sheet {page} here")
    submit(idle, world, "long.tif", PAGES)
    page.get_by_role("button", name="View pages", exact=True).click()
    expect(page.locator(".sheet rect")).to_have_count(1)
    expect(page.locator(".vbar")).to_contain_text(f"of {PAGES}")
    number(page).fill("77")
    with page.expect_response("**/pages/78"):
        page.keyboard.press("Enter")
        expect(page.locator(".ln")).to_have_text("this is sheet 77 here")
    results = [url for url in asked if url.endswith("/result")]
    pages = {int(url.rsplit("/", 1)[1]) for url in asked if url.rsplit("/", 2)[1] == "pages"}
    assert results == []
    # Each with the one after it.
    assert pages == {1, 2, 77, 78}


def test_a_page_is_chosen_by_its_number_and_the_ends_hold(long: Page) -> None:
    number(long).fill("900")
    long.keyboard.press("Enter")
    expect(number(long)).to_have_value(str(PAGES))
    expect(long.locator(".ln")).to_have_text(f"this is sheet {PAGES} here")
    expect(long.get_by_role("button", name="Next page")).to_be_disabled()
    long.locator(".stage").focus()
    long.keyboard.press("Home")
    expect(number(long)).to_have_value("1")
    long.keyboard.press("ArrowRight")
    expect(long.locator(".ln")).to_have_text("this is sheet 2 here")


def test_words_are_found_on_pages_that_were_not_fetched(long: Page) -> None:
    long.get_by_role("searchbox").fill("sheet 111")
    expect(number(long)).to_have_value("111")
    expect(long.locator("mark")).to_have_text("sheet 111")
    expect(long.locator(".vbar")).to_contain_text("1 of 1")
    long.get_by_role("searchbox").fill("sheet 9")
    expect(long.locator(".vbar")).to_contain_text("1 of 11")
    long.keyboard.press("Enter")
    expect(number(long)).to_have_value("90")


def test_a_long_text_is_shown_from_its_beginning_and_whole_when_asked(
    long: Page, idle: Studio
) -> None:
    long.keyboard.press("Escape")
    text = long.locator(".result pre")
    expect(text).to_contain_text("this is sheet 1 here")
    long.get_by_role("button", name="Show all").click()
    expect(text).to_contain_text(f"this is sheet {PAGES} here")


def test_chosen_pages_keep_their_numbers(idle: Studio, world: World) -> None:
    page = idle.open()
    page.locator("summary").click()
    page.get_by_label("Pages", exact=True).fill("2-3,5")
    submit(idle, world, "some.tif", 6)
    page.get_by_role("button", name="View pages", exact=True).click()
    for at, expected in enumerate(("page 2", "page 3", "page 5"), start=1):
        expect(number(page)).to_have_value(str(at))
        expect(page.locator(".sheet img")).to_have_attribute("alt", f"Picture of {expected}")
        if at < 3:
            page.get_by_role("button", name="Next page").click()


def test_a_page_that_failed_says_why_beside_its_picture(idle: Studio, world: World) -> None:
    world.engine = FailingEngine({2: EngineFailed()})
    page = idle.open()
    submit(idle, world, "torn.tif", 3)
    page.get_by_role("button", name="View pages", exact=True).click()
    page.get_by_role("button", name="Next page").click()
    expect(page.locator(".lines .fail")).to_contain_text("This page could not be read")
    expect(page.locator(".sheet img")).to_be_visible()
