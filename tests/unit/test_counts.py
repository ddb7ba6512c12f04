from __future__ import annotations

import pytest

from casola_ocr.text.counts import count_words, is_ideograph


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        (" \n\t ", 0),
        ("one", 1),
        ("one  two\nthree", 3),
        ("— … •", 0),
        ("a - b", 2),
        ("don't e-mail", 3),
        ("$250.00", 1),
        ("3.14 1,000", 2),
        ("שלום עולם", 2),
        ("สวัสดีครับ ผม", 2),
        ("Größe naïve", 2),
        ("日本語", 3),
        ("ひらがな カタカナ", 5),
        ("東京、2026年。", 4),
        ("iPhoneを買う", 4),
        ("한국어 문장", 2),
        ("привет, мир", 2),
        ("𠮷野家", 3),
    ],
)
def test_count_words(text: str, words: int) -> None:
    assert count_words(text) == words


def test_punctuation_is_no_ideograph() -> None:
    assert not any(is_ideograph(character) for character in "、。「」・a1한")
