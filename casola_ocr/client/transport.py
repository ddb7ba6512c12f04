"""Requests on their way: the same for both clients, over httpx's client of either kind.

The verbs are coroutines. Over `SyncTransport` they never wait for an event loop, so `finish` and
`iterate` run them to their end at once; over `AsyncTransport` they run on the caller's loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import httpx

from casola_ocr import __version__
from casola_ocr.client.sources import Document

#: Seconds that one request waits for a job to end before it asks again.
WAIT_SECONDS = 20
#: Far longer than a request waits: a server under load is slow, a dead one breaks the connection.
TIMEOUT = httpx.Timeout(WAIT_SECONDS + 30, connect=10, pool=None)

_Made = TypeVar("_Made")


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request that can be made again, from its beginning.

    `address` is a path of the server, or the whole address of another one, which gets no token.
    `files` go into the form's field ``file``.
    """

    method: str
    address: str
    params: Mapping[str, str | list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[Document] = ()


class Transport(Protocol):
    """Sends requests and waits. Raises `httpx.TransportError` where no answer comes."""

    async def send(self, call: Call) -> httpx.Response:
        """The answer with its body."""

    def stream(
        self, call: Call
    ) -> AbstractAsyncContextManager[tuple[httpx.Response, AsyncIterator[bytes]]]:
        """The answer, and its body as it comes; an answer of 300 and above has its body."""

    async def sleep(self, seconds: float) -> None: ...

    async def apart(self, function: Callable[[], _Made]) -> _Made:
        """Call what takes long, without holding others up."""

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Server:
    """Where the server is, and who asks; its parts never show the token."""

    url: str
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError("the address of a server begins with http:// or https://")

    @contextmanager
    def request(
        self, http: httpx.Client | httpx.AsyncClient, call: Call
    ) -> Iterator[httpx.Request]:
        """The call as a request, with its files open while it is made."""
        headers = {"User-Agent": f"casola-ocr-client/{__version__}", **call.headers}
        url = call.address
        if url.startswith("/"):
            url = self.url.rstrip("/") + url
            if self.token:
                headers["Authorization"] = f"Bearer {self.token}"
        with ExitStack() as opened:
            files = [
                ("file", (document.name, opened.enter_context(document.open())))
                for document in call.files
            ]
            yield http.build_request(
                call.method, url, params=call.params or None, headers=headers, json=call.json,
                data=call.form or None, files=files or None, timeout=TIMEOUT,
            )  # fmt: skip


class SyncTransport:
    """Over `httpx.Client`. Can be shared between threads."""

    def __init__(self, server: Server, http: httpx.Client | None):
        self._server = server
        self._http = http or httpx.Client()

    async def send(self, call: Call) -> httpx.Response:
        with self._server.request(self._http, call) as request:
            return self._http.send(request)

    @asynccontextmanager
    async def stream(
        self, call: Call
    ) -> AsyncGenerator[tuple[httpx.Response, AsyncIterator[bytes]], None]:
        with self._server.request(self._http, call) as request:
            response = self._http.send(request, stream=True)
            try:
                if response.status_code >= 300:
                    response.read()
                yield response, _as_async(response.iter_bytes())
            finally:
                response.close()

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def apart(self, function: Callable[[], _Made]) -> _Made:
        return function()

    async def close(self) -> None:
        self._http.close()


class AsyncTransport:
    """Over `httpx.AsyncClient`. Belongs to one event loop."""

    def __init__(self, server: Server, http: httpx.AsyncClient | None):
        self._server = server
        self._http = http or httpx.AsyncClient()

    async def send(self, call: Call) -> httpx.Response:
        with self._server.request(self._http, call) as request:
            return await self._http.send(request)

    @asynccontextmanager
    async def stream(
        self, call: Call
    ) -> AsyncGenerator[tuple[httpx.Response, AsyncIterator[bytes]], None]:
        with self._server.request(self._http, call) as request:
            response = await self._http.send(request, stream=True)
            try:
                if response.status_code >= 300:
                    await response.aread()
                yield response, response.aiter_bytes()
            finally:
                await response.aclose()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def apart(self, function: Callable[[], _Made]) -> _Made:
        return await asyncio.to_thread(function)

    async def close(self) -> None:
        await self._http.aclose()


def finish(work: Coroutine[Any, Any, _Made]) -> _Made:
    """Run a coroutine over `SyncTransport`, which never waits for a loop, to its end."""
    try:
        work.send(None)
    except StopIteration as done:
        made: _Made = done.value
        return made
    work.close()
    raise RuntimeError("a verb over SyncTransport waited for an event loop")


def iterate(items: AsyncGenerator[_Made, None]) -> Iterator[_Made]:
    """As `finish`, of what yields; it is closed when the iterator is."""
    try:
        while True:
            try:
                yield finish(items.__anext__())
            except StopAsyncIteration:
                return
    finally:
        finish(items.aclose())


async def _as_async(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
