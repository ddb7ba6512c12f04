"""The two clients: the same verbs, waiting for each or on an event loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

import httpx

from casola_ocr.client.options import Filters, Options
from casola_ocr.client.patience import AWAY_SECONDS, BUSY_SECONDS, Patience
from casola_ocr.client.results import Batch, Engine, Event, Job, Reading, Result
from casola_ocr.client.sources import Source
from casola_ocr.client.transport import AsyncTransport, Server, SyncTransport, finish, iterate
from casola_ocr.client.verbs import IN_FLIGHT, Verbs
from casola_ocr.pages import PageResult

#: Larger documents go straight to the object store, where it has an address of its own.
INLINE_BYTES = 8 * 1024 * 1024


class AsyncClient(Verbs):
    """A client of the server at `url`, with the token of a tenant; empty where it needs none.

    A busy server is asked again for `busy_seconds`, one that went away for `away_seconds`.
    Documents of more than `inline_bytes` are uploaded apart. `http` is a client of httpx to use,
    such as one with a proxy or a certificate; it is closed with this one.

    Belongs to one event loop.
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        busy_seconds: float = BUSY_SECONDS,
        away_seconds: float = AWAY_SECONDS,
        inline_bytes: int = INLINE_BYTES,
        http: httpx.AsyncClient | None = None,
    ):
        transport = AsyncTransport(Server(url, token), http)
        super().__init__(
            transport, Patience(transport, url, busy_seconds, away_seconds), inline_bytes
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class Client:
    """As `AsyncClient`, with plain methods and iterators. Can be shared between threads.

    What stops an iterator early (``break``) closes its connection; jobs on the server go on.
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        busy_seconds: float = BUSY_SECONDS,
        away_seconds: float = AWAY_SECONDS,
        inline_bytes: int = INLINE_BYTES,
        http: httpx.Client | None = None,
    ):
        transport = SyncTransport(Server(url, token), http)
        self._verbs = Verbs(
            transport, Patience(transport, url, busy_seconds, away_seconds), inline_bytes
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(
        self,
        source: Source,
        *,
        file_name: str | None = None,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> Result:
        return finish(self._verbs.read(source, file_name=file_name, timeout=timeout, **options))

    def submit(
        self,
        source: Source,
        *,
        file_name: str | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> Job:
        return finish(
            self._verbs.submit(
                source, file_name=file_name, idempotency_key=idempotency_key, **options
            )
        )

    def submit_batch(
        self,
        sources: Iterable[Source],
        *,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> Batch:
        return finish(self._verbs.submit_batch(sources, idempotency_key=idempotency_key, **options))

    def job(self, job: Job | str) -> Job:
        return finish(self._verbs.job(job))

    def wait(self, job: Job | str, *, timeout: float | None = None) -> Job:
        return finish(self._verbs.wait(job, timeout=timeout))

    def result(self, job: Job | str) -> Result:
        return finish(self._verbs.result(job))

    def page(self, job: Job | str, number: int) -> PageResult:
        return finish(self._verbs.page(job, number))

    def pages(self, job: Job | str) -> Iterator[PageResult]:
        return iterate(self._verbs.pages(job))

    def follow(self, job: Job | str) -> Iterator[Event]:
        return iterate(self._verbs.follow(job))

    def read_all(
        self,
        sources: Iterable[Source],
        *,
        in_flight: int = IN_FLIGHT,
        **options: Unpack[Options],
    ) -> Iterator[Reading]:
        return iterate(self._verbs.read_all(sources, in_flight=in_flight, **options))

    def read_folder(
        self, folder: str | Path, *, in_flight: int = IN_FLIGHT, **options: Unpack[Options]
    ) -> Iterator[Reading]:
        return iterate(self._verbs.read_folder(folder, in_flight=in_flight, **options))

    def cancel(self, job: Job | str) -> Job:
        return finish(self._verbs.cancel(job))

    def retry(
        self,
        job: Job | str,
        *,
        model: str | None = None,
        mode: str | None = None,
        prompt: str | None = None,
        fallback: bool | None = None,
    ) -> Job:
        return finish(
            self._verbs.retry(job, model=model, mode=mode, prompt=prompt, fallback=fallback)
        )

    def delete(self, job: Job | str) -> None:
        finish(self._verbs.delete(job))

    def export(self, job: Job | str, format: str) -> bytes:
        return finish(self._verbs.export(job, format))

    def save(self, job: Job | str, format: str, target: str | Path) -> Path:
        return finish(self._verbs.save(job, format, target))

    def batch(self, batch: Batch | str) -> Batch:
        return finish(self._verbs.batch(batch))

    def wait_batch(self, batch: Batch | str, *, timeout: float | None = None) -> Batch:
        return finish(self._verbs.wait_batch(batch, timeout=timeout))

    def cancel_batch(self, batch: Batch | str) -> Batch:
        return finish(self._verbs.cancel_batch(batch))

    def delete_batch(self, batch: Batch | str) -> None:
        finish(self._verbs.delete_batch(batch))

    def save_batch(self, batch: Batch | str, of: str, target: str | Path) -> Path:
        return finish(self._verbs.save_batch(batch, of, target))

    def library(self, **filters: Unpack[Filters]) -> Iterator[Job]:
        return iterate(self._verbs.library(**filters))

    def engines(self) -> tuple[Engine, ...]:
        return finish(self._verbs.engines())

    def close(self) -> None:
        finish(self._verbs.close())


for _name, _method in vars(Client).items():
    # What a verb does and raises is said once.
    if not _name.startswith("_"):
        _method.__doc__ = getattr(Verbs, _name).__doc__
