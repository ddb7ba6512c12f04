"""PP-OCR's recogniser: what stands in the lines that were detected, several lines at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import local
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from workers.engines.ppocr_detect import Quads

#: The recogniser sees lines of this height.
LINE_HEIGHT = 48
#: Widths are filled up to the next of these: OpenVINO keeps some MB for each that it has met.
WIDTHS = (*range(64, 769, 64), *range(896, 1537, 128))
#: And longer ones to a multiple of this.
WIDTH_STEP = 256

_Pixels = npt.NDArray[np.uint8]


class Recognised(NamedTuple):
    """What was read in a line."""

    text: str
    confidence: float
    #: RapidOCR's `WordInfo`: words with the columns of their characters.
    info: Any
    #: Width and height of the line as it was cut out.
    size: tuple[int, int]


class _Runtime(Protocol):
    """Runs the model; may be called by several threads."""

    #: All that the model can answer, by its number; a space and the answer "nothing" are not among
    #: them.
    characters: list[str]

    def best(self, line: npt.NDArray[np.float32]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The likeliest answer for each column of a line (1, 3, height, width), and its share."""

    def release(self) -> None:
        """Give back what is kept between lines; no line is being read."""


class Recogniser:
    """Reads lines, as many at once as it has threads. Not thread-safe."""

    def __init__(
        self,
        model: Path,
        threads: int,
        *,
        crop: Callable[[_Pixels, Quads], list[_Pixels]],
        decoder: Callable[..., Any],
    ):
        """Load the model.

        `crop` is RapidOCR's, which cuts lines out of a page and lays upright ones down; `decoder`
        is its `CTCLabelDecode`.
        """
        # A second thread for one line gains a quarter, a second line beside it takes half the time.
        self._pool = ThreadPoolExecutor(threads)
        self._runtime: _Runtime = (_OpenVino if has_openvino() else _OnnxRuntime)(model, threads)
        self._decoder: Any = decoder(character=self._runtime.characters)
        self._crop = crop

    def read(self, pixels: _Pixels, quads: Quads, turned: bool = False) -> list[Recognised]:
        """Read lines of a page (BGR, 8 bit) in their order; `turned`, as if it stood on its head.

        One that interrupts this call, as a signal's handler does, leaves no line waiting.
        """
        # Cut out by who reads it: all lines of a page together are as large as the page.
        return list(self._pool.map(partial(self._read, pixels, turned), quads))

    def release(self) -> None:
        """Give the memory of the last lines back."""
        self._runtime.release()

    def _read(self, pixels: _Pixels, turned: bool, quad: Quads) -> Recognised:
        (crop,) = self._crop(pixels, quad[np.newaxis])
        height, width = crop.shape[:2]
        scaled = max(1, round(width * LINE_HEIGHT / max(1, height)))
        best, shares = self._runtime.best(_tensor(crop[::-1, ::-1] if turned else crop, scaled))
        ((text, confidence),), (words,) = self._decoder.decode(
            best,
            shares,
            return_word_box=True,
            wh_ratio_list=(scaled,),
            max_wh_ratio=filled(scaled),
            remove_duplicate=True,
        )
        return Recognised(text, confidence, words, (width, height))


def has_openvino() -> bool:
    return find_spec("openvino") is not None


def filled(width: int) -> int:
    """The width of a line once it is filled up."""
    more = -(-width // WIDTH_STEP) * WIDTH_STEP
    return next((known for known in WIDTHS if known >= width), more)


def _tensor(crop: _Pixels, width: int) -> npt.NDArray[np.float32]:
    """The line as the model sees it, its background continued to a width that it has met before."""
    line = cv2.resize(crop, (width, LINE_HEIGHT))
    line = np.pad(line, ((0, 0), (0, filled(width) - width), (0, 0)), mode="edge")
    scaled = line.transpose(2, 0, 1)[np.newaxis].astype(np.float32)
    scaled /= 127.5
    scaled -= 1
    return scaled


class _OpenVino:
    def __init__(self, model: Path, threads: int):
        from openvino import Core, Model, opset13

        core = Core()
        read: Any = core.read_model(model)
        self.characters = read.get_rt_info()["framework"]["character"].value.splitlines()
        # For each column the shares of 18,710 characters: the largest is all that has to leave it.
        shares = read.outputs[0].get_node().input_value(0)
        best = opset13.topk(shares, opset13.constant(1), axis=2, mode="max", sort="none")
        read = Model([best.output(1), best.output(0)], read.get_parameters(), "recogniser")
        streams = {"NUM_STREAMS": str(threads), "INFERENCE_NUM_THREADS": str(threads)}
        # What it compiles for each width is 30 MB, and keeping it was no faster.
        streams["CPU_RUNTIME_CACHE_CAPACITY"] = "0"
        # Pinned, the children of a worker would all sit on the same cores.
        self._model = core.compile_model(read, "CPU", streams | {"ENABLE_CPU_PINNING": "NO"})
        self._thread = local()

    def best(self, line: npt.NDArray[np.float32]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        if not hasattr(self._thread, "request"):
            self._thread.request = self._model.create_infer_request()
        request = self._thread.request
        request.infer([line], share_inputs=True)
        # The next line is written to the same memory.
        numbers, shares = (request.get_output_tensor(at).data[..., 0].copy() for at in (0, 1))
        return numbers, shares

    def release(self) -> None:
        self._model.release_memory()


class _OnnxRuntime:
    def __init__(self, model: Path, threads: int):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # It keeps the most that any line ever needed.
        options.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        told = self._session.get_modelmeta().custom_metadata_map
        self.characters = told["character"].splitlines()
        self._input = self._session.get_inputs()[0].name

    def best(self, line: npt.NDArray[np.float32]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        (shares,) = self._session.run(None, {self._input: line})
        return shares.argmax(axis=2), shares.max(axis=2)

    def release(self) -> None:
        """Without an arena nothing is kept."""
