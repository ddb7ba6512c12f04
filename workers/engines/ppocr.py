"""PP-OCRv6 on the CPU: RapidOCR's detector and recogniser, with the models in its wheel."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import time
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from casola_ocr.errors import ConfigurationError, EngineFailed
from casola_ocr.model import Line, PageResult
from casola_ocr.text.page import build_page
from casola_ocr.text.upright import Upright
from workers.engines.contrast import stretch
from workers.engines.orientation import Sample, rotation_of, skew_of
from workers.engines.ppocr_detect import Detector, Quads
from workers.engines.ppocr_words import Box, Token, clip, make_words, share, token_confidences

#: RapidOCR's own threshold: below it the "text" is mostly drawings, stamps and stains.
LINE_THRESHOLD = 0.5
#: Lines in a script that the recogniser knows get more than this, but for Fraktur and handwriting.
SURE_LINE = 0.95
#: Nothing legible is smaller than this many pixels in either direction.
SMALLEST_SIDE = 5
#: The recogniser sees lines of this height; widths are filled up to a multiple, because OpenVINO
#: keeps memory for each shape that it has met.
LINE_HEIGHT = 48
WIDTH_STEP = 64

_M_MMAP_THRESHOLD = -3
_MMAP_THRESHOLD_BYTES = 1_000_000

_MODELS = {"Det": "PP-OCRv6_det_small.onnx", "Rec": "PP-OCRv6_rec_small.onnx"}

_Pixels = npt.NDArray[np.uint8]
_log = logging.getLogger(__name__)


class Reading(NamedTuple):
    """Lines with boxes in pixels of the level page, and how the page image becomes level."""

    lines: list[Line]
    upright: Upright
    #: Lines that were read badly or not at all.
    unsure: Sequence[Box] = ()
    #: Their part of the length of all lines.
    doubt: float = 0.0


class PPOcrEngine:
    """Reads with PP-OCRv6 small. All models are loaded and warm when the constructor returns."""

    name = "pp-ocrv6"

    def __init__(self, threads: int):
        """Load the models.

        Raises:
            ConfigurationError: RapidOCR or its models are not installed.
            EngineFailed: the models are there and do not run.
        """
        try:
            import cv2
            import rapidocr
        except ImportError as error:
            raise ConfigurationError("The engine 'pp-ocrv6' needs the package rapidocr.") from error
        self.version = f"rapidocr {version('rapidocr')} PP-OCRv6 small"
        # ONNX Runtime takes every core when it is told a number that the machine does not have.
        threads = max(1, min(threads, os.cpu_count() or 1))
        _give_memory_back()
        cv2.setNumThreads(threads)
        params = _parameters(threads)
        models = Path(rapidocr.__file__).parent / "models"
        for part, file_name in _MODELS.items():
            path = models / file_name
            if not path.is_file():
                raise ConfigurationError(
                    f"RapidOCR {version('rapidocr')} comes without the model {file_name}; "
                    "install the version that the package names."
                )
            # With an explicit path RapidOCR neither checks nor downloads anything.
            params[f"{part}.model_path"] = str(path)
        try:
            reader: Any = rapidocr.RapidOCR(params=params)
            _quiet_rapidocr()
            # The models are loaded on first use.
            reader(np.asarray(_warm_image()))
            self._detector = Detector(reader.text_det)
            self._recogniser: Any = reader.text_rec
            self._input: Any = rapidocr.ch_ppocr_rec.typings.TextRecInput
            self._crop: Any = reader.crop_text_regions
            self._boxer: Any = reader.cal_rec_boxes
            self.recognise(_warm_image())
        except Exception as error:
            raise EngineFailed("The engine's models could not be loaded.") from error

    def read(self, image: Image.Image, *, page: int, attempt: int, language: str) -> PageResult:
        """Read one page. The model reads all its scripts at once, so `language` changes nothing.

        Raises:
            EngineFailed: the models failed on this page.
        """
        start = time.perf_counter()
        reading = self.recognise(image)
        return build_page(
            reading.lines,
            page=page,
            upright=reading.upright,
            engine=self.name,
            engine_version=self.version,
            attempts=attempt,
            seconds=time.perf_counter() - start,
            language=None if language == "auto" else language,
        )

    def recognise(self, image: Image.Image) -> Reading:
        """Find the lines of a page, in any order, and which way up it is.

        Raises:
            EngineFailed: the models failed on this page.
        """
        upright = Upright(image.size)
        if min(image.size) < SMALLEST_SIDE:
            return Reading([], upright)
        try:
            image = stretch(image.convert("RGB"))
            pixels = _pixels(image)
            quads = self._detector.find(pixels)
            rotation = rotation_of(quads, lambda few: self._sample(pixels, few))
            if rotation:
                upright = Upright(image.size, rotation)
                pixels = _pixels(upright.turn(image))
                quads = self._detector.find(pixels)
            upright = Upright(image.size, rotation, skew_of(quads))
            return self._read_lines(pixels, quads, upright)
        except Exception as error:
            raise EngineFailed("The engine could not read the page.") from error

    def _sample(self, pixels: _Pixels, quads: Quads) -> tuple[list[Sample], list[Sample]]:
        """Lines read as they are cut out, and the same ones read the other way up."""
        crops = self._crop(pixels, quads)
        turned = [np.ascontiguousarray(crop[::-1, ::-1]) for crop in crops]
        return (
            [Sample(*line) for line in zip(*self._recognised(crops)[:2], strict=True)],
            [Sample(*line) for line in zip(*self._recognised(turned)[:2], strict=True)],
        )

    def _recognised(self, crops: Sequence[_Pixels]) -> tuple[Any, Any, Any]:
        """Text, confidence and RapidOCR's word columns of each crop."""
        filled = [_fill(crop) for crop in crops]
        found = self._recogniser(self._input(img=filled, return_word_box=True))
        return found.txts, found.scores, found.word_results

    def _read_lines(self, pixels: _Pixels, quads: Quads, upright: Upright) -> Reading:
        if not len(quads):
            return Reading([], upright)
        crops = self._crop(pixels, quads)
        lines, unsure = [], []
        length = doubtful = 0.0
        for quad, crop, text, score, info in zip(
            quads, crops, *self._recognised(crops), strict=True
        ):
            box = clip(_level(quad, upright), upright.level_size)
            if box is None:
                continue
            length += crop.shape[1]
            if score < SURE_LINE:
                doubtful += crop.shape[1]
                unsure.append(box)
            if score < LINE_THRESHOLD or not text.strip():
                continue
            tokens = self._tokens(_fill(crop), crop, quad, text, info)
            tokens = [Token(t, sure, _level(corners, upright)) for t, sure, corners in tokens]
            words = make_words(text.strip(), tokens, upright.level_size)
            lines.append(Line(text=text.strip(), confidence=share(score), box=box, words=words))
        return Reading(lines, upright, unsure, doubtful / max(1.0, length))

    def _tokens(
        self, filled: _Pixels, crop: _Pixels, quad: Any, text: str, info: Any
    ) -> list[Token]:
        """RapidOCR's words of a line, each with its own confidence.

        RapidOCR itself pairs words with the confidences of single characters.
        """
        if not crop.size or not info.words:
            return []
        pieces, corners, _ = self._boxer.cal_ocr_word_box(text, _corners_of(filled), info, False)
        corners = [_inside(box, crop.shape[1]) for box in corners]
        corners = self._boxer.reverse_rotate_crop_image(
            quad.copy(),
            self._boxer.adjust_box_overlap(corners),
            self._boxer.get_box_direction(quad),
        )
        confidences = token_confidences(text, pieces, info.confs)
        if confidences is None or len(corners) != len(pieces):
            return []
        return [Token(*token) for token in zip(pieces, confidences, corners, strict=True)]


def _parameters(threads: int) -> dict[str, Any]:
    import rapidocr

    params: dict[str, Any] = {
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        "EngineConfig.openvino.inference_num_threads": threads,
        "Global.log_level": "error",
        # The classifier turns upright lines over (long ones of books above all); which way up a
        # page is, is decided for the page.
        "Global.use_cls": False,
        # Side by side, lines are filled up to the longest; one by one takes less time.
        "Rec.rec_batch_num": 1,
        # The page is scaled before: see Detector.
        "Det.limit_type": "max",
        "Det.limit_side_len": 100_000,
    }
    if find_spec("openvino") is not None:
        params |= {f"{part}.engine_type": rapidocr.EngineType.OPENVINO for part in _MODELS}
    return params


def _give_memory_back() -> None:
    """Let large blocks go back to the system when they are freed (glibc only).

    By itself glibc keeps blocks of up to 32 MB once some were freed: pages of different shapes
    then cost half as much memory again.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)


def _pixels(image: Image.Image) -> _Pixels:
    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])


def _fill(crop: _Pixels) -> _Pixels:
    """The crop with its background continued to a width that the recogniser has met before."""
    height, width = crop.shape[:2]
    scaled = max(1, round(width * LINE_HEIGHT / max(1, height)))
    wanted = -(-scaled // WIDTH_STEP) * WIDTH_STEP
    more = round(wanted * height / LINE_HEIGHT) - width
    if more <= 0:
        return crop
    return np.pad(crop, ((0, 0), (0, more), (0, 0)), mode="edge")


def _inside(corners: Any, width: int) -> list[list[float]]:
    return [[min(x, width), y] for x, y in corners]


def _level(corners: Any, upright: Upright) -> list[tuple[float, float]]:
    return [upright.to_level(float(x), float(y)) for x, y in corners]


def _corners_of(crop: Any) -> Any:
    height, width = crop.shape[:2]
    return np.array([[0, 0], [width, 0], [width, height], [0, height]])


def _quiet_rapidocr() -> None:
    """Take away the handler that RapidOCR installs: how to log is the service's decision."""
    logger = logging.getLogger("RapidOCR")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    logger.propagate = True


def _warm_image() -> Image.Image:
    image = Image.new("RGB", (320, 96), "white")
    ImageDraw.Draw(image).text((24, 24), "Warm 123", font=ImageFont.load_default(40), fill="black")
    return image
