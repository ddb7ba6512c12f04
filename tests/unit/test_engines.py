from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from casola_ocr.engines import announcement, choose_engine, list_engines, live_engines
from casola_ocr.errors import (
    EngineUnavailable,
    LanguageNotInstalled,
    UnknownLanguage,
    UnknownModel,
)
from casola_ocr.records import Records

PPOCR = announcement("pp-ocrv6", "rapidocr 3", None)
TESSERACT = announcement("tesseract", "tesseract 5, 3", {"en", "ru", "ja"})
BOTH = announcement("auto", "1", None)
GPU = announcement("deepseek-ocr", "1", None)


def records(*workers: tuple[str, ...]) -> Records:
    """Records that know these live workers, each by what it announced."""
    told = {capability for worker in workers for capability in worker}
    return cast(Records, SimpleNamespace(capabilities=lambda: told))


@pytest.mark.parametrize(
    ("workers", "model", "language", "engine"),
    [
        ((PPOCR, TESSERACT), "auto", "auto", "pp-ocrv6"),
        ((PPOCR, TESSERACT), "auto", "de,en", "pp-ocrv6"),
        ((PPOCR, TESSERACT), "auto", "ru", "tesseract"),
        ((PPOCR, TESSERACT), "auto", "en,ru", "tesseract"),
        ((PPOCR, TESSERACT), "tesseract", "auto", "tesseract"),
        ((PPOCR, TESSERACT, BOTH), "auto", "auto", "auto"),
        ((PPOCR, TESSERACT, BOTH), "auto", "ru,zh", "auto"),
        ((PPOCR, TESSERACT, BOTH), "pp-ocrv6", "zh", "pp-ocrv6"),
        ((GPU, PPOCR, TESSERACT, BOTH), "auto", "th", "deepseek-ocr"),
    ],
)
def test_auto_takes_the_first_live_engine_that_reads_all_languages(
    workers: tuple[tuple[str, ...], ...], model: str, language: str, engine: str
) -> None:
    assert choose_engine(records(*workers), model, language) == engine


@pytest.mark.parametrize("language", ["ru", "ko", "el", "vi", "yo", "en,ru"])
def test_an_engine_without_the_letters_is_refused_with_those_that_have_them(language: str) -> None:
    with pytest.raises(UnknownLanguage, match=r"pp-ocrv6 cannot read .*tesseract"):
        choose_engine(records(PPOCR, TESSERACT), "pp-ocrv6", language)


def test_without_an_engine_for_the_language_auto_says_which_would_read_it() -> None:
    with pytest.raises(UnknownLanguage, match=r"Russian here.*: deepseek.*tesseract"):
        choose_engine(records(PPOCR), "auto", "ru")


@pytest.mark.parametrize("model", ["auto", "tesseract"])
def test_a_language_whose_data_is_missing_is_named_with_its_package(model: str) -> None:
    with pytest.raises(LanguageNotInstalled) as caught:
        choose_engine(records(PPOCR, TESSERACT), model, "en,ko")
    assert caught.value.detail == "The data for Korean is not installed: tesseract-ocr-kor."
    assert "apt-get install" in caught.value.advice


def test_the_composite_engine_reads_what_its_engines_read_together() -> None:
    workers = records(PPOCR, TESSERACT, BOTH)
    for language in ("zh", "ru", "ru,zh"):
        assert choose_engine(workers, "auto", language) == "auto"
    with pytest.raises(LanguageNotInstalled, match="tesseract-ocr-kor"):
        choose_engine(workers, "auto", "zh,ko")


def test_a_language_works_only_when_every_worker_of_the_engine_has_it() -> None:
    other = announcement("tesseract", "tesseract 5, 4", {"en", "ko"})
    with pytest.raises(LanguageNotInstalled, match="Russian"):
        choose_engine(records(TESSERACT, other), "tesseract", "ru")
    info = {engine.name: engine for engine in list_engines(records(TESSERACT, other))}
    assert info["tesseract"].works == {"en"}
    assert info["tesseract"].version == "tesseract 5 3, tesseract 5 4"


def test_an_unknown_model_and_one_that_is_not_live_name_the_live_ones_once() -> None:
    workers = records(PPOCR, TESSERACT, BOTH)
    with pytest.raises(UnknownModel, match=r"now: auto, pp-ocrv6, tesseract.$"):
        choose_engine(workers, "gpt-9", "auto")
    with pytest.raises(EngineUnavailable, match=r"now: auto, pp-ocrv6, tesseract.$"):
        choose_engine(workers, "deepseek-ocr", "auto")
    with pytest.raises(EngineUnavailable, match="now: none"):
        choose_engine(records(), "auto", "auto")
    assert live_engines(workers) == ("auto", "pp-ocrv6", "tesseract")


def test_an_announcement_survives_the_commas_between_capabilities() -> None:
    assert not any("," in capability for capability in TESSERACT)
    stored = set(",".join([*PPOCR, *TESSERACT]).split(","))
    assert stored == {*PPOCR, *TESSERACT}
