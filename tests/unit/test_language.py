"""Which language a text is in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casola_ocr.languages import LANGUAGES
from casola_ocr.text.language import detect_language, script_of

TEXTS = {
    "en": "The quick brown fox jumps over the lazy dog and pays for it",
    "de": "Die Straße nach Köln ist für Fußgänger gesperrt, weil Bäume umgestürzt sind",
    "fr": "Le renard brun saute par-dessus le chien paresseux et s'en va",
    "es": "El veloz murciélago hindú comía feliz cardillo y kiwi en la mañana",
    "pt": "A rápida raposa marrom não pulou sobre o cão preguiçoso de manhã",
    "it": "Quel vituperabile xenofobo zelante assaggia il whisky ed esclama alleluja",
    "pl": "Zażółć gęślą jaźń, powiedział szybki lis i przeskoczył nad leniwym psem",
    "ru": "Съешь же ещё этих мягких французских булок, да выпей чаю",
    "uk": "Жебракують філософи при ґанку церкви в Гадячі, ще й шатро їхнє п'яне знаємо",
    "el": "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί",
    "he": "דג סקרן שט בים מאוכזב ולפתע מצא חברה",
    "ar": "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر",
    "fa": "این متن به زبان فارسی نوشته شده است و باید شناخته شود",
    "hi": "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश करने वाले",
    "th": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า",
    "ko": "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다",
    "ja": "いろはにほへと散りぬるを我が世誰ぞ常ならむ",
    "zh-hans": "天地玄黄宇宙洪荒日月盈昃这个汉语简体",
    "zh-hant": "天地玄黃宇宙洪荒日月盈昃這個漢語繁體",
    "ka": "ეს არის ქართული ტექსტი",
    "am": "ይህ የአማርኛ ጽሑፍ ነው",
}

#: A letter of each script that a language is written in.
LETTERS = {
    "Latin": "ß", "Cyrillic": "ж", "Greek": "ώ", "Hebrew": "ש", "Arabic": "ع", "Han": "漢",
    "Japanese": "カ", "Korean": "한", "Devanagari": "अ", "Bengali": "অ", "Gurmukhi": "ਅ",
    "Gujarati": "અ", "Oriya": "ଅ", "Tamil": "அ", "Telugu": "అ", "Kannada": "ಅ", "Malayalam": "അ",
    "Sinhala": "අ", "Thai": "ก", "Lao": "ກ", "Khmer": "ក", "Myanmar": "က", "Tibetan": "ཀ",
    "Georgian": "ა", "Armenian": "ա", "Ethiopic": "አ", "Thaana": "ދ", "Canadian_Aboriginal": "ᐃ",
}  # fmt: skip


@pytest.mark.parametrize("code", TEXTS)
def test_a_sentence_is_known_by_its_script_and_words(code: str) -> None:
    assert detect_language(TEXTS[code]) == code


def test_every_script_that_a_language_is_written_in_is_told_by_its_letters() -> None:
    # Fraktur is written with Latin letters.
    scripts = {language.script for language in LANGUAGES.values()} - {"Fraktur"}
    assert scripts == set(LETTERS)
    assert {script: script_of(letter) for script, letter in LETTERS.items()} == {
        script: script for script in LETTERS
    }


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "Acme Ltd.\nSECOND PRIZE WINNER\nNOT VALID AFTER THE DATE BELOW"),
        ("it", "Nr. 7\nQUESTA RICEVUTA NON VALE COME FATTURA"),
    ],
)
def test_words_in_capitals_tell_the_language_as_others_do(code: str, text: str) -> None:
    assert detect_language(text) == code


@pytest.mark.parametrize("letter", ["1", " ", "$", ".", "٣", "。", "\u0301"])
def test_what_is_no_letter_has_no_script(letter: str) -> None:
    assert script_of(letter) == ""


@pytest.mark.parametrize("text", ["", " \n", "1499.00 $", "12:45 …", "AB 12", "Total: 12"])
def test_a_text_with_too_few_letters_does_not_tell(text: str) -> None:
    assert detect_language(text) is None


def test_of_few_letters_the_script_tells_where_it_is_mostly_one_languages() -> None:
    assert detect_language("Да") == "ru"
    assert detect_language("שלום") == "he"
    assert detect_language("한글") == "ko"


def test_only_the_languages_that_are_possible_are_answered() -> None:
    assert detect_language(TEXTS["uk"], {"ru", "en"}) == "ru"
    assert detect_language(TEXTS["ru"], {"en", "de"}) is None
    assert detect_language(TEXTS["zh-hant"], {"zh", "en"}) == "zh"
    assert detect_language(TEXTS["zh-hant"], {"zh", "zh-hans"}) == "zh"
    assert detect_language(TEXTS["de"], {"de"}) == "de"


def test_of_two_scripts_the_one_with_more_letters_counts() -> None:
    assert detect_language(TEXTS["ru"] + " OCR by Casola") == "ru"
    assert detect_language(TEXTS["en"] + " Да") == "en"


def test_an_ideograph_is_worth_a_word_of_latin_letters() -> None:
    assert detect_language("这个软件可以识别文字 Debian GNU Linux") == "zh-hans"


@given(st.text(max_size=60), st.sets(st.sampled_from(list(LANGUAGES)), max_size=4))
def test_any_text_is_answered_with_a_language_that_is_possible(text: str, among: set[str]) -> None:
    assert detect_language(text, among) in {None, *(among or LANGUAGES)}
