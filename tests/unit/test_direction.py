"""In which direction a text runs."""

from __future__ import annotations

import pytest

from casola_ocr.text.direction import is_right_to_left


@pytest.mark.parametrize("text", ["שלום עולם", "مرحبا بالعالم", "שלום OCR", "ܫܠܡܐ", "ދިވެހި"])
def test_hebrew_arabic_and_their_kin_run_from_right_to_left(text: str) -> None:
    assert is_right_to_left(text)


@pytest.mark.parametrize("text", ["hello", "привет", "你好", "hello world שלום", "ไทย"])
def test_other_scripts_run_from_left_to_right(text: str) -> None:
    assert not is_right_to_left(text)


@pytest.mark.parametrize("text", ["", " ", "12:45", "٣٤٥", "$ (),.", "שa"])
def test_a_text_that_does_not_tell_runs_from_left_to_right(text: str) -> None:
    assert not is_right_to_left(text)
