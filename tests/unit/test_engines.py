from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from casola_ocr.engines import (
    announcement,
    choose_engine,
    list_engines,
    live_engines,
    takes_prompt,
)
from casola_ocr.errors import (
    EngineUnavailable,
    LanguageNotInstalled,
    MalformedRequest,
    UnknownLanguage,
    UnknownModel,
)
from casola_ocr.records import Records

PPOCR = announcement("pp-ocrv6", "rapidocr 3", None)
TESSERACT = announcement("tesseract", "tesseract 5, 3", {"en", "ru", "ja"})
BOTH = announcement("auto", "1", None)
GPU = announcement("deepseek-ocr", "1", None)
GPU2 = announcement("deepseek-ocr-v2", "1", None)


def records(*workers: tuple[str, ...]) -> Records:
    """Records that know these live workers, each by what it announced."""
    told = {capability for worker in workers for capability in worker}
    return cast(Records, SimpleNamespace(capabilities=lambda **_: told))


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


@pytest.mark.parametrize(
    ("model", "mode", "prompt", "engine"),
    [
        ("auto", "document", "", "deepseek-ocr-v2"),
        ("auto", "text", "", "deepseek-ocr-v2"),
        ("auto", "figure", "", "deepseek-ocr"),
        ("auto", "text", "Only the total", "deepseek-ocr"),
        ("deepseek-ocr", "figure", "Only the total", "deepseek-ocr"),
        ("tesseract", "text", "", "tesseract"),
    ],
)
def test_auto_takes_the_first_live_engine_that_can_be_told_so(
    model: str, mode: str, prompt: str, engine: str
) -> None:
    workers = records(GPU, GPU2, PPOCR, TESSERACT)
    assert choose_engine(workers, model, "auto", mode=mode, prompt=prompt) == engine


@pytest.mark.parametrize(
    ("model", "mode", "prompt", "field", "sentence"),
    [
        ("auto", "poem", "", "mode", "'mode' is one of document, text, figure."),
        ("deepseek-ocr-v2", "figure", "", "mode", "known to deepseek-ocr-v2: document and text"),
        ("deepseek-ocr-v2", "text", "Total", "prompt", "none of deepseek-ocr-v2, only the modes"),
        ("pp-ocrv6", "figure", "", "mode", "Models that know it: deepseek-ocr."),
        ("tesseract", "document", "Total", "prompt", "Models that take one: deepseek-ocr."),
        ("auto", "figure", "", "mode", "known to deepseek-ocr-v2, pp-ocrv6: document and text"),
        ("auto", "text", "Total", "prompt", "Models that take one: deepseek-ocr."),
    ],
)
def test_what_a_model_cannot_be_told_is_refused_with_those_that_can(
    model: str, mode: str, prompt: str, field: str, sentence: str
) -> None:
    with pytest.raises(MalformedRequest) as caught:
        choose_engine(records(GPU2, PPOCR), model, "auto", mode=mode, prompt=prompt)
    assert caught.value.field == field
    assert sentence in caught.value.detail


def test_what_can_be_told_and_is_not_live_is_unavailable_not_refused() -> None:
    with pytest.raises(EngineUnavailable):
        choose_engine(records(PPOCR), "deepseek-ocr", "auto", mode="figure", prompt="Total")
    with pytest.raises(EngineUnavailable):
        choose_engine(records(), "auto", "auto", prompt="Total")


def test_every_engine_is_listed_with_what_it_can_be_told() -> None:
    info = {engine.name: engine for engine in list_engines(records(GPU2, PPOCR))}
    assert (info["deepseek-ocr"].modes, info["deepseek-ocr"].prompt) == (
        ("document", "text", "figure"), True,
    )  # fmt: skip
    for name in ("deepseek-ocr-v2", "pp-ocrv6", "tesseract", "auto"):
        assert (info[name].modes, info[name].prompt) == (("document", "text"), False)
    assert {engine.name: engine for engine in list_engines(records(GPU))}["auto"].prompt


def test_auto_takes_a_prompt_when_the_engine_does_that_it_would_take_without() -> None:
    assert takes_prompt(records(GPU, PPOCR), "auto")
    assert not takes_prompt(records(GPU, GPU2), "auto")
    assert takes_prompt(records(GPU, GPU2), "deepseek-ocr")
    with pytest.raises(UnknownModel):
        takes_prompt(records(GPU), "gpt-9")
