"""How often words are right of which an engine is this sure, and the table that says so.

A verdict is a word's confidence and how far it is right (0..1). Words are judged against the known
text of the same document as a bag: a word is right when the truth has it, whole, wherever it
stands. Of a word that was read more often than it is there each copy is right in part. So a word
that the truth leaves out counts as wrong, and one that stands there by chance as right.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from casola_ocr.pages import Line, Word
from casola_ocr.text.calibration import DIGITS, Table

#: Confidence and how far the word is right, both 0..1.
Verdict = tuple[float, float]

#: No word is certainly wrong or right, whatever a few thousand others were.
LEAST_CHANCE, MOST_CHANCE = 0.01, 0.99
MOST_ROWS = 12

_HYPHENS = ("-", "\u00ad", "\u2010")


class Bin(NamedTuple):
    """Words with alike confidences: how many, the mean confidence, and the part that is right."""

    words: int
    confidence: float
    right: float


class _Block(NamedTuple):
    words: float
    confidence: float
    right: float

    def joined(self, other: _Block) -> _Block:
        words = self.words + other.words
        return _Block(
            words,
            (self.words * self.confidence + other.words * other.confidence) / words,
            (self.words * self.right + other.words * other.right) / words,
        )


def judged(
    lines: Sequence[Line], truth: str, *, case_insensitive: bool = False
) -> list[tuple[Word, float]]:
    """Words, each with how far it is right. Only for scripts with spaces between words.

    The two halves of a word that a line's end parts are left out: the truth may have them joined.
    """
    words = []
    parted = False
    for line in lines:
        words += [(word, _same(word.text, case_insensitive)) for word in _whole(line, parted)]
        parted = line.text.endswith(_HYPHENS)
    there = Counter(_same(word, case_insensitive) for word in truth.split())
    read = Counter(text for _, text in words)
    return [(word, min(1.0, there[text] / read[text])) for word, text in words]


def _whole(line: Line, parted: bool) -> Sequence[Word]:
    last = len(line.words) - (1 if line.text.endswith(_HYPHENS) else 0)
    return line.words[1 if parted else 0 : last]


def _same(text: str, case_insensitive: bool) -> str:
    text = unicodedata.normalize("NFKC", text)
    return text.casefold() if case_insensitive else text


def fit(verdicts: Iterable[Verdict], rows: int = MOST_ROWS) -> Table:
    """The calibration table that suits the verdicts best: rising, with at most so many rows.

    Isotonic regression by pooling adjacent violators (Ayer et al. 1955). Then the two neighbours
    whose union changes least are made one, until few enough are left.

    Raises:
        ValueError: there is no verdict.
    """
    sums: dict[float, list[float]] = {}
    for confidence, right in verdicts:
        sums.setdefault(round(confidence, DIGITS), []).append(right)
    if not sums:
        raise ValueError("nothing to fit a table to")
    blocks: list[_Block] = []
    for confidence, rights in sorted(sums.items()):
        blocks.append(_Block(len(rights), confidence, sum(rights) / len(rights)))
        while len(blocks) > 1 and blocks[-2].right >= blocks[-1].right:
            blocks[-2:] = [blocks[-2].joined(blocks[-1])]
    while len(blocks) > rows:
        costs = [_cost(*pair) for pair in pairwise(blocks)]
        at = costs.index(min(costs))
        blocks[at : at + 2] = [blocks[at].joined(blocks[at + 1])]
    return [
        (
            round(block.confidence, DIGITS),
            round(min(MOST_CHANCE, max(LEAST_CHANCE, block.right)), DIGITS),
        )
        for block in blocks
    ]


def _cost(one: _Block, other: _Block) -> float:
    """By how much the squared errors grow when two blocks become one."""
    return one.words * other.words / (one.words + other.words) * (one.right - other.right) ** 2


def reliability(verdicts: Iterable[Verdict], bins: int = 10) -> list[Bin]:
    """The verdicts by confidence, in bins of the same width; empty ones are left out."""
    found: dict[int, list[Verdict]] = {}
    for confidence, right in verdicts:
        found.setdefault(min(bins - 1, int(confidence * bins)), []).append((confidence, right))
    return [
        Bin(
            len(members),
            sum(confidence for confidence, _ in members) / len(members),
            sum(right for _, right in members) / len(members),
        )
        for _, members in sorted(found.items())
    ]


def expected_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: how far confidence and truth are apart, by words; 0 is best."""
    total = sum(each.words for each in bins)
    return sum(each.words * abs(each.confidence - each.right) for each in bins) / max(1, total)
