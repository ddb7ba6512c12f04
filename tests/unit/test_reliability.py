from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from casola_ocr.corpus import Entry, halves
from casola_ocr.pages import Line, Word
from casola_ocr.text.calibration import chance
from casola_ocr.text.reliability import (
    LEAST_CHANCE,
    MOST_CHANCE,
    MOST_ROWS,
    Bin,
    expected_error,
    fit,
    judged,
    reliability,
)


def line(text: str, confidence: float = 0.9) -> Line:
    words = tuple(Word(text=word, confidence=confidence, start=0) for word in text.split())
    return Line(text=text, confidence=confidence, box=(0, 0, 9, 9), words=words)


def rights(lines: list[Line], truth: str, **how: bool) -> dict[str, float]:
    return {word.text: right for word, right in judged(lines, truth, **how)}


def overconfident(words: int, seed: int) -> list[tuple[float, float]]:
    """Words that are right as often as the square of their confidence says."""
    draw = random.Random(seed)
    drawn = [draw.random() for _ in range(words)]
    return [(confidence, float(draw.random() < confidence**2)) for confidence in drawn]


def test_a_word_is_right_when_the_truth_has_it_anywhere() -> None:
    assert rights([line("two one"), line("tree")], "one\ntwo three") == {
        "two": 1,
        "one": 1,
        "tree": 0,
    }


def test_copies_beyond_those_of_the_truth_are_right_in_part() -> None:
    assert rights([line("a a a b")], "a a b b") == {"a": pytest.approx(2 / 3), "b": 1}


def test_case_is_forgiven_only_where_the_truth_has_none() -> None:
    assert rights([line("Total")], "TOTAL") == {"Total": 0}
    assert rights([line("Total")], "TOTAL", case_insensitive=True) == {"Total": 1}


def test_compatible_forms_are_the_same_word() -> None:
    assert rights([line("ﬁve")], "five") == {"ﬁve": 1}


def test_the_halves_of_a_parted_word_are_not_judged() -> None:
    assert rights([line("an exam-"), line("ple of it")], "an example of it") == {
        "an": 1,
        "of": 1,
        "it": 1,
    }


def test_a_fitted_table_rises_is_short_and_never_certain() -> None:
    table = fit(overconfident(5000, seed=1))
    assert 2 <= len(table) <= MOST_ROWS
    for (raw, low), (next_raw, high) in pairwise(table):
        assert raw < next_raw
        assert low < high
    assert table[0][1] >= LEAST_CHANCE
    assert table[-1][1] <= MOST_CHANCE


def test_a_fitted_table_tells_the_chance_on_other_words() -> None:
    table = fit(overconfident(20_000, seed=1))
    for confidence in (0.2, 0.5, 0.8, 0.95):
        assert chance(table, confidence) == pytest.approx(confidence**2, abs=0.05)
    other = overconfident(20_000, seed=2)
    before = expected_error(reliability(other))
    after = expected_error(reliability((chance(table, sure), right) for sure, right in other))
    assert before > 0.15
    assert after < 0.03


def test_what_falls_is_pooled() -> None:
    assert fit([(0.2, 0.5), (0.4, 0.3), (0.9, 0.8)]) == [(0.3, 0.4), (0.9, 0.8)]


def test_certainty_is_clipped() -> None:
    assert fit([(0.1, 0.0), (0.9, 1.0)]) == [(0.1, LEAST_CHANCE), (0.9, MOST_CHANCE)]


def test_a_single_confidence_makes_a_table_of_one_row() -> None:
    assert chance(fit([(1.0, 1.0), (1.0, 0.0)]), 0.3) == 0.5


def test_fewer_rows_keep_the_largest_steps() -> None:
    verdicts = [(0.1, 0.1), (0.2, 0.11), (0.5, 0.5), (0.9, 0.9)]
    assert fit(verdicts, rows=3) == [(0.15, 0.105), (0.5, 0.5), (0.9, 0.9)]


def test_nothing_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="nothing"):
        fit([])


def test_reliability_puts_words_in_bins_by_confidence() -> None:
    bins = reliability([(0.05, 0.0), (0.91, 1.0), (1.0, 0.0)])
    assert bins == [Bin(1, 0.05, 0.0), Bin(2, pytest.approx(0.955), 0.5)]
    assert expected_error(bins) == pytest.approx((0.05 + 2 * 0.455) / 3)
    assert expected_error([]) == 0


def test_the_corpus_is_halved_by_kind_and_the_same_way_each_time() -> None:
    entries = [
        Entry(
            path=Path(name), name=name, kind=kind, language="en", truth="", case_insensitive=False
        )
        for kind in ("form", "book")
        for name in (f"{kind}-{number}.png" for number in range(5))
    ]
    fitting, others = halves(entries)
    assert {e.name for e in fitting} | {e.name for e in others} == {e.name for e in entries}
    assert [sum(e.kind == kind for e in fitting) for kind in ("form", "book")] == [3, 3]
    assert {e.name for e in halves(entries[::-1])[0]} == {e.name for e in fitting}
