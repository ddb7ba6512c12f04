"""Lines that a detector drew across the gutter between two columns, cut in two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from casola_ocr.pages import Line
from casola_ocr.text.confidence import page_confidence

#: Width of a gap between two words, in heights of the line, that may be a gutter.
_GAP = 0.25
#: How far above and below neighbours are asked, in heights.
_NEAR = 8.0
#: Neighbours that must end before the gap and begin after it.
_NEIGHBOURS = 3
#: How far from the gap they may do so, in heights.
_CLOSE = 1.5


class _Gap(NamedTuple):
    """A gap of a line: the index of the word after it, and the pixels where it begins and ends."""

    word: int
    left: int
    right: int


def split_lines(lines: Sequence[Line]) -> list[Line]:
    """The same lines, each cut where lines above and below it have a gutter."""
    return [part for line in lines for part in _cut(line, _gutters(line, lines))]


def _gutters(line: Line, lines: Sequence[Line]) -> list[_Gap]:
    """The gaps between words of a line that are part of a gutter, from left to right."""
    height = line.box[3] - line.box[1]
    gaps = [gap for gap in _gaps(line) if gap.right - gap.left >= _GAP * height]
    if not gaps:
        return []
    near = [
        other.box
        for other in lines
        if other is not line and abs(other.box[1] - line.box[1]) <= _NEAR * height
    ]
    slack = _CLOSE * height
    found: list[_Gap] = []
    for gap in gaps:
        ends = sum(gap.left - slack <= box[2] <= gap.right for box in near)
        starts = sum(gap.left <= box[0] <= gap.right + slack for box in near)
        crossing = sum(box[0] < gap.left - slack and box[2] > gap.right + slack for box in near)
        if min(ends, starts) < max(_NEIGHBOURS, crossing):
            continue
        if found and gap.left - found[-1].right <= slack:
            # Beside a short word both of its gaps look like the gutter: the wider one is.
            found[-1] = max(found[-1], gap, key=lambda one: one.right - one.left)
        else:
            found.append(gap)
    return found


def _gaps(line: Line) -> Iterator[_Gap]:
    for index, (before, after) in enumerate(pairwise(line.words), start=1):
        if before.box and after.box:
            yield _Gap(index, before.box[2], after.box[0])


def _cut(line: Line, gaps: Sequence[_Gap]) -> list[Line]:
    if not gaps:
        return [line]
    x0, y0, x1, y1 = line.box
    middles = [(gap.left + gap.right) // 2 for gap in gaps]
    edges = pairwise([x0, *middles, x1])
    stops = pairwise([0, *(gap.word for gap in gaps), len(line.words)])
    parts = []
    for (left, right), (first, last) in zip(edges, stops, strict=True):
        words = line.words[first:last]
        at = words[0].start
        mean, _ = page_confidence((word.text, word.confidence) for word in words)
        parts.append(
            replace(
                line,
                text=line.text[at : words[-1].start + len(words[-1].text)],
                confidence=line.confidence if mean is None else mean,
                box=(left, y0, right, y1),
                words=tuple(replace(word, start=word.start - at) for word in words),
            )
        )
    return parts
