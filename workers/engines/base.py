"""The engine contract: what reads one page image."""

from __future__ import annotations

import threading
from typing import Protocol

from PIL import Image

from casola_ocr.model import Wishes
from casola_ocr.pages import PageResult


class Engine(Protocol):
    """Reads page images, one at a time.

    Process and threads: a CPU engine is made once in each prefork child, after the fork, and is
    called from that child's main thread only; a second thread sends heartbeats meanwhile, so the
    call must release the GIL while it computes. It uses at most the threads it was made with and
    adds no parallelism of its own.

    Image: RGB, 8 bit, turned as the reader sees it. It is not modified.

    Result: boxes in pixels of that image, origin top left, x to the right, y downwards, clipped to
    the image; confidences 0..1 or None, never a constant; lines in reading order.
    `page`, `attempts` and `language` come from the caller.

    Errors: `EngineFailed` when this page could not be read now (another attempt may);
    `Unprocessable` when no attempt can read it. Any other exception is a bug; the worker reports it
    as `EngineFailed` and logs it.
    """

    #: The name that clients send as `model`.
    name: str
    #: Version of the engine's code and weights, kept with every result.
    version: str
    # Where the languages depend on the machine, `languages: frozenset[str]` has their codes.

    def read(self, image: Image.Image, *, page: int, attempt: int, language: str) -> PageResult:
        """Read one page. `language` is ``auto``, or codes as `languages.language_codes` writes."""
        ...


class ThreadedEngine(Protocol):
    """Reads many page images at once: one for each thread that calls it.

    As `Engine`, but for process and threads: it is made once in the worker's main process, which
    never forks, and called from many threads.
    """

    name: str
    version: str
    #: Whether its weights are random, as in tests: then it reads nothing that makes sense.
    noise: bool

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
        """Read one page; raise within a second after `stop` is set: nobody wants the page then.

        `wishes` hold a mode, and a prompt, only if `casola_ocr.engines` says that this engine takes
        them; a prompt has no special tokens of the model in it.
        """
        ...

    def alive(self) -> bool:
        """Whether what reads is there; when not, the worker has to be started again."""
        ...

    def close(self) -> None:
        """Let go of what was loaded; nothing is read afterwards."""
        ...
