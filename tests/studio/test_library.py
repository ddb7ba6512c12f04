"""`/library` as a person uses it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Request, Route, expect

from casola_ocr.objects import keys
from casola_ocr.tenants import LOCAL_TENANT
from tests.pages import as_bytes, draw_page
from tests.running import RunningService
from tests.studio.conftest import Studio
from tests.waiting import until
from tests.world import PNG, World


def wait_until_found(client: httpx.Client, text: str, request_id: str) -> None:
    """What was read a moment ago is about to be found."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        # Its name may be in the index before its text is.
        snippets = client.get(f"/api/v1/library?text={text}").json()["snippets"]
        if snippets.get(request_id, {}).get("source") == "text":
            return
        time.sleep(0.1)
    raise AssertionError("what was read is not found")


# Asked for before the window, since what is deleted under an open one is an error on its console.
@pytest.fixture
def documents(service: RunningService) -> Iterator[list[str]]:
    """Two that were read: request IDs."""
    made = []
    with service.client() as client:
        for name, words in (("alpha library.png", "Alpha words"), ("beta library.png", "Beta")):
            files = {"file": (name, as_bytes(draw_page([words])))}
            answer = client.post("/api/v1/jobs", files=files, headers={"Prefer": "wait=60"})
            assert answer.status_code == 200
            made.append(answer.json()["request_id"])
            wait_until_found(client, words.split()[0], made[-1])
        yield made
        for request_id in made:
            client.delete(f"/api/v1/jobs/{request_id}")


def test_search_by_name_shows_only_what_matches(documents: list[str], studio: Studio) -> None:
    page = studio.open("/library")
    page.get_by_role("searchbox").fill("alpha lib")
    expect(page.locator(".list .open")).to_have_text(["alpha library.png"])
    page.get_by_role("searchbox").fill("no such name")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    page.get_by_role("button", name="Reset filters").click()
    expect(page.get_by_role("button", name="beta library.png", exact=True)).to_be_visible()


def test_search_by_text_shows_where_the_words_stand(documents: list[str], studio: Studio) -> None:
    page = studio.open("/library")
    page.get_by_role("searchbox").fill("alpha WORD")
    expect(page.locator(".list .open")).to_have_text(["alpha library.png"])
    expect(page.locator(".list .snip")).to_have_text("Alpha words")
    expect(page.locator(".list .snip mark")).to_have_text(["Alpha", "words"])
    # Of a name that matches the name itself is marked.
    page.get_by_role("searchbox").fill("beta libr")
    expect(page.locator(".list .open")).to_have_text(["beta library.png"])
    page.get_by_role("searchbox").fill("libr")
    expect(page.locator(".list .open mark")).to_have_text(["library", "library"])
    page.get_by_role("searchbox").fill('"words alpha"')
    expect(page.get_by_text("Nothing matches")).to_be_visible()


def test_a_document_that_was_found_opens_at_its_page(
    studio: Studio, service: RunningService
) -> None:
    first, second = (draw_page([words]) for words in ("Only filler", "Pelican harbour"))
    source = as_bytes(first, "TIFF", save_all=True, append_images=[second])
    with service.client() as client:
        files = {"file": ("two <b>library<b> & pages.tif", source)}
        answer = client.post("/api/v1/jobs", files=files, headers={"Prefer": "wait=60"})
        assert answer.status_code == 200
        request_id = answer.json()["request_id"]
        wait_until_found(client, "pelican", request_id)
    page = studio.open("/library")
    page.get_by_role("searchbox").fill("pelican")
    expect(page.locator(".list .open")).to_have_text(["two <b>library<b> & pages.tif"])
    expect(page.locator(".list .snip")).to_have_text("Page 2: Pelican harbour")
    page.locator(".list .open").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("input.number")).to_have_value("2")
    expect(dialog.locator(".lines mark")).to_have_text(["Pelican"])
    with service.client() as client:
        client.delete(f"/api/v1/jobs/{request_id}")


def test_filters_are_the_services(documents: list[str], studio: Studio) -> None:
    asked: list[dict[str, list[str]]] = []

    def note(request: Request) -> None:
        if "/api/v1/library?" in request.url:
            asked.append(parse_qs(urlsplit(request.url).query))

    studio.page.on("request", note)
    page = studio.open("/library")
    name = page.get_by_role("button", name="alpha library.png", exact=True)
    expect(name).to_be_visible()
    page.get_by_label("State").select_option("Done")
    page.get_by_label("Language").select_option("Language not known")
    page.get_by_label("Date").select_option("Today")
    expect(name).to_be_visible()
    page.get_by_label("Low confidence").check()
    expect(name).to_have_count(0)
    page.get_by_label("Low confidence").uncheck()
    expect(name).to_be_visible()
    page.get_by_label("Model").select_option("tesseract")
    page.get_by_label("Language").select_option("French")
    expect(name).to_have_count(0)
    told = asked[-1]
    assert told.pop("created_from")[0].endswith("Z")
    assert told == {
        "limit": ["50"], "status": ["completed"], "model": ["tesseract"], "language": ["fr"],
    }  # fmt: skip
    assert any(query.get("low_confidence") == ["true"] for query in asked)


@pytest.mark.corpus
def test_a_document_that_nobody_named_the_language_of_is_found_by_it(
    studio: Studio, service: RunningService, corpus: Path
) -> None:
    page = studio.open()
    studio.add(corpus / "images/synthetic-005-ru.png")
    studio.submit()
    studio.read()
    expect(page.locator(".result .facts")).to_contain_text("Russian")
    studio.open("/library")
    name = page.get_by_role("button", name="synthetic-005-ru.png", exact=True)
    page.get_by_label("Language").select_option("Russian")
    expect(page.locator("li", has=name).locator(".sub")).to_contain_text("Russian")
    page.get_by_label("Language").select_option("English")
    expect(name).to_have_count(0)
    with service.client() as client:
        found = client.get("/api/v1/library?language=ru").json()["data"]
        (made,) = [job for job in found if job["file_name"] == "synthetic-005-ru.png"]
        assert (made["language"], made["languages_found"]) == ("auto", ["ru"])
        assert made not in client.get("/api/v1/library?language=auto").json()["data"]
        client.delete(f"/api/v1/jobs/{made['request_id']}")


def test_marks_count_characters_and_an_unfinished_index_is_told(
    documents: list[str], studio: Studio
) -> None:
    def answer(route: Route) -> None:
        body: dict[str, Any] = route.fetch().json()
        body["complete"] = False
        body["snippets"][body["data"][0]["request_id"]] = {
            "source": "text", "page": None, "text": "😀😀 <b>needle", "marks": [[6, 12]],
        }  # fmt: skip
        route.fulfill(status=200, content_type="application/json", body=json.dumps(body))

    page = studio.open("/library")
    page.route("**/api/v1/library?*text=*", answer)
    page.get_by_role("searchbox").fill("alpha")
    expect(page.locator(".snip").first).to_have_text("😀😀 <b>needle")
    expect(page.locator(".snip mark").first).to_have_text("needle")
    expect(page.get_by_text("still being made")).to_be_visible()


def test_what_is_kept_in_all_is_told_without_being_admin(idle: Studio, world: World) -> None:
    secret, _ = world.service.tokens.create(LOCAL_TENANT)
    page = idle.open("/library")
    page.get_by_label("Token").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("#composer[data-ready]")
    with httpx.Client(base_url=idle.url, headers={"Authorization": f"Bearer {secret}"}) as client:
        for number in range(3):
            files = {"file": (f"{number}.png", PNG)}
            assert client.post("/api/v1/jobs", files=files).status_code == 202
    world.settle()
    world.reconcile()
    kept = sum(size for _, size in world.store.sizes(keys.tenant_prefix(LOCAL_TENANT)))
    idle.open("/library")
    total = page.locator(".stored")
    expect(total).to_contain_text("3 documents")
    expect(total).to_contain_text(f"{kept / 1000:.0f} kB stored in all, counted ")
    # It is of everything, whatever is looked for.
    page.get_by_label("State").select_option("Failed")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    expect(total).to_contain_text("3 documents")


def test_a_document_is_opened(documents: list[str], studio: Studio) -> None:
    page = studio.open("/library")
    page.get_by_role("button", name="alpha library.png", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("Alpha words")


def test_a_deletion_is_undone(
    documents: list[str], studio: Studio, service: RunningService
) -> None:
    page = studio.open("/library")
    page.get_by_role("checkbox", name="Select alpha library.png").check()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="alpha library.png", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="alpha library.png", exact=True)).to_be_visible()
    with service.client() as client:
        assert client.get(f"/api/v1/jobs/{documents[0]}").status_code == 200


def test_a_deletion_happens_when_it_was_not_undone(
    documents: list[str], studio: Studio, service: RunningService
) -> None:
    page = studio.open("/library")
    page.get_by_role("checkbox", name="Select beta library.png").check()
    page.get_by_role("button", name="Delete").click()
    # Leaving the page is the end of undoing.
    page.goto(studio.url + "/ocr")
    page.wait_for_selector("#composer[data-ready]")
    with service.client() as client:
        # The page is left without waiting for the answer.
        until(lambda: client.get(f"/api/v1/jobs/{documents[1]}").status_code == 410, "the deletion")


def test_two_are_compared_word_by_word(documents: list[str], studio: Studio) -> None:
    page = studio.open("/library")
    page.get_by_role("checkbox", name="Select alpha library.png").check()
    page.get_by_role("checkbox", name="Select beta library.png").check()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".diff del").first).to_contain_text("Alpha")
    expect(page.locator(".diff ins").first).to_contain_text("Beta")


def test_a_document_is_read_again_with_another_model(
    documents: list[str], studio: Studio, service: RunningService
) -> None:
    page = studio.open("/library")
    page.locator(".list li", has_text="alpha library.png").get_by_role(
        "button", name="More"
    ).click()
    page.get_by_role("menuitem", name="Read again with another model").click()
    page.get_by_role("dialog").get_by_label("Model").select_option("pp-ocrv6")
    page.get_by_role("dialog").get_by_role("button", name="Read again").click()
    expect(page.locator(".list .open", has_text="alpha library.png")).to_have_count(2)
    with service.client() as client:
        newest = client.get("/api/v1/library?limit=1").json()["data"][0]
        assert (newest["file_name"], newest["model"]) == ("alpha library.png", "pp-ocrv6")
        service.finished(newest["request_id"])
        client.delete(f"/api/v1/jobs/{newest['request_id']}")
