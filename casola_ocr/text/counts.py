"""What counts as a word."""

from __future__ import annotations

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


def is_ideograph(character: str) -> bool:
    """Whether the character is an ideograph or kana, which counts as a word of its own."""
    code = ord(character)
    return code >= 0x3005 and any(first <= code <= last for first, last in _IDEOGRAPHS)


def count_words(text: str) -> int:
    """Count the words of a text.

    A word is a run without white space that holds a letter or a digit; punctuation alone is none.
    Chinese and Japanese put no spaces between words, so there every ideograph and every kana
    counts as one, and what stands between them is counted as above. Korean has spaces.
    """
    count = 0
    for token in text.split():
        pending = False
        for character in token:
            if is_ideograph(character):
                count += 1 + pending
                pending = False
            elif character.isalnum():
                pending = True
        count += pending
    return count
