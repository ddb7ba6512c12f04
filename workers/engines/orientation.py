"""Which way up a page is, and by how much it slopes, from the lines that were detected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from casola_ocr.text.counts import is_ideograph
from casola_ocr.text.upright import SMALLEST_SKEW
from workers.engines.ppocr_detect import Quads

#: A line that is this many times higher than wide stands upright.
_UPRIGHT_RATIO = 1.5
#: Lines that are read in both directions to find out which is right.
_SAMPLES = 5
#: Only so many times a line's height of each is read: more costs time and says nothing new.
_SAMPLE_LENGTH = 12
#: Below this what was read is no text.
_LEGIBLE = 0.85
#: The other direction has to read this much better.
_MARGIN = 0.1
#: A page with a steeper slope is no scan but a photo of something else.
_STEEPEST = 15.0
#: Only lines this many times longer than high tell the slope well.
_SLOPE_RATIO = 5.0
_SLOPE_LINES = 3


class Sample(NamedTuple):
    """What was read of a line, and how sure the recogniser is."""

    text: str
    confidence: float


#: Reads lines as they are cut out, or, told so, as if the page stood on its head.
Read = Callable[[Quads, bool], list[Sample]]


def rotation_of(quads: Quads, read: Read) -> int:
    """By how many degrees clockwise (0, 90, 180, 270) the page has to be turned to be read.

    Lines that stand upright are cut out turned counter-clockwise. Columns of upright Chinese or
    Japanese lines are not turned.
    """
    if not len(quads):
        return 0
    widths, heights = _sides(quads)
    upright = heights > _UPRIGHT_RATIO * widths
    weight = np.maximum(widths, heights)
    sideways = weight[upright].sum() > weight[~upright].sum()
    of_kind = quads[upright if sideways else ~upright]
    longest = np.argsort(-weight[upright if sideways else ~upright])[:_SAMPLES]
    few = np.stack([_shorten(quad) for quad in of_kind[longest]])
    as_cut = read(few, False)
    forward = _sure(as_cut)
    # When nothing can be that much better, there is no need to look.
    backward = _sure(read(few, True)) if forward + _MARGIN < 1 else 0.0
    if max(forward, backward) < _LEGIBLE:
        # Neither way is text to this engine: it may be in a script that it does not know.
        return 0
    if not sideways:
        return 180 if backward > forward + _MARGIN else 0
    if backward > forward + _MARGIN:
        return 90
    return 0 if _is_ideographic(as_cut) else 270


def skew_of(quads: Quads) -> float:
    """The slope of the lines in degrees, positive where they descend to the right; or 0.

    Lines of scans all slope alike; where they do not, the page is no flat scan and stays as it is.
    """
    if not len(quads):
        return 0.0
    widths, heights = _sides(quads)
    long = quads[widths > _SLOPE_RATIO * heights]
    if len(long) < _SLOPE_LINES:
        return 0.0
    tops = long[:, 1] - long[:, 0]
    bottoms = long[:, 2] - long[:, 3]
    slopes = np.degrees(np.arctan2(tops[:, 1] + bottoms[:, 1], tops[:, 0] + bottoms[:, 0]))
    slope = float(np.median(slopes))
    alike = float(np.median(np.abs(slopes - slope)))
    if not SMALLEST_SKEW <= abs(slope) <= _STEEPEST or alike > abs(slope):
        return 0.0
    return slope


def _sides(quads: Quads) -> tuple[np.ndarray, np.ndarray]:
    widths = np.linalg.norm(quads[:, 1] - quads[:, 0], axis=1)
    heights = np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1)
    return widths, heights


def _shorten(quad: Quads) -> Quads:
    """The beginning of a line."""
    width = float(np.linalg.norm(quad[1] - quad[0]))
    height = float(np.linalg.norm(quad[3] - quad[0]))
    part = min(1.0, _SAMPLE_LENGTH * min(width, height) / max(width, height, 1.0))
    short = quad.copy()
    if width >= height:
        short[1] = quad[0] + part * (quad[1] - quad[0])
        short[2] = quad[3] + part * (quad[2] - quad[3])
    else:
        short[2] = quad[1] + part * (quad[2] - quad[1])
        short[3] = quad[0] + part * (quad[3] - quad[0])
    return short


def _sure(samples: Sequence[Sample]) -> float:
    return float(np.mean([sample.confidence for sample in samples]))


def _is_ideographic(samples: Sequence[Sample]) -> bool:
    letters = "".join(sample.text for sample in samples)
    return 2 * sum(map(is_ideograph, letters)) > len(letters)
