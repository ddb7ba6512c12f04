"""From the lines that an engine found to the page result, the same way for every engine."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from casola_ocr.languages import AUTO, parse_codes
from casola_ocr.pages import Line, PageResult
from casola_ocr.text.calibration import calibrated
from casola_ocr.text.confidence import page_confidence
from casola_ocr.text.counts import count_words
from casola_ocr.text.flags import page_flags
from casola_ocr.text.language import detect_language
from casola_ocr.text.layout import lay_out
from casola_ocr.text.markdown import markdown_of
from casola_ocr.text.upright import Upright


def build_page(
    found: Sequence[Line],
    *,
    page: int,
    upright: Upright,
    engine: str,
    engine_version: str,
    attempts: int,
    seconds: float,
    asked: str = AUTO,
    known: Collection[str] = (),
    flags: Sequence[str] = (),
) -> PageResult:
    """Put the lines in reading order and compute the page's text and numbers.

    `found` are lines in any order, with boxes in pixels of the level page (origin top left) that
    `upright` tells how to make, and the engine's own confidences. `asked` are the languages that
    were asked for, as `language_codes` writes them; a single one is the page's without a look.
    Without any it is one of `known`, the codes of those that the engine reads (empty = any).
    """
    layout = lay_out(calibrated(found, engine))
    lines, text = layout.lines, layout.text
    raw, _ = page_confidence(
        (word.text, word.confidence_raw) for line in lines for word in line.words
    )
    mean, low = page_confidence(
        (word.text, word.confidence) for line in lines for word in line.words
    )
    return PageResult(
        page=page,
        width=upright.size[0],
        height=upright.size[1],
        text=text,
        words=count_words(text),
        confidence=mean,
        confidence_low=low,
        engine=engine,
        engine_version=engine_version,
        attempts=attempts,
        seconds=round(seconds, 3),
        lines=upright.lines_to_page(lines),
        flags=(*flags, *page_flags(text, mean)),
        language=_language(text, asked, known),
        rotation=upright.rotation,
        markdown=markdown_of(lines, layout.blocks),
        blocks=upright.blocks_to_page(layout.blocks),
        confidence_raw=raw,
    )


def _language(text: str, asked: str, known: Collection[str]) -> str | None:
    codes = [language.code for language in parse_codes(asked)]
    return codes[0] if len(codes) == 1 else detect_language(text, codes or known)
