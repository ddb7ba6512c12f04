"""The level page and the way back to the page image."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
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


@given(
    size=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    rotation=st.sampled_from([0, 90, 180, 270]),
    skew=st.floats(-15, 15),
    data=st.data(),
)
def test_every_box_of_the_level_page_is_a_box_of_whole_pixels_on_the_page(
    size: tuple[int, int], rotation: int, skew: float, data: st.DataObject
) -> None:
    upright = Upright(size, rotation, skew)
    width, height = upright.level_size
    xs = sorted(data.draw(st.tuples(st.integers(0, width), st.integers(0, width))))
    ys = sorted(data.draw(st.tuples(st.integers(0, height), st.integers(0, height))))
    box = upright.box_to_page((xs[0], ys[0], xs[1], ys[1]))
    assert {type(value) for value in box} == {int}
    assert 0 <= box[0] < box[2] <= size[0] and 0 <= box[1] < box[3] <= size[1]


@given(
    rotation=st.sampled_from([0, 90, 180, 270]),
    box=st.tuples(
        st.integers(0, 90), st.integers(0, 40), st.integers(91, 100), st.integers(41, 50)
    ),
)
def test_four_quarter_turns_bring_a_box_back(rotation: int, box: tuple[int, int, int, int]) -> None:
    there = Upright((100, 50), rotation)
    back = Upright(there.turned_size, -rotation % 360)
    # A page that is turned and turned back is the same page.
    assert there.box_to_page(back.box_to_page(box)) == box


@given(skew=st.floats(-15, 15), x=st.floats(0, 300), y=st.floats(0, 200))
def test_any_point_goes_to_the_level_page_and_back(skew: float, x: float, y: float) -> None:
    upright = Upright((300, 200), 0, skew)
    level = upright.to_level(x, y)
    assert upright.to_page(*level) == pytest.approx((x, y), abs=1e-6)
    assert -1 <= level[0] <= upright.level_size[0] + 1
    assert -1 <= level[1] <= upright.level_size[1] + 1
