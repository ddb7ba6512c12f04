"""The scores of the accuracy benchmark, and what it makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.accuracy import groups, scored, table_of
from benchmarks.readers import Reading, data_of
from benchmarks.scores import Scores, mean, normalise, score
from benchmarks.throughput import chosen_pages
from casola_ocr.corpus import Entry


def scores(truth: str, text: str, language: str = "en") -> Scores:
    return score(normalise(truth, language), normalise(text, language))


def entry(name: str, truth: str | None, *, kind: str = "form", language: str = "en") -> Entry:
    return Entry(
        path=Path(name),
        name=name,
        kind=kind,
        language=language,
        truth=truth,
        case_insensitive=False,
    )


def reading(text: str, *, seconds: float = 1.0) -> Reading:
    return Reading(texts=(text,), seconds=seconds, failures=(), version="1")


def test_white_space_and_compatible_forms_are_no_errors() -> None:
    assert scores("ﬁve  ½\nx\fy", "five 1⁄2 x y") == Scores(cer=0, wer=0, f1=1, order=1)


@pytest.mark.parametrize("hyphen", ["-", "\u00ad", "\u2010"])
def test_what_a_hyphen_parts_at_a_line_s_end_is_one_word(hyphen: str) -> None:
    assert normalise(f"exam{hyphen}\n  ple").words == ["example"]
    assert normalise(f"exam{hyphen} \nple").words == ["example"]


def test_other_hyphens_and_dashes_stay() -> None:
    assert normalise("well-known -\n- 5 - 6").words == ["well-known", "-", "-", "5", "-", "6"]


def test_case_counts_unless_the_truth_has_none() -> None:
    assert scores("TOTAL", "Total").cer == 0.8
    folded = [normalise(text, case_insensitive=True) for text in ("TOTAL", "Total")]
    assert score(*folded).cer == 0


@pytest.mark.parametrize("language", ["ja", "ko", "zh"])
def test_east_asian_text_is_compared_by_character_without_spaces(language: str) -> None:
    assert scores("한국어 문서", "한국 어문서", language) == Scores(cer=0, wer=0, f1=1, order=1)
    assert scores("漢字の文", "漢字の本", language) == Scores(
        cer=0.25, wer=0.25, f1=0.75, order=0.75
    )


def test_errors_are_edits_for_each_character_and_word_of_the_truth() -> None:
    found = scores("one two three four", "one tvo three")
    assert found.cer == pytest.approx(6 / 18)
    assert found.wer == 0.5
    assert found.f1 == pytest.approx(2 * 2 / 7)


def test_more_than_there_is_can_be_wrong() -> None:
    assert scores("a", "a b c").wer == 2


def test_a_repeated_word_counts_as_often_as_it_stands_there() -> None:
    assert scores("a a b", "a b b").f1 == pytest.approx(2 / 3)


def test_only_the_order_score_sees_columns_read_across() -> None:
    found = scores("a b c d e f", "a d b e c f")
    assert found.f1 == 1
    assert found.order == pytest.approx(4 / 6)


def test_nothing_read_and_nothing_there() -> None:
    assert scores("some words", "") == Scores(cer=1, wer=1, f1=0, order=0)
    assert scores("", "") == Scores(cer=0, wer=0, f1=1, order=1)
    assert scores("", "stain") == Scores(cer=1, wer=1, f1=0, order=0)


def test_a_mean_counts_every_file_the_same() -> None:
    one, other = Scores(cer=0, wer=0, f1=1, order=1), Scores(cer=1, wer=2, f1=0, order=0.5)
    assert mean([one, other]) == Scores(cer=0.5, wer=1, f1=0.5, order=0.75)


def test_the_oracle_takes_each_file_s_better_peer_by_cer() -> None:
    entries = [entry("a", "one two"), entry("b", "three four"), entry("c", None)]
    readings = {
        "rapidocr": {"a": reading("one two"), "b": reading("?"), "c": reading("x")},
        "tesseract-told": {"a": reading(""), "b": reading("three four!"), "c": reading("y")},
    }
    results = scored(entries, readings)
    assert results["oracle"] == {
        "a": results["rapidocr"]["a"],
        "b": results["tesseract-told"]["b"],
    }
    assert results["oracle"]["b"].f1 == 0.5


def test_there_is_no_oracle_of_one() -> None:
    assert "oracle" not in scored([entry("a", "one")], {"rapidocr": {"a": reading("one")}})


def test_groups_are_kinds_languages_and_all() -> None:
    entries = [entry("a", ""), entry("b", "", kind="book"), entry("c", "", language="fr")]
    assert {group: [e.name for e in members] for group, members in groups(entries)} == {
        "kind form": ["a", "c"],
        "kind book": ["b"],
        "language en": ["a", "b"],
        "language fr": ["c"],
        "all": ["a", "b", "c"],
    }


def test_a_file_without_a_truth_is_read_and_not_scored() -> None:
    entries = [entry("a", "one two"), entry("b", None)]
    readings = {"auto": {"a": reading("one"), "b": reading("x", seconds=3)}}
    table, figures = table_of(entries, readings, scored(entries, readings))
    assert figures["all"]["auto"] == {
        "cer": pytest.approx(4 / 7),
        "wer": 0.5,
        "f1": pytest.approx(2 / 3),
        "order": pytest.approx(2 / 3),
        "seconds": 2,
    }
    assert list(table.columns[1].cells)[-1] == "1/2"


def test_tesseract_is_told_which_chinese_it_is() -> None:
    assert list(data_of(entry("a", "简体汉字说这个书", language="zh"))) == ["chi_sim"]
    assert list(data_of(entry("a", "繁體漢字說這個書", language="zh"))) == ["chi_tra"]
    assert list(data_of(entry("a", None, language="zh"))) == ["chi_sim", "chi_tra"]
    assert list(data_of(entry("a", "Bonjour", language="fr"))) == ["fra"]


def test_throughput_takes_single_pictures_of_each_kind_in_turn() -> None:
    entries = [
        entry("a.jpg", ""),
        entry("b.png", ""),
        entry("c.pdf", "", kind="book"),
        entry("d.png", "", kind="book"),
        entry("e.tif", "", kind="table"),
    ]
    assert [each.name for each in chosen_pages(entries, 24)] == ["a.jpg", "d.png", "b.png"]
    assert [each.name for each in chosen_pages(entries, 2)] == ["a.jpg", "d.png"]
