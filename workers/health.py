"""Whether the engines of a worker of the threads pool still read: looked at again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import structlog

from casola_ocr.model import Lane, Wishes
from casola_ocr.settings import Settings
from workers.drain import ThreadedPulse
from workers.engines.base import ThreadedEngine
from workers.engines.golden import prove

log = structlog.get_logger(__name__)

#: How often it is asked whether the engines' processes are there.
LOOK_SECONDS = 2.0


class Health(threading.Thread):
    """Makes the worker leave when an engine is gone, or does not read the golden page in time.

    A process that is there can hang all the same; only a page tells.
    """

    def __init__(self, engines: Sequence[ThreadedEngine], pulse: ThreadedPulse, settings: Settings):
        super().__init__(name="health", daemon=True)
        self._engines = engines
        self._pulse = pulse
        self._every = settings.golden_minutes * 60
        self._within = settings.golden_seconds

    def run(self) -> None:
        proven = time.monotonic()
        while not self._pulse.deadline.value:
            # A daemon thread: it keeps nobody from leaving.
            time.sleep(LOOK_SECONDS)
            for engine in self._engines:
                if not engine.alive():
                    self._pulse.leave(f"{engine.name} is gone")
            if time.monotonic() - proven > self._every:
                for engine in self._engines:
                    self._prove(engine)
                proven = time.monotonic()

    def _prove(self, engine: ThreadedEngine) -> None:
        failed: list[str] = []

        def read() -> None:
            try:
                # Before all pages that nobody waits for: else a long queue looks like a hang.
                prove(engine, wishes=Wishes(lane=Lane.INTERACTIVE))
            except Exception:
                # Whatever it is, it did not read the page; vLLM has errors of its own.
                log.exception("the golden page failed", action="golden_failed", engine=engine.name)
                failed.append(f"{engine.name} could not read the sample page")

        reading = threading.Thread(target=read, name="golden", daemon=True)
        reading.start()
        reading.join(self._within)
        if reading.is_alive():
            failed.append(f"{engine.name} did not read the sample page in time")
        if failed:
            self._pulse.leave(failed[0])
