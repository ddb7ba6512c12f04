"""Lines on pages of any size and shape: a detector that sees black bars stands for PP-OCR's."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from workers.engines.ppocr_detect import (
    DETECT_PIXELS,
    DETECT_SIDE,
    LEAST_SIDE,
    SIDE_STEP,
    TILE_OVERLAP,
    Detector,
    Quads,
)

Bar = tuple[int, int, int, int]


class BarDetector:
    """Finds the rows that are dark, as one line each; remembers what it was shown."""

    def __init__(self, shift: int = 0) -> None:
        #: One that keeps no memory, as ONNX Runtime's.
        self.session = SimpleNamespace(session=object())
        self.shapes: list[tuple[int, int]] = []
        #: So many pixels are the boxes of every second call too low.
        self._shift = shift

    def __call__(self, pixels: np.ndarray) -> SimpleNamespace:
        height, width = pixels.shape[:2]
        self.shapes.append((width, height))
        dark = pixels.min(axis=2) < 128
        rows = np.flatnonzero(np.diff(np.concatenate([[0], dark.any(axis=1), [0]])))
        down = self._shift * (len(self.shapes) % 2)
        boxes = []
        for top, bottom in zip(rows[::2], rows[1::2], strict=True):
            columns = np.flatnonzero(dark[top:bottom].any(axis=0))
            left, right = columns[0], columns[-1] + 1
            low, high = top + down, bottom + down
            boxes.append([(left, low), (right, low), (right, high), (left, high)])
        return SimpleNamespace(boxes=np.array(boxes, np.float32) if boxes else None)


def draw(width: int, height: int, *bars: Bar) -> np.ndarray:
    image = Image.new("RGB", (width, height), "white")
    for x0, y0, x1, y1 in bars:
        ImageDraw.Draw(image).rectangle((x0, y0, x1 - 1, y1 - 1), "black")
    return np.asarray(image)


def boxes(quads: Quads) -> list[list[float]]:
    """Left, top, right and bottom of each, from top to bottom."""
    found = np.concatenate([quads.min(axis=1), quads.max(axis=1)], axis=1)
    return sorted(found.tolist(), key=lambda box: (box[1], box[0]))


def check(found: Quads, bars: list[Bar], within: float) -> None:
    assert found.dtype == np.float32
    assert found.shape == (len(bars), 4, 2)
    assert np.abs(np.array(boxes(found)) - np.array(sorted(bars, key=lambda b: b[1]))).max() <= (
        within
    )


@pytest.mark.parametrize(
    ("width", "height", "pitch"),
    [
        (1240, 1754, 60),  # a page
        (1754, 1240, 60),
        (4960, 7016, 240),
        (100, 60, 30),
        (1080, 12_000, 50),  # a screenshot of a chat
        (20, 20_000, 40),  # a strip
        (800, 1281, 40),
    ],
)
def test_every_line_is_found_once_and_where_it_is(width: int, height: int, pitch: int) -> None:
    bars = [
        (width // 10, y, width - width // 10, y + pitch // 2)
        for y in range(pitch // 4, height - pitch // 2, pitch)
    ]
    detect = BarDetector()
    found = Detector(detect).find(draw(width, height, *bars))
    check(found, bars, within=max(1.5, 1.5 * width / DETECT_SIDE * 2.5, height / 1500))
    for shown in detect.shapes:
        assert max(shown) <= DETECT_SIDE
        assert shown[0] % SIDE_STEP == shown[1] % SIDE_STEP == 0
        assert shown[0] * shown[1] <= 1.4 * DETECT_PIXELS, "filled up, too"


def test_a_wide_strip_is_looked_at_from_left_to_right() -> None:
    bars = [(x, 10, x + 60, 30) for x in range(20, 9900, 1300)]
    found = Detector(BarDetector()).find(draw(10_000, 40, *bars))
    assert sorted(quad[0][0] for quad in found.tolist()) == [bar[0] for bar in bars]


def test_small_pages_are_enlarged_and_large_ones_made_smaller() -> None:
    detect = BarDetector()
    Detector(detect).find(draw(300, 400))
    ((width, _),) = detect.shapes
    assert LEAST_SIDE <= width < LEAST_SIDE + SIDE_STEP
    detect = BarDetector()
    Detector(detect).find(draw(3000, 4000))
    ((width, height),) = detect.shapes
    assert 0.9 * DETECT_PIXELS <= width * height <= 1.4 * DETECT_PIXELS, "filled up"


def test_letters_of_a_strip_are_not_made_much_smaller() -> None:
    detect = BarDetector()
    Detector(detect).find(draw(500, 9000))
    assert {width for width, _ in detect.shapes} == {512}, "not scaled, filled up"


@pytest.mark.parametrize("shift", [-2, -1, 1, 2])
def test_a_line_that_two_pieces_see_a_little_differently_is_found_once(shift: int) -> None:
    middle = DETECT_SIDE - TILE_OVERLAP // 2
    for y in range(middle - 16, middle + 6):
        found = Detector(BarDetector(shift)).find(draw(200, 2000, (20, y, 180, y + 10)))
        assert len(found) == 1, y


def test_neighbours_in_what_two_pieces_share_are_all_kept() -> None:
    bars = [(20, y, 180, y + 6) for y in range(1100, 1300, 8)]
    check(Detector(BarDetector()).find(draw(200, 2000, *bars)), bars, within=0.1)


def test_what_was_found_in_the_filling_is_no_line_and_no_box_leaves_the_page() -> None:
    def detect(pixels: np.ndarray) -> SimpleNamespace:
        height, width = pixels.shape[:2]
        outside = [(width - 9, 5), (width - 1, 5), (width - 1, 20), (width - 9, 20)]
        across = [(5, 30), (width, 30), (width, height), (5, height)]
        return SimpleNamespace(boxes=np.array([outside, across], np.float32))

    detect.session = SimpleNamespace(session=object())
    found = Detector(detect).find(draw(1010, 990))
    (box,) = boxes(found)
    assert box[2:] == pytest.approx([1010, 990], abs=1)
    assert max(box) <= 1010


@pytest.mark.parametrize("size", [(5, 5), (5, 3000), (1000, 1400), (3000, 5)])
def test_an_empty_page_has_no_lines(size: tuple[int, int]) -> None:
    found = Detector(BarDetector()).find(draw(*size))
    assert found.shape == (0, 4, 2)
