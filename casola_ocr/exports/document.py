"""What a writer of a format is given: one ended job, its pages one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from casola_ocr.model import Job
from casola_ocr.pages import Line, PageResult, Word, read_pages

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
    """The page's lines; of a text that came without any, its lines spread over the page."""
    if page.lines or not page.text.strip():
        return page.lines
    texts = [text for text in page.text.splitlines() if text.strip()]
    step = page.height / len(texts)
    return tuple(
        Line(
            text=text,
            confidence=page.confidence,
            box=(0, int(index * step), page.width, int((index + 1) * step)),
        )
        for index, text in enumerate(texts)
    )


def spaced(line: Line) -> Iterator[tuple[Word, bool]]:
    """Each word of a line, and whether white space stands between it and the next one."""
    for word, following in zip_longest(line.words, line.words[1:]):
        between = line.text[word.start + len(word.text) : following.start] if following else ""
        yield word, any(character.isspace() for character in between)


def for_xml(text: str) -> str:
    """The text with U+FFFD for each character that XML cannot hold."""
    return _FORBIDDEN.sub("\ufffd", text)
