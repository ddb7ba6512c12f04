"""The part of the job records that tells which workers live and what they can do."""

from __future__ import annotations

import time
from collections.abc import Sequence

from casola_ocr.records.connection import Connection, translated

#: A worker child that was silent this long is dead: three missed heartbeats of 4 s, and some.
LIVE_MS = 15_000


class Presence:
    """Workers; see `Records` for what holds for every method."""

    def __init__(self, connection: Connection):
        self._client = connection.client
        self._run = connection.run
        #: When the capabilities were last asked for, 0 = never, and what they were.
        self._announced: tuple[float, set[str]] = (0.0, set())

    def owners(self) -> list[str]:
        """Every worker child that took a step and has not left."""
        with translated():
            found: list[str] = self._client.hkeys("casola:takes")
        return found

    def pulse(self, slot: str, capabilities: Sequence[str]) -> None:
        """Say that this worker child lives; no capability means that it leaves."""
        self._run("pulse", slot, ",".join(capabilities), LIVE_MS)
        self._announced = (0.0, set())

    def capabilities(self, *, max_age: float = 0) -> set[str]:
        """What live workers announce: ``prepare``, ``reconcile``; engines: `casola_ocr.engines`.

        An answer of the last `max_age` seconds does as well.
        """
        now = time.monotonic()
        asked, found = self._announced
        if not asked or now - asked > max_age:
            told = self._run("live", LIVE_MS)
            found = {cap for caps in told if caps for cap in caps.split(",")}
            self._announced = (now, found)
        return found
