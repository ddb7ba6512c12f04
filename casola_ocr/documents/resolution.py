"""How many pixels a page of a PDF is drawn with."""

from __future__ import annotations

import math
from collections.abc import Iterable

POINTS_PER_INCH = 72

#: What was never a picture is drawn with so many dots per inch; engines gain nothing from more.
PRINT_DPI = 300
#: A scan is drawn with its own resolution within these bounds: below, letters are too small for an
#: engine; above, there is nothing but pixels more.
LEAST_DPI, MOST_DPI = 150, 400
#: Pictures that cover this part of a page are what the page is.
MAINLY = 0.6
#: Text that is drawn and not part of a picture, and covers this part, wants `PRINT_DPI` as well.
TEXT_SHARE = 0.03
#: The short side of a small page (receipts, tickets) gets at least so many pixels.
SHORT_PIXELS = 1200
#: Long side of a large page at most, except for a strip, whose short side may have `STRIP_PIXELS`.
LONG_PIXELS = 4000
STRIP_PIXELS = 1000
#: Most pixels of any page, and of its long side.
MOST_PIXELS = 16_000_000
LONGEST_PIXELS = 30_000


def picture_dpi(pictures: Iterable[tuple[float, float]]) -> float | None:
    """The resolution of a page that is mainly picture; None of any other.

    `pictures` are (dots per inch, part of the page that it covers). Of pictures on top of each
    other the finest counts that covers enough: a scan's letters are often in a finer one than its
    paper, and a small logo does not matter.
    """
    covered = 0.0
    for dpi, share in sorted(pictures, reverse=True):
        covered += share
        if covered >= MAINLY:
            return dpi
    return None


def choose_scale(
    width: float, height: float, *, scan_dpi: float | None, text_share: float, max_pixels: int
) -> float:
    """Pixels per point for a page of so many points.

    `scan_dpi` is of `picture_dpi`, `text_share` the part of the page that drawn text covers.
    The page then has at most `max_pixels` pixels, and at least one in each direction.
    """
    short, long = sorted((width, height))
    enlarged = SHORT_PIXELS / short * POINTS_PER_INCH
    if scan_dpi is None:
        dpi = max(PRINT_DPI, enlarged)
    else:
        # A hair less, or the page is rounded up to a pixel more than the scan has.
        dpi = min(max(scan_dpi, LEAST_DPI), max(MOST_DPI, enlarged)) * (1 - 1e-5)
        if text_share >= TEXT_SHARE:
            dpi = max(dpi, PRINT_DPI)
    scale = min(
        dpi / POINTS_PER_INCH,
        max(LONG_PIXELS / long, STRIP_PIXELS / short),
        math.sqrt(min(max_pixels, MOST_PIXELS) / (width * height)),
        LONGEST_PIXELS / long,
    )
    # Each side is rounded up to a whole pixel.
    while math.ceil(width * scale) * math.ceil(height * scale) > max_pixels:
        scale *= 0.98
    return scale
