"""PP-OCRv6 on the CPU: the models in RapidOCR's wheel, its detector and its word boxes."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from casola_ocr.engines import PPOCR_LANGUAGES
from casola_ocr.errors import ConfigurationError, EngineFailed
from casola_ocr.memory import give_large_blocks_back, give_small_blocks_back
from casola_ocr.pages import Line, PageResult
from casola_ocr.text.page import build_page
from casola_ocr.text.upright import Upright
from workers.engines.contrast import stretch
from workers.engines.orientation import Sample, rotation_of, skew_of
from workers.engines.ppocr_detect import Detector, LeanDetector, Quads
from workers.engines.ppocr_recognise import Recognised, Recogniser, has_openvino
from workers.engines.ppocr_words import Box, Token, clip, make_words, share, token_confidences

#: RapidOCR's own threshold: below it the "text" is mostly drawings, stamps and stains.
LINE_THRESHOLD = 0.5
#: Lines in a script that the recogniser knows get more than this, but for Fraktur and handwriting.
SURE_LINE = 0.95
#: Nothing legible is smaller than this many pixels in either direction.
SMALLEST_SIDE = 5

_MODELS = ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx")

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
            from rapidocr.ch_ppocr_rec.utils import CTCLabelDecode
        except ImportError as error:
            raise ConfigurationError("The engine 'pp-ocrv6' needs the package rapidocr.") from error
        self.version = f"rapidocr {version('rapidocr')} PP-OCRv6 small"
        # ONNX Runtime takes every core when it is told a number that the machine does not have.
        threads = max(1, min(threads, os.cpu_count() or 1))
        give_large_blocks_back()
        cv2.setNumThreads(threads)
        detector, recogniser = _models(Path(rapidocr.__file__).parent / "models")
        params = _parameters(threads)
        # With an explicit path RapidOCR neither checks nor downloads anything.
        params["Det.model_path"] = str(detector)
        try:
            reader: Any = rapidocr.RapidOCR(params=params)
            _quiet_rapidocr()
            # The detector is loaded on first use.
            reader(np.asarray(_warm_image()))
            self._detector = Detector(LeanDetector(reader.text_det))
            self._recogniser = Recogniser(
                recogniser, threads, crop=reader.crop_text_regions, decoder=CTCLabelDecode
            )
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
            asked=language,
            known=PPOCR_LANGUAGES,
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
            image = stretch(image if image.mode == "RGB" else image.convert("RGB"))
            # Not kept meanwhile: finding needs the most memory, and looks at few of them.
            quads = self._detector.find(_pixels(image))
            pixels = _pixels(image)
            rotation = rotation_of(quads, partial(self._sample, pixels))
            if rotation:
                del pixels
                image = Upright(image.size, rotation).turn(image)
                quads = self._detector.find(_pixels(image))
                pixels = _pixels(image)
            upright = Upright(upright.size, rotation, skew_of(quads))
            reading = self._read_lines(pixels, quads, upright)
            self._recogniser.release()
            give_small_blocks_back()
            return reading
        except Exception as error:
            raise EngineFailed("The engine could not read the page.") from error

    def _sample(self, pixels: _Pixels, quads: Quads, turned: bool) -> list[Sample]:
        lines = self._recogniser.read(pixels, quads, turned)
        return [Sample(line.text, line.confidence) for line in lines]

    def _read_lines(self, pixels: _Pixels, quads: Quads, upright: Upright) -> Reading:
        boxes = [clip(_level(quad, upright), upright.level_size) for quad in quads]
        quads = quads[[box is not None for box in boxes]]
        lines, unsure = [], []
        length = doubtful = 0.0
        found = self._recogniser.read(pixels, quads)
        for quad, box, line in zip(quads, filter(None, boxes), found, strict=True):
            length += line.size[0]
            if line.confidence < SURE_LINE:
                doubtful += line.size[0]
                unsure.append(box)
            text = line.text.strip()
            if line.confidence < LINE_THRESHOLD or not text:
                continue
            tokens = [
                Token(token, sure, _level(corners, upright))
                for token, sure, corners in self._tokens(line, quad)
            ]
            words = make_words(text, tokens, upright.level_size)
            lines.append(Line(text=text, confidence=share(line.confidence), box=box, words=words))
        return Reading(lines, upright, unsure, doubtful / max(1.0, length))

    def _tokens(self, line: Recognised, quad: Any) -> list[Token]:
        """RapidOCR's words of a line, each with its own confidence.

        RapidOCR itself pairs words with the confidences of single characters.
        """
        width, height = line.size
        if not line.info.words:
            return []
        around = np.array([[0, 0], [width, 0], [width, height], [0, height]])
        pieces, corners, _ = self._boxer.cal_ocr_word_box(line.text, around, line.info, False)
        corners = self._boxer.reverse_rotate_crop_image(
            quad.copy(),
            self._boxer.adjust_box_overlap(corners),
            self._boxer.get_box_direction(quad),
        )
        confidences = token_confidences(line.text, pieces, line.info.confs)
        if confidences is None or len(corners) != len(pieces):
            return []
        return [Token(*token) for token in zip(pieces, confidences, corners, strict=True)]


def _models(folder: Path) -> list[Path]:
    paths = [folder / name for name in _MODELS]
    for path in paths:
        if not path.is_file():
            raise ConfigurationError(
                f"RapidOCR {version('rapidocr')} comes without the model {path.name}; "
                "install the version that the package names."
            )
    return paths


def _parameters(threads: int) -> dict[str, Any]:
    import rapidocr

    params: dict[str, Any] = {
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        "EngineConfig.openvino.inference_num_threads": threads,
        # Pinned, the children of a worker would all sit on the same cores.
        "EngineConfig.openvino.enable_cpu_pinning": "NO",
        "Global.log_level": "error",
        # Which way up a page is, is decided for the page (RapidOCR's classifier turns upright lines
        # over, long ones of books above all), and its lines are read by `Recogniser`.
        "Global.use_cls": False,
        "Global.use_rec": False,
        # The page is scaled before: see Detector.
        "Det.limit_type": "max",
        "Det.limit_side_len": 100_000,
    }
    if has_openvino():
        params["Det.engine_type"] = rapidocr.EngineType.OPENVINO
    return params


def _pixels(image: Image.Image) -> _Pixels:
    raw = image.tobytes("raw", "BGR")
    return np.frombuffer(raw, np.uint8).reshape(image.height, image.width, 3)


def _level(corners: Any, upright: Upright) -> list[tuple[float, float]]:
    return [upright.to_level(float(x), float(y)) for x, y in corners]


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
