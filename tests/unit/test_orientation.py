"""Which way up a page is, and by how much it slopes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workers.engines.orientation import Read, Sample, rotation_of, skew_of
from workers.engines.ppocr_detect import Quads

NOTHING = np.zeros((0, 4, 2), np.float32)


def quad(width: float, height: float, y: float = 0.0, slope: float = 0.0) -> np.ndarray:
    """A line of this size, turned clockwise by `slope` degrees around its first corner."""
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    sine, cosine = math.sin(math.radians(slope)), math.cos(math.radians(slope))
    turned = corners @ np.array([(cosine, sine), (-sine, cosine)], np.float32)
    return np.asarray(turned + np.array([100, 100 + y]), np.float32)


def page(*quads: np.ndarray) -> Quads:
    return np.stack(quads).astype(np.float32)


LEVEL = page(*(quad(400, 20, 40 * n) for n in range(8)))
UPRIGHT = page(*(quad(20, 400, 10 * n) for n in range(8)))


def reads(as_cut: float, turned: float, text: str = "text") -> Read:
    def read(few: Quads, over: bool) -> list[Sample]:
        return [Sample(text, turned if over else as_cut)] * len(few)

    return read


@pytest.mark.parametrize(
    ("quads", "as_cut", "turned", "rotation"),
    [
        (LEVEL, 0.99, 0.5, 0),
        (LEVEL, 0.5, 0.99, 180),
        (UPRIGHT, 0.99, 0.5, 270),
        (UPRIGHT, 0.5, 0.99, 90),
    ],
)
def test_the_direction_in_which_lines_can_be_read_is_the_right_one(
    quads: Quads, as_cut: float, turned: float, rotation: int
) -> None:
    assert rotation_of(quads, reads(as_cut, turned)) == rotation


@pytest.mark.parametrize("quads", [LEVEL, UPRIGHT])
def test_a_script_that_cannot_be_read_either_way_is_left_as_it_is(quads: Quads) -> None:
    assert rotation_of(quads, reads(0.6, 0.8)) == 0


def test_a_page_is_turned_over_only_for_a_clear_reason() -> None:
    assert rotation_of(LEVEL, reads(0.9, 0.95)) == 0


def test_upright_lines_of_chinese_are_not_turned() -> None:
    assert rotation_of(UPRIGHT, reads(0.99, 0.5, "天地玄黄")) == 0


def test_a_few_upright_lines_beside_the_text_do_not_turn_it() -> None:
    quads = np.concatenate([LEVEL, UPRIGHT[:2]])
    assert rotation_of(quads, reads(0.99, 0.5)) == 0


def test_no_lines_are_not_read() -> None:
    def fail(_: Quads, __: bool) -> list[Sample]:
        raise AssertionError

    assert rotation_of(NOTHING, fail) == 0


def test_lines_without_any_size_do_no_harm() -> None:
    nothing = np.zeros((3, 4, 2), np.float32)
    assert rotation_of(nothing, reads(0.5, 0.5)) == 0
    assert skew_of(nothing) == 0.0


def test_only_the_beginnings_of_the_longest_lines_are_read() -> None:
    shown: list[Quads] = []

    def read(few: Quads, _: bool) -> list[Sample]:
        shown.append(few)
        return [Sample("a", 0.95)] * len(few)

    rotation_of(page(*(quad(200 + 100 * n, 20) for n in range(9))), read)
    (few,) = shown
    assert few.shape == (5, 4, 2)
    widths = few[:, 1, 0] - few[:, 0, 0]
    assert widths == pytest.approx([240] * 5)
    assert few[:, 0].tolist() == [[100, 100]] * 5


@pytest.mark.parametrize("slope", [-8.0, -1.0, 0.5, 3.0, 14.0])
def test_lines_that_slope_alike_tell_the_slope(slope: float) -> None:
    quads = page(*(quad(400, 20, 40 * n, slope) for n in range(5)))
    assert skew_of(quads) == pytest.approx(slope, abs=0.05)
    assert isinstance(skew_of(quads), float)


def test_less_than_can_be_seen_is_no_slope() -> None:
    assert skew_of(page(*(quad(400, 20, 40 * n, 0.1) for n in range(5)))) == 0.0


def test_steeper_than_any_scan_is_no_slope() -> None:
    assert skew_of(page(*(quad(400, 20, 40 * n, 20.0) for n in range(5)))) == 0.0


def test_lines_that_slope_each_its_own_way_are_no_flat_scan() -> None:
    slopes = (-9.0, -4.0, 1.0, 5.0, 10.0)
    assert skew_of(page(*(quad(400, 20, 40 * n, slope) for n, slope in enumerate(slopes)))) == 0.0


def test_two_long_lines_or_many_short_ones_say_nothing_about_the_slope() -> None:
    assert skew_of(page(quad(400, 20, 0, 3.0), quad(400, 20, 40, 3.0))) == 0.0
    assert skew_of(page(*(quad(80, 20, 40 * n, 3.0) for n in range(9)))) == 0.0


def test_a_page_without_lines_does_not_slope() -> None:
    assert skew_of(NOTHING) == 0.0
