"""Faded pages made darker, before they are read."""

from __future__ import annotations

from PIL import Image

#: Pages whose tones, of 256, span less than this are faded. Read as they are, they lose lines: of
#: print in 40 tones up to a quarter of the letters, and none after stretching.
_FADED = 120
#: Less is an empty sheet, whose grain would become letters.
_EMPTY = 20
#: Parts of the pixels that may be darker and brighter than the span: dust, and the scanner's edge.
#: Ink covers little of a page, so there the part is small.
_DARKER, _BRIGHTER = 0.0005, 0.005


def stretch(image: Image.Image) -> Image.Image:
    """The page (RGB) with its tones over the whole range, where it is faded; else itself."""
    histogram = image.convert("L").histogram()
    dark = _level(histogram, _DARKER)
    bright = 255 - _level(histogram[::-1], _BRIGHTER)
    if not _EMPTY <= bright - dark < _FADED:
        return image
    scale = 255 / (bright - dark)
    table = [min(255, max(0, round((level - dark) * scale))) for level in range(256)]
    return image.point(table * len(image.getbands()))


def _level(histogram: list[int], part: float) -> int:
    """The first level up to which there is more than a part of all pixels."""
    left = part * sum(histogram)
    for level, count in enumerate(histogram):
        left -= count
        if left < 0:
            return level
    return len(histogram) - 1
