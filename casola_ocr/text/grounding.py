r"""The markup in which DeepSeek-OCR tells labels and places, as passages of its output.

Before each passage stands ``<|ref|>label<|/ref|><|det|>[[x0, y0, x1, y1], ...]<|/det|>``, with
coordinates from 0 to 999 over the whole page, whatever its size in pixels (DeepSeek-OCR's own
``run_dpsk_ocr_image.py``). Whatever is cut off or malformed costs a place or a label, never text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from casola_ocr.text.grouping import TABLE, Box
from casola_ocr.text.layout import TEXT
from casola_ocr.text.traced import SPECIAL_TOKEN

#: The largest coordinate that the model writes: a page's right and lower edge.
EDGE = 999

TITLE, SUB_TITLE = "title", "sub_title"
#: What has a place and no text.
PICTURES = frozenset({"image", "figure", "chart", "diagram", "photo", "logo", "icon", "map", "seal",
                      "stamp", "signature", "barcode", "qr_code"})  # fmt: skip
#: What the model calls the parts of a page. Asked to read an image without its layout, it writes
#: the text itself in their place.
LABELS = PICTURES | {
    TEXT, TABLE, TITLE, SUB_TITLE, "header", "footer", "page_number", "page_header", "page_footer",
    "footnote", "equation", "formula", "list", "code", "algorithm", "reference", "ref_text",
    "aside_text", "abstract", "author", "caption", "image_caption", "image_footnote",
    "figure_caption", "figure_title", "table_caption", "table_footnote", "chart_caption",
    "equation_number", "index", "contents",
}  # fmt: skip

_REF, _REF_END, _DET, _DET_END = "<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>"
_LABEL = re.compile(r"[a-z][a-z0-9_]{0,29}")
_CUT_LABEL = re.compile(r"\s*[a-z_]{0,30}\s*")
#: A special token of which the end is missing.
_CUT_TOKEN = re.compile(r"<[|｜][^\s<>|｜]{0,40}[|｜]?\Z")
#: Characters at the output's end among which a token can be cut off.
_MOST_TOKEN = 50
#: Boxes, or a beginning of them.
_NUMBERS = re.compile(r"[ \d\[\],.+-]*")


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A part of the page: its label, its boxes, and where in the output its content stands.

    Boxes are x0, y0, x1, y1 in pixels of the page image, origin top left; none where the model told
    none. Special tokens may stand in the content; they are among the `Grounding.markup`.
    """

    label: str
    boxes: tuple[Box, ...]
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Grounding:
    """An output's passages in their order, and the stretches (start, end) that are markup.

    `malformed` tells that some markup was not as it should be.
    """

    passages: tuple[Passage, ...]
    markup: tuple[tuple[int, int], ...]
    malformed: bool


class _Token(NamedTuple):
    text: str
    start: int
    end: int


class _Head(NamedTuple):
    """What stands before a passage: what it says, where it is, and which token comes then."""

    label: str
    boxes: tuple[Box, ...]
    start: int
    end: int
    following: int
    good: bool
    #: Where the text is that stands in the label's place; None where a label does.
    printed: tuple[int, int] | None = None


def parse(output: str, size: tuple[int, int]) -> Grounding:
    """Read the markup of an output about a page of `size` (width, height in pixels).

    Text before the first markup, which is all of it in mode ``text``, is a passage without a box.
    Takes time in proportion to the output's length, raises nothing, and is safe to call from
    several threads.
    """
    cut = _CUT_TOKEN.search(output, max(0, len(output) - _MOST_TOKEN))
    end = cut.start() if cut else len(output)
    tokens = [_Token(match[0], *match.span()) for match in SPECIAL_TOKEN.finditer(output, 0, end)]
    tokens.append(_Token("", end, end))
    passages: list[Passage] = []
    markup: list[tuple[int, int]] = []
    malformed = cut is not None
    head = _Head(TEXT, (), 0, 0, 0, good=True)
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token.text in (_REF, _DET, ""):
            _close(output, head, token.start, passages, markup)
        if token.text in (_REF, _DET):
            head = (_after_ref if token.text == _REF else _after_det)(output, tokens, at, size)
            malformed |= not head.good or token.text == _DET
            at = head.following
            continue
        if token.text:
            markup.append((token.start, token.end))
            malformed = True
        at += 1
    if cut:
        markup.append((end, len(output)))
    return Grounding(passages=tuple(passages), markup=tuple(sorted(markup)), malformed=malformed)


def _close(
    output: str,
    head: _Head,
    end: int,
    passages: list[Passage],
    markup: list[tuple[int, int]],
) -> None:
    """Add the passage between a head and where the next one begins, and the head's own stretch."""
    boxes, label, spans = head.boxes, head.label, [(head.start, head.end)]
    empty = not output[head.end : end].strip()
    # What looks like no label is text that was printed; what does is, where no text follows it.
    printed = head.printed if head.printed and (empty or label == TEXT) else None
    if printed:
        passages.append(Passage(label=TEXT, boxes=boxes, start=printed[0], end=printed[1]))
        spans = [(head.start, printed[0]), (printed[1], head.end)]
    if not empty or (boxes and not printed):
        passages.append(Passage(label=label, boxes=boxes, start=head.end, end=end))
    markup += [span for span in spans if span[0] < span[1]]


def _after_ref(output: str, tokens: Sequence[_Token], at: int, size: tuple[int, int]) -> _Head:
    """The head that begins with this ``<|ref|>``."""
    opened, closed = tokens[at], tokens[at + 1]
    written = output[opened.end : closed.start]
    label = written.strip()
    if closed.text == _REF_END:
        following = at + 2
    elif closed.text == _DET:
        following = at + 1
    else:
        # Never closed: a label, or its beginning at the very end, is markup; the rest is text.
        cut = not closed.text and _CUT_LABEL.fullmatch(written)
        end = closed.start if cut or label in LABELS else opened.end
        return _Head(TEXT, (), opened.start, end, at + 1, good=False)
    end = closed.end if closed.text == _REF_END else closed.start
    printed = (opened.end, closed.start) if label and label not in LABELS else None
    if not _LABEL.fullmatch(label):
        label = TEXT
    placed = tokens[following]
    if placed.text != _DET or output[end : placed.start].strip():
        return _Head(label, (), opened.start, end, following, good=False, printed=printed)
    place = _after_det(output, tokens, following, size)
    good = place.good and closed.text == _REF_END
    return place._replace(label=label, start=opened.start, good=good, printed=printed)


def _after_det(output: str, tokens: Sequence[_Token], at: int, size: tuple[int, int]) -> _Head:
    """The head that begins with this ``<|det|>``, as it does where its label misses."""
    opened, closed = tokens[at], tokens[at + 1]
    written = output[opened.end : closed.start]
    numbers = _NUMBERS.match(written)
    told = numbers[0] if numbers else ""
    if closed.text == _DET_END and not written[len(told) :].strip():
        boxes, good = _boxes(written, size)
        return _Head(TEXT, boxes, opened.start, closed.end, at + 2, good=good)
    # Not closed, or with text in it: that text begins behind the boxes.
    told = (told[: told.rfind("]") + 1] or told) if told.lstrip().startswith("[") else ""
    boxes, _ = _boxes(told, size)
    return _Head(TEXT, boxes, opened.start, opened.end + len(told), at + 1, good=False)


def _boxes(written: str, size: tuple[int, int]) -> tuple[tuple[Box, ...], bool]:
    """The boxes that JSON tells, in pixels, and whether all of it was as it should be."""
    try:
        told: Any = json.loads(written)
    except (ValueError, RecursionError):
        return (), False
    good = isinstance(told, list) and bool(told)
    if isinstance(told, list) and len(told) == 4 and not any(isinstance(x, list) for x in told):
        told, good = [told], False
    boxes = []
    for box in told if isinstance(told, list) else ():
        if not _is_box(box):
            good = False
            continue
        good &= all(isinstance(number, int) and 0 <= number <= EDGE for number in box)
        boxes.append(_to_pixels([min(EDGE, max(0, round(number))) for number in box], size))
    return tuple(boxes), good


def _is_box(box: Any) -> bool:
    if not isinstance(box, list) or len(box) != 4:
        return False
    if not all(type(number) in (int, float) for number in box):
        return False
    x0, y0, x1, y1 = box
    # Not a number compares with nothing.
    return all(-math.inf < number < math.inf for number in box) and x0 <= x1 and y0 <= y1


def _to_pixels(box: Sequence[int], size: tuple[int, int]) -> Box:
    """At least a pixel wide and high, and inside the page."""
    x0, y0, x1, y1 = box
    (left, right), (top, bottom) = (
        _range(low, high, side) for low, high, side in ((x0, x1, size[0]), (y0, y1, size[1]))
    )
    return left, top, right, bottom


def _range(low: int, high: int, side: int) -> tuple[int, int]:
    first = min(low * side // EDGE, side - 1)
    return first, max(first + 1, -(-high * side // EDGE))
