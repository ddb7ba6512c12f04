"""Lines that a detector drew across the gutter between two columns, cut in two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from casola_ocr.model import Line, Word

#: Width of a gap between two words, in heights of the line, that may be a gutter.
_GAP = 0.25
#: How far above and below neighbours are asked, in heights.
_NEAR = 8.0
#: Neighbours that must end before the gap and begin after it.
_NEIGHBOURS = 3
#: How far from the gap they may do so, in heights.
_CLOSE = 1.5


def split_lines(lines: Sequence[Line]) -> list[Line]:
    """The same lines, each cut where lines above and below it have a gutter."""
    made: list[Line] = []
    for line in lines:
        at = _gutter(line, lines)
        made.extend(_cut(line, at) if at else [line])
    return made


def _gutter(line: Line, lines: Sequence[Line]) -> int:
    """The index of the first word right of a gutter; 0 where the line has none."""
    height = line.box[3] - line.box[1]
    near = [
        other.box
        for other in lines
        if other is not line and abs(other.box[1] - line.box[1]) <= _NEAR * height
    ]
    for index in range(1, len(line.words)):
        left, right = line.words[index - 1].box, line.words[index].box
        if left is None or right is None or right[0] - left[2] < _GAP * height:
            continue
        slack = _CLOSE * height
        ends = sum(left[2] - slack <= box[2] <= right[0] for box in near)
        starts = sum(left[2] <= box[0] <= right[0] + slack for box in near)
        crossing = sum(box[0] < left[2] - slack and box[2] > right[0] + slack for box in near)
        if min(ends, starts) >= max(_NEIGHBOURS, crossing):
            return index
    return 0


def _cut(line: Line, index: int) -> list[Line]:
    left, right = line.words[:index], line.words[index:]
    at = right[0].start
    x = (_right(left[-1], line) + _left(right[0], line)) // 2
    x0, y0, x1, y1 = line.box
    parts = [
        replace(line, text=line.text[:at].rstrip(), box=(x0, y0, x, y1), words=left),
        replace(
            line,
            text=line.text[at:],
            box=(x, y0, x1, y1),
            words=tuple(replace(word, start=word.start - at) for word in right),
        ),
    ]
    return [replace(part, confidence=_mean(part.words, line.confidence)) for part in parts]


def _left(word: Word, line: Line) -> int:
    return word.box[0] if word.box else line.box[0]


def _right(word: Word, line: Line) -> int:
    return word.box[2] if word.box else line.box[2]


def _mean(words: Sequence[Word], default: float | None) -> float | None:
    known = [(len(word.text), word.confidence) for word in words if word.confidence is not None]
    total = sum(length for length, _ in known)
    if not total:
        return default
    return round(math.fsum(length * value for length, value in known) / total, 4)
