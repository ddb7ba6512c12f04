"""What counts as a word."""

from __future__ import annotations

import regex

#: Scripts written without spaces between words: first and last code point of each block.
_IDEOGRAPHS = (
    (0x3005, 0x3007),  # iteration mark, closing mark, ideographic zero
    (0x3041, 0x3096),  # hiragana
    (0x30A1, 0x30FA),  # katakana
    (0x30FC, 0x30FF),  # long vowel and iteration marks of katakana
    (0x31F0, 0x31FF),  # small katakana
    (0x3400, 0x4DBF),  # ideographs, extension A
    (0x4E00, 0x9FFF),  # ideographs
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0xFF66, 0xFF9D),  # half-width katakana
    (0x20000, 0x3FFFD),  # ideographs of the supplementary planes
)

#: What is written without spaces in Thai, Lao, Khmer and Burmese; only a dictionary has its words.
_UNSPACED_RUN = regex.compile(r"\p{Line_Break=Complex_Context}+")
#: The places between words of UAX #29.
_BOUNDARY = regex.compile(r"\b", regex.WORD | regex.VERSION1)


def is_ideograph(character: str) -> bool:
    """Whether the character is an ideograph or kana, beside which no space stands."""
    code = ord(character)
    return code >= 0x3005 and any(first <= code <= last for first, last in _IDEOGRAPHS)


def count_words(text: str) -> int:
    """Count the words of a text, as Unicode's UAX #29 segments it.

    A segment counts when it holds a letter or a digit; punctuation alone does not. Chinese and
    Japanese put no spaces between words: there every ideograph and every hiragana counts as one,
    and a run of katakana as one. Korean has spaces and is counted by them. Of Thai, Lao, Khmer and
    Burmese a run without spaces counts as one.
    """
    segments = _BOUNDARY.split(_UNSPACED_RUN.sub(" x ", text))
    return sum(any(map(str.isalnum, segment)) for segment in segments)
