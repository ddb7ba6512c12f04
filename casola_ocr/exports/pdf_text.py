"""The invisible text of a PDF's page: each word stretched over its box, in a font without shapes.

A character's code is its place in the list of all characters that the document has so far; the
map from codes to Unicode is written when all pages were, so any script can be found and copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

from casola_ocr.exports.document import spaced
from casola_ocr.pages import Line
from casola_ocr.text.direction import is_right_to_left
from casola_ocr.text.grouping import Box

#: Of the font, in parts of its size; docs/make_font.py has them too.
WIDTH, ASCENT, DESCENT = 0.5, 0.8, -0.2
#: Entries in one section of a map, which Adobe's format limits.
_SECTION = 100
#: Codes have two bytes; 0 stays unused.
_MAX_CODE = 0xFFFF
_REPLACEMENT = "\ufffd"
#: What keeps its direction inside a text from right to left.
_LEFT_TO_RIGHT = re.compile(r"[A-Za-z\d]+(?:[.,:/'-][A-Za-z\d]+)*")


class Alphabet:
    """The codes of a document's characters. Not thread-safe."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {_REPLACEMENT: 1}

    def encode(self, text: str) -> str:
        """The text as a hexadecimal string of a content stream."""
        return "".join(f"{self._code(character):04X}" for character in text)

    def _code(self, character: str) -> int:
        # A control character is no text, and half a surrogate pair cannot be written.
        if ord(character) < 0x20 or "\ud800" <= character <= "\udfff":
            character = _REPLACEMENT
        if character not in self._codes and len(self._codes) == _MAX_CODE:
            character = _REPLACEMENT
        return self._codes.setdefault(character, len(self._codes) + 1)

    def to_unicode(self) -> bytes:
        """The CMap from codes to UTF-16."""
        pairs = [
            f"<{code:04X}> <{character.encode('utf-16-be').hex().upper()}>"
            for character, code in self._codes.items()
        ]
        sections = [pairs[at : at + _SECTION] for at in range(0, len(pairs), _SECTION)]
        return "\n".join(
            [
                "/CIDInit /ProcSet findresource begin",
                "12 dict begin",
                "begincmap",
                "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def",
                "/CMapName /Adobe-Identity-UCS def",
                "/CMapType 2 def",
                "1 begincodespacerange",
                "<0000> <FFFF>",
                "endcodespacerange",
                *(
                    "\n".join([f"{len(section)} beginbfchar", *section, "endbfchar"])
                    for section in sections
                ),
                "endcmap",
                "CMapName currentdict /CMap defineresource pop",
                "end",
                "end",
            ]
        ).encode()


def font_file() -> bytes:
    """A TrueType font whose glyph 1 is invisible."""
    return files("casola_ocr.exports").joinpath("glyphless.ttf").read_bytes()


def text_operators(
    lines: tuple[Line, ...], alphabet: Alphabet, *, height: float, scale: float, rotation: int
) -> Iterator[str]:
    """Operators that write the lines on a page of `height` points, `scale` points for a pixel.

    `rotation` is how far the page has to be turned clockwise until its text is upright.
    """
    for line in lines:
        for text, box in _runs(line):
            x0, y0, x1, y1 = (edge * scale for edge in box)
            yield _show(text, (x0, height - y1, x1, height - y0), rotation % 360, alphabet)


def _runs(line: Line) -> Iterator[tuple[str, Box]]:
    """What is written at once: a word, or a line of which nobody knows the words' places."""
    if not line.words or any(word.box is None for word in line.words):
        if line.text.strip():
            # Tabs between a table's cells are no characters of a font.
            yield " ".join(line.text.split()), line.box
        return
    for word, space in spaced(line):
        if word.text and word.box:
            # Readers of a PDF guess where words end by their distance, if no space tells.
            yield word.text + " " * space, word.box


def _show(text: str, box: tuple[float, float, float, float], turned: int, codes: Alphabet) -> str:
    x0, y0, x1, y1 = box
    wide, high = (y1 - y0, x1 - x0) if turned in (90, 270) else (x1 - x0, y1 - y0)
    size, length = max(high, 0.1), max(wide, 0.1)
    rise = -DESCENT * size
    # Along the text, across it (to its top), and where its baseline begins.
    along, across, start = {
        90: ((0, 1), (-1, 0), (x1 - rise, y0)),
        180: ((-1, 0), (0, -1), (x1, y1 - rise)),
        270: ((0, -1), (1, 0), (x0 + rise, y1)),
    }.get(turned, ((1, 0), (0, 1), (x0, y0 + rise)))
    word = text.rstrip()
    stretch = 100 * length / (WIDTH * size * max(1, len(word)))
    if is_right_to_left(word):
        # A PDF shows characters from left to right, and its readers turn them round again.
        text = _LEFT_TO_RIGHT.sub(lambda run: run[0][::-1], word[::-1]) + text[len(word) :]
    matrix = " ".join(map(number, (*along, *across, *start)))
    return f"/F {number(size)} Tf {number(stretch)} Tz {matrix} Tm <{codes.encode(text)}> Tj"


def number(value: float) -> str:
    """A number as PDF writes it: no exponent, no more digits than are seen."""
    return f"{value:.3f}".rstrip("0").rstrip(".") or "0"
