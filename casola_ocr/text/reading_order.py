"""The order in which a reader reads the lines of a page.

A page is cut like this, again and again until nothing is left to cut: look for a gutter, an upright
strip that no line crosses between two columns of prose; what stands above the columns is read
first, then the left column, the right one, and what stands below. Where there is no gutter the
lines are read row by row, so the label and the price of a receipt stay together.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from casola_ocr.pages import Line
from casola_ocr.text.counts import is_ideograph
from casola_ocr.text.direction import is_right_to_left

#: Pieces are on one row when they share this part of the lower one's height.
_ROW_OVERLAP = 0.5
#: A piece this much lower than its neighbour is no part of that row (a logo beside three lines).
_ROW_HEIGHTS = 0.35
#: Pieces that cover each other sideways by more than this part stand above each other.
_ROW_COVER = 0.5

#: Rows that a column has at least: two lines beside two others are more often a form.
_COLUMN_ROWS = 3
#: Prose is about 18 characters wide at least, in heights of a line; prices and names are not.
_COLUMN_WIDTH = 9.0
#: Prose fills its column: the usual line has this part of the width of a long one. Labels vary.
_COLUMN_FILL = 0.75
#: Columns whose rows do not stand on the same height are no table, so they may be narrower.
_FREE_WIDTH = 5.0
_FREE_FILL = 0.6
_FREE_ALIGNED = 0.4
#: And their lines cover so much of the height that they share; addresses and notes do not.
_FREE_DENSITY = 0.45
#: So many rows of prose are a column whatever stands beside them (a side note next to tables).
_PROSE_ROWS = 12
_PROSE_FILL = 0.85
#: Of rows of the same height half are aligned by chance; of labels beside their texts all are.
_PROSE_ALIGNED = 0.8
#: Two rows stand on one height when their middles differ by no more than this part of a height.
_ALIGNED_WITHIN = 0.25
#: Width of a gutter at least, in heights of a line; the boxes' margins take most of a narrow one.
_GUTTER_WIDTH = 0.15
#: Engines draw boxes a bit too wide; so much of a height may reach into a gutter.
_GUTTER_SLACK = 0.25
#: Strips looked at on each level, which bounds the work on a page with many ragged edges.
_GUTTER_CANDIDATES = 48
#: Cuts inside cuts; a page with more is no page but noise.
_DEPTH = 24


@dataclass(frozen=True, slots=True)
class _Piece:
    """A line's box and its place in the caller's sequence; the cut knows no text."""

    x0: float
    y0: float
    x1: float
    y1: float
    index: int

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def middle(self) -> float:
        return (self.y0 + self.y1) / 2


@dataclass(frozen=True, slots=True)
class _Cut:
    """Columns found: what is above them, the two sides, what is below."""

    above: list[_Piece]
    left: list[_Piece]
    right: list[_Piece]
    below: list[_Piece]


def read_regions(lines: Sequence[Line]) -> list[list[list[Line]]]:
    """Return the parts that no gutter crosses, in reading order, each as its printed rows.

    The lines of a row go from left to right, of a row in Arabic or Hebrew from right to left. A
    page set in upright lines of Chinese or Japanese is read from right to left.
    """
    if is_upright(lines):
        pieces = [
            _Piece(line.box[1], -line.box[2], line.box[3], -line.box[0], index)
            for index, line in enumerate(lines)
        ]
    else:
        pieces = [_Piece(*_trimmed(line), index) for index, line in enumerate(lines)]
    return [
        [_directed([lines[piece.index] for piece in row]) for row in region]
        for region in _read(pieces, _DEPTH)
    ]


def _directed(row: list[Line]) -> list[Line]:
    rightward = is_right_to_left(" ".join(line.text for line in row))
    return row[::-1] if rightward else row


def _trimmed(line: Line) -> tuple[int, int, int, int]:
    """The line without the margin that a detector leaves beside its words: gutters are narrow."""
    x0, y0, x1, y1 = line.box
    boxes = [word.box for word in line.words if word.box]
    if not boxes:
        return line.box
    left = max(x0, min(box[0] for box in boxes))
    right = min(x1, max(box[2] for box in boxes))
    return (left, y0, right, y1) if left < right else line.box


def is_upright(lines: Iterable[Line]) -> bool:
    """Whether most of the text stands in upright lines of Chinese or Japanese."""
    upright = level = 0
    for line in lines:
        letters = len(line.text)
        if letters < 2:
            continue
        x0, y0, x1, y1 = line.box
        if y1 - y0 > 2 * (x1 - x0) and any(is_ideograph(letter) for letter in line.text):
            upright += letters
        else:
            level += letters
    return upright > level


def _read(pieces: list[_Piece], depth: int) -> list[list[list[_Piece]]]:
    if not pieces:
        return []
    cut = _find_columns(pieces) if depth and len(pieces) >= 2 * _COLUMN_ROWS else None
    if cut is None:
        return [_group_rows(pieces)]
    regions: list[list[list[_Piece]]] = []
    for part in (cut.above, cut.left, cut.right, cut.below):
        regions.extend(_read(part, depth - 1))
    return regions


def _group_rows(pieces: Sequence[_Piece]) -> list[list[_Piece]]:
    """Group into printed rows. Each piece is compared with its neighbour, so rows may slope."""
    rows: list[list[_Piece]] = []
    open_rows: list[list[_Piece]] = []
    for piece in sorted(pieces, key=lambda piece: (piece.middle, piece.x0)):
        open_rows = [row for row in open_rows if max(other.y1 for other in row) > piece.y0]
        best: list[_Piece] | None = None
        best_share = _ROW_OVERLAP
        for row in open_rows:
            share = _row_share(row, piece)
            if share >= best_share:
                best, best_share = row, share
        if best is None:
            rows.append([piece])
            open_rows.append(rows[-1])
        else:
            best.append(piece)
    for row in rows:
        row.sort(key=lambda piece: piece.x0)
    rows.sort(key=lambda row: sum(piece.middle for piece in row) / len(row))
    return rows


def _row_share(row: Sequence[_Piece], piece: _Piece) -> float:
    for other in row:
        cover = min(other.x1, piece.x1) - max(other.x0, piece.x0)
        if cover > _ROW_COVER * min(other.width, piece.width):
            return 0.0
    near = min(row, key=lambda other: max(other.x0 - piece.x1, piece.x0 - other.x1))
    low = min(near.height, piece.height)
    if low <= 0 or low < _ROW_HEIGHTS * max(near.height, piece.height):
        return 0.0
    return (min(near.y1, piece.y1) - max(near.y0, piece.y0)) / low


def _find_columns(pieces: list[_Piece]) -> _Cut | None:
    """Find the gutter with the most lines beside it."""
    height = median(piece.height for piece in pieces)
    if height <= 0:
        return None
    best: _Cut | None = None
    best_size = 0
    by_height = sorted(pieces, key=lambda piece: piece.middle)
    for gutter in _gutters(pieces, height):
        for cut in _runs(by_height, gutter, height):
            size = len(cut.left) + len(cut.right)
            if size > best_size and _are_columns(cut, height):
                best, best_size = cut, size
    return best


def _gutters(pieces: Sequence[_Piece], height: float) -> list[float]:
    """Where few lines cross, best first.

    A column begins where lines begin, so only the places just left of a line are looked at; those
    that are close to each other count as one.
    """
    slack = _GUTTER_SLACK * height
    starts = sorted(piece.x0 for piece in pieces)
    inner_starts = sorted(piece.x0 + slack for piece in pieces)
    inner_ends = sorted(piece.x1 - slack for piece in pieces)
    found: list[tuple[int, float]] = []
    begin = 0
    for index in range(1, len(starts) + 1):
        if index < len(starts) and starts[index] - starts[index - 1] <= height / 2:
            continue
        if index - begin >= _COLUMN_ROWS:
            gutter = starts[begin]
            crossing = bisect_left(inner_starts, gutter) - bisect_left(inner_ends, gutter)
            found.append((crossing - (index - begin), gutter))
        begin = index
    return [gutter for _, gutter in sorted(found)[:_GUTTER_CANDIDATES]]


def _runs(by_height: Sequence[_Piece], gutter: float, height: float) -> Iterable[_Cut]:
    """Yield the runs of lines, from top to bottom, of which none crosses the gutter."""
    slack = _GUTTER_SLACK * height
    begin = 0
    crossing = [
        index
        for index, piece in enumerate(by_height)
        if piece.x0 + slack < gutter < piece.x1 - slack
    ]
    for end in [*crossing, len(by_height)]:
        run = by_height[begin:end]
        if len(run) >= 2 * _COLUMN_ROWS:
            yield _Cut(
                above=list(by_height[:begin]),
                left=[piece for piece in run if piece.x1 - slack <= gutter],
                right=[piece for piece in run if piece.x1 - slack > gutter],
                below=list(by_height[end:]),
            )
        begin = end + 1


def _are_columns(cut: _Cut, height: float) -> bool:
    """Whether both sides are prose, rather than the labels and values of a form or a table."""
    if min(len(cut.left), len(cut.right)) < _COLUMN_ROWS:
        return False
    left_end = sorted(piece.x1 for piece in cut.left)[int(0.9 * (len(cut.left) - 1))]
    right_start = sorted(piece.x0 for piece in cut.right)[int(0.1 * (len(cut.right) - 1))]
    if right_start - left_end < _GUTTER_WIDTH * height:
        return False
    left = [row[-1] for row in _group_rows(cut.left)]
    right = [row[0] for row in _group_rows(cut.right)]
    # Only where they stand beside each other do they tell whether they are columns.
    top = max(left[0].y0, right[0].y0)
    bottom = min(left[-1].y1, right[-1].y1)
    left = [piece for piece in left if top <= piece.middle <= bottom]
    right = [piece for piece in right if top <= piece.middle <= bottom]
    if min(len(left), len(right)) < _COLUMN_ROWS:
        return False
    shapes = [_shape(column, height) for column in (left, right)]
    if all(width >= _COLUMN_WIDTH and fill >= _COLUMN_FILL for width, fill in shapes):
        return True
    aligned = _aligned(left, right)
    prose = any(
        len(column) >= _PROSE_ROWS and width >= _COLUMN_WIDTH and fill >= _PROSE_FILL
        for column, (width, fill) in zip((left, right), shapes, strict=True)
    )
    if prose and aligned <= _PROSE_ALIGNED:
        return True
    if aligned > _FREE_ALIGNED:
        return False
    beside = bottom - top
    dense = [
        sum(piece.height for piece in column) >= _FREE_DENSITY * beside for column in (left, right)
    ]
    if not all(dense):
        return False
    return all(width >= _FREE_WIDTH and fill >= _FREE_FILL for width, fill in shapes)


def _shape(column: Sequence[_Piece], height: float) -> tuple[float, float]:
    """The usual width of a column's lines, in heights, and its part of the width of a long one."""
    widths = sorted(piece.width for piece in column)
    usual = median(widths)
    return usual / height, usual / max(widths[int(0.9 * (len(widths) - 1))], 1)


def _aligned(left: Sequence[_Piece], right: Sequence[_Piece]) -> float:
    """The part of the shorter column's rows that stand on the height of one of the other's."""
    fewer, more = sorted((left, right), key=len)
    middles = [piece.middle for piece in more]
    count = 0
    for piece in fewer:
        at = bisect_left(middles, piece.middle)
        near = min(abs(middle - piece.middle) for middle in middles[max(at - 1, 0) : at + 1])
        count += near <= _ALIGNED_WITHIN * piece.height
    return count / len(fewer)
