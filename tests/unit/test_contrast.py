from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from workers.engines.contrast import stretch


def page(paper: int, ink: int) -> Image.Image:
    image = Image.new("RGB", (200, 200), (paper,) * 3)
    ImageDraw.Draw(image).rectangle((50, 90, 150, 110), fill=(ink,) * 3)
    return image


def test_a_faded_page_gets_black_letters_on_white() -> None:
    made = stretch(page(230, 190))
    assert made.getpixel((100, 100)) == (0, 0, 0)
    assert made.getpixel((10, 10)) == (255, 255, 255)


@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (240, 60), (235, 235), (235, 225), (20, 200)])
def test_black_on_white_and_empty_sheets_stay_as_they_are(paper: int, ink: int) -> None:
    image = page(paper, ink)
    assert stretch(image) is image


def test_a_faded_page_with_one_word_gets_it_darker() -> None:
    image = Image.new("RGB", (1000, 1000), (230, 230, 230))
    ImageDraw.Draw(image).rectangle((50, 90, 90, 110), fill=(180, 180, 180))
    assert stretch(image).getpixel((60, 100)) == (0, 0, 0)
