"""Every state of Studio, at both sizes and in both themes: ``make screenshots``."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.pages import as_bytes, draw_page
from tests.pdfs import make_pdf, text_page
from tests.running import RunningService, free_port
from tests.studio.conftest import CHROMIUM, FLAGS, LAPTOP, PHONE, Studio, window

OUT = Path(__file__).parents[2] / "docs" / "images"
SIZES = {"laptop": LAPTOP, "phone": PHONE}
INVOICE = [
    "Northwind Paper Ltd.", "12 Harbour Street, Bristol", "", "INVOICE 2026-0315", "",
    "200 envelopes C5        18.40", "50 boxes A4, 80 g      212.50",
    "Delivery                 9.90", "",
    "Total due              240.80", "", "Please pay within 30 days.",
]  # fmt: skip
LETTER = [
    "Dear Ms Okafor,", "", "thank you for your letter of 3 March. We are glad to",
    "confirm that the reading room will be open to your class", "on the 14th, from ten until four.",
    "", "The maps of the harbour are in cabinet nine; please ask", "for white gloves at the desk.",
    "", "With kind regards,", "The archive",
]  # fmt: skip


def files() -> list[Any]:
    """Documents of our own making, so that nobody's are in the repository."""
    invoice = draw_page(INVOICE, font="DejaVuSansMono", font_size=32)
    letter = draw_page(LETTER, font="DejaVuSerif")
    blurred = draw_page(INVOICE, rotate=2.2, noise=0.75, font_size=20, width=700)
    report = [text_page(LETTER * 3, points=11), text_page(INVOICE * 3, points=11), text_page()]
    return [
        {"name": "invoice-0315.png", "mimeType": "image/png", "buffer": as_bytes(invoice)},
        {"name": "letter to the school.tif", "mimeType": "image/tiff",
         "buffer": as_bytes(
             letter, "TIFF", save_all=True, append_images=[invoice.copy()], compression="tiff_lzw"
         )},
        {"name": "annual-report.pdf", "mimeType": "application/pdf", "buffer": make_pdf(report)},
        {"name": "photo-of-receipt.jpg", "mimeType": "image/jpeg",
         "buffer": as_bytes(blurred, "JPEG", quality=60)},
        {"name": "reading-room.webp", "mimeType": "image/webp", "buffer": as_bytes(letter, "WEBP")},
    ]  # fmt: skip


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        service = RunningService(data_dir=Path(folder) / "data", port=free_port())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            service.start()
            for name in ("archive", "front-desk"):
                service.client().post("/api/v1/admin/tenants", json={"name": name})
            for theme in ("light", "dark"):
                for size, viewport in SIZES.items():
                    states(browser, service.url, f"{size}-{theme}", theme, viewport)
        finally:
            browser.close()
            service.stop()
    total = sum(file.stat().st_size for file in OUT.glob("studio-*.webp"))
    sys.stdout.write(f"{total / 1e6:.1f} MB in {OUT}\n")


def states(browser: Browser, url: str, kind: str, theme: str, viewport: dict[str, int]) -> None:
    context, studio = window(
        browser,
        url,
        viewport=viewport,
        color_scheme=theme,
        reduced_motion="reduce",
        device_scale_factor=2 if viewport is PHONE else 1.5,
        **({"has_touch": True, "is_mobile": True} if viewport is PHONE else {}),
    )

    def shot(name: str) -> None:
        save(studio.page, f"studio-{name}-{kind}")

    empty_library(studio, shot)
    page = studio.open()
    shot("empty")
    bad = {"name": "minutes.docx", "mimeType": "application/zip", "buffer": b"PK\x03\x04 no scan"}
    studio.add(*files(), bad)
    expect(page.locator(".tile img")).to_have_count(5, timeout=30_000)
    shot("queue")
    studio.submit()
    page.locator(".result .progress").first.wait_for()
    shot("reading")
    studio.read(5)
    page.wait_for_timeout(1500)
    page.get_by_role("article").first.scroll_into_view_if_needed()
    shot("results")
    page.get_by_role("article", name="annual-report.pdf").get_by_role(
        "button", name="View pages", exact=True
    ).click()
    page.wait_for_selector(".sheet rect", state="attached")
    expect(page.locator(".sheet img")).to_have_js_property("complete", True, timeout=30_000)
    page.locator(".ln").nth(3).hover()
    shot("pages")
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Language").click()
    page.wait_for_selector(".choices li")
    shot("languages")
    page.keyboard.press("Escape")
    studio.open("/library")
    page.wait_for_selector(".list .open")
    page.wait_for_timeout(1200)
    shot("library")
    page.get_by_role("searchbox").fill("total due")
    page.wait_for_selector(".list .snip mark")
    page.wait_for_timeout(1200)
    shot("library-search")
    page.get_by_role("searchbox").fill("")
    # A search that is over lets go of what was selected.
    expect(page.locator(".list .snip")).to_have_count(0)
    page.get_by_role("checkbox", name="Select invoice-0315.png").first.check()
    page.get_by_role("checkbox", name="Select photo-of-receipt.jpg").first.check()
    page.get_by_role("button", name="Compare").click()
    page.wait_for_selector(".diff del, .diff p")
    shot("compare")
    page.keyboard.press("Escape")
    page.get_by_role("searchbox").fill("no such name")
    page.get_by_text("Nothing matches").wait_for()
    shot("nothing")
    context.set_offline(True)
    page.wait_for_timeout(300)
    shot("offline")
    context.set_offline(False)
    studio.open("/status")
    page.wait_for_selector(".figure")
    shot("status")
    studio.open("/admin")
    page.wait_for_selector("#tokens .none")
    shot("admin")
    studio.open("/sign-in")
    shot("sign-in")
    context.close()


def empty_library(studio: Studio, shot: Any) -> None:
    """Only before anything was read."""
    page = studio.open("/library")
    page.wait_for_selector(".list .open, .empty")
    if page.locator(".empty").count():
        shot("library-empty")


def save(page: Page, name: str) -> None:
    image = Image.open(io.BytesIO(page.screenshot()))
    image.convert("RGB").save(OUT / f"{name}.webp", "WEBP", quality=82, method=6)


if __name__ == "__main__":
    main()
