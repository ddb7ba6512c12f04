"""The engine behind the model ``auto``: for each page the reading that is best.

PP-OCRv6 reads every page; it is the faster one, and on the scripts that it knows the better one.
Only where it is unsure of a good part of a page Tesseract looks which script that is. When it is
one that PP-OCRv6 does not know, Tesseract reads the page as well, and the two readings are fused
word by word, so that a page in two scripts keeps all its lines.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image

from casola_ocr.engines import PPOCR_LANGUAGES
from casola_ocr.languages import AUTO, LANGUAGES, parse_codes
from casola_ocr.pages import Line, PageResult
from casola_ocr.text import flags
from casola_ocr.text.calibration import calibrated
from casola_ocr.text.fusion import fuse
from casola_ocr.text.language import detect_language
from casola_ocr.text.page import build_page
from casola_ocr.text.upright import Upright
from workers.engines.ppocr import PPOcrEngine, Reading
from workers.engines.scripts import LETTERS, letters_of, sample_of
from workers.engines.tesseract import TesseractEngine

#: Scripts that PP-OCRv6 knows.
FIRST_SCRIPTS = frozenset({"Latin", "Han", "Japanese"})
#: Part of a page's lines, by length, on which it has to be unsure before another look is worth it.
DOUBT = 0.12


class _Plan(NamedTuple):
    """A second reading: in which languages, of the page turned how, and why."""

    languages: Sequence[str]
    #: Of the page image, where the first reading got it wrong; None where it did not.
    rotation: int | None
    reason: str


_FIRST_ALONE = _Plan((), None, flags.AUTO_FIRST)


class AutoEngine:
    """Both CPU engines as one."""

    name = AUTO

    def __init__(self, first: PPOcrEngine, second: TesseractEngine):
        self._first = first
        self._second = second
        self.version = f"{self._first.version}, {self._second.version}"

    def read(self, image: Image.Image, *, page: int, attempt: int, language: str) -> PageResult:
        """Read one page; `engine` of the result names who read it, its flags say why.

        Raises:
            EngineFailed: an engine failed on this page.
            LanguageNotInstalled: the data of a language is not on this machine.
        """
        start = time.perf_counter()
        asked = [known.code for known in parse_codes(language)]
        reading = self._first.recognise(image)
        plan = self._plan(image, reading, asked)
        lines: Sequence[Line] = reading.lines
        upright = reading.upright
        used: tuple[PPOcrEngine | TesseractEngine, ...] = (self._first,)
        if plan.languages:
            turned = upright if plan.rotation is None else Upright(image.size, plan.rotation)
            level = turned.level(image)
            second = self._second_reading(level, plan)
            asked_for = plan.reason == flags.AUTO_LANGUAGE
            if asked_for and (missed := self._second.missed_turn(level, second)):
                turned = Upright(image.size, (turned.rotation + missed) % 360)
                second = self._second_reading(turned.level(image), plan)
            if second and turned == upright and lines:
                lines, used = self._fused(reading, second), (self._first, self._second)
            elif second:
                lines, upright, used = second, turned, (self._second,)
            else:
                plan = _FIRST_ALONE
        return build_page(
            lines,
            page=page,
            upright=upright,
            engine="+".join(engine.name for engine in used),
            engine_version=", ".join(engine.version for engine in used),
            attempts=attempt,
            seconds=time.perf_counter() - start,
            asked=language,
            known=self._known(),
            flags=(plan.reason,),
        )

    def _plan(self, image: Image.Image, reading: Reading, asked: list[str]) -> _Plan:
        if not PPOCR_LANGUAGES.issuperset(asked):
            return _Plan(self._second.with_latin(asked), None, flags.AUTO_LANGUAGE)
        if asked or reading.doubt < DOUBT:
            return _FIRST_ALONE
        level = reading.upright.level(image)
        look = self._second.look(level)
        if look.script not in FIRST_SCRIPTS:
            languages = self._second.languages_of(look.script)
            if LANGUAGES[languages[0]].script != look.script:
                return _Plan((), None, flags.AUTO_NO_DATA)
            turned = (reading.upright.rotation + look.rotation) % 360
            return _Plan(languages, turned if look.rotation else None, flags.AUTO_SCRIPT)
        # Small letters and few look Latin to it.
        languages = self._second.try_scripts(
            sample_of(level, reading.unsure), but={*FIRST_SCRIPTS, "Fraktur"}
        )
        return _Plan(languages, None, flags.AUTO_SCRIPT) if languages else _FIRST_ALONE

    def _second_reading(self, level: Image.Image, plan: _Plan) -> list[Line]:
        """What Tesseract reads; nothing where the script that it saw is not there after all."""
        lines = self._second.recognise(level, plan.languages)
        if plan.reason != flags.AUTO_SCRIPT:
            return lines
        main, *others = plan.languages
        script = LANGUAGES[main].script
        if letters_of(script, lines, self._second.name) < LETTERS:
            return []
        # The script's most used language was a guess; now there is text to tell.
        of_script = {code for code in self._second.languages if LANGUAGES[code].script == script}
        language = detect_language(_text(lines), of_script)
        if language is None or language in plan.languages:
            return lines
        return self._second.recognise(level, [language, *others])

    def _fused(self, first: Reading, second: Sequence[Line]) -> list[Line]:
        return fuse(
            calibrated(first.lines, self._first.name),
            calibrated(second, self._second.name),
            first.unsure,
        )

    def _known(self) -> list[str]:
        return [
            *self._second.languages,
            *(c for c, each in LANGUAGES.items() if each.script in ("Han", "Japanese")),
        ]


def _text(lines: Sequence[Line]) -> str:
    return "\n".join(line.text for line in lines)
