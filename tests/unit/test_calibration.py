"""What an engine's confidence means."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casola_ocr.model import Line, Word
from casola_ocr.text.calibration import calibrate, calibrated

ENGINES = st.sampled_from(["pp-ocrv6", "tesseract", "another"])
SHARES = st.floats(0, 1)


def line(*sure: float | None, confidence: float | None = 0.9) -> Line:
    words = tuple(
        Word(text="four", confidence=each, start=5 * index) for index, each in enumerate(sure)
    )
    text = " ".join(word.text for word in words)
    return Line(text=text, confidence=confidence, box=(0, 0, 100, 20), words=words)


@given(ENGINES, SHARES, SHARES)
def test_who_is_surer_stays_surer_and_a_chance_is_a_chance(
    engine: str, one: float, other: float
) -> None:
    low, high = calibrate(engine, min(one, other)), calibrate(engine, max(one, other))
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize("engine", ["pp-ocrv6", "tesseract"])
def test_words_of_which_an_engine_is_quite_sure_are_wrong_more_often_than_it_says(
    engine: str,
) -> None:
    assert calibrate(engine, 0.7) < 0.7
    assert calibrate(engine, 1.0) > 0.9
    assert isinstance(calibrate(engine, 0.0), float)


def test_between_two_rows_of_the_table_the_chance_is_between_theirs() -> None:
    low, middle, high = (calibrate("pp-ocrv6", raw) for raw in (0.5, 0.55, 0.6))
    assert middle == pytest.approx((low + high) / 2)


@given(SHARES)
def test_an_engine_without_a_table_is_believed(confidence: float) -> None:
    assert calibrate("another", confidence) == pytest.approx(confidence, abs=1e-4)


def test_the_line_is_as_sure_as_its_words_and_the_raw_figure_stays() -> None:
    (found,) = calibrated([line(1.0, 0.5)], "tesseract")
    chances = [calibrate("tesseract", 1.0), calibrate("tesseract", 0.5)]
    assert [word.confidence for word in found.words] == chances
    assert [word.confidence_raw for word in found.words] == [1.0, 0.5]
    assert found.confidence == pytest.approx(sum(chances) / 2, abs=1e-4)


def test_a_figure_that_is_already_raw_is_not_overwritten() -> None:
    once = calibrated([line(0.7)], "tesseract")
    (again,) = calibrated(once, "pp-ocrv6+tesseract")
    assert again == once[0]


def test_words_without_a_confidence_get_none() -> None:
    (found,) = calibrated([line(None, 1.0)], "tesseract")
    assert (found.words[0].confidence, found.words[0].confidence_raw) == (None, None)
    assert found.confidence == calibrate("tesseract", 1.0)


def test_a_line_whose_words_have_none_has_its_own_calibrated() -> None:
    (found,) = calibrated([line(None, confidence=0.7)], "tesseract")
    assert found.confidence == calibrate("tesseract", 0.7)
    unknown = line(None, confidence=None)
    assert calibrated([unknown], "tesseract") == [unknown]
    assert calibrated([replace(unknown, words=())], "tesseract")[0].confidence is None
