"""`/ocr` as a person uses it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Page, expect

from tests.pages import as_bytes, draw_page
from tests.pdfs import make_pdf, text_page
from tests.studio.conftest import Studio


@pytest.fixture
def documents_at(tmp_path: Path) -> Iterator[str]:
    """The address of a document on a web server."""
    (tmp_path / "linked.png").write_bytes(as_bytes(draw_page(["From a link"])))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/linked.png"
        server.shutdown()


def scan(name: str, *words: str) -> dict[str, object]:
    data = as_bytes(draw_page([*words, "and a second line of plain words"]))
    return {"name": name, "mimeType": "image/png", "buffer": data}


def test_five_files_are_submitted_and_each_has_its_card(studio: Studio) -> None:
    page = studio.open()
    studio.add(*(scan(f"page {n}.png", f"Invoice number {n}4711") for n in range(1, 6)))
    expect(page.locator(".tile img")).to_have_count(5)
    expect(page.locator(".submit")).to_have_text("Extract text from 5 files")
    studio.submit()
    studio.read(5)
    for n in range(1, 6):
        card = page.get_by_role("article", name=f"page {n}.png")
        expect(card.locator("pre")).to_contain_text(f"Invoice number {n}4711")
        expect(card).to_contain_text("1 page")
        expect(card).to_contain_text(re.compile(r"\d+ words"))
        expect(card.locator(".pill").first).to_have_text(re.compile(r"\d+% (High|Check|Low)"))


def test_copy_and_download_give_the_text_under_the_documents_name(
    studio: Studio, tmp_path: Path
) -> None:
    page = studio.open()
    studio.add(scan("Grüße aus Köln.png", "Copied words"))
    studio.submit()
    studio.read()
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert "Copied words" in studio.clipboard()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    assert download.value.suggested_filename == "Grüße aus Köln.txt"
    kept = tmp_path / "kept.txt"
    download.value.save_as(kept)
    assert "Copied words" in kept.read_text(encoding="utf-8")


def test_files_are_dropped_onto_the_page(studio: Studio) -> None:
    page = studio.open()
    data = base64.b64encode(as_bytes(draw_page(["Dropped"]))).decode()
    # Through the debugger: the page's policy lets no string become a script.
    page.context.new_cdp_session(page).send(
        "Runtime.evaluate",
        {
            "expression": f"""
            const bytes = Uint8Array.from(atob("{data}"), (c) => c.charCodeAt(0));
            const carried = new DataTransfer();
            carried.items.add(new File([bytes], "dropped.png", {{ type: "image/png" }}));
            for (const type of ["dragenter", "dragover", "drop"])
              document.querySelector("main").dispatchEvent(
                new DragEvent(type, {{ bubbles: true, cancelable: true, dataTransfer: carried }}));
            """
        },
    )
    expect(page.locator(".tile .name")).to_have_text("dropped.png")
    expect(page.locator(".tile img")).to_be_visible()


def test_a_screenshot_is_pasted(studio: Studio) -> None:
    page = studio.open()
    data = base64.b64encode(as_bytes(draw_page(["Pasted"]))).decode()
    page.context.new_cdp_session(page).send(
        "Runtime.evaluate",
        {
            "awaitPromise": True,
            "expression": f"""
            navigator.clipboard.write([new ClipboardItem({{ "image/png": new Blob(
              [Uint8Array.from(atob("{data}"), (c) => c.charCodeAt(0))],
              {{ type: "image/png" }}) }})])""",
        },
    )
    page.keyboard.press("Control+v")
    expect(page.locator(".tile img")).to_have_count(1)


def test_tiff_and_pdf_have_a_thumbnail_and_a_page_count_before_they_are_sent(
    studio: Studio,
) -> None:
    page = studio.open()
    tiff = as_bytes(draw_page(["One"]), "TIFF", save_all=True, append_images=[draw_page(["Two"])])
    studio.add(
        {"name": "two.tif", "mimeType": "image/tiff", "buffer": tiff},
        {
            "name": "three.pdf",
            "mimeType": "application/pdf",
            "buffer": make_pdf([text_page() for _ in range(3)]),
        },
    )
    expect(page.locator(".tile img")).to_have_count(2)
    expect(page.locator(".tile", has_text="two.tif")).to_contain_text("2 pages")
    expect(page.locator(".tile", has_text="three.pdf")).to_contain_text("3 pages")


def test_a_wrong_and_a_large_file_say_why_at_once_and_the_others_go_on(studio: Studio) -> None:
    page = studio.open()
    studio.add(
        scan("good.png", "Good page"),
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"only words"},
        {"name": "huge.png", "mimeType": "image/png", "buffer": b"\x89PNG" + bytes(20_000_001)},
        {"name": "none.png", "mimeType": "image/png", "buffer": b""},
    )
    expect(page.locator(".tile", has_text="notes.txt")).to_contain_text("Not an image or PDF")
    expect(page.locator(".tile", has_text="huge.png")).to_contain_text("The limit is 20 MB")
    expect(page.locator(".tile", has_text="none.png")).to_contain_text("empty")
    expect(page.locator(".submit")).to_have_text("Extract text from 1 file")
    studio.submit()
    studio.read()
    expect(page.locator(".result pre")).to_contain_text("Good page")


def test_one_is_removed_then_all_and_duplicates_are_noticed(studio: Studio) -> None:
    page = studio.open()
    studio.add(scan("a.png", "a"), scan("b.png", "b"), scan("c.png", "c"))
    page.get_by_role("button", name="Remove b.png").click()
    expect(page.locator(".tile .name")).to_have_text(["a.png", "c.png"])
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator(".tile")).to_have_count(0)
    expect(page.locator(".submit")).to_be_disabled()


def test_a_reload_in_mid_run_loses_nothing(studio: Studio) -> None:
    page = studio.open()
    pdf = make_pdf([text_page(), text_page(), text_page()])
    studio.add({"name": "long.pdf", "mimeType": "application/pdf", "buffer": pdf})
    studio.submit()
    page.reload()
    studio.read()
    expect(page.get_by_role("article", name="long.pdf")).to_contain_text("3 pages")


def test_a_running_document_is_cancelled(studio: Studio) -> None:
    page = studio.open()
    pdf = make_pdf([text_page(points=6 + n / 10) for n in range(60)])
    studio.add({"name": "endless.pdf", "mimeType": "application/pdf", "buffer": pdf})
    studio.submit()
    page.locator(".result").get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator(".result .facts")).to_contain_text("Cancelled", timeout=30_000)


def test_a_failed_document_says_why_among_good_ones(studio: Studio) -> None:
    page = studio.open()
    pdf = make_pdf([text_page(), text_page(["Only the second page."])])
    studio.add(
        scan("one page.png", "There is no second page"),
        {"name": "two pages.pdf", "mimeType": "application/pdf", "buffer": pdf},
    )
    page.locator("summary").click()
    page.get_by_label("Pages", exact=True).fill("2")
    studio.submit()
    studio.read(2)
    failed = page.get_by_role("article", name="one page.png")
    expect(failed).to_contain_text("could not be read")
    expect(failed.get_by_role("button", name="Try again")).to_be_visible()
    good = page.get_by_role("article", name="two pages.pdf")
    expect(good.locator("pre")).to_contain_text("Only the second page.")


def test_a_damaged_file_is_refused_before_it_is_sent(studio: Studio) -> None:
    page = studio.open()
    studio.add({"name": "torn.tif", "mimeType": "image/tiff", "buffer": torn_tiff()})
    expect(page.locator(".tile")).to_have_class(re.compile("bad"))
    expect(page.locator(".submit")).to_be_disabled()
    studio.forgive("422")


def test_pages_are_looked_at_beside_their_text(studio: Studio) -> None:
    page = studio.open()
    pdf = make_pdf([text_page(), text_page(["A zebra on the second page."])])
    studio.add({"name": "two.pdf", "mimeType": "application/pdf", "buffer": pdf})
    studio.submit()
    studio.read()
    page.get_by_role("button", name="View pages", exact=True).click()
    viewer = page.get_by_role("dialog")
    expect(viewer.locator(".sheet img")).to_be_visible()
    expect(viewer.locator("rect")).to_have_count(3)
    viewer.locator(".ln").first.hover()
    expect(viewer.locator("rect.on")).to_have_count(1)
    viewer.get_by_role("searchbox").fill("zebra")
    expect(viewer.locator("mark")).to_have_text("zebra")
    expect(viewer.get_by_label("Page", exact=True)).to_have_value("2")
    viewer.get_by_role("button", name="Close").click()
    expect(viewer).to_have_count(0)
    expect(page.get_by_role("button", name="View pages", exact=True)).to_be_focused()


def choose_language(page: Page, typed: str, name: str) -> None:
    box = page.get_by_role("combobox", name="Language")
    box.click()
    box.fill(typed)
    page.get_by_role("option", name=name, exact=True).click()


def test_a_language_is_found_by_typing_and_chosen_by_keyboard(studio: Studio) -> None:
    page = studio.open()
    box = page.get_by_role("combobox", name="Language")
    options = page.get_by_role("listbox", name="Language").get_by_role("option")
    expect(box).to_have_value("Auto-detect")
    box.click()
    expect(options.first).to_have_text("Auto-detect")
    expect(options.nth(1)).to_have_text("English")
    box.press_sequentially("port")
    expect(options).to_have_text(["Portuguese"])
    page.keyboard.press("Enter")
    expect(box).to_have_value("Portuguese")
    box.fill("no such language")
    expect(options).to_have_count(0)
    expect(page.locator(".choices")).to_contain_text("No such language")
    page.keyboard.press("Escape")
    expect(box).to_have_value("Portuguese")
    box.fill("e")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    # Without Enter nothing was chosen.
    expect(box).to_have_value("Portuguese")
    expect(options).to_have_count(0)


def test_a_language_that_is_not_installed_is_shown_and_cannot_be_chosen(studio: Studio) -> None:
    page = studio.open()
    page.get_by_label("Model").select_option("tesseract")
    box = page.get_by_role("combobox", name="Language")
    box.click()
    box.fill("urdu")
    option = page.get_by_role("option", name="Urdu (not installed)")
    expect(option).to_have_attribute("aria-disabled", "true")
    option.click(force=True)
    page.keyboard.press("Escape")
    expect(box).to_have_value("Auto-detect")


def test_choices_are_remembered(studio: Studio) -> None:
    page = studio.open()
    choose_language(page, "germ", "German")
    page.get_by_label("Model").select_option("pp-ocrv6")
    studio.open()
    expect(page.get_by_role("combobox", name="Language")).to_have_value("German")
    expect(page.get_by_label("Model")).to_have_value("pp-ocrv6")


def test_a_hostile_file_name_is_only_text(studio: Studio) -> None:
    page = studio.open()
    name = "<img src=x onerror=alert(1)>.png"
    studio.add(scan(name, "Harmless"))
    expect(page.locator(".tile .name")).to_have_text(name)
    studio.submit()
    studio.read()
    expect(page.locator(".result h3")).to_have_text(name)


def test_the_keyboard_alone_is_enough(studio: Studio) -> None:
    page = studio.open()
    studio.add(scan("keys.png", "Only keys"))
    expect(page.locator(".tile img")).to_be_visible()
    page.get_by_role("button", name="Browse files").focus()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.locator(".submit:focus").count():
            break
    page.keyboard.press("Enter")
    studio.read()
    page.get_by_role("button", name="More", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Markdown (.md)")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="More", exact=True)).to_be_focused()


def test_a_lost_line_is_told(studio: Studio) -> None:
    page = studio.open()
    page.context.set_offline(True)
    expect(page.locator("#offline")).to_contain_text("offline")
    page.context.set_offline(False)
    expect(page.locator("#offline")).to_be_hidden()
    studio.forgive("ERR_INTERNET_DISCONNECTED")


def torn_tiff() -> bytes:
    data = as_bytes(draw_page(["Torn"]), "TIFF", compression="tiff_lzw")
    return data[:8] + bytes(len(data) // 2) + data[8 + len(data) // 2 :]


def test_a_link_is_read(studio: Studio, documents_at: str) -> None:
    page = studio.open()
    page.get_by_role("button", name="From a link").click()
    page.get_by_label("Link to a document").fill(documents_at)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".submit")).to_have_text("Extract text from 1 file")
    studio.submit()
    studio.read()
    expect(page.locator(".result pre")).to_contain_text("From a link")


def test_a_phone_shows_it_all_without_scrolling_sideways(phone: Studio) -> None:
    page = phone.open()
    expect(page.get_by_role("button", name="Take a photo")).to_be_visible()
    phone.add(scan("phone.png", "Small screen"), *(scan(f"{n}.png", "More") for n in range(7)))
    # The button is in reach wherever one has scrolled to.
    for place in ("top", "bottom"):
        phone.evaluate(f"scrollTo(0, {0 if place == 'top' else 'document.body.scrollHeight'})")
        expect(page.locator(".submit")).to_be_in_viewport(ratio=1)
    for n in range(7):
        page.get_by_role("button", name=f"Remove {n}.png").click()
    phone.submit()
    phone.read()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
