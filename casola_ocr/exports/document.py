"""What a writer of a format is given: one ended job, its pages one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, zip_longest

from casola_ocr.model import Job
from casola_ocr.pages import Line, PageResult, Word, read_pages

#: A language tag as XML Schema has it.
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*")
#: What XML 1.0 cannot hold in any form.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, kw_only=True)
class Document:
    """A job with its stored result, which can be read once.

    `body` is the result as ``/result`` answers it, in chunks. `picture` gives a file that shows a
    page, its media type, the page's number in that file; it raises `PictureMissing`. `max_pixels`
    bounds what is decoded.
    """

    job: Job
    body: Iterator[bytes]
    picture: Callable[[int], tuple[bytes, str, int]]
    max_pixels: int

    def pages(self) -> Iterator[PageResult]:
        """The page results in order, each read when it is asked for."""
        return read_pages(self.body)


def lines_of(page: PageResult) -> tuple[Line, ...]:
    """The page's lines, each in a place of its own.

    Lines of which only their block's place is known get a slice each of that one box: on top of
    each other a reader has them in any order. Those of a text that came without lines get a slice
    of the page.
    """
    lines = page.lines
    if not lines:
        whole = (0, 0, page.width, page.height)
        texts = [text for text in page.text.splitlines() if text.strip()]
        lines = tuple(Line(text=text, confidence=page.confidence, box=whole) for text in texts)
    return tuple(_spread(lines))


def _spread(lines: tuple[Line, ...]) -> Iterator[Line]:
    for (box, _), members in groupby(lines, key=lambda line: (line.box, line.block)):
        found = tuple(members)
        x0, y0, x1, y1 = box
        step = (y1 - y0) / len(found)
        for index, line in enumerate(found):
            top, bottom = (round(y0 + step * part) for part in (index, index + 1))
            yield replace(line, box=(x0, top, x1, bottom)) if len(found) > 1 else line


def spaced(line: Line) -> Iterator[tuple[Word, bool]]:
    """Each word of a line, and whether white space stands between it and the next one."""
    for word, following in zip_longest(line.words, line.words[1:]):
        between = line.text[word.start + len(word.text) : following.start] if following else ""
        yield word, any(character.isspace() for character in between)


def share(confidence: float) -> float:
    """The confidence within 0..1, outside of which formats allow none."""
    return min(1.0, max(0.0, confidence))


def language_of(page: PageResult) -> str | None:
    """The tag of the page's language, where that is one."""
    known = page.language and _LANGUAGE.fullmatch(page.language)
    return page.language if known else None


def for_xml(text: str) -> str:
    """The text with U+FFFD for each character that XML cannot hold."""
    return _FORBIDDEN.sub("\ufffd", text)
