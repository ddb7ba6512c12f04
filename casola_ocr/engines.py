"""Which engines there are, what each can read, and which one reads a job. No engine is imported.

Workers announce their engines as capabilities: ``engine:NAME``, ``version:NAME:VERSION`` and, where
the languages depend on the machine, ``reads:NAME:CODE+CODE``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from casola_ocr import shapes
from casola_ocr.errors import (
    EngineUnavailable,
    LanguageNotInstalled,
    MalformedRequest,
    UnknownLanguage,
    UnknownModel,
)
from casola_ocr.languages import AUTO as ANY_LANGUAGE
from casola_ocr.languages import LANGUAGES, Language, parse_codes
from casola_ocr.model import MODES
from casola_ocr.records import Records

#: As a model: whichever engine suits. As an engine: the CPU engines together, page by page.
AUTO = "auto"

#: Latin letters that PP-OCRv6's alphabet does not have: those with two marks, or one below.
_NOT_IN_PPOCR = {"vi", "yo"}
#: What PP-OCRv6 reads.
PPOCR_LANGUAGES = frozenset(
    code
    for code, language in LANGUAGES.items()
    if language.script in ("Latin", "Han", "Japanese") and code not in _NOT_IN_PPOCR
)
_ALL = frozenset(LANGUAGES)

#: Every engine that this version knows with the languages that it can ever read, the one that
#: ``auto`` prefers first.
_READS = {
    "deepseek-ocr-v2": _ALL,
    "deepseek-ocr": _ALL,
    AUTO: _ALL,
    "pp-ocrv6": PPOCR_LANGUAGES,
    "tesseract": _ALL,
}
ENGINES = tuple(_READS)
#: Those that need a GPU, and each a worker of its own.
GPU_ENGINES = ("deepseek-ocr-v2", "deepseek-ocr")

#: Which one is asked next about a page that a model cannot be trusted with.
_OTHER_VERSION = dict(zip(GPU_ENGINES, reversed(GPU_ENGINES), strict=True))

#: What an engine can be told beside languages; one that writes text and Markdown in any case takes
#: ``document`` and ``text`` for the same. The second DeepSeek-OCR was trained with these two only.
_MODES = dict.fromkeys(ENGINES, ("document", "text")) | {"deepseek-ocr": MODES}
_PROMPTED = {"deepseek-ocr"}

#: How old the list of live engines may be by which one is chosen. A worker that dies stays on it
#: for far longer; each submission would cost a round trip more.
CHOICE_SECONDS = 1.0

_ABOUT = {
    "deepseek-ocr-v2": "GPU: layout, tables and formulas as Markdown, in most languages",
    "deepseek-ocr": "GPU: layout, tables and formulas as Markdown, in most languages",
    AUTO: "takes the best engine that is live and reads the languages",
    "pp-ocrv6": "CPU: photographs, receipts, screens and scans in Latin, Chinese and Japanese",
    "tesseract": "CPU: clean scans and print, in every language whose data is installed",
}


@dataclass(frozen=True, kw_only=True)
class EngineInfo:
    """An engine as clients see it."""

    name: str
    #: Whether a live worker runs it; for ``auto``, whether any engine is live.
    live: bool
    #: Of its code and weights; with commas between them where workers differ, None = not live.
    version: str | None
    about: str
    #: What it can ever read, and what of it works now.
    languages: tuple[Language, ...]
    works: frozenset[str]
    #: Which of `MODES` it can be asked for, and whether it takes a prompt; of ``auto``, what the
    #: live ones do.
    modes: tuple[str, ...]
    prompt: bool

    def to_dict(self) -> shapes.Engine:
        """The public shape."""
        return {
            "name": self.name,
            "live": self.live,
            "version": self.version,
            "about": self.about,
            "languages": [
                {"code": known.code, "name": known.name, "works": known.code in self.works}
                for known in self.languages
            ],
            "modes": list(self.modes),
            "prompt": self.prompt,
        }


def languages_of(engine: str) -> frozenset[str]:
    """The codes of the languages that an engine can ever read."""
    return _READS[engine]


def announcement(name: str, version: str, languages: Iterable[str] | None) -> tuple[str, ...]:
    """The capabilities of a worker that runs this engine; `languages` by code, None = fixed."""
    # A comma separates capabilities.
    told = (f"engine:{name}", f"version:{name}:{version.replace(',', '')}")
    return told if languages is None else (*told, f"reads:{name}:{'+'.join(sorted(languages))}")


def live_engines(records: Records) -> tuple[str, ...]:
    """Engines that a live worker runs, the one that ``auto`` takes first."""
    return _live(records.capabilities())


def list_engines(records: Records) -> tuple[EngineInfo, ...]:
    """Every engine that this version knows, ``auto`` first."""
    capabilities = records.capabilities()
    live = _live(capabilities)
    found = []
    for name in dict.fromkeys((AUTO, *ENGINES)):
        # Also without the engine of this name, `auto` finds one that reads.
        runs = live if name == AUTO else tuple({name} & set(live))
        works = frozenset[str]().union(*(_works(capabilities, engine) for engine in runs))
        told = live if name == AUTO else (name,)
        found.append(
            EngineInfo(
                name=name,
                live=bool(runs),
                version=", ".join(sorted(_told(capabilities, f"version:{name}:"))) or None,
                about=_ABOUT[name],
                languages=tuple(LANGUAGES[code] for code in LANGUAGES if code in _READS[name]),
                works=works,
                modes=tuple(mode for mode in MODES if any(mode in _MODES[each] for each in told)),
                prompt=not _PROMPTED.isdisjoint(told),
            )
        )
    return tuple(found)


def takes_prompt(records: Records, model: str) -> bool:
    """Whether the engine that reads for this model name takes a prompt; raises as `choose_engine`.

    What is chosen does not depend on it: ``auto`` takes no other engine for a prompt's sake here.
    """
    return choose_engine(records, model, ANY_LANGUAGE) in _PROMPTED


def other_version(records: Records, engine: str, *, mode: str, prompt: str) -> str | None:
    """The other DeepSeek-OCR, if a live worker runs it and it can be told the same."""
    other = _OTHER_VERSION.get(engine)
    if other is None or not _can(other, mode, prompt):
        return None
    return other if other in _live(records.capabilities()) else None


def choose_engine(
    records: Records, model: str, language: str, *, mode: str = MODES[0], prompt: str = ""
) -> str:
    """The engine that reads for this model name: for ``auto`` the first that can do all of it.

    `language` is as `languages.language_codes` writes it, `prompt` as `prompts.checked_prompt`.

    Raises:
        UnknownModel: there is no such model.
        MalformedRequest: there is no such mode, or the model cannot be told the mode or a prompt.
        EngineUnavailable: no live worker runs it.
        UnknownLanguage: it can never read one of the languages.
        LanguageNotInstalled: it could, but not every worker that runs it has the data.
    """
    capabilities = records.capabilities(max_age=CHOICE_SECONDS)
    live = _live(capabilities)
    listed = ", ".join(dict.fromkeys((AUTO, *live))) if live else "none"
    if model not in ENGINES:
        raise UnknownModel(f"No model has this name. Models that are live now: {listed}.")
    if mode not in MODES:
        raise MalformedRequest(f"'mode' is one of {', '.join(MODES)}.", field="mode")
    asked = live if model == AUTO else (model,)
    _check_wishes(asked, mode, prompt)
    candidates = [name for name in asked if name in live and _can(name, mode, prompt)]
    if not candidates:
        raise EngineUnavailable(
            f"No live worker runs this model. Models that are live now: {listed}.",
            retry_after_seconds=5,
        )
    languages = parse_codes(language)
    wanted = {known.code for known in languages}
    for engine in candidates:
        if wanted <= _works(capabilities, engine):
            return engine
    for engine in candidates:
        if wanted <= _READS[engine]:
            works = _works(capabilities, engine)
            raise not_installed([known for known in languages if known.code not in works])
    names = ", ".join(known.name for known in languages)
    able = ", ".join(
        name
        for name in ENGINES
        if name != AUTO and wanted <= _READS[name] and _can(name, mode, prompt)
    )
    raise UnknownLanguage(f"The model {model} cannot read {names} here. Models that can: {able}.")


def _can(engine: str, mode: str, prompt: str) -> bool:
    return mode in _MODES[engine] and (not prompt or engine in _PROMPTED)


def _check_wishes(asked: Sequence[str], mode: str, prompt: str) -> None:
    """Refuse what none of these engines can be told, naming those that can.

    Raises:
        MalformedRequest: there are engines, and none of them can do it.
    """
    if not asked or any(_can(engine, mode, prompt) for engine in asked):
        return
    known = [each for each in MODES if any(each in _MODES[engine] for engine in asked)]
    names = ", ".join(asked)
    able = ", ".join(engine for engine in ENGINES if _can(engine, mode, prompt))
    if mode not in known:
        raise MalformedRequest(
            f"The mode {mode} is not known to {names}: {' and '.join(known)} are. "
            f"Models that know it: {able}.",
            field="mode",
        )
    raise MalformedRequest(
        f"A prompt is taken by none of {names}, only the modes {' and '.join(known)}. "
        f"Models that take one: {able}.",
        field="prompt",
    )


def not_installed(missing: Sequence[Language]) -> LanguageNotInstalled:
    """The error that names languages without data, and the packages that hold it."""
    names = ", ".join(known.name for known in missing)
    packages = " ".join(name for known in missing for name in known.packages)
    return LanguageNotInstalled(f"The data for {names} is not installed: {packages}.")


def _live(capabilities: set[str]) -> tuple[str, ...]:
    return tuple(name for name in ENGINES if f"engine:{name}" in capabilities)


def _works(capabilities: set[str], engine: str) -> frozenset[str]:
    """What every live worker that runs this engine can read: any of them may get the page."""
    reads = _READS[engine]
    if engine == AUTO:
        reads = _works(capabilities, "pp-ocrv6") | _works(capabilities, "tesseract")
    told = _told(capabilities, f"reads:{engine}:")
    return reads.intersection(*(codes.split("+") for codes in told))


def _told(capabilities: set[str], prefix: str) -> list[str]:
    return [text.removeprefix(prefix) for text in capabilities if text.startswith(prefix)]
