from __future__ import annotations

from casola_ocr.text.confidence import LOW_CONFIDENCE, page_confidence
from casola_ocr.text.flags import BLANK, LOW, page_flags


def test_no_words() -> None:
    assert page_confidence([]) == (None, None)


def test_words_without_confidence_are_left_out() -> None:
    assert page_confidence([("a", None), ("b", None)]) == (None, None)
    assert page_confidence([("a", None), ("b", 0.5)]) == (0.5, 0.5)


def test_the_mean_counts_characters() -> None:
    assert page_confidence([("abc", 1.0), ("d", 0.6)]) == (0.9, 0.6)


def test_the_low_value_is_the_nearest_rank() -> None:
    words = [("w", value / 100) for value in range(1, 101)]
    assert page_confidence(reversed(words)) == (0.505, 0.05)
    assert page_confidence(words[:20])[1] == 0.01
    assert page_confidence(words[:21])[1] == 0.02


def test_four_digits() -> None:
    assert page_confidence([("ab", 1.0), ("c", 0.0)]) == (0.6667, 0.0)


def test_flags() -> None:
    assert page_flags("", None) == (BLANK,)
    assert page_flags(" \n", 0.9) == (BLANK,)
    assert page_flags("text", None) == ()
    assert page_flags("text", LOW_CONFIDENCE) == ()
    assert page_flags("text", LOW_CONFIDENCE - 0.01) == (LOW,)
