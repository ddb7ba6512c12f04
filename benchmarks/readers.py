"""Who reads the corpus: our engines, told nothing, and others, as their users run them.

- ``pp-ocrv6``, ``tesseract``, ``auto``: ours.
- ``rapidocr``: RapidOCR as it comes (ONNX Runtime), its boxes in its own order, a line for each.
- ``tesseract-told``: the `tesseract` command line, told the page's language.

All are given the same page images, opened as the service opens them.
"""

from __future__ import annotations

import io
import json
import logging
import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from benchmarks.documents import MOST_PAGES, open_entry
from casola_ocr.corpus import Entry
from casola_ocr.errors import CasolaError
from casola_ocr.languages import AUTO, LANGUAGES
from casola_ocr.text.language import detect_language
from workers.engines import make_engine

OURS = ("pp-ocrv6", "tesseract", "auto")
PEERS = ("rapidocr", "tesseract-told")


class Reader(Protocol):
    version: str

    def text(self, image: Image.Image, entry: Entry) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one reader read in one file; a page that failed has an empty text."""

    texts: Sequence[str]
    #: Of reading, without opening the pages.
    seconds: float
    #: What went wrong.
    failures: Sequence[str]
    #: Of the program that read, and its threads.
    version: str

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


class OurEngine:
    def __init__(self, name: str, threads: int):
        self._engine = make_engine(name, threads)
        self.version = self._engine.version

    def text(self, image: Image.Image, entry: Entry) -> str:
        return self._engine.read(image, page=1, attempt=1, language=AUTO).text


class PlainRapidOCR:
    def __init__(self, threads: int):
        from rapidocr import RapidOCR

        # It takes every core by itself; nothing else is told it.
        threads_parameter = {"EngineConfig.onnxruntime.intra_op_num_threads": threads}
        self._read: Any = RapidOCR(params=threads_parameter)
        logging.getLogger("RapidOCR").setLevel(logging.ERROR)
        self.version = f"rapidocr {version('rapidocr')}, onnxruntime {version('onnxruntime')}"

    def text(self, image: Image.Image, entry: Entry) -> str:
        return "\n".join(self._read(image).txts or ())


class ToldTesseract:
    def __init__(self, threads: int):
        self._environment = {**os.environ, "OMP_THREAD_LIMIT": str(threads)}
        told = subprocess.run(["tesseract", "--version"], capture_output=True, text=True)
        self.version = told.stdout.splitlines()[0]

    def text(self, image: Image.Image, entry: Entry) -> str:
        file = io.BytesIO()
        image.save(file, "PPM")
        done = subprocess.run(
            ["tesseract", "stdin", "stdout", "-l", "+".join(data_of(entry))],
            input=file.getvalue(),
            capture_output=True,
            env=self._environment,
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-200:].decode(errors="replace").strip())
        return done.stdout.decode()


def data_of(entry: Entry) -> Sequence[str]:
    """Tesseract's data for an entry's language; which Chinese it is, its truth tells."""
    code = entry.language
    if code == "zh" and entry.truth:
        code = detect_language(entry.truth, ("zh-hans", "zh-hant")) or code
    return LANGUAGES[code].data


def make_reader(name: str, threads: int) -> Reader:
    if name == "rapidocr":
        return PlainRapidOCR(threads)
    if name == "tesseract-told":
        return ToldTesseract(threads)
    return OurEngine(name, threads)


def pool_of(processes: int, start: Callable[..., None], *arguments: object) -> ProcessPoolExecutor:
    """Processes, each of which `start`s with the arguments before it gets any work."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, context, initializer=start, initargs=arguments)


def read_all(
    name: str, entries: Sequence[Entry], *, processes: int, threads: int, cache: Path | None
) -> Iterator[tuple[Entry, Reading]]:
    """Read files in processes of their own, in the files' order.

    Every text is put into `cache`; only those of others, who do not change, are taken from it.
    """
    kept = {entry.name: _kept(cache, name, entry) for entry in entries if name in PEERS}
    unread = [entry for entry in entries if not kept.get(entry.name)]
    with pool_of(processes, _start, name, threads) as pool:
        read = pool.map(_read, unread) if unread else iter(())
        for entry in entries:
            reading = kept.get(entry.name)
            if reading is None:
                reading = next(read)
                _keep(cache, name, entry, reading)
            yield entry, reading


def _file(cache: Path, name: str, entry: Entry) -> Path:
    return cache / name / f"{entry.name}.json"


def _kept(cache: Path | None, name: str, entry: Entry) -> Reading | None:
    if cache is None or not _file(cache, name, entry).is_file():
        return None
    return Reading(**json.loads(_file(cache, name, entry).read_text("utf-8")))


def _keep(cache: Path | None, name: str, entry: Entry, reading: Reading) -> None:
    if cache is not None:
        file = _file(cache, name, entry)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(reading), ensure_ascii=False, indent=1), "utf-8")


#: Of this process, made by `_start`.
_reader: Reader
_version: str


def _start(name: str, threads: int) -> None:
    global _reader, _version
    _reader = make_reader(name, threads)
    _version = f"{_reader.version}, {threads} thread(s)"


def _read(entry: Entry) -> Reading:
    texts: list[str] = []
    failures: list[str] = []
    seconds = 0.0
    try:
        with open_entry(entry) as document:
            for number in range(1, document.count(MOST_PAGES) + 1):
                texts.append("")
                try:
                    image = document.page(number)
                    begun = time.perf_counter()
                    texts[-1] = _reader.text(image, entry)
                    seconds += time.perf_counter() - begun
                except Exception as error:  # noqa: BLE001 - a page that fails is part of the result
                    failures.append(_failure(f"{entry.name}, page {number}", error))
    except CasolaError as error:
        failures.append(_failure(entry.name, error))
    return Reading(texts=texts, seconds=seconds, failures=failures, version=_version)


def _failure(where: str, error: Exception) -> str:
    return f"{where}: {type(error).__name__}: {error}"
