"""In which direction a text runs."""

from __future__ import annotations

import unicodedata

_RIGHT_TO_LEFT = frozenset({"R", "AL"})


def is_right_to_left(text: str) -> bool:
    """Whether most letters are of a script that runs from right to left (UAX #9)."""
    directions = [unicodedata.bidirectional(character) for character in text]
    backward = sum(direction in _RIGHT_TO_LEFT for direction in directions)
    return backward > sum(direction == "L" for direction in directions)
