"""Either of our clients, so that each test is of both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Literal

from casola_ocr.client import AsyncClient, Client

KINDS = ("sync", "async")


class Either:
    """Calls verbs by name; what a verb yields is a list."""

    def __init__(self, kind: Literal["sync", "async"], url: str, token: str = "", **options: Any):
        self.kind, self.url, self.token, self.options = kind, url, token, options

    def __getattr__(self, verb: str) -> Any:
        return lambda *args, **named: self._call(verb, *args, **named)

    def _call(self, verb: str, *args: Any, **named: Any) -> Any:
        if self.kind == "async":
            return asyncio.run(self._wait_for(verb, *args, **named))
        with Client(self.url, self.token, **self.options) as client:
            made = getattr(client, verb)(*args, **named)
            return list(made) if isinstance(made, Iterator) else made

    async def _wait_for(self, verb: str, *args: Any, **named: Any) -> Any:
        async with AsyncClient(self.url, self.token, **self.options) as client:
            made = getattr(client, verb)(*args, **named)
            return [item async for item in made] if hasattr(made, "__anext__") else await made
