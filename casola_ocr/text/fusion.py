"""Two engines' readings of one page made into one, word by word.

The first reading gives the lines: its detector finds text wherever it stands. Words of the second
are put where they lie on those lines; where the two differ, the word of which its engine is surer
is taken, and what only one of them saw is kept if that one is sure. Confidences must be comparable:
calibrated ones.

Voting between recognisers follows Fiscus, "A post-processing system to yield reduced word error
rates: Recognizer Output Voting Error Reduction (ROVER)", 1997, with two voters.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import accumulate, groupby

from casola_ocr.pages import Line, Word
from casola_ocr.text.counts import is_ideograph
from casola_ocr.text.direction import is_right_to_left

#: Readings that have less of their characters in common are of different things, or one is wrong
#: altogether; there is nothing to align.
_ALIKE = 0.5
#: What only the second engine saw is text when it is this sure of it: it also reads stains.
_LONE_CONFIDENCE = 0.6
#: How much the trust in a whole reading counts beside that in a word.
_PAGE_WEIGHT = 0.5
#: Part of a word that has to lie on a line, in height.
_ON_LINE = 0.5

_Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A word with what is needed to choose it, and whether a space comes before it."""

    text: str
    confidence: float
    box: _Box | None
    spaced: bool
    raw: float | None


def fuse(first: Sequence[Line], second: Sequence[Line], unread: Sequence[_Box] = ()) -> list[Line]:
    """Return the lines of both readings of one page, in any order.

    `unread` is where the first engine saw lines and could read nothing: what the second read there
    is a line for each, also where it took those of two columns for one.

    Boxes and confidences of both are in the same pixels and on the same scale (0..1). Where both
    read the same word its confidence is the chance that not both are wrong.
    """
    lead = _trust(second) - _trust(first)
    places, blanks = _Places([line.box for line in first]), _Places(unread)
    owned: dict[int, list[_Piece]] = {}
    lone: list[Line] = []
    for line in second:
        left: list[_Piece] = []
        for piece in _pieces(line):
            owner = places.owner(piece.box or line.box)
            (left if owner is None else owned.setdefault(owner, [])).append(piece)
        for _, stretch in groupby(left, key=lambda piece: blanks.owner(piece.box or line.box)):
            part = list(stretch)
            if _is_text(part):
                lone.append(_line_of(part, _around(part, line.box)))
    fused = [
        _fuse_line(line, _in_order(owned.get(index, [])), lead) for index, line in enumerate(first)
    ]
    return [*fused, *lone]


def _trust(lines: Sequence[Line]) -> float:
    """How far a reading can be trusted as a whole, in log odds.

    An engine that fails on a page is too sure of many of its words.
    """
    known = [
        (len(word.text), word.confidence)
        for line in lines
        for word in line.words
        if word.confidence is not None
    ]
    total = sum(length for length, _ in known)
    return _odds(sum(length * value for length, value in known) / total) if total else 0.0


def _odds(chance: float) -> float:
    chance = min(0.999, max(0.001, chance))
    return math.log(chance / (1 - chance))


class _Places:
    """Where lines are."""

    def __init__(self, boxes: Sequence[_Box]):
        self._boxes = sorted((box[1], index, box) for index, box in enumerate(boxes))
        self._tops = [top for top, _, _ in self._boxes]
        self._tallest = max((box[3] - box[1] for _, _, box in self._boxes), default=0)

    def owner(self, box: _Box) -> int | None:
        """The line on which a word lies: the one that it covers most."""
        best, best_share = None, 0.0
        area = max(1, (box[2] - box[0]) * (box[3] - box[1]))
        begin = bisect_left(self._tops, box[1] - self._tallest)
        end = bisect_right(self._tops, box[3])
        for _, index, other in self._boxes[begin:end]:
            across = min(other[2], box[2]) - max(other[0], box[0])
            down = min(other[3], box[3]) - max(other[1], box[1])
            if across > 0 and down >= _ON_LINE * min(box[3] - box[1], other[3] - other[1]):
                share = across * down / area
                if share > best_share:
                    best, best_share = index, share
        return best if best_share >= _ON_LINE else None


def _in_order(pieces: Sequence[_Piece]) -> Sequence[_Piece]:
    """As they are read: what lies on one line may have been several to the second engine.

    Those of scripts from right to left come in their order already.
    """
    if is_right_to_left(" ".join(piece.text for piece in pieces)):
        return pieces
    return sorted(pieces, key=lambda piece: piece.box[0] if piece.box else 0)


def _is_text(pieces: Sequence[_Piece]) -> bool:
    """Whether what only the second engine saw is text."""
    text = _joined(pieces)
    letters = sum(map(str.isalnum, text))
    return letters >= 2 and 2 * letters >= len(text) and _mean(pieces) >= _LONE_CONFIDENCE


def _around(pieces: Sequence[_Piece], default: _Box) -> _Box:
    boxes = [piece.box for piece in pieces if piece.box]
    if not boxes:
        return default
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _fuse_line(line: Line, others: Sequence[_Piece], lead: float) -> Line:
    mine, theirs = _squeeze(line.text), _joined(others)
    if not theirs or not line.words:
        return line
    matcher = SequenceMatcher(None, mine, theirs, autojunk=False)
    if matcher.ratio() < _ALIKE:
        other = _line_of(others, line.box)
        return other if _weight(other) > _weight(line) else line
    return _line_of(_vote(_pieces(line), others, matcher, lead), line.box)


def _weight(line: Line) -> float:
    """How much of a line is probably right, in characters of a reading that is trusted."""
    sure = line.confidence or 0
    return sure * sure * math.sqrt(len(_squeeze(line.text)))


def _squeeze(text: str) -> str:
    return "".join(text.split())


def _vote(
    ours: Sequence[_Piece], theirs: Sequence[_Piece], matcher: SequenceMatcher[str], lead: float
) -> list[_Piece]:
    """Choose between the readings, stretch by stretch.

    A stretch ends where a word ends in both readings, so that no word is ever cut.
    """
    our_ends = _ends(ours)
    # How many of their words end at a place of ours: several, where they have words that we lack.
    stops: dict[int, list[int]] = {}
    for count, end in enumerate(_ends(theirs), start=1):
        stops.setdefault(_place(matcher, end), []).append(count)
    stops.setdefault(our_ends[-1], []).append(len(theirs))
    chosen: list[_Piece] = []
    at = beside = 0
    for count, end in enumerate([0, *our_ends]):
        if end in stops:
            both, more = stops[end][0], stops[end][-1]
            chosen.extend(_choose(ours[at:count], theirs[beside:both], lead))
            chosen.extend(_choose((), theirs[both:more], lead))
            at, beside = count, more
    return chosen


def _choose(ours: Sequence[_Piece], theirs: Sequence[_Piece], lead: float) -> Sequence[_Piece]:
    if not theirs:
        return ours
    sure = _odds(_mean(theirs)) + _PAGE_WEIGHT * lead
    if not ours:
        return theirs if sure > _odds(_LONE_CONFIDENCE) else ()
    better = theirs if sure > _odds(_mean(ours)) else ours
    if _joined(ours) != _joined(theirs):
        return better
    both = 1 - (1 - _mean(ours)) * (1 - _mean(theirs))
    return [replace(piece, confidence=both) for piece in better]


def _mean(pieces: Sequence[_Piece]) -> float:
    weights = sum(len(piece.text) for piece in pieces)
    return math.fsum(piece.confidence * len(piece.text) for piece in pieces) / weights


def _joined(pieces: Sequence[_Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def _pieces(line: Line) -> list[_Piece]:
    return [
        _Piece(
            text=word.text,
            # A word that has none of its own is as sure as its line.
            confidence=(line.confidence or 0.0) if word.confidence is None else word.confidence,
            box=word.box,
            # What begins a line may come to stand behind another word.
            spaced=word.start == 0 or line.text[word.start - 1].isspace(),
            raw=word.confidence_raw,
        )
        for word in line.words
    ]


def _ends(pieces: Sequence[_Piece]) -> list[int]:
    return list(accumulate(len(piece.text) for piece in pieces))


def _place(matcher: SequenceMatcher[str], end: int) -> int:
    """Where a place of the second reading is in the first; -1 inside a difference."""
    for tag, a0, a1, b0, b1 in matcher.get_opcodes():
        if end == b1:
            return a1
        if b0 < end < b1:
            return a0 + end - b0 if tag == "equal" else -1
    return -1


def _line_of(pieces: Sequence[_Piece], box: _Box) -> Line:
    text = ""
    words = []
    for piece in pieces:
        if text and piece.spaced and not (is_ideograph(text[-1]) and is_ideograph(piece.text[0])):
            text += " "
        words.append(
            Word(
                text=piece.text,
                confidence=round(piece.confidence, 4),
                start=len(text),
                box=piece.box,
                confidence_raw=piece.raw,
            )
        )
        text += piece.text
    return Line(text=text, confidence=round(_mean(pieces), 4), box=box, words=tuple(words))
