"""`/status` as those use it who look after the service."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from casola_ocr.model import JobStatus
from tests.running import RunningService
from tests.studio.conftest import PHONE, Studio, window
from tests.world import FailingEngine, World, fail_a_page


def test_a_running_service_shows_its_health_queues_and_workers(studio: Studio) -> None:
    page = studio.open("/status")
    health = page.get_by_role("list", name="Health")
    expect(health).to_contain_text("All is well")
    expect(page.get_by_role("region", name="Workers")).to_contain_text("opens documents")
    expect(page.get_by_role("region", name="Workers")).to_contain_text("reconciler")
    expect(page.get_by_role("region", name="Engines")).to_contain_text("PP-OCRv6 small")
    expect(page.locator(".figure", has_text="Valkey")).to_contain_text("of 1.1 GB")


def test_what_waits_appears_without_a_reload(idle: Studio, world: World) -> None:
    page = idle.open("/status")
    pending = page.locator(".figure", has_text="Pages to read")
    expect(pending.locator("dd").first).to_have_text("0")
    world.submit_one()
    expect(pending.locator("dd").first).to_have_text("1")
    oldest = page.locator(".figure", has_text="Oldest waiting").locator("dd").first
    expect(oldest).to_have_text(re.compile(r"^\d+ s$"))
    row = page.get_by_role("row", name="pages.pp-ocrv6")
    expect(row.get_by_role("cell").nth(1)).to_have_text("1")
    world.settle()
    expect(pending.locator("dd").first).to_have_text("0")


def test_a_missing_worker_is_told_where_it_matters(idle: Studio, world: World) -> None:
    world.submit_one()
    world.records.pulse("worker", ())
    page = idle.open("/status")
    expect(page.get_by_role("list", name="Health")).to_contain_text("Needs a look")
    expect(page.get_by_role("list", name="Health")).to_contain_text("can read a page")
    expect(page.get_by_role("row", name="pages.pp-ocrv6")).to_contain_text("no live worker")


def test_a_dead_letter_is_read_again_with_a_click(idle: Studio, world: World) -> None:
    request_id = fail_a_page(world)
    world.engine = FailingEngine({})
    page = idle.open("/status")
    letters = page.get_by_role("region", name="Dead letters")
    expect(letters).to_contain_text("page 2: engine_failed (3 tries)")
    expect(page.get_by_role("region", name="Failures")).to_contain_text("engine_failed")
    letters.get_by_role("button", name=f"Try again: {request_id}").click()
    expect(letters).to_be_hidden()
    world.settle()
    job = world.jobs.get("acme", request_id)
    assert (job.status, job.pages.failed) == (JobStatus.COMPLETED, 0)


def test_a_dead_letter_is_taken_off_the_list_by_keyboard(idle: Studio, world: World) -> None:
    request_id = fail_a_page(world)
    page = idle.open("/status")
    page.get_by_role("button", name=f"Take off the list: {request_id}").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Dead letters")).to_be_hidden()
    assert world.records.dead(10) == []


def test_a_button_keeps_the_focus_while_figures_change(idle: Studio, world: World) -> None:
    request_id = fail_a_page(world)
    page = idle.open("/status")
    button = page.get_by_role("button", name=f"Try again: {request_id}")
    button.focus()
    world.submit_one()
    expect(page.locator(".figure", has_text="Pages to read").locator("dd").first).to_have_text("1")
    expect(button).to_be_focused()


def test_a_lost_service_is_told_and_found_again(idle: Studio) -> None:
    page = idle.open("/status")
    expect(page.get_by_role("list", name="Health")).to_be_visible()
    page.context.set_offline(True)
    expect(page.locator("#offline")).to_contain_text("offline")
    page.context.set_offline(False)
    expect(page.locator("#offline")).to_be_hidden()
    idle.forgive("ERR_INTERNET_DISCONNECTED")


@pytest.mark.usefixtures("axe")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(
    browser: Browser, service: RunningService, theme: str
) -> None:
    context, studio = window(browser, service.url, viewport=PHONE, color_scheme=theme)
    page = studio.open("/status")
    expect(page.get_by_role("list", name="Health")).to_be_visible()
    assert studio.violations() == []
    assert studio.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    context.close()
    assert studio.said == []


@pytest.mark.usefixtures("axe")
def test_trouble_is_accessible_too(idle: Studio, world: World) -> None:
    fail_a_page(world)
    world.records.pulse("worker", ())
    idle.open("/status")
    expect(idle.page.get_by_role("region", name="Dead letters")).to_be_visible()
    assert idle.violations() == []
