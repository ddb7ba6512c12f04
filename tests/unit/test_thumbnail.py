"""Small pictures of documents that nobody has looked at yet, made in a child process."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from typing import Any

import pytest
from PIL import Image

from casola_ocr import thumbnail as module
from casola_ocr.errors import DamagedDocument, Overloaded, PasswordNeeded, TooManyPixels
from casola_ocr.thumbnail import Thumbnail, thumbnail
from tests.pages import as_bytes, draw_page
from tests.pdfs import encrypted, make_pdf, text_page


def made(data: bytes, media_type: str, **changes: Any) -> Thumbnail:
    return thumbnail(data, media_type, **{"page": 1, "side": 200, "max_pixels": 10**8, **changes})


def test_a_picture_is_scaled_down_and_keeps_its_shape() -> None:
    found = made(as_bytes(Image.new("RGB", (1000, 500), "white")), "image/png")
    assert (found.pages, found.width, found.height) == (1, 200, 100)
    image = Image.open(io.BytesIO(found.webp))
    assert (image.format, image.size) == ("WEBP", (200, 100))


def test_a_small_picture_is_not_blown_up() -> None:
    found = made(as_bytes(Image.new("RGB", (60, 40), "white")), "image/png")
    assert (found.width, found.height) == (60, 40)


def test_any_page_of_a_document_can_be_had_and_all_are_counted() -> None:
    frames = [Image.new("RGB", (100 * n, 100), "white") for n in (1, 2, 3)]
    data = as_bytes(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    found = made(data, "image/tiff", page=2)
    assert (found.pages, found.width, found.height) == (3, 200, 100)


def test_a_pdf_is_drawn() -> None:
    found = made(make_pdf([text_page(), text_page()]), "application/pdf")
    assert found.pages == 2
    assert max(found.width, found.height) == 200
    darkest = Image.open(io.BytesIO(found.webp)).convert("L").getextrema()[0]
    assert isinstance(darkest, int) and darkest < 200


def test_a_damaged_document_says_so() -> None:
    data = make_pdf([text_page()])
    with pytest.raises(DamagedDocument):
        made(data[: len(data) // 3], "application/pdf")
    with pytest.raises(DamagedDocument):
        made(b"\x89PNG\r\n\x1a\nnothing", "image/png")


def test_an_encrypted_document_wants_its_password() -> None:
    with pytest.raises(PasswordNeeded):
        made(encrypted(make_pdf([text_page()]), user="secret"), "application/pdf")


def test_too_large_a_page_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(TooManyPixels):
        made(as_bytes(Image.new("1", (2000, 2000))), "image/png", max_pixels=10**6)


def test_a_child_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.01)
    with pytest.raises(DamagedDocument, match="too long"):
        made(as_bytes(draw_page(["slow"])), "image/png")


def test_a_child_that_dies_is_a_damaged_document(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = subprocess.CompletedProcess[bytes](args=[], returncode=-11, stdout=b"", stderr=b"")
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: dead)
    with pytest.raises(DamagedDocument, match="cannot be drawn"):
        made(b"", "image/png")


def test_a_child_that_takes_too_much_memory_ends_alone() -> None:
    limited = (
        "from casola_ocr import thumbnail; thumbnail.MEMORY_BYTES = 120_000_000;"
        "thumbnail._main('image/png', '1', '200', '100000000')"
    )
    data = as_bytes(Image.new("RGB", (9000, 9000)))
    done = subprocess.run(
        [sys.executable, "-c", limited], input=data, capture_output=True, check=False, timeout=60
    )
    assert b"WEBP" not in done.stdout


def test_when_too_many_are_made_at_once_the_next_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = threading.BoundedSemaphore(1)
    monkeypatch.setattr(module, "_TURNS", turns)
    monkeypatch.setattr(module, "TURN_SECONDS", 0.01)
    with turns, pytest.raises(Overloaded):
        made(as_bytes(draw_page(["one more"])), "image/png")
    assert made(as_bytes(draw_page(["one more"])), "image/png").pages == 1


def test_a_turn_is_given_back_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TURNS", threading.BoundedSemaphore(1))
    monkeypatch.setattr(module, "TURN_SECONDS", 0.01)
    for _ in range(2):
        with pytest.raises(DamagedDocument):
            made(b"nothing", "image/png")
