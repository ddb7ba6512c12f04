"""A calibration fitted on some documents and tried on others; see `reliability` for how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from casola_ocr.corpus import UNSPACED, Entry
from casola_ocr.pages import PageResult, Word
from casola_ocr.text.calibration import Table, chance
from casola_ocr.text.reliability import Bin, Verdict, expected_error, fit, judged, reliability

#: A table made of fewer words says little.
LEAST_WORDS = 500


class TooFewWords(ValueError):
    """There are not enough words to fit a table on, or none to try it on."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A table, how many words it was fitted on, and the other words without and with it."""

    table: Table
    words: int
    before: Sequence[Bin]
    after: Sequence[Bin]

    def __str__(self) -> str:
        tried = sum(each.words for each in self.before)
        wrong = f"{expected_error(self.before):.3f} before, {expected_error(self.after):.3f} after"
        return (
            f"fitted on {self.words} words; of {tried} words of the other half the expected "
            f"calibration error is {wrong}"
        )

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """The bins as people read them: which, words, their mean confidence, part that is right."""
        for title, bins in (("before", self.before), ("after", self.after)):
            for each in bins:
                yield title, str(each.words), f"{each.confidence:.3f}", f"{each.right:.3f}"
                title = ""


def can_be_judged(entry: Entry) -> bool:
    """Whether the words of a document can be told right from wrong."""
    return entry.truth is not None and entry.language not in UNSPACED


def judged_words(
    entry: Entry, pages: Sequence[PageResult], engine: str
) -> list[tuple[Word, float]]:
    """Words on the pages that this engine read, each with how far it is right."""
    lines = [line for page in pages if page.engine == engine for line in page.lines]
    return judged(lines, entry.truth or "", case_insensitive=entry.case_insensitive)


def raw_verdicts(entry: Entry, pages: Sequence[PageResult], engine: str) -> list[Verdict]:
    """The verdicts on an engine's own figures; words without one are left out."""
    words = judged_words(entry, pages, engine)
    given = [(word.confidence_raw, right) for word, right in words]
    return [(confidence, right) for confidence, right in given if confidence is not None]


def fitted(known: Sequence[Verdict], fresh: Sequence[Verdict]) -> Fitted:
    """The table that suits `known` best, tried on `fresh`.

    Raises:
        TooFewWords: `LEAST_WORDS` are not known, or none is fresh.
    """
    if len(known) < LEAST_WORDS or not fresh:
        raise TooFewWords(f"only {len(known)} and {len(fresh)} words in the two halves")
    table = fit(known)
    after = reliability((chance(table, confidence), right) for confidence, right in fresh)
    return Fitted(table=table, words=len(known), before=reliability(fresh), after=after)
