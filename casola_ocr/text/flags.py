"""What is worth knowing about a page besides its text."""

from __future__ import annotations

from casola_ocr.text.confidence import LOW_CONFIDENCE

#: No text was found on the page.
BLANK = "blank"
#: The engine is unsure of the page's text; somebody should look at it.
LOW = "low_confidence"
#: Model ``auto``: PP-OCRv6 alone, which knows the page's script.
AUTO_FIRST = "auto_first"
#: Model ``auto``: Tesseract too, because of the language that was asked for.
AUTO_LANGUAGE = "auto_language"
#: Model ``auto``: Tesseract too, because of the script that was found.
AUTO_SCRIPT = "auto_script"
#: Model ``auto``: there is a script that only Tesseract knows, and its language data is not here.
AUTO_NO_DATA = "auto_no_data"


def page_flags(text: str, confidence: float | None) -> tuple[str, ...]:
    """Return the flags of a page with this text and this confidence."""
    if not text.strip():
        return (BLANK,)
    if confidence is not None and confidence < LOW_CONFIDENCE:
        return (LOW,)
    return ()
