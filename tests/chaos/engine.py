"""Engines that read the code on a page, take as long as it says, and die where it says."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

from PIL import Image

from casola_ocr.model import Wishes
from casola_ocr.pages import Line, PageResult
from casola_ocr.sample import sample_text
from casola_ocr.text.counts import count_words
from tests.chaos import marker


class MarkerEngine:
    """An `Engine`. A page without a code gets the sample's text: that is the golden page."""

    name = "pp-ocrv6"
    version = "chaos"

    def __init__(self, threads: int):
        del threads

    def read(self, image: Image.Image, *, page: int, attempt: int, language: str) -> PageResult:
        return self._read(image, page, attempt, language, time.sleep)

    def _read(
        self,
        image: Image.Image,
        page: int,
        attempt: int,
        language: str,
        sleep: Callable[[float], object],
    ) -> PageResult:
        begun = time.perf_counter()
        found = marker.decode(image)
        if found is None:
            text = sample_text()
        else:
            sleep(found.milliseconds / 1000)
            if found.poison:
                os.kill(os.getpid(), signal.SIGKILL)
            text = marker.text(found.document, found.page)
        box = (0, 0, image.width, image.height)
        return PageResult(
            page=page,
            width=image.width,
            height=image.height,
            text=text,
            words=count_words(text),
            confidence=0.9,
            confidence_low=0.9,
            engine=self.name,
            engine_version=self.version,
            attempts=attempt,
            seconds=time.perf_counter() - begun,
            lines=tuple(Line(text=line, confidence=0.9, box=box) for line in text.splitlines()),
            language=None if language == "auto" else language,
        )


class Stopped(Exception):
    """Nobody wants the page any more."""


class ThreadedMarkerEngine(MarkerEngine):
    """A `ThreadedEngine`."""

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
        wanted = stop or threading.Event()

        def sleep(seconds: float) -> None:
            if wanted.wait(seconds):
                raise Stopped

        return self._read(image, page, attempt, language, sleep)
