"""What a person takes away: formats, a zip, a command; and two results side by side."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pypdfium2
import pytest
from lxml import etree
from playwright.sync_api import Download, Page, expect

from casola_ocr.testing import ScriptedEngine
from tests.studio.conftest import Studio
from tests.world import PNG, World, tiff


def picture(name: str) -> dict[str, object]:
    return {"name": name, "mimeType": "image/png", "buffer": PNG}


def read(idle: Studio, world: World, *files: dict[str, object]) -> Page:
    page = idle.open()
    page.get_by_label("Model").select_option("pp-ocrv6")
    idle.add(*files)
    world.announce()
    idle.submit()
    world.settle()
    expect(page.locator(".result .text")).to_have_count(len(files))
    return page


def taken(page: Page, click: Callable[[], None], folder: Path) -> Path:
    """What was downloaded, under its own name."""
    with page.expect_download() as begun:
        click()
    download: Download = begun.value
    file = folder / download.suggested_filename
    download.save_as(file)
    return file


@pytest.mark.parametrize(
    ("entry", "name", "holds"),
    [
        ("Markdown (.md)", "scan.md", lambda data: b"hello" in data),
        ("JSON with boxes (.json)", "scan.json", lambda data: json.loads(data)["page_results"]),
        ("hOCR", "scan.hocr", lambda data: b"ocr_line" in etree.tostring(etree.fromstring(data))),
        (
            "ALTO XML",
            "scan.alto.xml",
            lambda data: b"TextLine" in etree.tostring(etree.fromstring(data)),
        ),
        ("Searchable PDF", "scan.ocr.pdf", lambda data: data.startswith(b"%PDF-")),
    ],
)
def test_each_format_of_the_menu_is_a_file_of_its_kind(
    idle: Studio,
    world: World,
    tmp_path: Path,
    entry: str,
    name: str,
    holds: Callable[[bytes], object],
) -> None:
    page = read(idle, world, picture("scan.png"))
    page.get_by_role("button", name="More", exact=True).click()
    file = taken(page, page.get_by_role("menuitem", name=entry).click, tmp_path)
    assert file.name == name
    assert holds(file.read_bytes())


def test_a_searchable_pdf_can_be_searched(idle: Studio, world: World, tmp_path: Path) -> None:
    page = read(idle, world, picture("scan.png"))
    page.get_by_role("button", name="More", exact=True).click()
    file = taken(page, page.get_by_role("menuitem", name="Searchable PDF").click, tmp_path)
    with pypdfium2.PdfDocument(file) as document:
        assert "hello" in document[0].get_textpage().get_text_range()


def test_a_batch_is_one_zip_of_texts(idle: Studio, world: World, tmp_path: Path) -> None:
    page = read(idle, world, picture("one.png"), picture("two.png"))
    file = taken(page, page.get_by_role("button", name="Download all").click, tmp_path)
    with zipfile.ZipFile(file) as archive:
        assert sorted(archive.namelist()) == ["one.txt", "two.txt"]
        assert archive.read("two.txt").decode().strip() == "hello"


def test_all_texts_are_copied_at_once(idle: Studio, world: World) -> None:
    page = read(idle, world, picture("one.png"), picture("two.png"))
    page.get_by_role("button", name="Copy all").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert idle.clipboard().split() == ["hello", "hello"]


@pytest.mark.parametrize("name", ["scan.png", 'it\'s a "big" $PATH; `id`.png'])
def test_the_copied_command_submits_the_same_file_from_a_shell(
    idle: Studio, world: World, tmp_path: Path, name: str
) -> None:
    page = read(idle, world, picture(name))
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Copy as curl").click()
    expect(page.locator(".toast")).to_contain_text("Copied")
    (tmp_path / name).write_bytes(PNG)
    world.announce()
    done = subprocess.run(
        ["sh", "-c", idle.clipboard()], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    job = json.loads(done.stdout)
    assert (job["file_name"], job["model"], job["status"]) == (name, "pp-ocrv6", "queued")


def test_the_copied_command_takes_a_token_from_the_environment(
    idle: Studio, world: World, tmp_path: Path
) -> None:
    world.service.tenants.create("acme")
    secret, _ = world.service.tokens.create("acme")
    page = idle.open("/sign-in")
    page.get_by_label("Token").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("#composer[data-ready]")
    page = read(idle, world, picture("scan.png"))
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Copy as curl").click()
    expect(page.locator(".toast")).to_contain_text("Copied")
    command = idle.clipboard()
    assert secret not in command
    (tmp_path / "scan.png").write_bytes(PNG)
    world.announce()
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"PATH": "/usr/bin:/bin", "CASOLA_TOKEN": secret},
    )  # fmt: skip
    assert json.loads(done.stdout)["status"] == "queued"


def test_a_dropped_folder_brings_everything_in_it(
    idle: Studio, world: World, tmp_path: Path
) -> None:
    folder = tmp_path / "scans"
    (folder / "march").mkdir(parents=True)
    (folder / "one.png").write_bytes(PNG)
    (folder / "march" / "two.tif").write_bytes(tiff(2))
    (folder / ".DS_Store").write_bytes(b"hidden")
    page = idle.open()
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    for step in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": step, "x": 400, "y": 300, "data": data})
    expect(page.locator(".tile")).to_have_count(2)
    expect(page.locator(".tile", has_text="two.tif")).to_contain_text("2 pages")
    expect(page.locator(".submit")).to_have_text("Extract text from 2 files")


def test_a_folder_is_chosen_with_its_button(idle: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("one.png", "two.png"):
        (folder / name).write_bytes(PNG)
    page = idle.open()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Folder").click()
    chooser.value.set_files(folder)
    expect(page.locator(".tile")).to_have_count(2)


def test_two_results_are_compared_word_by_word(idle: Studio, world: World) -> None:
    # How wide a space is makes no difference.
    texts = iter(["the total is 240 euros", "the total    is 249 euros"])
    world.engine = ScriptedEngine(script=lambda image, page, attempt: next(texts))
    read(idle, world, picture("first.png"), picture("second.png"))
    page = idle.open("/library")
    for name in ("first.png", "second.png"):
        page.get_by_role("checkbox", name=f"Select {name}").check()
    page.get_by_role("button", name="Compare").click()
    dialog = page.get_by_role("dialog", name="Compare")
    expect(dialog.locator("del")).to_have_text(re.compile("240|249"))
    expect(dialog.locator("ins")).to_have_text(re.compile("240|249"))
    expect(dialog.locator(".diff")).to_contain_text(re.compile(r"the total +is"))
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_a_document_is_read_again_with_another_model(idle: Studio, world: World) -> None:
    read(idle, world, picture("again.png"))
    world.announce()
    page = idle.open("/library")
    page.locator("li", has_text="again.png").get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Read again with another model").click()
    page.get_by_role("dialog").get_by_label("Model").select_option("tesseract")
    page.get_by_role("dialog").get_by_role("button", name="Read again").click()
    expect(page.locator(".list .open")).to_have_count(2)
    world.settle()
    expect(page.locator("li", has_text="tesseract")).to_have_count(1)
    found, _ = world.jobs.library("local", 10, None)
    assert sorted(job.engine for job in found) == ["pp-ocrv6", "tesseract"]


def test_from_the_first_file_to_the_copied_text_by_keyboard_alone(
    idle: Studio, world: World
) -> None:
    page = idle.open()

    def tab_to(selector: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.locator(f"{selector}:focus").count():
                return
        raise AssertionError(f"{selector} cannot be reached")

    tab_to(".zone .btn")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([picture("keys.png")])
    expect(page.locator(".tile img")).to_be_visible()
    tab_to("#language")
    page.keyboard.type("engl")
    page.keyboard.press("Enter")
    world.announce()
    tab_to(".submit")
    page.keyboard.press("Enter")
    page.wait_for_selector(".result")
    world.settle()
    expect(page.locator(".result .text")).to_contain_text(re.compile("hello|bonjour"))
    tab_to(".result .actions .btn")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert idle.clipboard().strip() in ("hello", "bonjour")
    tab_to(".result .actions .btn:has(.i-book)")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").locator(".ln")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".result .actions .btn:has(.i-book)")).to_be_focused()
