"""From what a language model wrote about a page to the page result."""

from __future__ import annotations

from collections.abc import Sequence

from casola_ocr.pages import Block, Line, PageResult, Try
from casola_ocr.text.calibration import calibrated, has_calibration
from casola_ocr.text.confidence import page_confidence
from casola_ocr.text.counts import count_words
from casola_ocr.text.flags import MARKUP, UNCALIBRATED, UNTRUSTED, page_flags
from casola_ocr.text.generated import Generated
from casola_ocr.text.grounding import parse
from casola_ocr.text.grouping import Box
from casola_ocr.text.language import detect_language
from casola_ocr.text.loops import MOST_CONFIDENCE, loop_flags
from casola_ocr.text.sections import sections_of
from casola_ocr.text.token_confidence import layout_confidence, words_of

#: Between two blocks.
_BREAK = "\n\n"


def build_generated_page(
    generated: Generated,
    *,
    size: tuple[int, int],
    page: int,
    engine: str,
    engine_version: str,
    attempts: int,
    seconds: float,
    ink: float | None,
    greedy: bool,
    language: str | None = None,
    flags: Sequence[str] = (),
    tries: Sequence[Try] = (),
) -> PageResult:
    """Parse, judge and count what a model wrote about a page image of `size` (width, height, px).

    `ink` is `casola_ocr.documents.ink.ink_of` the image, None where nobody measured it; `greedy`
    tells that tokens were not sampled. `language` is the code of the one that was asked for;
    without it the text tells. `flags` are put before those of the text: the loop guard's, of which
    `UNTRUSTED` names those that are worth another reading, and `page_flags`.

    The model tells places of blocks only, so each line has its block's box and no word has one; a
    block without a place has the whole page. Confidences of words stay as they are; the page's is
    at most `MOST_CONFIDENCE` where the guard does not trust it. Raises nothing, whatever was
    written; safe to call from several threads.
    """
    grounding = parse(generated.text, size)
    sections = tuple(sections_of(generated.text, grounding))
    blocks: list[Block] = []
    lines: list[Line] = []
    written = ""
    for section in sections:
        box = _around(section.boxes, size)
        for traced in section.lines:
            if traced.text:
                made = Line(
                    text=traced.text,
                    confidence=None,
                    box=box,
                    words=words_of(traced, generated),
                    block=len(blocks),
                    row=len(lines),
                )
                lines.append(made)
        span = None
        if section.markdown:
            start = len(written) + len(_BREAK) if written else 0
            span = start, start + len(section.markdown)
            written += _BREAK * bool(written) + section.markdown
        blocks.append(Block(label=section.label, box=box, span=span))
    lines = calibrated(lines, engine)
    raw, _ = page_confidence(
        (word.text, word.confidence_raw) for line in lines for word in line.words
    )
    mean, low = page_confidence(
        (word.text, word.confidence) for line in lines for word in line.words
    )
    found = loop_flags(generated, grounding, sections, ink=ink, greedy=greedy)
    if UNTRUSTED.intersection(found):
        mean, low = _at_most(mean), _at_most(low)
    text = _BREAK.join(section.text for section in sections if section.lines)
    noted = [
        *flags,
        *found,
        *([MARKUP] if grounding.malformed else []),
        *([UNCALIBRATED] if mean is not None and not has_calibration(engine) else []),
        *page_flags(text, mean),
    ]
    return PageResult(
        page=page,
        width=size[0],
        height=size[1],
        text=text,
        words=count_words(text),
        confidence=mean,
        confidence_low=low,
        engine=engine,
        engine_version=engine_version,
        attempts=attempts,
        seconds=round(seconds, 3),
        lines=tuple(lines),
        flags=tuple(dict.fromkeys(noted)),
        language=language or detect_language(text),
        markdown=written,
        blocks=tuple(blocks),
        confidence_raw=raw,
        confidence_layout=layout_confidence(generated, grounding.markup),
        tries=tuple(tries),
    )


def distrust(result: PageResult) -> tuple[int, float]:
    """How little a reading can be trusted: the smaller, the better."""
    return len(UNTRUSTED.intersection(result.flags)), -(result.confidence_raw or 0.0)


def _around(boxes: Sequence[Box], size: tuple[int, int]) -> Box:
    """The smallest box that holds all; the whole page where there is none."""
    if not boxes:
        return 0, 0, *size
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def _at_most(confidence: float | None) -> float | None:
    return None if confidence is None else min(MOST_CONFIDENCE, confidence)
