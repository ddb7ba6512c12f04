"""How sure an engine is of a page, from how sure it is of each word."""

from __future__ import annotations

import math
from collections.abc import Iterable

#: Below this a page deserves a look: by the calibration one word in five is wrong. Clean print has
#: 0.95 and more, old print in Fraktur 0.75, handwriting 0.5.
LOW_CONFIDENCE = 0.8

_LOW_PERCENTILE = 0.05
_DIGITS = 4


def page_confidence(
    words: Iterable[tuple[str, float | None]],
) -> tuple[float | None, float | None]:
    """Return the mean weighted by characters and the 5th percentile of the words (nearest rank).

    Words without a confidence are left out; both are None when none has one.
    """
    known = [(len(text), value) for text, value in words if text and value is not None]
    if not known:
        return None, None
    characters = sum(length for length, _ in known)
    mean = math.fsum(length * value for length, value in known) / characters
    ranked = sorted(value for _, value in known)
    low = ranked[math.ceil(_LOW_PERCENTILE * len(ranked)) - 1]
    return round(mean, _DIGITS), round(low, _DIGITS)
