"""The text that a PDF's page has inside: from letters to lines, and whether to believe it.

Letters come in the order of the page's own instructions, with spaces and line ends where pdfium
saw gaps. Boxes are in pixels of the page image, origin top left.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from PIL import Image, ImageDraw

from casola_ocr.pages import Line, Word

#: A gap of so many heights of a line parts two pieces of text that only stand on one row.
GAP_HEIGHTS = 1.5

#: Letters that cannot be text (of a private alphabet, without a meaning, control codes): at most.
GARBLED_SHARE = 0.02
#: Letters and digits among all that is not space, repetitions counted once: at least.
LETTERS_SHARE = 0.5
#: Vowels among the Latin letters of a text of at least so many: none, when codes are shifted.
VOWELS_SHARE = 0.15
VOWELS_LETTERS = 60
#: Letters that stand upright on the image: at least; else an engine that turns pages knows better.
UPRIGHT_SHARE = 0.6
#: Words that have something drawn in their box: at least. Others are hidden, or misplaced.
DRAWN_SHARE = 0.9
#: Ink outside of all words: at most, on a page that is mainly picture and on any other.
OUTSIDE_PICTURED = 0.5
OUTSIDE = 0.97

#: Darker or lighter than the paper by so much (of 255) is ink.
_INK = 60
#: The image is looked at this many times smaller.
_SMALLER = 4

_CID = re.compile(r"\(?cid:\d+\)?", re.IGNORECASE)
#: UTF-8 that was taken for a Western code page.
_MOJIBAKE = re.compile("[ÃÂ][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€|ï¿½|ï»¿")
_REPEATED = re.compile(r"([^\w\s])(?:\s?\1)+")
_VOWELS = frozenset("aeiouy")
_LINE_END = "\r\n"
#: pdfium's signs for a hyphen at a line's end.
_HYPHENS = {"\x02": "-", "\ufffe": "-", "\xad": "-"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A character; without a box where it is a space or a line end."""

    text: str
    box: tuple[float, float, float, float] | None = None
    #: Of its line, in pixels.
    height: float = 0.0
    upright: bool = True
    #: The font does not tell which character it is.
    unmapped: bool = False


@dataclass(frozen=True, kw_only=True)
class EmbeddedText:
    """What a page has inside; `pictured` tells that the page is mainly picture."""

    letters: tuple[Letter, ...] = ()
    pictured: bool = False
    #: False where there were more letters than are looked at.
    whole: bool = True
    #: Version of what read it.
    version: str = ""

    def lines(self, size: tuple[int, int]) -> tuple[Line, ...]:
        """Lines with their words, in any order, clipped to an image of `size`; no confidences."""
        found = (_line(words, size) for words in _pieces(self.letters))
        return tuple(line for line in found if line is not None)


def is_plausible(embedded: EmbeddedText, lines: Sequence[Line], image: Image.Image) -> bool:
    """Whether the lines are what a reader sees on the image.

    Refused is: what no alphabet has, what is hidden or lies elsewhere, what stands sideways, and
    what is much too little for the ink, as the header stamped on a scan.
    """
    text = "\n".join(line.text for line in lines)
    return (
        embedded.whole
        and _is_readable(text)
        and _is_mapped(embedded.letters)
        and _is_drawn(lines, image, OUTSIDE_PICTURED if embedded.pictured else OUTSIDE)
    )


def _is_readable(text: str) -> bool:
    text = _REPEATED.sub(r"\1", text)
    seen = [letter for letter in text if not letter.isspace()]
    if not seen or _CID.search(text):
        return False
    broken = sum(map(_is_broken, seen)) + 2 * len(_MOJIBAKE.findall(text))
    if broken > GARBLED_SHARE * len(seen):
        return False
    if sum(letter.isalnum() for letter in seen) < LETTERS_SHARE * len(seen):
        return False
    plain = unicodedata.normalize("NFD", text.lower())
    latin = [letter for letter in plain if "a" <= letter <= "z"]
    if len(latin) < VOWELS_LETTERS:
        return True
    return sum(letter in _VOWELS for letter in latin) >= VOWELS_SHARE * len(latin)


def _is_broken(letter: str) -> bool:
    return letter == "\ufffd" or unicodedata.category(letter) in ("Cc", "Cn", "Co", "Cs")


def _is_mapped(letters: Sequence[Letter]) -> bool:
    drawn = [letter for letter in letters if letter.box is not None]
    unmapped = sum(letter.unmapped for letter in drawn)
    upright = sum(letter.upright for letter in drawn)
    return unmapped <= GARBLED_SHARE * len(drawn) and upright >= UPRIGHT_SHARE * len(drawn)


def _is_drawn(lines: Sequence[Line], image: Image.Image, outside: float) -> bool:
    words = [word.box for line in lines for word in line.words if word.box is not None]
    grey = image.convert("L")
    drawn = 0
    for x0, y0, x1, y1 in words:
        # With some paper around it: a dash fills its box.
        low, high = grey.crop((x0 - 2, y0 - 2, x1 + 2, y1 + 2)).getextrema()
        drawn += high - low >= _INK  # type: ignore[operator]
    if drawn < DRAWN_SHARE * len(words):
        return False
    small = grey.reduce(_SMALLER)
    counts = small.histogram()
    paper = counts.index(max(counts))
    ink = small.point([255 * (abs(level - paper) >= _INK) for level in range(256)])
    total = ink.histogram()[255]
    blank = ImageDraw.Draw(ink)
    for x0, y0, x1, y1 in words:
        blank.rectangle(
            (x0 // _SMALLER - 1, y0 // _SMALLER - 1, x1 // _SMALLER + 1, y1 // _SMALLER + 1), fill=0
        )
    return ink.histogram()[255] <= outside * total


def _pieces(letters: Iterable[Letter]) -> Iterator[list[list[Letter]]]:
    """Words of each piece of a line, in the order of the text."""
    words: list[list[Letter]] = []
    parted = True
    for letter in letters:
        if letter.box is None:
            if letter.text in _LINE_END:
                yield from _zones(words)
                words = []
            parted = True
            continue
        if parted or _is_apart(words[-1][-1], letter):
            words.append([])
        words[-1].append(letter)
        parted = False
    yield from _zones(words)


def _zones(words: Sequence[list[Letter]]) -> Iterator[list[list[Letter]]]:
    """The words of a line on either side of each wide gap.

    By where they stand, not by their order: in Arabic, words in Latin letters run the other way.
    """
    zones: list[list[int]] = []
    edge = tallest = 0.0
    for index in sorted(range(len(words)), key=lambda index: _extent(words[index])[0]):
        left, right = _extent(words[index])
        height = max(letter.height for letter in words[index])
        upright = all(letter.upright for letter in words[index])
        if zones and (not upright or left - edge <= GAP_HEIGHTS * max(height, tallest)):
            zones[-1].append(index)
            edge, tallest = max(edge, right), max(height, tallest)
        else:
            zones.append([index])
            edge, tallest = right, height
    for zone in zones:
        yield [words[index] for index in sorted(zone)]


def _is_apart(before: Letter, letter: Letter) -> bool:
    if before.box is None or letter.box is None or not (before.upright and letter.upright):
        return False
    # Either may be the right one: not every script goes that way.
    gap = max(letter.box[0] - before.box[2], before.box[0] - letter.box[2])
    return gap > GAP_HEIGHTS * max(before.height, letter.height)


def _extent(letters: Sequence[Letter]) -> tuple[float, float]:
    boxes = [letter.box for letter in letters if letter.box is not None]
    return min(box[0] for box in boxes), max(box[2] for box in boxes)


def _line(words: Sequence[Sequence[Letter]], size: tuple[int, int]) -> Line | None:
    made: list[Word] = []
    start = 0
    for letters in words:
        text = _spelled(letters)
        if not text:
            continue
        made.append(Word(text=text, confidence=None, start=start, box=_box(letters, size)))
        start += len(text) + 1
    if not made:
        return None
    every = [letter for letters in words for letter in letters]
    return Line(
        text=" ".join(word.text for word in made),
        confidence=None,
        box=_box(every, size),
        words=tuple(made),
    )


def _visible(letter: str) -> str:
    return "\ufffd" if unicodedata.category(letter) == "Cc" else letter


def _spelled(letters: Sequence[Letter]) -> str:
    text = ""
    for _, glyph in groupby(letters, key=attrgetter("box")):
        parts = [_HYPHENS.get(letter.text, _visible(letter.text)) for letter in glyph]
        # pdfium turns a line round letter by letter, also those that are one glyph (lam and alef).
        turned = unicodedata.bidirectional(parts[0][:1] or " ") in ("R", "AL")
        text += "".join(reversed(parts) if turned else parts)
    # Joined and positioned forms of fonts, which nobody searches for.
    return "".join(
        unicodedata.normalize("NFKC", char)
        if "\ufb00" <= char <= "\ufdff" or "\ufe70" <= char <= "\ufefc"
        else char
        for char in unicodedata.normalize("NFC", text)
    )


def _box(letters: Sequence[Letter], size: tuple[int, int]) -> tuple[int, int, int, int]:
    boxes = [letter.box for letter in letters if letter.box is not None]
    x0 = max(0, math.floor(min(box[0] for box in boxes)))
    y0 = max(0, math.floor(min(box[1] for box in boxes)))
    x1 = min(size[0], math.ceil(max(box[2] for box in boxes)))
    y1 = min(size[1], math.ceil(max(box[3] for box in boxes)))
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)
