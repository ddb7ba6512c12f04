"""How soon Studio's pages show something, and how much script they load.

    python -m benchmarks.first_paint [--visits 10] [--browser /usr/bin/chromium]

Starts a service of its own and opens each page in Chromium by Playwright, each time in a fresh
window whose cache is empty. The first paint is the browser's own ``first-contentful-paint``, in ms
since the visit began (https://www.w3.org/TR/paint-timing/). Scripts and the whole page count the
bytes that crossed the line, and the scripts once more as gzip would send them.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, Request, ViewportSize, sync_playwright

from benchmarks.common import console, figures_table, parser, percentile, write_report
from tests.running import RunningService, free_port
from tests.studio.conftest import CHROMIUM, FLAGS

PAGES = ("/ocr", "/library", "/status", "/docs")


def first_paint(page: Page) -> float:
    """Milliseconds from the beginning of the visit to the first text or picture."""
    session = page.context.new_cdp_session(page)
    # Through the debugger: the page's policy lets no string be a script.
    answer = session.send(
        "Runtime.evaluate",
        {
            "expression": (
                "performance.getEntriesByName('first-contentful-paint').map((e) => e.startTime)[0]"
                " ?? new Promise((told) => new PerformanceObserver((list) => {"
                " const found = list.getEntriesByName('first-contentful-paint')[0];"
                " if (found) told(found.startTime); }).observe({type: 'paint', buffered: true}))"
            ),
            "awaitPromise": True,
            "returnByValue": True,
        },
    )
    session.detach()
    return float(answer["result"]["value"])


def visit(browser: Browser, url: str) -> dict[str, float]:
    """Figures of one visit with nothing cached; sizes are bytes."""
    context = browser.new_context(viewport=ViewportSize(width=1280, height=860))
    page = context.new_page()
    # Some requests are never over: `/ocr` and `/library` follow events.
    over: list[Request] = []
    page.on("requestfinished", lambda request: over.append(request))
    page.goto(url)
    page.wait_for_load_state("networkidle")
    told = {"paint": first_paint(page), "scripts": 0.0, "compressed": 0.0, "all": 0.0}
    for request in list(over):
        sizes = request.sizes()
        size = sizes["responseBodySize"] + sizes["responseHeadersSize"]
        told["all"] += size
        if request.resource_type == "script":
            told["scripts"] += size
            answer = request.response()
            assert answer is not None
            told["compressed"] += len(gzip.compress(answer.body()))
    context.close()
    return told


def measure(browser: Browser, url: str, visits: int) -> dict[str, float]:
    # The first visit of all also warms the service's templates and the browser's own processes.
    visit(browser, url)
    told = [visit(browser, url) for _ in range(visits)]
    paints = [one["paint"] for one in told]
    return {
        **told[-1],
        "p50": percentile(paints, 0.5),
        "p95": percentile(paints, 0.95),
        "most": max(paints),
    }


def show(visits: int, rows: dict[str, dict[str, float]], report: Path | None) -> None:
    table = figures_table(
        f"{visits} visits each, nothing cached",
        ["page", "p50 ms", "p95 ms", "most ms", "scripts kB", "gzipped kB", "page kB"],
    )
    for path, row in rows.items():
        table.add_row(
            path,
            *(f"{row[name]:.0f}" for name in ("p50", "p95", "most")),
            *(f"{row[name] / 1000:.1f}" for name in ("scripts", "compressed", "all")),
        )
    console.print(table)
    write_report(report, {"visits": visits, "pages": rows})


def arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--visits", type=int, default=10)
    made.add_argument("--browser", default=CHROMIUM)
    return made.parse_args()


def main() -> None:
    chosen = arguments()
    with tempfile.TemporaryDirectory(prefix="bench-paint-") as name, sync_playwright() as driver:
        running = RunningService(data_dir=Path(name) / "data", port=free_port(), start_seconds=300)
        browser = driver.chromium.launch(executable_path=chosen.browser, args=FLAGS)
        try:
            running.start()
            rows = {path: measure(browser, running.url + path, chosen.visits) for path in PAGES}
        finally:
            browser.close()
            running.stop()
    show(chosen.visits, rows, chosen.report)


if __name__ == "__main__":
    main()
