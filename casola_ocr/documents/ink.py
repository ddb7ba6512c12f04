"""How much is drawn on a page, whatever it is: a bound on how much text can stand there."""

from __future__ import annotations

import math

from PIL import Image, ImageChops

#: Pixels to which larger pages are scaled, A4 at 137 dpi: small print still has its strokes.
PIXELS = 1600 * 1131
#: A page whose tones differ by less (of 255) has nothing on it but paper.
LEAST_CONTRAST = 40
#: By how much neighbours differ at an edge, of 255; on pale pages by this part of their contrast.
EDGE, PALE_EDGE, LEAST_EDGE = 24, 1 / 8, 8
#: Edges that a character leaves at that size where print is smallest: see docs/why.md.
EDGES_PER_CHARACTER = 32
#: Share of the pixels that is left out before the darkest and the lightest tone are looked for: a
#: page with one word has little more.
_OUTLIERS = 0.0005


def ink_of(image: Image.Image) -> float:
    """How many characters of small print would leave as many edges as there are on the page.

    An edge is a pixel unlike its right neighbour. Large letters, lines, photographs and dirt leave
    more, so this is a bound and no estimate: hardly any page has more text, and many have a fifth
    of it. Safe to call from several threads; the image stays as it is.
    """
    grey = _grey(image)
    contrast = _contrast(grey, _OUTLIERS)
    if contrast < LEAST_CONTRAST or grey.width < 2:
        return 0.0
    left = grey.crop((0, 0, grey.width - 1, grey.height))
    right = grey.crop((1, 0, grey.width, grey.height))
    steps = ImageChops.difference(left, right).histogram()
    edge = min(EDGE, max(LEAST_EDGE, round(PALE_EDGE * contrast)))
    return sum(steps[edge:]) / EDGES_PER_CHARACTER


def is_flat(image: Image.Image) -> bool:
    """Whether there is nothing on a page, not even a speck. Safe to call from several threads."""
    return _contrast(_grey(image), 0) < LEAST_CONTRAST


def _grey(image: Image.Image) -> Image.Image:
    """The page's tones, scaled to at most `PIXELS`."""
    scale = math.sqrt(PIXELS / (image.width * image.height))
    grey = image.reduce(max(1, math.floor(1 / scale))).convert("L")
    scale = math.sqrt(PIXELS / (grey.width * grey.height))
    if scale < 1:
        size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
        grey = grey.resize(size, Image.Resampling.BILINEAR)
    return grey


def _contrast(grey: Image.Image, outliers: float) -> int:
    """How far the darkest and the lightest tone are apart, but for a share of outliers."""
    counts = grey.histogram()
    allowed = outliers * grey.width * grey.height
    return 255 - _skipped(counts, allowed) - _skipped(counts[::-1], allowed)


def _skipped(counts: list[int], allowed: float) -> int:
    """How many tones, from the first on, hold no more pixels than allowed."""
    seen = 0
    for tone, count in enumerate(counts):
        seen += count
        if seen > allowed:
            return tone
    return len(counts)
