"""DeepSeek-OCR v1 and v2: a page is read until its text can be trusted, or nothing is left to try.

What makes a text untrusted: see `casola_ocr.text.loops`. Published rates of repetition in use are
3 to 6 in 100 pages (arXiv 2601.20552, table 5), so most pages are read once.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import structlog
from PIL import Image

from casola_ocr.documents.ink import ink_of, is_flat
from casola_ocr.errors import CasolaError
from casola_ocr.languages import parse_codes
from casola_ocr.model import Wishes
from casola_ocr.pages import PageResult, Try
from casola_ocr.settings import Settings
from casola_ocr.text.flags import FALLBACK, STRETCHED, UNTRUSTED
from casola_ocr.text.generated import Generated
from casola_ocr.text.generated_page import build_generated_page, distrust
from casola_ocr.text.page import build_page
from casola_ocr.text.upright import Upright
from workers.engines.base import Engine
from workers.engines.transport import Request, Transport
from workers.engines.vllm_engine import InProcess
from workers.engines.vllm_remote import Remote

log = structlog.get_logger(__name__)

#: Pixels of the side of a tile; a page is cut into at most `_TILES` of them.
TILE_SIDES = {"deepseek-ocr": 640, "deepseek-ocr-v2": 768}
_TILES = 6
#: A page longer than that many times its width is squeezed into the longest row of tiles.
STRETCHED_RATIO = 1.5 * _TILES
#: Nothing legible is smaller than this many pixels in either direction.
SMALLEST_SIDE = 5
#: Part of a page's time after which no other reading of it is begun.
CLIMB_UNTIL = 0.5


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One way to read a page. The n-gram settings are those of the models' own scripts."""

    ngram: int = 20
    window: int = 90
    temperature: float = 0.0
    #: Only the text, without places: what cannot loop over places.
    plain: bool = False

    @property
    def how(self) -> str:
        said = [f"n-gram {self.ngram}/{self.window}"]
        said += ["text only"] if self.plain else []
        said += [f"temperature {self.temperature}"] if self.temperature else []
        return ", ".join(said)


#: The temperatures are those at which olmOCR's ladder begins.
LADDER = (
    Rung(ngram=30),
    Rung(),
    Rung(plain=True),
    Rung(plain=True, temperature=0.2),
    Rung(plain=True, temperature=0.4),
)


class DeepSeekEngine:
    """One version of DeepSeek-OCR. Called from many threads, each with a page of its own."""

    def __init__(
        self,
        name: str,
        transport: Transport,
        *,
        page_seconds: float,
        noise: bool = False,
        fallback: Callable[[], Engine] | None = None,
    ):
        """`fallback` makes the CPU engine that reads what this one cannot be trusted with.

        `noise` tells that the weights are random: then no page says anything about the reading.
        """
        self.name = name
        self.version = transport.version
        self.noise = noise
        self._transport = transport
        self._page_seconds = page_seconds
        self._make_fallback = fallback
        self._fallback: Engine | None = None
        # The CPU engine reads one page at a time.
        self._one = threading.Lock()

    def read(
        self,
        image: Image.Image,
        *,
        page: int,
        attempt: int,
        language: str,
        wishes: Wishes = Wishes(),
        stop: threading.Event | None = None,
    ) -> PageResult:
        """Read one page; see `ThreadedEngine`.

        Raises:
            EngineDied: the model's process has ended; the worker has to be started again.
            EngineFailed: the page could not be read now, or `stop` was set.
            Unprocessable: the model cannot take the page.
        """
        begun = time.monotonic()
        if min(image.size) < SMALLEST_SIDE or is_flat(image):
            # Shown an empty page the model invents a text.
            return self._blank(image, page, attempt, begun)
        ink = ink_of(image)
        scaled = fitted(image, self.name)
        flags = (STRETCHED,) if _ratio(image) > STRETCHED_RATIO else ()
        codes = [known.code for known in parse_codes(language)]
        tries: list[Try] = []
        results: list[PageResult] = []
        for rung in self._rungs(wishes, begun):
            generated = self._generate(scaled, wishes, rung, stop)
            result = build_generated_page(
                generated,
                size=image.size,
                page=page,
                engine=self.name,
                engine_version=self.version,
                attempts=attempt,
                seconds=time.monotonic() - begun,
                ink=None if wishes.prompt or wishes.mode == "figure" else ink,
                greedy=rung.temperature == 0,
                language=codes[0] if len(codes) == 1 else None,
                flags=flags,
            )
            tries.append(_try(self.name, rung.how, result, generated))
            results.append(result)
            if not tries[-1].flags:
                break
        best = min(results, key=distrust)
        if tries[-1].flags and wishes.fallback:
            best = self._fallen_back(image, page, attempt, language, tries) or best
        return replace(best, tries=tuple(tries), seconds=round(time.monotonic() - begun, 3))

    def alive(self) -> bool:
        return self._transport.alive()

    def close(self) -> None:
        self._transport.close()

    def _rungs(self, wishes: Wishes, begun: float) -> Iterator[Rung]:
        # Who asked for something else than the page's text is not given that.
        own = bool(wishes.prompt) or wishes.mode == "figure"
        rungs = [replace(rung, plain=False) for rung in LADDER] if own else LADDER
        if wishes.mode == "text":
            rungs = [replace(rung, plain=True) for rung in LADDER]
        for number, rung in enumerate(dict.fromkeys(rungs)):
            if number and time.monotonic() - begun > CLIMB_UNTIL * self._page_seconds:
                return
            yield rung

    def _generate(
        self, image: Image.Image, wishes: Wishes, rung: Rung, stop: threading.Event | None
    ) -> Generated:
        request = Request(
            image=image,
            wishes=replace(wishes, mode="text") if rung.plain else wishes,
            temperature=rung.temperature,
            ngram=rung.ngram,
            window=rung.window,
        )
        return self._transport.generate(request, stop)

    def _blank(self, image: Image.Image, page: int, attempt: int, begun: float) -> PageResult:
        return build_page(
            (),
            page=page,
            upright=Upright(image.size),
            engine=self.name,
            engine_version=self.version,
            attempts=attempt,
            seconds=time.monotonic() - begun,
        )

    def _fallen_back(
        self, image: Image.Image, page: int, attempt: int, language: str, tries: list[Try]
    ) -> PageResult | None:
        """What the CPU engine reads; None without one, or where it fails."""
        if self._make_fallback is None:
            return None
        try:
            with self._one:
                self._fallback = self._fallback or self._make_fallback()
                read = self._fallback.read(image, page=page, attempt=attempt, language=language)
        except CasolaError as error:
            log.warning("the fallback failed too", action="fallback_failed", code=error.code)
            return None
        tries.append(Try(engine=read.engine, how="fallback", confidence=read.confidence))
        return replace(read, flags=(FALLBACK, *read.flags))


def make(name: str, settings: Settings, fallback: Callable[[], Engine] | None) -> DeepSeekEngine:
    """Make the engine on the vLLM that the settings name: a server, or one in this process.

    Raises:
        ConfigurationError: vLLM or the model is not there, or does not suit.
    """
    models = {
        "deepseek-ocr": settings.deepseek_ocr_model,
        "deepseek-ocr-v2": settings.deepseek_ocr_v2_model,
    }
    kind = Remote if settings.vllm_url else InProcess
    return DeepSeekEngine(
        name,
        kind(name, models[name], settings),
        page_seconds=settings.page_timeout_seconds,
        noise=json.loads(settings.vllm_args).get("load_format") == "dummy",
        fallback=fallback,
    )


def fitted(image: Image.Image, engine: str) -> Image.Image:
    """Return the page in RGB, not larger than all tiles together: the model sees no more of it."""
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    most_pixels = _TILES * TILE_SIDES[engine] ** 2
    scale = math.sqrt(most_pixels / (rgb.width * rgb.height))
    if scale >= 1:
        return rgb
    size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
    return rgb.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def _ratio(image: Image.Image) -> float:
    return max(image.size) / min(image.size)


def _try(engine: str, how: str, result: PageResult, generated: Generated) -> Try:
    return Try(
        engine=engine,
        how=how,
        flags=tuple(flag for flag in result.flags if flag in UNTRUSTED),
        confidence=result.confidence_raw,
        tokens=len(generated.starts),
    )
