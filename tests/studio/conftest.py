"""A browser on the running service; whatever a page complains about on its console is a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from api.app import create_app
from tests.conftest import missing
from tests.running import RunningService
from tests.served import on_a_port
from tests.world import World, open_world

HERE = Path(__file__).parent
CHROMIUM = os.environ.get("STUDIO_BROWSER", "/usr/bin/chromium")
#: Without what needs a network, and without QUIC, on machines without either.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LAPTOP = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}
#: A page is read within seconds; two busy cores need more.
READ_MS = 120_000
#: What axe calls by these tags is WCAG 2.2 A and AA, and what is good besides.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@dataclass
class Studio:
    """A person's browser window."""

    url: str
    page: Page
    said: list[str] = field(default_factory=list)

    def open(self, path: str = "/ocr") -> Page:
        self.page.goto(self.url + path)
        if path == "/ocr":
            self.page.wait_for_selector("#composer[data-ready]")
        return self.page

    def add(self, *files: Any) -> None:
        """As chosen in the dialog of "Browse files"."""
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Browse files").click()
        chooser.value.set_files(list(files))
        expect(self.page.locator(".tile")).to_have_count(len(files))

    def submit(self) -> None:
        self.page.locator(".submit").click()
        self.page.wait_for_selector(".result")

    def read(self, count: int = 1) -> None:
        """Wait for so many results."""
        expect(self.page.locator(".result .text, .result .fail")).to_have_count(
            count, timeout=READ_MS
        )

    def evaluate(self, expression: str) -> Any:
        """What a script tells; by the debugger, for the page's policy lets no string be one."""
        session = self.page.context.new_cdp_session(self.page)
        answer = session.send(
            "Runtime.evaluate",
            {"expression": expression, "awaitPromise": True, "returnByValue": True},
        )
        session.detach()
        return answer["result"].get("value")

    def clipboard(self) -> str:
        found: str = self.evaluate("navigator.clipboard.readText()")
        return found

    def forgive(self, *words: str) -> None:
        """Let the console have said these: the browser itself notes each refusal and lost line."""
        self.said = [said for said in self.said if not any(word in said for word in words)]

    def violations(self) -> list[str]:
        """What axe-core finds wrong with the page as it stands."""
        # Through the debugger, which no policy of the page concerns.
        session = self.page.context.new_cdp_session(self.page)
        session.send("Page.setBypassCSP", {"enabled": True})
        source = (HERE / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")
        session.send("Runtime.evaluate", {"expression": source})
        run = (
            f"axe.run(document, {{runOnly: {RULES}}}).then((found) => found.violations.map((v) =>"
            " `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160)).join(' | ')}`))"
        )
        answer = session.send(
            "Runtime.evaluate",
            {"expression": run, "awaitPromise": True, "returnByValue": True},
        )
        session.detach()
        found: list[str] = answer["result"]["value"]
        return found


@pytest.fixture(scope="session")
def axe() -> None:
    """axe-core, installed as tests/studio/package.json says."""
    if not (HERE / "node_modules/axe-core/axe.min.js").exists():
        missing("axe-core (run `npm install` in tests/studio)")


# Not for the whole session: while Playwright runs, its loop runs in this thread, and no other can.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        path = None if own.exists() else CHROMIUM
        if path and not Path(path).exists():
            missing("Chromium")
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


def window(browser: Browser, url: str, **options: Any) -> tuple[BrowserContext, Studio]:
    context = browser.new_context(
        viewport=options.pop("viewport", LAPTOP),
        permissions=["clipboard-read", "clipboard-write"],
        accept_downloads=True,
        **options,
    )
    page = context.new_page()
    # Dialogs are intercepted only while somebody listens, and that takes a moment to begin: the
    # first click of a test must not come before it.
    page.on("filechooser", lambda chooser: None)
    studio = Studio(url, page)
    page.on(
        "console",
        lambda told: studio.said.append(told.text) if told.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: studio.said.append(str(error)))
    return context, studio


@pytest.fixture
def studio(browser: Browser, service: RunningService) -> Iterator[Studio]:
    context, made = window(browser, service.url)
    yield made
    context.close()
    assert made.said == []


@pytest.fixture
def phone(browser: Browser, service: RunningService) -> Iterator[Studio]:
    context, made = window(
        browser, service.url, viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark"
    )
    yield made
    context.close()
    assert made.said == []


@pytest.fixture
def world(valkey: str) -> Iterator[World]:
    """A service whose work is done when the test says so."""
    with open_world(valkey) as made:
        yield made


@pytest.fixture
def idle(browser: Browser, world: World) -> Iterator[Studio]:
    """A browser window on `world`."""
    with on_a_port(create_app(world.settings, world.service)) as url:
        context, made = window(browser, url)
        yield made
        context.close()
    assert made.said == []
