"""What is worth knowing about a page besides its text."""

from __future__ import annotations

from casola_ocr.text.confidence import LOW_CONFIDENCE

#: No text was found on the page.
EMPTY = "empty"
#: The engine is unsure of the page's text; somebody should look at it.
LOW = "low_confidence"


def page_flags(text: str, confidence: float | None) -> tuple[str, ...]:
    """Return the flags of a page with this text and this confidence."""
    if not text.strip():
        return (EMPTY,)
    if confidence is not None and confidence < LOW_CONFIDENCE:
        return (LOW,)
    return ()
