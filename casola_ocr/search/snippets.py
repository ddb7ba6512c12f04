"""The part of a document that shows why it was found, as text and the places of the words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import regex

from casola_ocr import shapes
from casola_ocr.results import PAGE_BREAK
from casola_ocr.search.query import Phrase, Query
from casola_ocr.search.words import fold, is_unspaced, tidy, words

#: Characters of a snippet, and of those at most before its first mark.
LENGTH = 160
BEFORE = 40
#: Characters of one document that are looked through; what is found only after them is not shown.
LOOKED_AT = 2_000_000

#: Characters after the first term among which the best part is looked for.
NEAR = 500

#: A snippet's text and its marks.
_Cut = tuple[str, tuple[tuple[int, int], ...]]
_SPACE = re.compile(r"\s")


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """Part of a page, or the file's name.

    `marks` are the starts and ends of what was looked for, in Unicode code points of `text`.
    """

    source: Literal["text", "file_name"]
    #: The page's number; None where that is not known, and of the file's name.
    page: int | None
    text: str
    marks: tuple[tuple[int, int], ...]

    def to_dict(self) -> shapes.Snippet:
        """The public shape, fixed by the API reference."""
        return {
            "source": self.source,
            "page": self.page,
            "text": self.text,
            "marks": [list(mark) for mark in self.marks],
        }


def snippet(query: Query, file_name: str, text: str) -> Snippet | None:
    """The page with most of the terms, else the file's name; None where neither has any.

    `text` is tidy, at most `LOOKED_AT` long, and has a `PAGE_BREAK` between pages, the
    first of which is page 1.
    """
    best: tuple[int, int, str] | None = None
    for number, page in enumerate(text.split(PAGE_BREAK), 1):
        folded = fold(page)
        terms = sum(any(_may_hold(folded, phrase) for phrase in term) for term in query.terms)
        if terms and (best is None or terms > best[0]):
            best = terms, number, page
            if terms == len(query.terms):
                break
    if best and (cut := _cut_near(query, best[2]) or _cut(best[2], marks(query, best[2]))):
        return Snippet(source="text", page=best[1], text=cut[0], marks=cut[1])
    name = tidy(file_name)
    found = marks(query, name)
    if not found:
        return None
    return Snippet(source="file_name", page=None, text=name, marks=tuple(found))


def _may_hold(folded: str, phrase: Phrase) -> bool:
    return all(word in folded for word in phrase.words)


def _cut_near(query: Query, page: str) -> _Cut | None:
    """The part around the first term, without going through all words of a long page.

    None where that is not so easy.
    """
    folded = fold(page)
    # Where a letter became two by folding, places are a few letters off.
    drift = abs(len(folded) - len(page))
    first = _begins(query).search(folded)
    if first is None or len(page) < 2 * NEAR or drift > BEFORE:
        return None
    start = _edge(page, first.start() - 2 * BEFORE - drift, first.start() - BEFORE - drift)
    stop = _edge(page, first.end() + LENGTH, first.start() + NEAR)
    part = page[start:stop]
    cut = _cut(part, marks(query, part))
    if cut is None:
        return None
    text, found = cut
    if page[:start].strip() and not text.startswith("…"):
        text, found = f"…{text}", tuple((begin + 1, end + 1) for begin, end in found)
    if page[stop:].strip() and not text.endswith("…"):
        text = f"{text}…"
    return text, found


def _begins(query: Query) -> regex.Pattern[str]:
    """Finds the first word of a term: the beginning of a word, but in scripts without spaces."""
    found = {phrase.words[0] for term in query.terms for phrase in term}
    edges = ("" if is_unspaced(word) else r"(?<!\w)" for word in found)
    parts = (edge + regex.escape(word) for edge, word in zip(edges, found, strict=True))
    return regex.compile("|".join(parts))


def _edge(page: str, low: int, high: int) -> int:
    """A place between words, the last one in this part; its end where there is none."""
    low, high = max(0, low), max(0, min(high, len(page)))
    space = max(page.rfind(sign, low, high) for sign in " \n")
    return space + 1 if space >= 0 and 0 < high < len(page) else high


def marks(query: Query, text: str) -> list[tuple[int, int]]:
    """Where the terms stand in a tidy text; what overlaps or touches is one mark."""
    phrases = [phrase for term in query.terms for phrase in term]
    begins = tuple(phrase.words[0] for phrase in phrases)
    listed = list(words(text))
    found: list[tuple[int, int]] = []
    for at, (word, start, _) in enumerate(listed):
        # Most words are none of these, and a page has many.
        if not word.startswith(begins):
            continue
        end = max(_end(listed, at, phrase) for phrase in phrases)
        if not end:
            continue
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def _end(listed: Sequence[tuple[str, int, int]], at: int, phrase: Phrase) -> int:
    """Where the phrase ends that begins with the word `at`; 0 if it does not stand there."""
    last = at + len(phrase.words) - 1
    if last >= len(listed) or any(
        listed[at + offset][0] != word for offset, word in enumerate(phrase.words[:-1])
    ):
        return 0
    word, start, end = listed[last]
    if word == phrase.words[-1]:
        return end
    if not (phrase.open_end and word.startswith(phrase.words[-1])):
        return 0
    # One character that begins a pair is marked alone.
    return start + 1 if len(phrase.words[-1]) == 1 else end


def _cut(page: str, found: Sequence[tuple[int, int]]) -> _Cut | None:
    """The part with most marks, its white space made single, and the marks in it."""
    if not found:
        return None

    def reach(index: int) -> int:
        limit = max(found[index][0] - BEFORE, 0) + LENGTH
        return sum(end <= limit for _, end in found[index:])

    first = max(range(min(len(found), 200)), key=lambda index: (reach(index), -index))
    start = max(found[first][0] - BEFORE, 0)
    stop = max(start + LENGTH, found[first][1])
    # Not in the middle of a word, where it has a beginning nearby.
    if start and (space := page.find(" ", start, found[first][0])) >= 0:
        start = space + 1
    if stop < len(page) and (space := page.rfind(" ", found[first][1], stop)) >= 0:
        stop = space
    inside = [mark for mark in found[first:] if mark[1] <= stop]
    text = "…" if page[:start].strip() else ""
    placed, at = [], start
    for begin, end in inside:
        text = _joined(text, page[at:begin])
        placed.append((len(text), len(text) + end - begin))
        text, at = text + _SPACE.sub(" ", page[begin:end]), end
    text = _joined(text, page[at:stop]).rstrip()
    return text + ("…" if page[stop:].strip() else ""), tuple(placed)


def _joined(text: str, more: str) -> str:
    """Both with single white space, the end of `more` kept: a mark may follow."""
    more = " ".join(f"|{more}|".split())[1:-1]
    return text + (more.lstrip() if not text or text.endswith((" ", "…")) else more)
