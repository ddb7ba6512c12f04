"""What somebody typed into a search box, as what FTS5 is asked.

Every word has to be there, in the text or in the file's name; of three letters or more its
beginning is enough. Words in quotes stand side by side, as they are. Nothing else has a meaning:
there is no syntax that could be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import regex

from casola_ocr.search.words import is_unspaced, tidy, words

#: The beginning of a word says enough from this length on.
PREFIX_LENGTH = 3
#: Words that count; nobody types more, and each is one more list to go through.
MAX_TERMS = 16

_PIECE = regex.compile(r'"([^"]*)"?|([^\s"]+)')
_DIVIDED = regex.compile(r"\p{L}[-\u2010\u2011]\p{L}")


@dataclass(frozen=True)
class Phrase:
    """Words that stand side by side; of the last one with `open_end` the beginning."""

    words: tuple[str, ...]
    open_end: bool

    def to_fts(self) -> str:
        # Words have no quotes in them: see `words`.
        return f'"{" ".join(self.words)}"{" *" if self.open_end else ""}'


@dataclass(frozen=True)
class Query:
    """Terms that all have to be there, each as one of its phrases."""

    terms: tuple[tuple[Phrase, ...], ...]

    def to_fts(self) -> str:
        """The argument of MATCH."""
        return " AND ".join(
            f"({' OR '.join(phrase.to_fts() for phrase in term)})" for term in self.terms
        )


def parse(text: str) -> Query:
    """The query; one without a single word has no terms."""
    terms = []
    for quoted, bare in _PIECE.findall(tidy(text)):
        if phrase := _phrase(quoted or bare, exact=bool(quoted)):
            # At a line's end a hyphen divides a word, or belongs to it: nobody can tell.
            whole = _phrase(bare.replace("-", ""), exact=False) if _DIVIDED.search(bare) else None
            terms.append((phrase, whole) if whole else (phrase,))
    return Query(tuple(terms[:MAX_TERMS]))


def _phrase(text: str, *, exact: bool) -> Phrase | None:
    found = list(words(text))
    if not found:
        return None
    listed = tuple(word for word, _, _ in found)
    last, _, end = found[-1]
    if not is_unspaced(last):
        return Phrase(listed, not exact and len(last) >= PREFIX_LENGTH)
    if len(found) > 1 and found[-2][2] == end:
        # A run's last character stands by itself only where the run ends in the text too.
        return Phrase(listed[:-1], False)
    return Phrase(listed, True)
