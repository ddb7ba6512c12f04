"""Which engines and languages there are, and what each engine can read. No engine is imported."""

from __future__ import annotations

from casola_ocr.errors import EngineUnavailable, UnknownLanguage, UnknownModel
from casola_ocr.records import Records

#: Every engine that this version knows, the one that ``auto`` prefers first.
ENGINES = ("deepseek-ocr-v2", "deepseek-ocr", "pp-ocrv6", "tesseract")

#: Languages that a client may name. The engines that read them are another matter.
LANGUAGES = {
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "de": "german",
    "it": "italian",
    "pt": "portuguese",
    "ru": "russian",
    "ja": "japanese",
    "ko": "korean",
    "zh": "chinese",
}

#: Languages whose script an engine's alphabet does not have: it would answer with garbage.
UNREADABLE = {"pp-ocrv6": {"ko", "ru"}}


def live_engines(records: Records) -> tuple[str, ...]:
    """Engines that a live worker runs, the one that ``auto`` takes first."""
    capabilities = records.capabilities()
    return tuple(name for name in ENGINES if f"engine:{name}" in capabilities)


def choose_engine(records: Records, model: str, language: str) -> str:
    """The engine that reads for this model name.

    Raises:
        UnknownModel: there is no such model.
        EngineUnavailable: no live worker runs it.
        UnknownLanguage: the engine cannot read the script of this language.
    """
    live = live_engines(records)
    listed = ", ".join(("auto", *live)) if live else "none"
    if model not in ("auto", *ENGINES):
        raise UnknownModel(f"No model has this name. Models that are live now: {listed}.")
    engine = live[0] if model == "auto" and live else model
    if engine not in live:
        raise EngineUnavailable(
            f"No live worker runs this model. Models that are live now: {listed}.",
            retry_after_seconds=5,
        )
    if language in UNREADABLE.get(engine, ()):
        raise UnknownLanguage(f"The engine {engine} cannot read this language's script.")
    return engine


def language_code(asked: str) -> str:
    """The ISO 639-1 code of a language given by code or English name; or ``auto``.

    Raises:
        UnknownLanguage: it is not known.
    """
    name = asked.strip().lower()
    if name == "auto" or name in LANGUAGES:
        return name
    for code, english in LANGUAGES.items():
        if name == english:
            return code
    known = ", ".join(["auto", *LANGUAGES])
    raise UnknownLanguage(f"This language is not known. Known are: {known}.")
