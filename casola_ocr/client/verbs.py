"""What a client can do, once for both kinds: `AsyncClient` has these verbs, `Client` runs them.

Every verb raises `NotReached` when no server answers, and what the server refuses as `Refused`.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TypeVar, Unpack

import httpx
from pydantic import TypeAdapter

from casola_ocr.client.downloading import Downloading
from casola_ocr.client.errors import (
    ClientError,
    NotCasola,
    NotFound,
    NotReached,
    StillRunning,
    Unauthorized,
)
from casola_ocr.client.following import Followed, follow
from casola_ocr.client.options import Filters, Options, as_fields
from casola_ocr.client.patience import PAUSE_SECONDS, Patience
from casola_ocr.client.results import (
    BATCH,
    ENGINES,
    JOB,
    JOB_PAGE,
    PAGE,
    Batch,
    Engine,
    Event,
    Job,
    Reading,
    Result,
    address,
    batch_address,
    check,
    parsed,
    parsed_result,
)
from casola_ocr.client.sources import Source, document, documents_below
from casola_ocr.client.submitting import Submitting, new_key
from casola_ocr.client.transport import WAIT_SECONDS, Call, Transport
from casola_ocr.pages import PageResult, read_pages

CHUNK_BYTES = 1024 * 1024
#: Jobs that `read_all` has on the server at once, unless it is told otherwise.
IN_FLIGHT = 8
#: Jobs that the server lets be followed at once.
MAX_IN_FLIGHT = 100

_Made = TypeVar("_Made")


class Verbs:
    """The verbs over one transport. Holds nothing of a job: all of it is on the server."""

    def __init__(self, transport: Transport, patience: Patience, inline_bytes: int):
        self._transport = transport
        self._patience = patience
        self._downloading = Downloading(transport, patience)
        self._submitting = Submitting(transport, patience, inline_bytes)

    async def read(
        self,
        source: Source,
        *,
        file_name: str | None = None,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> Result:
        """Submit a document, wait for it, and return what was read.

        Of a document of which only some pages could be read, the result says so in
        `failed_pages`. `timeout` is in seconds; without one it is waited for as long as it takes.

        Raises:
            JobFailed, JobCancelled: no page of it was read.
            StillRunning: it was not read within `timeout`; it goes on.
            OSError: the file cannot be read.
        """
        begun = time.monotonic()
        response = await self._submitting.submit(
            [document(source, file_name)], options, new_key(), wait=_whole(timeout)
        )
        if response.status_code == httpx.codes.OK:
            result = parsed_result(response)
            result.job.check_read()
            return result
        job = await self.wait(parsed(JOB, response), timeout=_left(begun, timeout))
        job.check_read()
        return await self.result(job)

    async def submit(
        self,
        source: Source,
        *,
        file_name: str | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """Submit a document; the job is accepted, and is not lost, when this returns.

        The same `idempotency_key` with the same document and options is the same job; without one
        each call makes a new job, once, however often the connection breaks.

        Raises:
            OSError: the file cannot be read.
        """
        documents = [document(source, file_name)]
        key = idempotency_key or new_key()
        return parsed(JOB, await self._submitting.submit(documents, options, key))

    async def submit_batch(
        self,
        sources: Iterable[Source],
        *,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> Batch:
        """Submit 2 to 100 documents together: files and bytes, or URLs; all are accepted or none.

        Raises:
            ValueError: they are fewer, or of both kinds.
            OSError: a file cannot be read.
        """
        documents = [document(source) for source in sources]
        if len(documents) < 2:
            raise ValueError("a batch has at least two documents")
        key = idempotency_key or new_key()
        return parsed(BATCH, await self._submitting.submit(documents, options, key))

    async def job(self, job: Job | str) -> Job:
        """The job as it stands."""
        return await self._get(JOB, address(job))

    async def wait(self, job: Job | str, *, timeout: float | None = None) -> Job:
        """The job once it has ended, however it did.

        Raises:
            StillRunning: it did not end within `timeout` seconds.
        """
        if isinstance(job, Job) and job.ended:
            return job
        found = await self._wait(JOB, address(job), timeout, lambda job: job.ended)
        if not found.ended:
            raise StillRunning(found)
        return found

    async def result(self, job: Job | str) -> Result:
        """What was read; of a job that runs, the pages that are done."""
        return await self._patience.call(_get(f"{address(job)}/result"), parsed_result)

    async def page(self, job: Job | str, number: int) -> PageResult:
        """One page that is done; the document's first is 1."""
        return await self._get(PAGE, f"{address(job)}/pages/{number}")

    async def pages(self, job: Job | str) -> AsyncGenerator[PageResult, None]:
        """Each page as it becomes done or failed, in whatever order; at once where it has ended.

        Needs little memory, however long the document is. Goes on where it was when the connection
        breaks.

        Raises:
            JobFailed, JobCancelled: it ended so, told after the pages that there are.
        """
        found = await self.job(job)
        told = set[int]()
        if not found.ended:
            async with aclosing(self.follow(found)) as events:
                async for event in events:
                    if event.page is not None and event.page not in told:
                        told.add(event.page)
                        yield await self.page(found, event.page)
                    found = event.job or found
        # Events tell of the last thousand pages or so.
        if len(told) < found.pages.done + found.pages.failed:
            with tempfile.TemporaryFile() as body:
                await self._downloading.write(_get(f"{address(found)}/result"), body)
                for page in read_pages(iter(lambda: body.read(CHUNK_BYTES), b"")):
                    if page.page not in told:
                        yield page
        found.check_read()

    async def follow(self, job: Job | str) -> AsyncGenerator[Event, None]:
        """What happens to a job, as it happens; the last event is ``finished``.

        Raises:
            NotFound: it was deleted meanwhile.
        """
        request_id = job if isinstance(job, str) else job.request_id
        async with aclosing(follow(self._transport, self._patience, [request_id])) as events:
            async for followed in events:
                if followed.event is None:
                    raise followed.lost or RuntimeError("a job is lost for no reason")
                yield followed.event

    async def read_all(
        self,
        sources: Iterable[Source],
        *,
        in_flight: int = IN_FLIGHT,
        **options: Unpack[Options],
    ) -> AsyncGenerator[Reading, None]:
        """Read many documents, any number of them, and tell what came of each as it ends.

        So many are on the server at once, in the lane ``bulk`` unless `options` say otherwise. One
        that fails or is refused does not stop the others. What is on the server when this is left
        early goes on there.

        Raises:
            NotReached, NotCasola, Unauthorized: no document would fare better.
        """
        if not 1 <= in_flight <= MAX_IN_FLIGHT:
            raise ValueError(f"in_flight is from 1 to {MAX_IN_FLIGHT}")
        waiting, running = iter(sources), dict[str, Source]()
        asked: Options = {"lane": "bulk", **options}
        while True:
            while len(running) < in_flight and (source := next(waiting, None)) is not None:
                try:
                    running[(await self.submit(source, **asked)).request_id] = source
                except (ClientError, OSError) as error:
                    _check_goes_on(error)
                    yield Reading(source=source, error=error)
            if not running:
                return
            ended = await self._first_ended(running)
            source = running.pop(ended.request_id)
            try:
                if ended.lost is not None:
                    raise ended.lost
                result = await self.result(ended.request_id)
                result.job.check_read()
            except ClientError as error:
                _check_goes_on(error)
                yield Reading(source=source, error=error)
            else:
                yield Reading(source=source, result=result)

    async def read_folder(
        self, folder: str | Path, *, in_flight: int = IN_FLIGHT, **options: Unpack[Options]
    ) -> AsyncGenerator[Reading, None]:
        """As `read_all`, of the documents in a folder and its folders.

        Which files are documents is told by their content; hidden ones are left out.

        Raises:
            NotADirectoryError: there is no such folder.
        """
        if not Path(folder).is_dir():
            raise NotADirectoryError(f"there is no folder {folder}")
        found = documents_below(Path(folder))
        readings = self.read_all(found, in_flight=in_flight, **options)
        async with aclosing(readings):
            async for reading in readings:
                yield reading

    async def cancel(self, job: Job | str) -> Job:
        """Stop a job; pages that were finished stay readable. One that ended stays as it is."""
        return await self._patience.call(
            Call(method="POST", address=f"{address(job)}/cancel"), _made(JOB)
        )

    async def retry(
        self,
        job: Job | str,
        *,
        model: str | None = None,
        mode: str | None = None,
        prompt: str | None = None,
        fallback: bool | None = None,
    ) -> Job:
        """Read the failed pages of an ended job again; what is not given stays as it was.

        Raises:
            Refused: no page of it failed (code ``conflict``).
        """
        asked = {"model": model, "mode": mode, "prompt": prompt, "fallback": fallback}
        call = Call(
            method="POST", address=f"{address(job)}/retry",
            json={name: value for name, value in asked.items() if value is not None},
            headers={"Idempotency-Key": new_key()},
        )  # fmt: skip
        return await self._patience.call(call, _made(JOB))

    async def delete(self, job: Job | str) -> None:
        """Remove every byte of a job; one that was deleted already is none to complain of."""
        await self._delete(address(job))

    async def export(self, job: Job | str, format: str) -> bytes:
        """An ended job as ``txt``, ``md``, ``json``, ``hocr``, ``alto`` or ``pdf``."""
        with tempfile.TemporaryFile() as body:
            await self._downloading.write(_export(job, format), body)
            return body.read()

    async def save(self, job: Job | str, format: str, target: str | Path) -> Path:
        """As `export`, into a file, which is there when all of it is; needs little memory.

        Raises:
            OSError: the file cannot be written.
        """
        return await self._downloading.save(_export(job, format), Path(target))

    async def batch(self, batch: Batch | str) -> Batch:
        """The batch as it stands."""
        return await self._get(BATCH, batch_address(batch))

    async def wait_batch(self, batch: Batch | str, *, timeout: float | None = None) -> Batch:
        """The batch once all its jobs have ended.

        Raises:
            StillRunning: one did not end within `timeout` seconds.
        """
        found = await self._wait(BATCH, batch_address(batch), timeout, lambda batch: batch.ended)
        for job in found.jobs:
            if not job.ended:
                raise StillRunning(job)
        return found

    async def cancel_batch(self, batch: Batch | str) -> Batch:
        """Stop every job of it that has not ended."""
        call = Call(method="POST", address=f"{batch_address(batch)}/cancel")
        return await self._patience.call(call, _made(BATCH))

    async def delete_batch(self, batch: Batch | str) -> None:
        """Remove every byte of every job of it; as `delete`."""
        await self._delete(batch_address(batch))

    async def save_batch(self, batch: Batch | str, of: str, target: str | Path) -> Path:
        """An ended batch as a zip of files in one of the formats of `export`; as `save`."""
        return await self._downloading.save(
            _get(f"{batch_address(batch)}/export", of=of), Path(target)
        )

    async def library(self, **filters: Unpack[Filters]) -> AsyncGenerator[Job, None]:
        """The tenant's jobs that the filters let through, newest first, as they are asked for."""
        query = as_fields(filters)
        while True:
            found = await self._get(JOB_PAGE, "/api/v1/library", **query)
            for job in found.data:
                yield job
            if found.next is None:
                return
            query["after"] = found.next

    async def engines(self) -> tuple[Engine, ...]:
        """Every engine with the languages that it reads here, ``auto`` first."""
        return (await self._get(ENGINES, "/api/v1/engines")).data

    async def close(self) -> None:
        """Let the connections go; jobs on the server are not touched."""
        await self._transport.close()

    async def _get(self, kind: TypeAdapter[_Made], path: str, **params: str) -> _Made:
        return await self._patience.call(_get(path, **params), _made(kind))

    async def _wait(
        self,
        kind: TypeAdapter[_Made],
        path: str,
        timeout: float | None,
        ended: Callable[[_Made], bool],
    ) -> _Made:
        """What is there once it has ended, or as it stands after `timeout` seconds."""
        begun = time.monotonic()
        while True:
            asked, seconds = time.monotonic(), _whole(_left(begun, timeout))
            found = await self._get(kind, path, wait=str(seconds))
            if ended(found) or seconds == 0:
                return found
            if time.monotonic() - asked < min(seconds, PAUSE_SECONDS):
                # Too many wait already, so this request could not.
                await self._transport.sleep(PAUSE_SECONDS)

    async def _first_ended(self, request_ids: Collection[str]) -> Followed:
        async with aclosing(follow(self._transport, self._patience, request_ids)) as events:
            async for followed in events:
                if followed.ended:
                    return followed
        raise RuntimeError("jobs are followed until all of them have ended")

    async def _delete(self, path: str) -> None:
        call = Call(method="DELETE", address=path)
        try:
            await self._patience.call(call, check)
        except NotFound as error:
            if error.code != "gone":
                raise


def _get(path: str, **params: str) -> Call:
    return Call(method="GET", address=path, params=params)


def _export(job: Job | str, format: str) -> Call:
    return _get(f"{address(job)}/export", format=format)


def _made(kind: TypeAdapter[_Made]) -> Callable[[httpx.Response], _Made]:
    return partial(parsed, kind)


def _left(begun: float, timeout: float | None) -> float | None:
    """Seconds of a timeout that began then; None is no timeout."""
    return None if timeout is None else max(0.0, begun + timeout - time.monotonic())


def _whole(seconds: float | None) -> int:
    """For how long one request waits."""
    return WAIT_SECONDS if seconds is None else min(WAIT_SECONDS, math.ceil(seconds))


def _check_goes_on(error: ClientError | OSError) -> None:
    """Raise what is not about one document."""
    if isinstance(error, NotReached | NotCasola | Unauthorized):
        raise error
