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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import accumulate

from casola_ocr.model import Line, Word
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


def fuse(first: Sequence[Line], second: Sequence[Line]) -> list[Line]:
    """Return the lines of both readings of one page, in any order.

    Boxes and confidences of both are in the same pixels and on the same scale (0..1). Where both
    read the same word its confidence is the chance that not both are wrong.
    """
    trust = _trust(first), _trust(second)
    owners: dict[int, list[tuple[int, Word]]] = {}
    lone: list[Line] = []
    for index, line in enumerate(second):
        left: list[Word] = []
        for word in line.words:
            owner = _owner(first, word.box or line.box)
            if owner is None:
                left.append(word)
            else:
                owners.setdefault(owner, []).append((index, word))
        if left:
            lone.extend(_lone(line, left, trust[1]))
    fused = []
    for number, line in enumerate(first):
        words = _in_order([word for _, word in sorted(owners.get(number, ()), key=_index)])
        fused.append(_fuse_line(line, words, trust[1] - trust[0]))
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


def _index(item: tuple[int, Word]) -> int:
    return item[0]


def _in_order(words: Sequence[Word]) -> list[Word]:
    """As they are read: what lies on one line may have been several to the second engine.

    Those of scripts from right to left come in their order already.
    """
    if is_right_to_left(" ".join(word.text for word in words)):
        return list(words)
    return sorted(words, key=lambda word: word.box[0] if word.box else 0)


def _owner(lines: Sequence[Line], box: _Box) -> int | None:
    """The line on which a word lies: the one that it covers most."""
    best, best_share = None, 0.0
    area = max(1, (box[2] - box[0]) * (box[3] - box[1]))
    for index, line in enumerate(lines):
        across = min(line.box[2], box[2]) - max(line.box[0], box[0])
        down = min(line.box[3], box[3]) - max(line.box[1], box[1])
        if across > 0 and down >= _ON_LINE * min(box[3] - box[1], line.box[3] - line.box[1]):
            share = across * down / area
            if share > best_share:
                best, best_share = index, share
    return best if best_share >= _ON_LINE else None


def _lone(line: Line, words: Sequence[Word], trust: float) -> Iterable[Line]:
    """What only the second engine saw, if it is text."""
    letters = sum(character.isalnum() for word in words for character in word.text)
    weights = sum(len(word.text) for word in words)
    sure = sum((word.confidence or 0) * len(word.text) for word in words) / max(1, weights)
    if sure < _LONE_CONFIDENCE or letters < 2 or 2 * letters < weights:
        return
    pieces = [_piece(word) for word in words]
    yield _line_of(pieces, line.box if len(words) == len(line.words) else _around(words, line.box))


def _around(words: Sequence[Word], default: _Box) -> _Box:
    boxes = [word.box for word in words if word.box]
    if not boxes:
        return default
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )


def _fuse_line(line: Line, others: Sequence[Word], lead: float) -> Line:
    mine = _squeeze(line.text)
    theirs = "".join(_squeeze(word.text) for word in others)
    if not theirs or not line.words:
        return line
    matcher = SequenceMatcher(None, mine, theirs, autojunk=False)
    if matcher.ratio() < _ALIKE:
        other = _line_of([_piece(word) for word in others], line.box)
        return other if _weight(other) > _weight(line) else line
    return _line_of(_vote(line, others, mine, matcher, lead), line.box)


def _weight(line: Line) -> float:
    """How much of a line is probably right, in characters of a reading that is trusted."""
    sure = line.confidence or 0
    return sure * sure * math.sqrt(len(_squeeze(line.text)))


def _squeeze(text: str) -> str:
    return "".join(text.split())


def _vote(
    line: Line, others: Sequence[Word], mine: str, matcher: SequenceMatcher[str], lead: float
) -> list[_Piece]:
    """Choose between the readings, stretch by stretch.

    A stretch ends where a word ends in both readings, so that no word is ever cut.
    """
    ours, theirs = _pieces(line), [_piece(word) for word in others]
    our_ends = _ends(ours)
    their_ends = [_place(matcher, end) for end in _ends(theirs)]
    common = sorted({0, len(mine)} | (set(our_ends) & set(their_ends)))
    chosen: list[_Piece] = []
    at = beside = 0
    for end in common[1:]:
        own = [p for p, e in zip(ours[at:], our_ends[at:], strict=True) if e <= end]
        other = [p for p, e in zip(theirs[beside:], their_ends[beside:], strict=True) if e <= end]
        if end == len(mine):
            other = theirs[beside:]
        at += len(own)
        beside += len(other)
        chosen.extend(_choose(own, other, lead))
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
        _piece(word, spaced=line.text[word.start - 1 : word.start].isspace()) for word in line.words
    ]


def _piece(word: Word, *, spaced: bool = True) -> _Piece:
    return _Piece(
        _squeeze(word.text), word.confidence or 0.0, word.box, spaced, word.confidence_raw
    )


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
    weights = sum(len(piece.text) for piece in pieces)
    sure = sum(piece.confidence * len(piece.text) for piece in pieces) / max(1, weights)
    return Line(text=text, confidence=round(sure, 4), box=box, words=tuple(words))
