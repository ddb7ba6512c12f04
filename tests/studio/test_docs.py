"""`/docs`, the API as a page: without signing in, a network or, if need be, scripts."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Request, expect

from tests.running import RunningService
from tests.studio.conftest import LAPTOP, PHONE, Studio, window


def test_a_route_is_found_and_shows_what_it_takes_and_answers(studio: Studio) -> None:
    page = studio.open("/docs")
    page.get_by_label("Search routes and shapes").fill("retry failed pages")
    shown = page.locator(".entry:visible")
    expect(page.get_by_role("status").filter(has_text="found")).to_be_visible()
    expect(page.locator("#retry_job")).to_be_visible()
    expect(page.locator("#list_engines")).to_be_hidden()
    assert shown.count() < 8
    page.locator("#retry_job summary").first.click()
    route = page.locator("#retry_job")
    expect(route.get_by_text("Idempotency-Key", exact=True)).to_be_visible()
    expect(route.locator("code", has_text="unknown_model").first).to_be_visible()
    page.get_by_label("Search routes and shapes").fill("xylophone")
    expect(page.get_by_text("0 entries found")).to_be_visible()


def test_a_link_to_a_shape_opens_it(studio: Studio) -> None:
    page = studio.open("/docs#get_job")
    expect(page.locator("#get_job .inside")).to_be_visible()
    page.locator("#get_job .answers").get_by_role("link", name="Job", exact=True).click()
    expect(page.locator("#Job").get_by_text("queue_position", exact=True)).to_be_visible()


def test_paragraphs_are_not_broken_where_their_source_is(studio: Studio) -> None:
    page = studio.open("/docs")
    paragraphs = (page.locator(".intro").text_content() or "").split("\n\n")
    assert len(paragraphs) > 1
    assert [paragraph for paragraph in paragraphs if "\n" in paragraph.strip()] == []


def test_a_phone_finds_it_in_the_menu(phone: Studio) -> None:
    page = phone.open("/ocr")
    page.get_by_role("navigation").get_by_role("link", name="API").click()
    expect(page.get_by_role("heading", name="API", level=1)).to_be_visible()
    link = page.get_by_role("navigation").get_by_role("link", name="API")
    expect(link).to_have_attribute("aria-current", "page")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_nothing_is_asked_of_another_host(studio: Studio) -> None:
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    studio.page.on("request", note)
    studio.open("/docs")
    studio.page.wait_for_load_state("networkidle")
    assert len(asked) > 3
    assert {url for url in asked if not url.startswith(studio.url)} == set()


def test_without_scripts_it_is_whole(browser: Browser, service: RunningService) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{service.url}/docs")
    page.locator("#submit summary").first.click()
    expect(page.locator("#submit").get_by_text("Prefer", exact=True)).to_be_visible()
    context.close()


@pytest.mark.usefixtures("axe")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_it_is_accessible(
    browser: Browser, service: RunningService, theme: str, size: dict[str, int]
) -> None:
    context, studio = window(browser, service.url, viewport=size, color_scheme=theme)
    page = studio.open("/docs")
    found = studio.violations()
    for name in ("submit", "get_job", "delete_job", "change_tenant"):
        page.locator(f"#{name} summary").first.click()
    page.locator("#submit .sample summary").first.click()
    found += studio.violations()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
    assert found == []
    assert studio.said == []
