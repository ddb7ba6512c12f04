from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from benchmarks.documents import open_picture
from casola_ocr.corpus import read_manifest
from casola_ocr.documents.ink import ink_of, is_flat
from casola_ocr.text.loops import LEAST_INK


def lined(rows: int) -> Image.Image:
    page = Image.new("RGB", (1240, 1754), "white")
    text = "\n".join(f"Line {n} of the text that is here" for n in range(rows))
    ImageDraw.Draw(page).text((100, 100), text, font_size=30, fill="black")
    return page


def test_paper_has_no_ink_whatever_its_colour() -> None:
    for colour in ("white", "black", "#e8dcc0"):
        assert ink_of(Image.new("RGB", (1240, 1754), colour)) == 0
    assert ink_of(Image.new("RGB", (1, 1))) == ink_of(Image.new("L", (1, 900))) == 0


def test_dust_on_grainy_paper_is_less_ink_than_a_word() -> None:
    dice = random.Random(1)
    paper = Image.effect_noise((1240, 1754), 12).point(lambda value: value // 4 + 190)
    assert ink_of(paper.convert("RGB")) < LEAST_INK
    for _ in range(40):
        paper.putpixel((dice.randrange(1240), dice.randrange(1754)), 0)
    assert ink_of(paper.convert("RGB")) < LEAST_INK
    ImageDraw.Draw(paper).text((400, 400), "Word", font_size=40, fill=0)
    assert ink_of(paper.convert("RGB")) > LEAST_INK


def test_ink_grows_with_what_is_written() -> None:
    little, more = ink_of(lined(4)), ink_of(lined(16))
    assert 3 < more / little < 5


def test_size_inversion_and_pallor_change_little() -> None:
    page = lined(12)
    usual = ink_of(page)
    pale = page.point(lambda value: 170 + value // 4)
    for other in (ImageOps.invert(page), pale, page.resize((2480, 3508)), page.convert("L")):
        assert 0.6 < ink_of(other) / usual < 1.7
    assert ink_of(page.filter(ImageFilter.GaussianBlur(1))) > usual / 2


def test_a_long_strip_keeps_its_strokes() -> None:
    strip = Image.new("RGB", (20_000, 60), "white")
    ImageDraw.Draw(strip).text((10, 10), "The words of a strip. " * 60, font_size=30, fill="black")
    assert ink_of(strip) > 22 * 60 / 2


def test_the_image_stays_as_it_is_and_a_large_one_is_fast() -> None:
    page = lined(12).resize((4200, 5950))
    before = page.tobytes()
    begin = time.perf_counter()
    ink_of(page)
    assert time.perf_counter() - begin < 1
    assert page.tobytes() == before


@pytest.mark.corpus
def test_every_picture_of_the_corpus_has_ink_for_its_text(corpus: Path) -> None:
    entries = [entry for entry in read_manifest(corpus) if entry.path.suffix in (".png", ".jpg")]
    judged = 0
    for entry in entries:
        if entry.truth:
            ink = ink_of(open_picture(entry.path.read_bytes()))
            assert ink > LEAST_INK, entry.name
            assert len("".join(entry.truth.split())) < ink < 1e6, entry.name
            judged += 1
    assert judged > 50


def test_only_a_page_without_a_speck_is_flat() -> None:
    page = Image.new("RGB", (2480, 3508), (250, 248, 240))
    assert is_flat(page)
    number = page.copy()
    number.paste((20, 20, 20), (1200, 3400, 1216, 3430))
    assert not is_flat(number)
    assert is_flat(Image.new("L", (1, 1), 0))
