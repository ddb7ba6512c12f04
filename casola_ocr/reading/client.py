"""The server as ``casola-ocr read`` sees it: submit, wait, take home; patient with a busy one."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar
from uuid import uuid4

import httpx

from casola_ocr.errors import CasolaError, Gone, error_by_code
from casola_ocr.exports.document import read_pages

#: Seconds that one request waits for a job to end before it asks again.
WAIT_SECONDS = 20
#: How long a document is offered to a server that is too busy to take it.
BUSY_SECONDS = 600
#: How long a server that answered before may be away, such as while it restarts.
AWAY_SECONDS = 60
#: Pauses between two tries.
PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1, 30
CHUNK_BYTES = 1024 * 1024
_ENDED = ("completed", "failed", "cancelled")

#: As the API answers it.
Job = dict[str, Any]
_T = TypeVar("_T")


class Server:
    """A running server. Belongs to one event loop.

    Every method raises what the server refuses as the error that it is there, and
    `httpx.TransportError` when no server answers.
    """

    def __init__(self, client: httpx.AsyncClient):
        self._client = client
        self._answered = False

    async def read(self, path: Path, options: Mapping[str, str], *, again: bool = False) -> Job:
        """The job of a document once it ended.

        The same document with the same options is found again, also when a run that was stopped
        submitted it; pages of it that failed are read again. `again` submits it anew.
        """
        key = uuid4().hex if again else await asyncio.to_thread(_key, path, options)
        try:
            job = await self._submit(path, options, key)
        except Gone:
            job = await self._submit(path, options, uuid4().hex)
        if job["status"] == "cancelled":
            job = await self._submit(path, options, uuid4().hex)
        elif job["status"] in _ENDED and (job["error"] or job["pages"]["failed"]):
            job = await self._json("POST", f"{_address(job)}/retry")
        while job["status"] not in _ENDED:
            begun = time.monotonic()
            job = await self._json("GET", _address(job), params={"wait": str(WAIT_SECONDS)})
            if time.monotonic() - begun < PAUSE_SECONDS and job["status"] not in _ENDED:
                # Too many wait already, so this request could not.
                await asyncio.sleep(PAUSE_SECONDS)
        return job

    async def failed_pages(self, job: Job) -> list[tuple[int, str]]:
        """Number and reason of each page that could not be read."""
        if not job["pages"]["failed"]:
            return []
        with tempfile.TemporaryFile() as body:
            await self.download(job, "json", body)
            body.seek(0)
            pages = read_pages(iter(lambda: body.read(CHUNK_BYTES), b""))
            return [(page.page, page.error.detail) for page in pages if page.error]

    async def save(self, job: Job, format: str, target: Path) -> None:
        """Write an export to a file that is there when all of it is."""
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.part")
        try:
            with unfinished.open("wb") as body:
                await self.download(job, format, body)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    async def download(self, job: Job, format: str, target: IO[bytes]) -> None:
        """Write an export into an empty file."""

        async def attempt() -> None:
            address, params = f"{_address(job)}/export", {"format": format}
            async with self._client.stream("GET", address, params=params) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise _refusal(answer)
                target.seek(0)
                target.truncate()
                async for chunk in answer.aiter_bytes(CHUNK_BYTES):
                    target.write(chunk)

        await self._patiently(attempt)

    async def _submit(self, path: Path, options: Mapping[str, str], key: str) -> Job:
        async def attempt() -> Job:
            with path.open("rb") as source:
                answer = await self._client.post(
                    "/api/v1/jobs",
                    files={"file": (path.name, source)},
                    data=dict(options),
                    headers={"Idempotency-Key": key},
                )
            return _body(answer)

        return await self._patiently(attempt)

    async def _json(self, method: str, address: str, **more: Any) -> Job:
        async def attempt() -> Job:
            return _body(await self._client.request(method, address, **more))

        return await self._patiently(attempt)

    async def _patiently(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Try until it is done; nothing is done twice, however often it is tried."""
        begun = time.monotonic()
        while True:
            pause: float = PAUSE_SECONDS
            try:
                done = await attempt()
            except httpx.TransportError:
                # A wrong address is told at once.
                if not self._answered or time.monotonic() > begun + AWAY_SECONDS:
                    raise
            except CasolaError as error:
                self._answered = True
                if not error.retryable or time.monotonic() > begun + BUSY_SECONDS:
                    raise
                pause = min(MAX_PAUSE_SECONDS, max(pause, error.retry_after_seconds or 0))
            else:
                self._answered = True
                return done
            await asyncio.sleep(pause)


def _key(path: Path, options: Mapping[str, str]) -> str:
    """The same for the same document and options, however often and whenever it is asked."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    # How urgent it is changes with how many documents are left.
    asked = sorted((name, value) for name, value in options.items() if name != "lane")
    digest.update(json.dumps([path.name, asked]).encode())
    return f"read-{digest.hexdigest()}"


def _address(job: Job) -> str:
    return f"/api/v1/jobs/{job['request_id']}"


def _body(answer: httpx.Response) -> Job:
    if answer.status_code >= 400:
        raise _refusal(answer)
    body = _parsed(answer)
    if "request_id" not in body:
        raise CasolaError(f"What answered {answer.status_code} is not Casola OCR.")
    return body


def _refusal(answer: httpx.Response) -> CasolaError:
    body = _parsed(answer)
    detail = str(body.get("detail") or f"The server answered {answer.status_code}.")
    error = error_by_code(str(body.get("code")), detail)
    told = answer.headers.get("Retry-After", "")
    error.retry_after_seconds = int(told) if told.isdecimal() else None
    return error


def _parsed(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
