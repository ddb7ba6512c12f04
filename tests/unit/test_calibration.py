"""What an engine's confidence means."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casola_ocr.errors import ConfigurationError
from casola_ocr.pages import Line, Word
from casola_ocr.text.calibration import (
    calibrate,
    calibrated,
    read_tables,
    use_tables,
    write_tables,
)

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


def in_use(path: str) -> tuple[float, float]:
    """What two engines' figures mean with the tables of a file; in a process of its own."""
    use_tables(Path(path))
    return calibrate("tesseract", 0.9), calibrate("pp-ocrv6", 0.9)


def test_an_operators_table_wins_and_the_shipped_ones_of_other_engines_stay(tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    write_tables(file, {"tesseract": [(0.0, 0.25), (1.0, 0.25)]})
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(in_use, (str(file),)) == (0.25, calibrate("pp-ocrv6", 0.9))


def test_tables_are_read_as_they_were_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    tables = {"one": [(0.1, 0.2), (0.5, 0.2), (1.0, 0.99)], "other": [(0.5, 0.5)]}
    write_tables(tmp_path / "own.json", tables)
    assert read_tables(tmp_path / "own.json") == tables
    assert [file.name for file in tmp_path.iterdir()] == ["own.json"]


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "5", '{"a": 5}', '{"a": []}', '{"a": [[0.5]]}', '{"a": [[0.5, "x"]]}',
        '{"a": [[0.5, 1.5]]}', '{"a": [[0.5, NaN]]}', '{"a": [[0.5, 0.1], [0.4, 0.2]]}',
        '{"a": [[0.5, 0.3], [0.6, 0.2]]}',
    ],
)  # fmt: skip
def test_a_damaged_file_is_one_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "own.json"
    file.write_text(content)
    with pytest.raises(
        ConfigurationError, match=r"own\.json holds no calibration tables"
    ) as caught:
        read_tables(file)
    assert "\n" not in caught.value.detail


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        use_tables(tmp_path / "own.json")
