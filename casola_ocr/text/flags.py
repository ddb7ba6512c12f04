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

#: The engine's confidence is its own figure: no calibration was fitted for it.
UNCALIBRATED = "uncalibrated"

#: What a model wrote about labels and places was cut off or malformed; the text is whole.
MARKUP = "markup"
#: A model reached its limit of tokens before the page's end.
TRUNCATED = "truncated"
#: A model was stopped because it wrote the same tokens again and again.
REPETITION = "repetition"
#: A block says little that is new, as loops do: it compresses far better than print.
COMPRESSIBLE = "compressible"
#: The text ends with the same words again and again.
SUFFIX_LOOP = "suffix_loop"
#: A model put several parts of the page at the very same place.
REPEATED_BOXES = "repeated_boxes"
#: A model was often kept from repeating itself and had to write what it held for less likely.
BANNED_TOKENS = "banned_tokens"
#: There is far more text than can stand on the page.
MORE_TEXT_THAN_INK = "more_text_than_ink"
#: A model wrote nothing about a page that has something on it.
EMPTY_OUTPUT = "empty_output"

#: The engine that was asked for could not be trusted with the page; another one read it.
FALLBACK = "fallback"
#: A page far longer than wide, which a model sees squeezed.
STRETCHED = "stretched"

#: With one of these a page's text is not to be trusted, and it is worth another reading.
UNTRUSTED = frozenset({
    TRUNCATED, REPETITION, COMPRESSIBLE, SUFFIX_LOOP, REPEATED_BOXES, BANNED_TOKENS,
    MORE_TEXT_THAN_INK, EMPTY_OUTPUT,
})  # fmt: skip


def page_flags(text: str, confidence: float | None) -> tuple[str, ...]:
    """Return the flags of a page with this text and this confidence."""
    if not text.strip():
        return (BLANK,)
    if confidence is not None and confidence < LOW_CONFIDENCE:
        return (LOW,)
    return ()
