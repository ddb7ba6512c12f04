"""Following jobs: their events over one connection, which is made anew when it breaks."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import httpx

from casola_ocr.client.errors import NotFound, Refused
from casola_ocr.client.events import EventReader, Message
from casola_ocr.client.patience import PAUSE_SECONDS, Patience, Tries
from casola_ocr.client.results import JOB, Event, Job, address, check, parsed
from casola_ocr.client.transport import Call, Transport
from casola_ocr.errors import error_by_code


@dataclass(frozen=True, kw_only=True)
class Followed:
    """An event, or that a job is `lost`: it was deleted while it was followed."""

    request_id: str
    event: Event | None = None
    lost: NotFound | None = None

    @property
    def ended(self) -> bool:
        """Whether this is the last of its job."""
        return self.event is None or self.event.kind == "finished"


async def follow(
    transport: Transport, patience: Patience, request_ids: Collection[str]
) -> AsyncGenerator[Followed, None]:
    """What happens to jobs until all have ended; of one job nothing is told twice.

    Where the server has no room for followers, or ends a stream, jobs are looked at instead.

    Raises:
        NotReached, Refused: as every verb.
    """
    left, position = set(request_ids), ""
    tries = Tries(patience)
    while left:
        try:
            async with transport.stream(_call(left, position)) as (response, chunks):
                check(response)
                patience.answered = True
                reader = EventReader()
                async for chunk in chunks:
                    tries.begin_again()
                    for message in reader.feed(chunk):
                        position = message.id or position
                        followed = _followed(message)
                        if followed is not None and followed.request_id in left:
                            if followed.ended:
                                left.discard(followed.request_id)
                            yield followed
            # A stream ends after an hour, or because something in between does not let it through.
            pause = PAUSE_SECONDS
        except httpx.TransportError as error:
            await tries.after(error)
            continue
        except Refused as error:
            # Not found may be one of several.
            if not error.retryable and not isinstance(error, NotFound):
                raise
            pause = max(PAUSE_SECONDS, error.retry_after_seconds or 0)
        for request_id in sorted(left):
            followed = await _look(patience, request_id)
            if followed.ended:
                left.discard(request_id)
            yield followed
        if left:
            await transport.sleep(pause)


def _call(request_ids: Collection[str], position: str) -> Call:
    if len(request_ids) > 1:
        params = {"request_id": sorted(request_ids)}
        return Call(method="GET", address="/api/v1/events", params=params)
    (request_id,) = request_ids
    headers = {"Last-Event-ID": position} if position else {}
    return Call(method="GET", address=f"{address(request_id)}/events", headers=headers)


async def _look(patience: Patience, request_id: str) -> Followed:
    try:
        call = Call(method="GET", address=address(request_id))
        job = await patience.call(call, partial(parsed, JOB))
    except NotFound as error:
        return Followed(request_id=request_id, lost=error)
    return _of_job("finished" if job.ended else "progress", job)


def _followed(message: Message) -> Followed | None:
    """What a message tells; None where it is of a kind that did not exist yet.

    Raises:
        ValueError: it is not one of ours.
    """
    data: dict[str, Any] = json.loads(message.data)
    if message.event == "progress":
        return _of_job("progress", JOB.validate_python(data))
    if message.event == "finished":
        return _of_job("finished", JOB.validate_python(data))
    request_id = data["request_id"]
    if message.event == "page":
        failed = data["status"] == "failed"
        event = Event(kind="page", request_id=request_id, page=data["page"], failed=failed)
        return Followed(request_id=request_id, event=event)
    if message.event == "error":
        code, detail = data["code"], data["detail"]
        advice, status = error_by_code(code, detail).advice, error_by_code(code, detail).status
        return Followed(request_id=request_id, lost=NotFound(code, detail, advice, status=status))
    return None


def _of_job(kind: Literal["progress", "finished"], job: Job) -> Followed:
    event = Event(kind=kind, request_id=job.request_id, job=job)
    return Followed(request_id=job.request_id, event=event)
