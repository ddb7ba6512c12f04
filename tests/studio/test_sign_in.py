"""Where tokens are on, Studio wants one; on loopback without any it does not."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Browser, expect

from tests.running import RunningService
from tests.studio.conftest import Studio, window


def test_nothing_of_signing_in_is_there_without_tokens(studio: Studio) -> None:
    page = studio.open()
    expect(page.get_by_role("button", name="Sign out")).to_have_count(0)


def test_a_token_opens_a_session_that_no_script_can_read(
    browser: Browser, make_service: Callable[..., RunningService]
) -> None:
    service = make_service()
    secret = service.token("ann")
    context, studio = window(browser, service.url)
    page = context.pages[0]
    # API processes notice the first token within seconds.
    for _ in range(100):
        page.goto(service.url + "/library")
        if page.url.endswith("/sign-in"):
            break
        page.wait_for_timeout(200)
    page.get_by_label("Token").fill("casola_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not valid")
    page.get_by_label("Token").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("#composer[data-ready]")
    (cookie,) = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    # Another site's page has the cookie's owner, not our origin.
    answer = context.request.delete(
        service.url + "/api/v1/jobs/req_00000000000000000000000000",
        headers={"Origin": "https://evil.example"},
    )
    assert answer.status == 403
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(service.url + "/sign-in")
    assert context.cookies() == []
    context.close()
    # The refused token is noted by the browser itself.
    assert [said for said in studio.said if "401" not in said] == []
