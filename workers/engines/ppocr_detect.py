"""Where PP-OCR's detector sees lines, on pages of any size and shape."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

#: What the detector sees of a page at once: its memory grows with it, some 200 bytes a pixel. Four
#: times as many find the same lines.
DETECT_PIXELS = 800_000
#: The longest side of it.
DETECT_SIDE = 1280
#: Small pages are enlarged until their short side has this many pixels.
LEAST_SIDE = 736
#: A page this many times longer than wide is looked at in pieces: scaled down as a whole its
#: letters would vanish.
TILED_RATIO = 2.5
#: Pieces share this much of their length, in pixels of what the detector sees.
TILE_OVERLAP = 128
#: What two pieces see of one line may differ by so many pixels. Without this allowance a line in
#: the middle of what they share would be found twice, or not at all.
TILE_SLACK = 4
#: Sides are filled up to a multiple of this, because OpenVINO keeps memory for each shape.
SIDE_STEP = 128

#: Four corners (x, y) of each line, clockwise from its top left, in pixels: shape (n, 4, 2).
Quads = npt.NDArray[np.float32]
_Pixels = npt.NDArray[np.uint8]


class _Found(NamedTuple):
    boxes: Quads | None


class LeanDetector:
    """RapidOCR's detector, with the same answers and without its copies of a picture.

    RapidOCR makes float64 of it on the way to float32, and OpenVINO keeps a copy of what it is
    given: together 20 MB more at the moment at which a page needs the most. Not thread-safe.
    """

    def __init__(self, detect: Any):
        """`detect` is RapidOCR's detector."""
        self._detect = detect
        self.session = detect.session
        prepare = detect.get_preprocess()
        levels = np.arange(256, dtype=np.float32)[:, np.newaxis] * prepare.scale
        #: What the model sees for each value of a pixel (rows) in each of the three colours.
        self._seen = ((levels - prepare.mean) / prepare.std).astype(np.float32)

    def __call__(self, pixels: _Pixels) -> _Found:
        """Find the lines of a picture (BGR, 8 bit) whose sides are multiples of 32."""
        size = pixels.shape[:2]
        boxes, _ = self._detect.postprocess_op(self._predict(self.tensor(pixels)), size)
        return _Found(self._detect.sorted_boxes(boxes) if len(boxes) else None)

    def tensor(self, pixels: _Pixels) -> npt.NDArray[np.float32]:
        """The picture as the model sees it (1, 3, height, width)."""
        made = np.empty((1, 3, *pixels.shape[:2]), np.float32)
        for colour in range(3):
            # With any other mode numpy fills a copy first.
            np.take(self._seen[:, colour], pixels[..., colour], out=made[0, colour], mode="clip")
        return made

    def _predict(self, tensor: npt.NDArray[np.float32]) -> Any:
        request = self.session.session
        if not hasattr(request, "get_compiled_model"):
            return self.session(tensor)
        request.infer([tensor], share_inputs=True)
        return request.get_output_tensor().data


class Detector:
    """Finds lines. Not thread-safe."""

    def __init__(self, detect: Any):
        """`detect` is a `LeanDetector`."""
        self._detect = detect

    def find(self, pixels: _Pixels) -> Quads:
        """Find the lines of a page (BGR, 8 bit), in pixels of that page."""
        height, width = pixels.shape[:2]
        scale = _scale(*sorted((height, width)))
        if scale != 1.0:
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=method), dtype=np.uint8)
        found = self._tiles(pixels) / scale
        # Before anything is read: the two together are the most that a page needs.
        self._release()
        return _clip(found, width, height)

    def _release(self) -> None:
        """Give the memory of the page back: some 130 MB that OpenVINO would keep."""
        request = self._detect.session.session
        if hasattr(request, "get_compiled_model"):
            request.get_compiled_model().release_memory()

    def _tiles(self, pixels: _Pixels) -> Quads:
        height, width = pixels.shape[:2]
        along = 1 if height >= width else 0
        length = max(height, width)
        if length <= DETECT_SIDE:
            return self._tile(pixels)
        parts: list[Quads] = []
        step = DETECT_SIDE - TILE_OVERLAP
        starts = list(range(0, max(1, length - TILE_OVERLAP), step))
        for start in starts:
            end = min(length, start + DETECT_SIDE)
            tile = pixels[start:end] if along else pixels[:, start:end]
            quads = self._tile(np.ascontiguousarray(tile))
            if not len(quads):
                continue
            middles = quads[:, :, along].mean(axis=1)
            # What lies in two tiles belongs to the one in which it is farther from the edge.
            low = 0 if start == 0 else TILE_OVERLAP / 2 - TILE_SLACK
            high = length if end == length else DETECT_SIDE - TILE_OVERLAP / 2 + TILE_SLACK
            quads = quads[(middles >= low) & (middles < high)]
            quads[:, :, along] += start
            parts.append(_unseen(quads, parts[-1]) if parts else quads)
        return np.concatenate(parts) if parts else np.zeros((0, 4, 2), np.float32)

    def _tile(self, pixels: _Pixels) -> Quads:
        height, width = pixels.shape[:2]
        down, right = (-side % SIDE_STEP for side in (height, width))
        found = self._detect(np.pad(pixels, ((0, down), (0, right), (0, 0)), mode="edge")).boxes
        if found is None:
            return np.zeros((0, 4, 2), np.float32)
        return _clip(np.asarray(found, np.float32), width, height)


def _scale(short: int, long: int) -> float:
    """What a page is scaled by before the detector sees it."""
    if long > TILED_RATIO * short:
        return min(1.0, DETECT_SIDE / TILED_RATIO / short)
    largest = min(DETECT_SIDE / long, math.sqrt(DETECT_PIXELS / (short * long)))
    return min(largest, max(1.0, LEAST_SIDE / short))


def _unseen(quads: Quads, seen: Quads) -> Quads:
    """The quads whose middle lies in none of those seen before."""
    middles = quads.mean(axis=1)[:, np.newaxis]
    inside = (seen.min(axis=1) <= middles) & (middles <= seen.max(axis=1))
    unseen: Quads = quads[~inside.all(axis=2).any(axis=1)]
    return unseen


def _clip(quads: Quads, width: int, height: int) -> Quads:
    """The quads inside the picture; those outside of it were found in its filling."""
    quads = quads[
        (quads[:, :, 0].min(axis=1) < width - 1) & (quads[:, :, 1].min(axis=1) < height - 1)
    ]
    quads[:, :, 0] = quads[:, :, 0].clip(0, width)
    quads[:, :, 1] = quads[:, :, 1].clip(0, height)
    return quads.astype(np.float32)
