"""The level page and the way back to the page image."""

from __future__ import annotations

import math

import pytest
from PIL import Image, ImageDraw

from casola_ocr.text.upright import Upright


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("skew", [0.0, 2.5, -4.0])
def test_a_mark_is_found_again_on_the_page_that_it_was_drawn_on(rotation: int, skew: float) -> None:
    page = Image.new("L", (300, 200), 255)
    ImageDraw.Draw(page).rectangle((40, 30, 49, 39), fill=0)
    upright = Upright(page.size, rotation, skew)
    level = upright.level(page)
    assert level.size == upright.level_size
    box = level.point(lambda value: 255 if value < 128 else 0).getbbox()
    assert box is not None
    x, y = upright.to_page((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    assert math.isclose(x, 45, abs_tol=1.5)
    assert math.isclose(y, 35, abs_tol=1.5)
    x0, y0, x1, y1 = upright.box_to_page(box)
    assert (x0 + x1) / 2 == pytest.approx(45, abs=2)
    assert (y0 + y1) / 2 == pytest.approx(35, abs=2)


def test_a_point_of_the_turned_page_goes_to_the_level_one_and_back() -> None:
    upright = Upright((300, 200), 0, 3.0)
    x, y = upright.to_page(*upright.to_level(17, 181))
    assert (x, y) == pytest.approx((17, 181))


def test_a_box_that_leaves_the_page_is_clipped_to_it() -> None:
    assert Upright((100, 50)).box_to_page((-5, 10, 140, 90)) == (0, 10, 100, 50)
    assert Upright((100, 50)).box_to_page((150, 80, 160, 90)) == (99, 49, 100, 50)


def test_the_box_of_a_long_sloping_line_does_not_cover_its_neighbours() -> None:
    x0, y0, x1, y1 = Upright((1000, 1000), 0, 4.0).box_to_page((100, 500, 900, 530))
    assert x1 - x0 > 780
    assert y1 - y0 <= 62
