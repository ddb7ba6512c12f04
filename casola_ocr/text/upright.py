"""From the page image to the same page with its lines level, and back.

Engines read, and lines are put in order, on the level page; results are in the page image's own
pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from PIL import Image

from casola_ocr.pages import Block, Line

#: Degrees; less is not worth the pixels that turning costs.
SMALLEST_SKEW = 0.3

_Box = tuple[int, int, int, int]

_TURNS = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Upright:
    """How a page image of `size` (width, height in pixels) becomes level.

    First it is turned clockwise by `rotation` (0, 90, 180 or 270 degrees), then counter-clockwise
    by `skew` degrees around its middle; the canvas grows so that nothing is cut off.
    """

    size: tuple[int, int]
    rotation: int = 0
    skew: float = 0.0

    @property
    def turned_size(self) -> tuple[int, int]:
        """Width and height after `rotation` alone."""
        width, height = self.size
        return (height, width) if self.rotation in (90, 270) else (width, height)

    @property
    def level_size(self) -> tuple[int, int]:
        """Width and height of the level page."""
        width, height = self.turned_size
        if not self.skew:
            return width, height
        sine, cosine = self._angle()
        return (
            math.ceil(abs(width * cosine) + abs(height * sine)),
            math.ceil(abs(width * sine) + abs(height * cosine)),
        )

    def _angle(self) -> tuple[float, float]:
        radians = math.radians(self.skew)
        return math.sin(radians), math.cos(radians)

    def turn(self, image: Image.Image) -> Image.Image:
        """The page image after `rotation` alone."""
        return image.transpose(_TURNS[self.rotation]) if self.rotation else image

    def level(self, image: Image.Image) -> Image.Image:
        """The level page; the corners that appear are white."""
        turned = self.turn(image)
        if not self.skew:
            return turned
        sine, cosine = self._angle()
        width, height = self.level_size
        middle_x, middle_y = turned.width / 2, turned.height / 2
        # Where each pixel of the level page comes from.
        matrix = (
            cosine, -sine, middle_x - cosine * width / 2 + sine * height / 2,
            sine, cosine, middle_y - sine * width / 2 - cosine * height / 2,
        )  # fmt: skip
        return turned.transform(
            (width, height),
            Image.Transform.AFFINE,
            matrix,
            resample=Image.Resampling.BICUBIC,
            fillcolor=255 if turned.mode == "L" else (255, 255, 255),
        )

    def to_level(self, x: float, y: float) -> tuple[float, float]:
        """A point of the turned page on the level one."""
        if not self.skew:
            return x, y
        sine, cosine = self._angle()
        width, height = self.turned_size
        new_width, new_height = self.level_size
        across, down = x - width / 2, y - height / 2
        return (
            cosine * across + sine * down + new_width / 2,
            -sine * across + cosine * down + new_height / 2,
        )

    def to_page(self, x: float, y: float) -> tuple[float, float]:
        """A point of the level page on the page image."""
        width, height = self.turned_size
        if self.skew:
            sine, cosine = self._angle()
            new_width, new_height = self.level_size
            across, down = x - new_width / 2, y - new_height / 2
            x = cosine * across - sine * down + width / 2
            y = sine * across + cosine * down + height / 2
        if self.rotation == 90:
            return y, width - x
        if self.rotation == 180:
            return width - x, height - y
        if self.rotation == 270:
            return height - y, x
        return x, y

    def box_to_page(self, box: _Box) -> _Box:
        """The upright box around a box of the level page, in pixels of the page image."""
        if not self.skew and not self.rotation:
            return self._clip(*box)
        x0, y0, x1, y1 = box
        corners = [self.to_page(x, y) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
        xs = sorted(x for x, _ in corners)
        ys = sorted(y for _, y in corners)
        if self.rotation in (90, 270):
            tight = self._tight(xs, abs(y1 - y0))
            return self._clip(tight[0], ys[0], tight[1], ys[3])
        tight = self._tight(ys, abs(y1 - y0))
        return self._clip(xs[0], tight[0], xs[3], tight[1])

    def _tight(self, values: list[float], thickness: float) -> tuple[float, float]:
        """A long line that slopes would get a box over its neighbours: at most twice as thick."""
        first, last = values[0], values[3]
        middle, half = (first + last) / 2, min(last - first, 2 * thickness) / 2
        return middle - half, middle + half

    def _clip(self, x0: float, y0: float, x1: float, y1: float) -> _Box:
        width, height = self.size
        left = min(max(0, math.floor(x0)), width - 1)
        top = min(max(0, math.floor(y0)), height - 1)
        return (
            left,
            top,
            max(left + 1, min(width, math.ceil(x1))),
            max(top + 1, min(height, math.ceil(y1))),
        )

    def lines_to_page(self, lines: Iterable[Line]) -> tuple[Line, ...]:
        return tuple(
            replace(
                line,
                box=self.box_to_page(line.box),
                words=tuple(
                    replace(word, box=self.box_to_page(word.box)) if word.box else word
                    for word in line.words
                ),
            )
            for line in lines
        )

    def blocks_to_page(self, blocks: Iterable[Block]) -> tuple[Block, ...]:
        return tuple(replace(block, box=self.box_to_page(block.box)) for block in blocks)
