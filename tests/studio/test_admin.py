"""`/admin` as those use it who look after the service."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from casola_ocr import usage
from tests.studio.conftest import PHONE, Studio, window
from tests.world import World, tiff


@pytest.fixture
def admin(idle: Studio, world: World) -> Page:
    """Signed in with an admin's token."""
    world.service.tenants.create("acme")
    world.service.tenants.create("ops")
    secret, _ = world.service.tokens.create("ops", "laptop of Ann", admin=True)
    world.submit_one(tiff(3))
    world.settle()
    list(usage.count(world.store))
    page = idle.open("/sign-in")
    page.get_by_label("Token").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("#composer[data-ready]")
    page.get_by_role("link", name="Tenants").click()
    expect(page.get_by_role("row", name="acme").first).to_be_visible()
    return page


def test_each_tenant_is_shown_with_what_it_keeps(admin: Page) -> None:
    row = admin.get_by_role("region", name="Tenants").get_by_role("row", name="acme")
    expect(row.get_by_role("cell").nth(1)).to_have_text("1")
    expect(row.get_by_role("cell").nth(2)).to_have_text("3")
    expect(row.get_by_role("cell").nth(4)).to_have_text(re.compile(r"\d+ (B|kB)"))
    expect(row.get_by_role("cell").nth(5)).to_have_text("as set")


def test_a_tenant_is_made_and_how_long_it_keeps_is_changed(admin: Page, world: World) -> None:
    admin.get_by_label("New tenant").fill("studio-tests")
    admin.get_by_role("button", name="Make tenant").click()
    row = admin.get_by_role("row", name="studio-tests")
    expect(row).to_be_visible()
    row.get_by_role("button").click()
    admin.get_by_label("Kept for", exact=True).fill("a week")
    admin.get_by_role("button", name="Save").click()
    expect(admin.get_by_role("alert")).to_contain_text("not a number")
    admin.get_by_label("Kept for", exact=True).fill("30")
    admin.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("30 days")
    assert world.service.tenants.get("studio-tests").retention_days == 30


def test_a_wrong_name_says_why(admin: Page, idle: Studio) -> None:
    admin.get_by_label("New tenant").fill("Acme Ltd.")
    admin.get_by_role("button", name="Make tenant").click()
    expect(admin.locator(".toast")).to_contain_text("1 to 40 letters")
    idle.forgive("422")


def test_a_token_is_shown_once_works_and_is_revoked(admin: Page, world: World) -> None:
    admin.get_by_label("Tenant", exact=True).first.select_option("acme")
    admin.get_by_label("Label").fill("scanner")
    admin.get_by_role("button", name="Make token").click()
    secret = admin.locator(".secret code").inner_text()
    token = world.service.tokens.find(secret)
    assert token is not None and (token.tenant, token.admin) == ("acme", False)
    admin.reload()
    row = admin.get_by_role("row", name="scanner")
    expect(row).to_contain_text("read and submit")
    expect(admin.locator(".secret")).to_have_count(0)
    assert secret not in admin.content()
    row.get_by_role("button", name="Revoke scanner").click()
    dialog = admin.get_by_role("dialog")
    expect(dialog).to_contain_text("cannot be undone")
    dialog.get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text("revoked")
    assert [each.revoked_at is None for each in world.service.tokens.list("acme")] == [False]


def test_on_loopback_the_first_token_is_an_admins_and_the_page_says_why(
    idle: Studio, world: World
) -> None:
    world.service.tenants.create("acme")
    page = idle.open("/admin")
    expect(page.get_by_text("Nobody needs a token yet.")).to_be_visible()
    expect(page.get_by_role("checkbox")).to_be_checked()
    page.get_by_role("button", name="Make token").click()
    token = world.service.tokens.find(page.locator(".secret code").inner_text())
    assert token is not None and token.admin


def test_a_tenants_token_sees_no_way_here_and_is_told(idle: Studio, world: World) -> None:
    world.service.tenants.create("acme")
    secret, _ = world.service.tokens.create("acme")
    page = idle.open("/sign-in")
    page.get_by_label("Token").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("#composer[data-ready]")
    expect(page.get_by_role("link", name="Tenants")).to_have_count(0)
    expect(page.get_by_role("link", name="Status")).to_have_count(0)
    idle.open("/admin")
    expect(page.get_by_role("heading", name="Not for this token")).to_be_visible()
    idle.forgive("403")


@pytest.mark.usefixtures("axe")
def test_every_state_is_accessible(admin: Page, idle: Studio) -> None:
    assert idle.violations() == []
    admin.get_by_role("button", name="Make token").click()
    expect(admin.locator(".secret")).to_be_visible()
    assert idle.violations() == []
    admin.get_by_role("button", name="Revoke laptop of Ann").click()
    assert idle.violations() == []
    # Before the page is there: its colours would be on their way from one theme to the other.
    admin.emulate_media(color_scheme="dark")
    idle.open("/admin")
    expect(admin.get_by_role("row", name="acme").first).to_be_visible()
    assert idle.violations() == []


@pytest.mark.usefixtures("axe")
def test_it_fits_a_phone(admin: Page, idle: Studio, browser: Browser) -> None:
    context, phone = window(browser, idle.url, viewport=PHONE, has_touch=True, is_mobile=True)
    context.add_cookies(admin.context.cookies())
    page = phone.open("/admin")
    expect(page.get_by_role("row", name="acme").first).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert phone.violations() == []
    context.close()
    assert phone.said == []
