"""The contract of what runs a vision-language model, and the event loop that both kinds need."""

from __future__ import annotations

import asyncio
import codecs
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable
from concurrent.futures import CancelledError, TimeoutError
from dataclasses import dataclass
from typing import Any, TypeVar

from PIL import Image

from casola_ocr.errors import EngineDied, EngineFailed
from casola_ocr.model import Lane, Wishes
from casola_ocr.text.generated import Generated

#: How often a page that is being read asks whether it is still wanted.
LOOK_SECONDS = 0.25
#: How long a model that cannot be reached or has no room is waited for between two tries.
BACK_OFF_SECONDS = 1.0
#: vLLM's priorities: the lower one comes first.
PRIORITIES = {Lane.INTERACTIVE: 0, Lane.BULK: 10}
#: A pattern of up to so many tokens that comes this often ends a text: the n-gram ban lets cells of
#: tables repeat.
LONGEST_PATTERN, PATTERN_COUNT = 8, 64

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One page for the model, and how it is to be read."""

    #: RGB, 8 bit.
    image: Image.Image
    wishes: Wishes
    temperature: float
    #: No n-gram of this many tokens may come twice within so many tokens of the text.
    ngram: int
    window: int


class Transport(ABC):
    """Runs a model on an event loop of its own. All methods may be called from many threads."""

    #: Of what runs the model.
    version: str

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name="model", daemon=True)
        thread.start()

    def generate(self, request: Request, stop: threading.Event | None) -> Generated:
        """Read a page.

        Raises:
            EngineDied: no page can be read any more.
            EngineFailed: this one could not be, or `stop` was set; the model has let go of it.
            Unprocessable: no attempt can read it.
        """
        return self._run(self._generate(request), stop)

    @abstractmethod
    async def _generate(self, request: Request) -> Generated: ...

    def alive(self) -> bool:
        """Whether the model's process is there; a hang is not seen."""
        return True

    @abstractmethod
    def close(self) -> None:
        """Let go of the model."""

    def _run(self, work: Coroutine[Any, Any, _T], stop: threading.Event | None = None) -> _T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            while True:
                try:
                    return future.result(LOOK_SECONDS)
                except TimeoutError:
                    if future.done():
                        # It was the work itself that ran out of time.
                        raise EngineFailed("The model did not answer in time.") from None
                    if not self.alive():
                        # vLLM tells it to those who wait already, not always to who comes later.
                        raise EngineDied("The model's process has ended.") from None
                    if stop and stop.is_set():
                        raise EngineFailed("The page is not wanted any more.") from None
                except CancelledError:
                    raise EngineFailed("The model was stopped.") from None
        finally:
            future.cancel()


def decoded(tokens: Iterable[bytes]) -> tuple[str, list[int]]:
    """The text of tokens, and where each begins; a letter belongs to the token that ends it.

    Bytes that are no UTF-8 become U+FFFD.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    parts: list[str] = []
    starts: list[int] = []
    length = 0
    for token in tokens:
        starts.append(length)
        part = decoder.decode(token)
        parts.append(part)
        length += len(part)
    return "".join(parts) + decoder.decode(b"", final=True), starts
