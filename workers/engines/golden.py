"""Proof that an engine reads, before it is given anybody's page."""

from __future__ import annotations

import io
import time
from collections import Counter
from typing import Any

from PIL import Image

from casola_ocr.errors import EngineFailed
from casola_ocr.sample import sample_image, sample_text
from workers.engines.base import Engine, ThreadedEngine

#: Part of the sample's words that must be found: an engine that works finds all of them, one
#: with damaged or mismatched weights next to none; an engine may differ in a word or two.
REQUIRED_WORDS = 0.8
#: A model with random weights makes nothing of the page, so it gets the least work: a single tile.
NOISE_SIDE = 512


def prove(engine: Engine | ThreadedEngine, **more: Any) -> float:
    """Let the engine read the sample page; return the seconds that it took.

    `more` is what else its `read` is told.

    Raises:
        EngineFailed: it could not read the page, or too few of its words.
    """
    with Image.open(io.BytesIO(sample_image())) as picture:
        image = picture.convert("RGB")
    noise = getattr(engine, "noise", False)
    if noise:
        image.thumbnail((NOISE_SIDE, NOISE_SIDE))
    start = time.perf_counter()
    result = engine.read(image, page=1, attempt=1, language="en", **more)
    seconds = time.perf_counter() - start
    if noise:
        # All that such a model can show is that tokens come, and how sure it is of each.
        if result.tries and result.tries[-1].tokens and result.confidence_raw is not None:
            return seconds
        raise EngineFailed(f"{engine.name} wrote nothing about the sample page.")
    truth = Counter(sample_text().casefold().split())
    found = (truth & Counter(result.text.casefold().split())).total()
    if found < REQUIRED_WORDS * truth.total():
        raise EngineFailed(
            f"{engine.name} found {found} of the {truth.total()} words of the sample page."
        )
    return seconds
