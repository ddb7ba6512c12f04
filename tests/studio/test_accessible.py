"""axe-core finds nothing on any page, in any state, at either size and in either theme."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.running import RunningService
from tests.studio.conftest import LAPTOP, PHONE, window
from tests.studio.test_ocr import scan


@pytest.mark.usefixtures("axe")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_every_state_is_accessible(
    browser: Browser, service: RunningService, theme: str, size: dict[str, int]
) -> None:
    context, studio = window(
        browser, service.url, viewport=size, color_scheme=theme, reduced_motion="reduce"
    )
    found = {}
    page = studio.open()
    found["empty"] = studio.violations()
    bad = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"only words"}
    studio.add(scan("a.png", "Words to read"), bad)
    expect(page.locator(".tile img")).to_have_count(1)
    expect(page.locator(".tile.bad")).to_have_count(1)
    page.locator("summary").click()
    found["queue"] = studio.violations()
    page.get_by_role("combobox", name="Language").click()
    found["languages"] = studio.violations()
    page.keyboard.press("Escape")
    studio.submit()
    found["running"] = studio.violations()
    studio.read()
    found["result"] = studio.violations()
    page.get_by_role("button", name="More", exact=True).click()
    found["menu"] = studio.violations()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="View pages", exact=True).click()
    page.wait_for_selector(".sheet rect", state="attached")
    found["viewer"] = studio.violations()
    studio.open("/library")
    page.wait_for_selector(".list .open")
    page.locator(".list input").first.check()
    found["library"] = studio.violations()
    # The index may be a moment behind: until it is not, the search is asked again.
    for _ in range(50):
        page.get_by_role("searchbox").fill("")
        page.get_by_role("searchbox").fill("words to")
        page.wait_for_timeout(1000)
        if page.locator(".list .snip mark").count():
            break
    expect(page.locator(".list .snip mark").first).to_be_visible()
    found["search"] = studio.violations()
    page.get_by_role("searchbox").fill("no such name")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    found["nothing"] = studio.violations()
    studio.open("/sign-in")
    found["sign-in"] = studio.violations()
    context.close()
    assert {state: problems for state, problems in found.items() if problems} == {}
    assert studio.said == []
