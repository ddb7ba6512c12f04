from __future__ import annotations

import pytest

from casola_ocr.errors import UnknownLanguage, Unprocessable
from casola_ocr.languages import LANGUAGES, MAIN_LANGUAGES, language_codes, parse_codes


@pytest.mark.parametrize(
    ("asked", "codes"),
    [
        ("auto", "auto"),
        (" AUTO ", "auto"),
        ("en", "en"),
        ("EN,ru", "en,ru"),
        ("English, Russian", "en,ru"),
        ("ru, en, Russian", "ru,en"),
        ("deu", "de"),
        ("pt-BR", "pt"),
        ("pt_br", "pt"),
        ("es-419", "es"),
        ("zh", "zh"),
        ("zh-CN", "zh-hans"),
        ("zh-tw", "zh-hant"),
        ("zh-Hant-HK", "zh-hant"),
        ("chi_sim", "zh-hans"),
        ("Chinese (traditional)", "zh-hant"),
        ("Simplified  Chinese", "zh-hans"),
        ("sr-Latn", "sr-latn"),
        ("nb", "no"),
        ("latin", "la"),
    ],
)
def test_codes_names_and_regions_are_understood(asked: str, codes: str) -> None:
    assert language_codes(asked) == codes


@pytest.mark.parametrize(
    "asked",
    ["", "klingon", "en,", "en,klingon", "auto,en", "en;ru", "no-such-language", "e n", "-"],
)
def test_what_is_not_known_is_refused_with_the_list(asked: str) -> None:
    with pytest.raises(UnknownLanguage) as caught:
        language_codes(asked)
    assert "auto, or with commas between them: en, es, fr" in caught.value.detail
    assert "klingon" not in caught.value.detail, "what a client wrote is not sent back"


def test_more_languages_than_a_page_can_bear_are_refused() -> None:
    assert language_codes(",".join(MAIN_LANGUAGES)) == ",".join(MAIN_LANGUAGES)
    with pytest.raises(Unprocessable, match="10"):
        language_codes(",".join([*MAIN_LANGUAGES, "pl"]))


def test_codes_come_back_as_languages_in_the_same_order() -> None:
    assert [known.name for known in parse_codes("ru,en")] == ["Russian", "English"]
    assert parse_codes("auto") == ()


def test_every_language_is_found_by_code_name_and_data() -> None:
    assert len(LANGUAGES) > 100
    for code, known in LANGUAGES.items():
        assert known.code == code
        assert language_codes(code) == language_codes(known.name) == code
    data = [name for code, known in LANGUAGES.items() if code != "zh" for name in known.data]
    assert len(data) == len(set(data)), "no two languages share their data"


def test_the_main_ten_are_those_that_the_readme_installs() -> None:
    assert MAIN_LANGUAGES == ("en", "es", "fr", "de", "it", "pt", "ru", "ja", "ko", "zh")
    assert LANGUAGES["zh"].packages == ("tesseract-ocr-chi-sim", "tesseract-ocr-chi-tra")
    assert LANGUAGES["sr-latn"].packages == ("tesseract-ocr-srp-latn",)
