"""How far what was read is from the truth.

Both texts are first brought to what is compared (`normalise`): NFKC; what a hyphen parts at the end
of a line joined; white space folded to single spaces; case kept, unless the truth has none. Pages
are parted by white space. Japanese, Korean and Chinese are compared without white space, and what
is a word elsewhere is a character there.

- CER, WER: edits (Levenshtein) for each character, each word of the truth; above 1 where more was
  read than there is. In the three languages WER is CER.
- F1: twice the words in common over the words of both, each counted as often as it stands there,
  wherever it stands. It does not see the order.
- Order: as F1, of the words in common that stand in the same order (longest common subsequence).
  So it is F1 at most, and as far below as the order is wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rapidfuzz.distance import LCSseq, Levenshtein

from casola_ocr.corpus import UNSPACED

_PARTED = re.compile(r"(?<=\w)[-\u00ad\u2010][^\S\n]*\n\s*(?=\w)")


class Comparable(NamedTuple):
    """A text as it is compared: its characters and its words."""

    text: str
    words: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of one text, or means of several."""

    cer: float
    wer: float
    f1: float
    order: float


def normalise(text: str, language: str = "", *, case_insensitive: bool = False) -> Comparable:
    text = _PARTED.sub("", unicodedata.normalize("NFKC", text)).replace("\u00ad", "")
    text = " ".join(text.split())
    if case_insensitive:
        text = text.casefold()
    if language in UNSPACED:
        text = text.replace(" ", "")
        return Comparable(text, text)
    return Comparable(text, text.split(" ") if text else ())


def score(truth: Comparable, found: Comparable) -> Scores:
    total = len(truth.words) + len(found.words)
    common = (Counter(truth.words) & Counter(found.words)).total()
    ordered = LCSseq.similarity(truth.words, found.words)
    return Scores(
        cer=error_rate(truth.text, found.text),
        wer=error_rate(truth.words, found.words),
        f1=2 * common / total if total else 1.0,
        order=2 * ordered / total if total else 1.0,
    )


def error_rate(truth: Sequence[str], found: Sequence[str]) -> float:
    """Edits for each character, or word, of the truth."""
    if not truth:
        return float(bool(found))
    return Levenshtein.distance(truth, found) / len(truth)


def mean(scores: Sequence[Scores]) -> Scores:
    """The mean of each score; every file counts the same, however long."""

    def of(name: str) -> float:
        return sum(getattr(each, name) for each in scores) / len(scores)

    return Scores(cer=of("cer"), wer=of("wer"), f1=of("f1"), order=of("order"))
