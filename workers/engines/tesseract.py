"""Tesseract on the CPU: the program itself, one run for each page."""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

from PIL import Image

from casola_ocr.engines import not_installed
from casola_ocr.errors import ConfigurationError, EngineFailed
from casola_ocr.languages import LANGUAGES, parse_codes
from casola_ocr.pages import Line, PageResult, Word
from casola_ocr.text.confidence import page_confidence
from casola_ocr.text.counts import is_ideograph
from casola_ocr.text.page import build_page
from casola_ocr.text.upright import Upright
from workers.engines.scripts import LETTERS, letters_of, sample_of

PROGRAM = "tesseract"
#: Tesseract refuses less than 3 pixels; nothing legible is smaller than this in either direction.
SMALLEST_SIDE = 5
#: Its coordinates are 16 bits wide.
LARGEST_SIDE = 32_767
#: Most pages are about so many inches long; without a dpi Tesseract guesses 70 for many.
PAGE_INCHES = 11
LEAST_DPI, MOST_DPI = 70, 300
#: Page segmentation: find the blocks by itself; tell only orientation and script.
PSM_AUTOMATIC, PSM_SCRIPT = 3, 0
#: What ``auto`` reads a page in Latin script with: all of them take twice the time of one, and make
#: a fifth less errors than English alone on pages in these languages (docs/why.md).
LATIN_AUTO = ("en", "fr", "de", "es", "it", "pt")
#: Its second thread gains little, and beside other work it spins: 40 s for a page of one second
#: (docs/why.md). Pages are read side by side instead.
THREAD_LIMIT = "1"
#: All that the program gets of the environment: no secret of the service.
_VARIABLES = ("PATH", "TESSDATA_PREFIX", "LD_LIBRARY_PATH")
#: Punctuation that stands between ideographs, full-width forms, Thai.
_UNSPACED = re.compile(r"[\u3000-\u303f\uff00-\uff65\u0e00-\u0e7f]")

#: Columns of a row of the table.
_CELLS = 12

Box = tuple[int, int, int, int]

#: Page orientation is believed from this confidence, which has no upper end; right ones mostly have
#: more than 5.
LEAST_ORIENTATION = 2.0
_TOLD = re.compile(r"^([A-Z][a-z ]+): (\S+)$", re.MULTILINE)
#: What its script detection also answers, and how the table of languages calls it.
_SCRIPTS = {
    "Hangul": "Korean",
    "HanS": "Han",
    "HanT": "Han",
    "Hiragana": "Japanese",
    "Katakana": "Japanese",
}
#: A page that is read worse than this may stand on its head.
DOUBTFUL = 0.6
#: One that is read worse than this may not be what it looked like: what it makes of letters of
#: another script, or upside down, has up to 0.67.
MISTAKEN = 0.75

_log = logging.getLogger(__name__)


class Look(NamedTuple):
    """What Tesseract sees of a page before it reads it."""

    #: As Tesseract calls it, which is how `Language.script` does.
    script: str
    #: By how many degrees clockwise the page has to be turned to be read.
    rotation: int


class TesseractEngine:
    """Reads with the installed Tesseract, in the languages whose data is installed."""

    name = "tesseract"

    def __init__(self, threads: int):
        """Ask the program for its version and languages. It runs on one thread, whatever is given.

        Raises:
            ConfigurationError: the program is not installed, or has no language.
        """
        self._environment = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        self._environment["OMP_THREAD_LIMIT"] = THREAD_LIMIT
        try:
            version = self._run(["--version"]).split()[1]
            # The first line is a heading.
            self._data = frozenset(self._run(["--list-langs"]).split("\n")[1:]) - {""}
        except (FileNotFoundError, EngineFailed, IndexError) as error:
            raise ConfigurationError(
                "The engine 'tesseract' needs the program tesseract: apt-get install tesseract-ocr."
            ) from error
        self.version = f"tesseract {version}{_data_version()}"
        #: Codes of the languages that work on this machine.
        self.languages: frozenset[str] = frozenset(
            code
            for code, language in LANGUAGES.items()
            if any(name in self._data for name in language.data)
        )
        if not self.languages:
            raise ConfigurationError(
                "Tesseract has no language data: apt-get install tesseract-ocr-eng."
            )

    def read(self, image: Image.Image, *, page: int, attempt: int, language: str) -> PageResult:
        """Read one page. On ``auto`` the languages follow from the script that is found first.

        Raises:
            EngineFailed: Tesseract failed on this page.
            LanguageNotInstalled: the data of a language is not on this machine.
        """
        start = time.perf_counter()
        codes = self.with_latin([known.code for known in parse_codes(language)])
        upright = Upright(image.size)
        look = None if codes else self.look(image)
        if look:
            codes = self.languages_of(look.script)
            upright = Upright(image.size, look.rotation)
        lines = self.recognise(upright.turn(image), codes)
        if look and look.rotation and _confidence(lines) < MISTAKEN:
            # Its look is wrong now and then.
            as_it_is = self.recognise(image, codes)
            if _confidence(as_it_is) > _confidence(lines):
                upright, lines = Upright(image.size), as_it_is
        if look and lines and _confidence(lines) < MISTAKEN:
            lines = self._in_another_script(upright.turn(image), look.script, lines)
        if look is None and (rotation := self.missed_turn(image, lines)):
            upright = Upright(image.size, rotation)
            lines = self.recognise(upright.turn(image), codes)
        return build_page(
            lines,
            page=page,
            upright=upright,
            engine=self.name,
            engine_version=self.version,
            attempts=attempt,
            seconds=time.perf_counter() - start,
            asked=language,
            known=self.languages,
        )

    def _in_another_script(self, image: Image.Image, script: str, lines: list[Line]) -> list[Line]:
        """The lines of an image that looked like one script, in another if that reads better.

        Small letters and few look like any script.
        """
        sample = sample_of(image, [line.box for line in lines])
        codes = self.try_scripts(sample, but={script, "Fraktur"})
        other = self.recognise(image, codes) if codes else []
        return other if _confidence(other) > _confidence(lines) else lines

    def recognise(
        self, image: Image.Image, languages: Sequence[str], *, psm: int = PSM_AUTOMATIC
    ) -> list[Line]:
        """The lines of an image, in its pixels, in languages by code, the most important first.

        `psm` is Tesseract's page segmentation mode (7: the image is a single line of text).

        Raises:
            EngineFailed: Tesseract failed on this image.
            LanguageNotInstalled: the data of a language is not on this machine.
        """
        data = self._data_of(languages)
        small, scale = _shrink(image)
        if min(small.size) < SMALLEST_SIDE:
            return []
        told = self._run(_arguments(small, data, psm, "tsv", "txt"), small)
        return _lines(told, image.size, scale)

    def missed_turn(self, image: Image.Image, lines: Sequence[Line]) -> int:
        """By how many degrees clockwise an image has to be turned whose lines came out wrong.

        Tesseract also reads lines that run up or down a page, and puts them in no good order.
        """
        if _confidence(lines) >= DOUBTFUL and not _run_down(lines):
            return 0
        return self.look(image).rotation

    def languages_of(self, script: str) -> list[str]:
        """Languages for a page of which nothing but its script is known, of those installed."""
        if script == "Latin":
            found = [code for code in LATIN_AUTO if code in self.languages]
        else:
            # Its most used language that is here.
            of_script = [known.code for known in LANGUAGES.values() if known.script == script]
            found = self.with_latin([code for code in of_script if code in self.languages][:1])
        return found or [next(code for code in LANGUAGES if code in self.languages)]

    def with_latin(self, codes: list[str]) -> list[str]:
        """The languages, and one in Latin script: names and numbers in any text are.

        Without it Russian pages have ten times the errors. Beside Hebrew and Arabic it takes half
        of the words for its own.
        """
        scripts = {LANGUAGES[code].script for code in codes}
        if not codes or scripts & {"Latin", "Fraktur", "Hebrew", "Arabic"}:
            return codes
        return codes + [code for code in LATIN_AUTO[:1] if code in self.languages]

    def try_scripts(self, sample: Image.Image, *, but: Collection[str]) -> list[str]:
        """Languages of the script in which most of a few lines can be read; none where none can.

        Scripts `but` are not tried, nor those of which no data is installed.
        """
        best: list[str] = []
        best_letters = LETTERS
        for script in dict.fromkeys(known.script for known in LANGUAGES.values()):
            languages = self.languages_of(script)
            if script in but or LANGUAGES[languages[0]].script != script:
                continue
            letters = letters_of(script, self.recognise(sample, languages), self.name)
            if letters > best_letters:
                best, best_letters = languages, letters
        return best

    def look(self, image: Image.Image) -> Look:
        """The script of a page and which way up it is; Latin and upright where nothing tells."""
        small, _ = _shrink(image)
        if "osd" not in self._data or min(small.size) < SMALLEST_SIDE:
            return Look("Latin", 0)
        try:
            told = self._run(_arguments(small, ["osd"], PSM_SCRIPT), small)
        except EngineFailed:
            # Its answer to a page with too little text to tell.
            return Look("Latin", 0)
        found: dict[str, str] = dict(_TOLD.findall(told))
        sure = float(found.get("Orientation confidence", 0)) > LEAST_ORIENTATION
        script: str = found.get("Script", "Latin")
        return Look(_SCRIPTS.get(script, script), int(found.get("Rotate", 0)) if sure else 0)

    def _data_of(self, languages: Sequence[str]) -> list[str]:
        """Names of the language data, in the same order."""
        missing = [LANGUAGES[code] for code in languages if code not in self.languages]
        if missing:
            raise not_installed(missing)
        wanted = [name for code in languages for name in LANGUAGES[code].data]
        return [name for name in dict.fromkeys(wanted) if name in self._data]

    def _run(self, arguments: Sequence[str], image: Image.Image | None = None) -> str:
        """Run Tesseract; whatever interrupts this call, a signal's handler included, ends it.

        Raises:
            EngineFailed: it ended with an error.
        """
        done = subprocess.run(
            [*_dies_with_us(), PROGRAM, *arguments],
            input=_as_pixmap(image) if image else b"",
            capture_output=True,
            env=self._environment,
        )
        if done.returncode:
            _log.warning("tesseract: %s", done.stderr[-500:].decode(errors="replace"))
            raise EngineFailed("Tesseract could not read the page.")
        return done.stdout.decode(errors="replace")


def _confidence(lines: Sequence[Line]) -> float:
    """Of all lines by their lengths, from 0 to 1; 0 without any."""
    sure, _ = page_confidence((line.text, line.confidence) for line in lines)
    return sure or 0.0


def _run_down(lines: Sequence[Line]) -> bool:
    """Whether most of the text stands in lines that are higher than wide."""
    upright = sum(
        len(line.text)
        for line in lines
        if len(line.text) > 1 and line.box[3] - line.box[1] > line.box[2] - line.box[0]
    )
    return 2 * upright > sum(len(line.text) for line in lines)


def _dies_with_us() -> list[str]:
    """What makes the program end with this process, even when that is killed (Linux only)."""
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


def _arguments(image: Image.Image, data: Sequence[str], psm: int, *formats: str) -> list[str]:
    dpi = min(MOST_DPI, max(LEAST_DPI, max(image.size) // PAGE_INCHES))
    languages = "+".join(data)
    options = ["-l", languages, "--psm", str(psm), "--dpi", str(dpi)]
    return ["stdin", "stdout", *options, *formats]


def _as_pixmap(image: Image.Image) -> bytes:
    """The pixels as they are: nothing to compress and to unpack again."""
    buffer = io.BytesIO()
    image.save(buffer, "PPM")
    return buffer.getvalue()


def _shrink(image: Image.Image) -> tuple[Image.Image, float]:
    """An image that Tesseract takes, and what its boxes grow by."""
    scale = max(1.0, max(image.size) / LARGEST_SIDE)
    if scale > 1:
        image = image.resize([max(1, int(side / scale)) for side in image.size])
    return image, scale


def _data_version() -> str:
    """Version of the packaged language data, where the system can tell."""
    try:
        asked = ["dpkg-query", "--show", "--showformat=${Version}", "tesseract-ocr-eng"]
        done = subprocess.run(asked, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return f" tessdata {done.stdout}" if done.returncode == 0 else ""


def _lines(told: str, size: tuple[int, int], scale: float) -> list[Line]:
    """The lines of Tesseract's table, with the spaces of the plain text that follows it.

    The table's rows are the words and what holds them. It also splits what is written as one word
    in Korean and others; only the text knows.
    """
    words: dict[tuple[str, ...], list[Word]] = {}
    texts: list[str] = []
    for row in told.splitlines()[1:]:
        cells = row.split("\t")
        if len(cells) != _CELLS or not cells[0].isdecimal():
            texts.append(row)
            continue
        level, _page, *place, _number, left, top, width, height, confidence, text = cells
        text = text.strip()
        # Only words have a text; those that were not recognised have a confidence of -1.
        if level != "5" or not text or float(confidence) < 0:
            continue
        word = Word(
            text=text,
            confidence=round(min(100.0, float(confidence)) / 100, 4),
            start=0,
            box=_scaled((int(left), int(top)), int(width), int(height), size, scale),
        )
        words.setdefault(tuple(place), []).append(word)
    spaced = {"".join(text.split()): text.split() for text in texts}
    return [_line(_joined(found, spaced)) for found in words.values()]


def _joined(found: Sequence[Word], spaced: Mapping[str, Sequence[str]]) -> Sequence[Word]:
    """The words of a line, those joined that the text writes as one."""
    tokens = spaced.get("".join(word.text for word in found))
    # The text also has what was not recognised; such a line is not found in it.
    if tokens is None or len(tokens) >= len(found):
        return found
    ends = set(accumulate(len(token) for token in tokens))
    joined: list[Word] = []
    at = 0
    for word in found:
        if not joined or at in ends or _runs_on(joined[-1].text[-1]) or _runs_on(word.text[0]):
            joined.append(word)
        else:
            joined[-1] = _one_word(joined[-1], word)
        at += len(word.text)
    return joined


def _one_word(left: Word, right: Word) -> Word:
    text = left.text + right.text
    weighted = [(word.confidence or 0) * len(word.text) for word in (left, right)]
    box = left.box and right.box and _around([left.box, right.box])
    return replace(left, text=text, confidence=round(sum(weighted) / len(text), 4), box=box)


def _around(boxes: Sequence[Box]) -> Box:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _line(found: Sequence[Word]) -> Line:
    """A line of words in the order in which they are read."""
    box = _around([word.box for word in found if word.box])
    text = ""
    words: list[Word] = []
    for word in found:
        if words and _is_spaced(words[-1], word, box[3] - box[1]):
            text += " "
        words.append(replace(word, start=len(text)))
        text += word.text
    weights = sum(len(word.text) for word in words)
    confidence = sum((word.confidence or 0) * len(word.text) for word in words) / weights
    return Line(text=text, confidence=round(confidence, 4), box=box, words=tuple(words))


def _is_spaced(left: Word, right: Word, height: int) -> bool:
    """Whether a space stands between two words.

    Tesseract also splits what is written without spaces; there the gap tells.
    """
    if not (_runs_on(left.text[-1]) or _runs_on(right.text[0])) or not (left.box and right.box):
        return True
    return right.box[0] - left.box[2] > height / 2


def _runs_on(character: str) -> bool:
    """Whether the character belongs to a script without spaces: ideographs, kana, Thai."""
    return is_ideograph(character) or bool(_UNSPACED.match(character))


def _scaled(
    corner: tuple[int, int], width: int, height: int, size: tuple[int, int], scale: float
) -> Box:
    """A box of the page image, at least a pixel wide and high."""
    x0, y0 = (min(int(at * scale), side - 1) for at, side in zip(corner, size, strict=True))
    x1 = min(size[0], round((corner[0] + width) * scale))
    y1 = min(size[1], round((corner[1] + height) * scale))
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)
