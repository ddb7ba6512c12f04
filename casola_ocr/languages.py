"""The languages that a client may name, and how what it named is understood.

Which engine reads which of them is said in `casola_ocr.engines`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from casola_ocr.errors import UnknownLanguage, Unprocessable

#: The word for "find out yourself"; it stands alone.
AUTO = "auto"
#: Tesseract loads a model for each, some 15 MB and a share of the time on every word.
MOST_LANGUAGES = 10


@dataclass(frozen=True, kw_only=True)
class Language:
    """A language that at least one engine reads."""

    #: ISO 639-1; with an ISO 15924 script after it where the language has more than one.
    code: str
    #: In English.
    name: str
    #: As Tesseract's script detection calls it.
    script: str
    #: Tesseract's language data, which are ISO 639-3 codes for the most part.
    data: tuple[str, ...]

    @property
    def packages(self) -> tuple[str, ...]:
        """Debian packages that hold the language data."""
        return tuple(f"tesseract-ocr-{name.replace('_', '-')}" for name in self.data)


def _table(*rows: tuple[str, str, str, str]) -> dict[str, Language]:
    return {
        code: Language(code=code, name=name, script=script, data=tuple(data.split("+")))
        for code, name, script, data in rows
    }


#: By code. The ten main languages come first; in each script, the most used one.
LANGUAGES = _table(
    ("en", "English", "Latin", "eng"),
    ("es", "Spanish", "Latin", "spa"),
    ("fr", "French", "Latin", "fra"),
    ("de", "German", "Latin", "deu"),
    ("it", "Italian", "Latin", "ita"),
    ("pt", "Portuguese", "Latin", "por"),
    ("ru", "Russian", "Cyrillic", "rus"),
    ("ja", "Japanese", "Japanese", "jpn"),
    ("ko", "Korean", "Korean", "kor"),
    ("zh", "Chinese", "Han", "chi_sim+chi_tra"),
    ("zh-hans", "Chinese (Simplified)", "Han", "chi_sim"),
    ("zh-hant", "Chinese (Traditional)", "Han", "chi_tra"),
    ("af", "Afrikaans", "Latin", "afr"),
    ("am", "Amharic", "Ethiopic", "amh"),
    ("ar", "Arabic", "Arabic", "ara"),
    ("az", "Azerbaijani", "Latin", "aze"),
    ("az-cyrl", "Azerbaijani (Cyrillic)", "Cyrillic", "aze_cyrl"),
    ("be", "Belarusian", "Cyrillic", "bel"),
    ("bg", "Bulgarian", "Cyrillic", "bul"),
    ("bn", "Bengali", "Bengali", "ben"),
    ("as", "Assamese", "Bengali", "asm"),
    ("bo", "Tibetan", "Tibetan", "bod"),
    ("br", "Breton", "Latin", "bre"),
    ("bs", "Bosnian", "Latin", "bos"),
    ("ca", "Catalan", "Latin", "cat"),
    ("co", "Corsican", "Latin", "cos"),
    ("cs", "Czech", "Latin", "ces"),
    ("cy", "Welsh", "Latin", "cym"),
    ("da", "Danish", "Latin", "dan"),
    ("de-latf", "German (Fraktur)", "Fraktur", "frk"),
    ("dv", "Divehi", "Thaana", "div"),
    ("dz", "Dzongkha", "Tibetan", "dzo"),
    ("el", "Greek", "Greek", "ell"),
    ("eo", "Esperanto", "Latin", "epo"),
    ("et", "Estonian", "Latin", "est"),
    ("eu", "Basque", "Latin", "eus"),
    ("fa", "Persian", "Arabic", "fas"),
    ("fi", "Finnish", "Latin", "fin"),
    ("fo", "Faroese", "Latin", "fao"),
    ("fy", "Western Frisian", "Latin", "fry"),
    ("ga", "Irish", "Latin", "gle"),
    ("gd", "Scottish Gaelic", "Latin", "gla"),
    ("gl", "Galician", "Latin", "glg"),
    ("gu", "Gujarati", "Gujarati", "guj"),
    ("he", "Hebrew", "Hebrew", "heb"),
    ("hi", "Hindi", "Devanagari", "hin"),
    ("hr", "Croatian", "Latin", "hrv"),
    ("ht", "Haitian", "Latin", "hat"),
    ("hu", "Hungarian", "Latin", "hun"),
    ("hy", "Armenian", "Armenian", "hye"),
    ("id", "Indonesian", "Latin", "ind"),
    ("is", "Icelandic", "Latin", "isl"),
    ("iu", "Inuktitut", "Canadian_Aboriginal", "iku"),
    ("jv", "Javanese", "Latin", "jav"),
    ("ka", "Georgian", "Georgian", "kat"),
    ("kk", "Kazakh", "Cyrillic", "kaz"),
    ("km", "Khmer", "Khmer", "khm"),
    ("kn", "Kannada", "Kannada", "kan"),
    ("ku", "Kurdish", "Latin", "kmr"),
    ("ky", "Kyrgyz", "Cyrillic", "kir"),
    ("la", "Latin", "Latin", "lat"),
    ("lb", "Luxembourgish", "Latin", "ltz"),
    ("lo", "Lao", "Lao", "lao"),
    ("lt", "Lithuanian", "Latin", "lit"),
    ("lv", "Latvian", "Latin", "lav"),
    ("mi", "Maori", "Latin", "mri"),
    ("mk", "Macedonian", "Cyrillic", "mkd"),
    ("ml", "Malayalam", "Malayalam", "mal"),
    ("mn", "Mongolian", "Cyrillic", "mon"),
    ("mr", "Marathi", "Devanagari", "mar"),
    ("ms", "Malay", "Latin", "msa"),
    ("mt", "Maltese", "Latin", "mlt"),
    ("my", "Burmese", "Myanmar", "mya"),
    ("ne", "Nepali", "Devanagari", "nep"),
    ("nl", "Dutch", "Latin", "nld"),
    ("no", "Norwegian", "Latin", "nor"),
    ("oc", "Occitan", "Latin", "oci"),
    ("or", "Odia", "Oriya", "ori"),
    ("pa", "Punjabi", "Gurmukhi", "pan"),
    ("pl", "Polish", "Latin", "pol"),
    ("ps", "Pashto", "Arabic", "pus"),
    ("qu", "Quechua", "Latin", "que"),
    ("ro", "Romanian", "Latin", "ron"),
    ("sa", "Sanskrit", "Devanagari", "san"),
    ("sd", "Sindhi", "Arabic", "snd"),
    ("si", "Sinhala", "Sinhala", "sin"),
    ("sk", "Slovak", "Latin", "slk"),
    ("sl", "Slovenian", "Latin", "slv"),
    ("sq", "Albanian", "Latin", "sqi"),
    ("sr", "Serbian", "Cyrillic", "srp"),
    ("sr-latn", "Serbian (Latin)", "Latin", "srp_latn"),
    ("su", "Sundanese", "Latin", "sun"),
    ("sv", "Swedish", "Latin", "swe"),
    ("sw", "Swahili", "Latin", "swa"),
    ("ta", "Tamil", "Tamil", "tam"),
    ("te", "Telugu", "Telugu", "tel"),
    ("tg", "Tajik", "Cyrillic", "tgk"),
    ("th", "Thai", "Thai", "tha"),
    ("ti", "Tigrinya", "Ethiopic", "tir"),
    ("tl", "Filipino", "Latin", "fil"),
    ("to", "Tongan", "Latin", "ton"),
    ("tr", "Turkish", "Latin", "tur"),
    ("tt", "Tatar", "Cyrillic", "tat"),
    ("ug", "Uyghur", "Arabic", "uig"),
    ("uk", "Ukrainian", "Cyrillic", "ukr"),
    ("ur", "Urdu", "Arabic", "urd"),
    ("uz", "Uzbek", "Latin", "uzb"),
    ("uz-cyrl", "Uzbek (Cyrillic)", "Cyrillic", "uzb_cyrl"),
    ("vi", "Vietnamese", "Latin", "vie"),
    ("yi", "Yiddish", "Hebrew", "yid"),
    ("yo", "Yoruba", "Latin", "yor"),
)

#: A language, and perhaps its script and region.
_TAG = re.compile(r"[a-z]{2,3}(-[a-z]{4})?(-([a-z]{2}|[0-9]{3}))?")

#: The ten that every installation should read.
MAIN_LANGUAGES = tuple(LANGUAGES)[:10]

_ALIASES = {
    # Regions that say which script is meant.
    "zh-cn": "zh-hans",
    "zh-sg": "zh-hans",
    "zh-tw": "zh-hant",
    "zh-hk": "zh-hant",
    "zh-mo": "zh-hant",
    "simplified chinese": "zh-hans",
    "traditional chinese": "zh-hant",
    "zho": "zh",
    "chi": "zh",
    "nb": "no",
    "nn": "no",
    "nob": "no",
    "tagalog": "tl",
    "farsi": "fa",
    "oriya": "or",
}
_CODES = {
    **{name: language.code for language in LANGUAGES.values() for name in language.data},
    **{language.name.lower(): language.code for language in LANGUAGES.values()},
    **_ALIASES,
    **{code: code for code in LANGUAGES},
}


def language_codes(asked: str) -> str:
    """What a client asked for, as the domain writes it: codes with commas between, or ``auto``.

    Each may be an ISO 639-1 code, with or without a region (``pt-BR``), an ISO 639-3 code, or an
    English name. The order is kept, the most important first.

    Raises:
        UnknownLanguage: one of them is not known.
        Unprocessable: there are too many.
    """
    names = [" ".join(name.split()).lower() for name in asked.split(",")]
    if names == [AUTO]:
        return AUTO
    codes = dict.fromkeys(_code(name) for name in names)
    if len(codes) > MOST_LANGUAGES:
        raise Unprocessable(f"At most {MOST_LANGUAGES} languages can be named.")
    return ",".join(codes)


def parse_codes(codes: str) -> tuple[Language, ...]:
    """The languages that `language_codes` wrote down; none for ``auto``."""
    return () if codes == AUTO else tuple(LANGUAGES[code] for code in codes.split(","))


def _code(name: str) -> str:
    if name in _CODES:
        return _CODES[name]
    tag = name.replace("_", "-")
    while _TAG.fullmatch(tag):
        if tag in _CODES:
            return _CODES[tag]
        # What a region or an unusual script adds is no language of its own.
        tag = tag.rpartition("-")[0]
    raise UnknownLanguage(
        f"This language is not known. Known are {AUTO}, or with commas between them: "
        f"{', '.join(LANGUAGES)}."
    )
