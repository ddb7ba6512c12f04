"""Answers that are too long to hold: into files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO

from casola_ocr.client.patience import Patience
from casola_ocr.client.results import check
from casola_ocr.client.transport import Call, Transport


@dataclass(frozen=True)
class Downloading:
    """Writes answers to files; one that breaks off is asked for again, from its beginning."""

    transport: Transport
    patience: Patience

    async def save(self, call: Call, target: Path) -> Path:
        """Write a file that is there when all of it is."""
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.part")
        try:
            with unfinished.open("wb") as body:
                await self.write(call, body)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
        return target

    async def write(self, call: Call, target: IO[bytes]) -> None:
        """Write into an empty file, and go back to its beginning."""

        async def attempt() -> None:
            async with self.transport.stream(call) as (response, chunks):
                check(response)
                target.seek(0)
                target.truncate()
                async for chunk in chunks:
                    target.write(chunk)

        await self.patience.until_done(attempt)
        target.seek(0)
