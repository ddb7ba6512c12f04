"""PP-OCRv6 on the CPU: RapidOCR's pipeline on ONNX Runtime, with the models in its wheel."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from casola_ocr.errors import ConfigurationError, EngineFailed, Unprocessable
from casola_ocr.model import Line, PageResult, Word
from casola_ocr.text.counts import is_ideograph
from casola_ocr.text.page import build_page

#: RapidOCR's own threshold: below it the "text" is mostly drawings, stamps and stains.
LINE_THRESHOLD = 0.5
#: Nothing legible is smaller than this many pixels in either direction.
SMALLEST_SIDE = 5
#: RapidOCR scales the long side down to this; letters of a longer strip would be a pixel high.
LONG_SIDE = 2000
LARGEST_RATIO = 100
#: The detector scales the short side up to 736 pixels whatever the long one becomes then: a strip
#: of 20 by 1000 took 49 seconds. Narrower pages are padded to this ratio, at which it is fastest
#: and also misses the least.
PADDED_RATIO = 3

_MODELS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}

_Box = tuple[int, int, int, int]
_log = logging.getLogger(__name__)


class _Token(NamedTuple):
    """A piece of a line as RapidOCR splits it: a Latin word, or a single character."""

    text: str
    confidence: float
    corners: Sequence[Sequence[float]]


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
        cv2.setNumThreads(threads)
        params: dict[str, Any] = {
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Global.log_level": "error",
        }
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
            self._reader = reader
            _quiet_rapidocr()
            self._boxer: Any = reader.cal_rec_boxes
            # RapidOCR pairs words with the confidences of single characters and drops lines
            # without words, after which words no longer belong to their lines.
            reader.calc_word_boxes = self._calc_words
            # The models are loaded on first use.
            self._recognise(_warm_image())
        except Exception as error:
            raise EngineFailed("The engine's models could not be loaded.") from error

    def read(self, image: Image.Image, *, page: int, attempt: int, language: str) -> PageResult:
        """Read one page. The model reads all its scripts at once, so `language` changes nothing.

        Raises:
            EngineFailed: the models failed on this page.
            Unprocessable: the image is a strip that cannot be scaled to what the models take.
        """
        start = time.perf_counter()
        short, long = sorted(image.size)
        found: list[Line] = []
        if short >= SMALLEST_SIDE:
            if long > LARGEST_RATIO * short:
                raise Unprocessable(
                    f"The page is more than {LARGEST_RATIO} times longer than it is wide."
                )
            try:
                found = self._recognise(image)
            except Exception as error:
                raise EngineFailed("The engine could not read the page.") from error
        return build_page(
            found,
            page=page,
            size=image.size,
            engine=self.name,
            engine_version=self.version,
            attempts=attempt,
            seconds=time.perf_counter() - start,
            language=None if language == "auto" else language,
        )

    def _recognise(self, image: Image.Image) -> list[Line]:
        padded, scale = _pad(image.convert("RGB"))
        pixels = np.ascontiguousarray(np.asarray(padded)[:, :, ::-1])
        # A threshold of 0 makes RapidOCR keep every line, so that its lists stay aligned.
        output = self._reader(pixels, return_word_box=True, text_score=0.0)
        if getattr(output, "boxes", None) is None or not getattr(output, "txts", None):
            return []
        words: Sequence[Any] = output.word_results or ()
        if len(words) != len(output.txts):
            _log.warning("words do not belong to their lines; splitting the text instead")
            words = [None] * len(output.txts)
        lines = []
        for corners, text, score, tokens in zip(
            output.boxes, output.txts, output.scores, words, strict=True
        ):
            text = text.strip()
            box = _clip(corners, image.size, scale)
            if score < LINE_THRESHOLD or not text or box is None:
                continue
            lines.append(
                Line(
                    text=text,
                    confidence=_share(score),
                    box=box,
                    words=_make_words(text, tokens[0] if tokens else (), image.size, scale),
                )
            )
        return lines

    def _calc_words(self, crops: Any, boxes: Any, recognised: Any) -> tuple[Any, ...]:
        """Stand in for RapidOCR's method: exactly one entry a line, never false."""
        result = []
        lines = zip(crops, boxes, recognised.txts, recognised.word_results, strict=True)
        for crop, box, text, info in lines:
            tokens: list[_Token] = []
            if crop.size and info.words:
                pieces, corners, _ = self._boxer.cal_ocr_word_box(
                    text, _corners_of(crop), info, False
                )
                corners = self._boxer.reverse_rotate_crop_image(
                    box.copy(),
                    self._boxer.adjust_box_overlap(corners),
                    self._boxer.get_box_direction(box),
                )
                confidences = _token_confidences(text, pieces, info.confs)
                if confidences is not None and len(corners) == len(pieces):
                    tokens = [
                        _Token(*token) for token in zip(pieces, confidences, corners, strict=True)
                    ]
            result.append((tokens,))
        return tuple(result)


def _corners_of(crop: Any) -> Any:
    height, width = crop.shape[:2]
    return np.array([[0, 0], [width, 0], [width, height], [0, height]])


def _pad(image: Image.Image) -> tuple[Image.Image, float]:
    """Bring a strip to a shape that the detector takes; return what its boxes grow by."""
    short, long = sorted(image.size)
    if long <= PADDED_RATIO * short:
        return image, 1.0
    scale = max(1.0, long / LONG_SIDE)
    if scale > 1:
        image = image.resize([max(1, round(side / scale)) for side in image.size])
    least = -(-max(image.size) // PADDED_RATIO)
    colour = image.getpixel((image.width - 1, image.height - 1))
    # Padding on the right or below leaves every position as it is.
    padded = Image.new("RGB", (max(image.width, least), max(image.height, least)), colour)
    padded.paste(image)
    return padded, scale


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


def _token_confidences(
    text: str, tokens: Sequence[str], characters: Sequence[float]
) -> list[float] | None:
    """The mean of each token's characters; RapidOCR gives one confidence a character of `text`."""
    starts = _locate(text, tokens)
    if starts is None or len(characters) != len(text):
        return None
    return [
        sum(characters[start : start + len(token)]) / len(token)
        for start, token in zip(starts, tokens, strict=True)
    ]


def _locate(text: str, tokens: Iterable[str]) -> list[int] | None:
    """Where each token begins in the text, one after the other; None when one is not there."""
    starts = []
    at = 0
    for token in tokens:
        at = text.find(token, at)
        if at < 0 or not token:
            return None
        starts.append(at)
        at += len(token)
    return starts


def _make_words(
    text: str, tokens: Sequence[_Token], size: tuple[int, int], scale: float
) -> tuple[Word, ...]:
    """Join tokens that belong to one word: the pieces between spaces, save for ideographs.

    Where RapidOCR gave no usable tokens, the words have neither box nor confidence.
    """
    starts = _locate(text, [token.text for token in tokens])
    covered = sum(len(token.text) for token in tokens)
    if not starts or covered != sum(not character.isspace() for character in text):
        return _split_words(text)
    groups: list[tuple[int, list[_Token]]] = []
    for start, token in zip(starts, tokens, strict=True):
        joins = (
            groups
            and start > 0
            and not text[start - 1].isspace()
            and not is_ideograph(text[start - 1])
            and not is_ideograph(text[start])
        )
        if joins:
            groups[-1][1].append(token)
        else:
            groups.append((start, [token]))
    words = []
    for start, group in groups:
        word = "".join(token.text for token in group)
        confidence = sum(token.confidence * len(token.text) for token in group) / len(word)
        corners = [corner for token in group for corner in token.corners]
        words.append(
            Word(
                text=word,
                confidence=_share(confidence),
                start=start,
                box=_clip(corners, size, scale),
            )
        )
    return tuple(words)


def _split_words(text: str) -> tuple[Word, ...]:
    pieces = text.split()
    starts = _locate(text, pieces) or []
    return tuple(
        Word(text=piece, confidence=None, start=start)
        for piece, start in zip(pieces, starts, strict=True)
    )


def _clip(corners: Any, size: tuple[int, int], scale: float) -> _Box | None:
    """The upright box around the corners, inside the image; None when it lies outside."""
    width, height = size
    xs = [float(corner[0]) * scale for corner in corners]
    ys = [float(corner[1]) * scale for corner in corners]
    x0, y0 = max(0, int(min(xs))), max(0, int(min(ys)))
    x1, y1 = min(width, round(max(xs))), min(height, round(max(ys)))
    if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        return None
    # Very narrow letters can be rounded to nothing.
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def _share(value: float) -> float:
    return round(min(1.0, max(0.0, float(value))), 4)
