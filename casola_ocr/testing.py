"""Fakes for tests, ours and our users': an object store in memory and an engine from a script.

The store passes the same contract tests as the real ones. There is no fake of the records: their
logic is Lua, and a real Valkey starts in a tenth of a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

from PIL import Image

from casola_ocr.errors import ObjectNotFound, StoreUnavailable
from casola_ocr.model import Wishes
from casola_ocr.pages import Line, PageResult
from casola_ocr.text.counts import count_words

CHUNK_BYTES = 1024 * 1024
#: Given the image, the page and the attempt; returns the page's text or raises.
Script = Callable[[Image.Image, int, int], str]


class MemoryStore:
    """An `ObjectStore` in memory; `fail_with` makes every call fail, like an outage."""

    def __init__(self) -> None:
        self.fail_with: StoreUnavailable | None = None
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        self.check()
        content = data if isinstance(data, bytes) else data.read()
        with self._lock:
            self._objects[key] = content

    def put_all(self, objects: Sequence[tuple[str, bytes | BinaryIO]]) -> None:
        for key, data in objects:
            self.put(key, data)

    def get(self, key: str) -> bytes:
        self.check()
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectNotFound() from None

    def exists(self, key: str) -> bool:
        self.check()
        return key in self._objects

    def stream(self, key: str) -> Iterator[bytes]:
        content = self.get(key)
        return (content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES))

    def list(self, prefix: str) -> Iterator[str]:
        self.check()
        with self._lock:
            found = sorted(key for key in self._objects if key.startswith(prefix))
        return iter(found)

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        return ((key, len(self._objects.get(key, b""))) for key in self.list(prefix))

    def folders(self, prefix: str) -> Iterator[str]:
        below = (key.removeprefix(prefix).split("/") for key in self.list(prefix))
        return iter(sorted({parts[0] for parts in below if len(parts) > 1}))

    def delete(self, keys: Iterable[str]) -> None:
        self.check()
        for key in keys:
            # Not around the loop: a lazy iterable may call this store again.
            with self._lock:
                self._objects.pop(key, None)

    def upload_form(self, key: str, *, max_bytes: int, seconds: int) -> None:
        return None

    def check(self) -> None:
        if self.fail_with is not None:
            raise self.fail_with


class ScriptedEngine:
    """An engine that answers every page with `text`, or with what `script` says for it.

    `wishes` are those of each page that it was given.
    """

    def __init__(
        self,
        name: str = "pp-ocrv6",
        text: str = "text",
        version: str = "scripted",
        script: Script | None = None,
    ):
        self.name = name
        self.version = version
        self._text = text
        self._script = script
        self.wishes: list[Wishes] = []

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
        self.wishes.append(wishes)
        text = self._text if self._script is None else self._script(image, page, attempt)
        box = (0, 0, image.width, image.height)
        lines = tuple(Line(text=line, confidence=0.9, box=box) for line in text.splitlines())
        confidence = 0.9 if lines else None
        return PageResult(
            page=page,
            width=image.width,
            height=image.height,
            text=text,
            words=count_words(text),
            confidence=confidence,
            confidence_low=confidence,
            engine=self.name,
            engine_version=self.version,
            attempts=attempt,
            seconds=0.0,
            lines=lines,
            language=None if language == "auto" else language,
        )

    def alive(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing was loaded."""
