"""Which script a page is in, by reading a few of its lines."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from casola_ocr.pages import Line
from casola_ocr.text.calibration import calibrated
from casola_ocr.text.language import script_of

#: A script is on a page when so many of its letters are probably read right: a smudge or a foreign
#: font can look like any script.
LETTERS = 10.0
#: Lines on which scripts are tried, how many pixels high each at most, and pixels around it. Larger
#: ones take four times as long and tell no more.
_SAMPLE_LINES = 4
_SAMPLE_HEIGHT = 48
_MARGIN = 16


def letters_of(script: str, lines: Sequence[Line], engine: str) -> float:
    """How many letters of a script an engine probably read right."""
    letters = "Latin" if script == "Fraktur" else script
    return sum(
        word.confidence or 0.0
        for line in calibrated(lines, engine)
        for word in line.words
        for letter in word.text
        if script_of(letter) == letters
    )


def sample_of(level: Image.Image, boxes: Sequence[tuple[int, int, int, int]]) -> Image.Image:
    """The longest of some lines of a page, below each other."""
    longest = sorted(boxes, key=lambda box: box[0] - box[2])[:_SAMPLE_LINES]
    crops = [_lowered(level.crop(box)) for box in longest]
    width = max(crop.width for crop in crops) + 2 * _MARGIN
    sample = Image.new(
        "RGB", (width, sum(crop.height + _MARGIN for crop in crops) + _MARGIN), "white"
    )
    top = _MARGIN
    for crop in crops:
        sample.paste(crop, (_MARGIN, top))
        top += crop.height + _MARGIN
    return sample


def _lowered(crop: Image.Image) -> Image.Image:
    scale = min(1.0, _SAMPLE_HEIGHT / crop.height)
    return crop.resize([max(1, round(side * scale)) for side in crop.size])
