"""Documents that are taken up where an earlier run left them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

from casola_ocr.client import AsyncClient, Job, JobStatus, NotFound, Options


async def ended_job(
    client: AsyncClient, path: Path, options: Options, *, anew: bool = False
) -> Job:
    """The job of a document once it has ended.

    The same document with the same options is found again, also when a run that was stopped
    submitted it; pages of it that failed are read again. `anew` submits it once more.

    Raises:
        ClientError: as the client's verbs.
        OSError: the file cannot be read.
    """
    if anew:
        return await client.wait(await client.submit(path, **options))
    key = await asyncio.to_thread(_key, path, options)
    try:
        job = await client.submit(path, idempotency_key=key, **options)
    except NotFound:
        # What the key stands for was deleted.
        job = await client.submit(path, **options)
    if job.status is JobStatus.CANCELLED:
        job = await client.submit(path, **options)
    elif job.ended and (job.error or job.pages.failed):
        job = await client.retry(job)
    return await client.wait(job)


def _key(path: Path, options: Options) -> str:
    """The same for the same document and options, however often and whenever it is asked."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    # How urgent it is changes with how many documents are left.
    asked = sorted((name, value) for name, value in options.items() if name != "lane")
    digest.update(json.dumps([path.name, asked]).encode())
    return f"read-{digest.hexdigest()}"
