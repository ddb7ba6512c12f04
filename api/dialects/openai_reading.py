"""From a request to its jobs, and along them while they are read; chat and Responses share it."""

from __future__ import annotations

import _socket
import os
import socket
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from api.auth import tenant
from api.context import sources
from api.dialects.common import check_count, check_kept_count, closed_later
from casola_ocr.errors import CasolaError, Conflict, WaitTimeout
from casola_ocr.jobs import Jobs, NewDocument
from casola_ocr.model import Job
from casola_ocr.wire.openai_answer import Answer, Page, Piece
from casola_ocr.wire.openai_parts import Wanted, document


def documents(wanted: Sequence[Wanted]) -> list[NewDocument]:
    """What is to be read, in order.

    Raises:
        MalformedRequest: there are too many.
        BadDataUrl, EmptyFile, FileTooLarge, BadUrl: one of them is not acceptable.
        NotFound: there is no such file.
    """
    check_count(len(wanted))
    check_kept_count(sum(bool(item.file_id) for item in wanted))
    return [closed_later(document(sources(), tenant(), item)) for item in wanted]


@dataclass
class Reading:
    """The text of some jobs as it comes; `answer` is whole once it has ended."""

    jobs: Jobs
    tenant: str
    made: Sequence[Job]
    #: Seconds for all of it.
    seconds: float
    answer: Answer
    #: The client's connection, to be looked at while nothing happens.
    connection: Any = None
    #: Whether the work goes on when nobody waits for it any more.
    goes_on: bool = False
    _ended: set[str] = field(default_factory=set)
    _holder: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if not self.goes_on:
            self._holder = self.jobs.holder(self.made[0])

    def pieces(self) -> Generator[Piece | None]:
        """Text with its logprobs as soon as a page was read; None when nothing came for a while.

        Jobs that nobody waits for any more, because the client went away, another job of these
        failed or the iteration was given up, are cancelled, unless they are to go on; after a
        timeout they do.

        Raises:
            WaitTimeout: it takes longer than `seconds`.
            Conflict: a job was cancelled.
            CasolaError: why a job failed.
        """
        try:
            for piece in self.answer.pieces(self._pages()):
                if piece is None:
                    self._check_connection()
                yield piece
        except WaitTimeout as error:
            told = ", ".join(job.request_id for job in self.made)
            raise WaitTimeout(
                f"The request took too long; it goes on as {told}, see GET /api/v1/jobs/."
            ) from error
        except CasolaError:
            self.cancel()
            raise
        except GeneratorExit:
            self.cancel()
            raise

    def cancel(self) -> None:
        """Stop what has not ended and is not to go on; a job that has ended stays as it is."""
        # The client may have gone only to try again, and now waits for the same jobs elsewhere.
        if self.goes_on or self.jobs.holder(self.made[0]) != self._holder:
            return
        for job in self.made:
            if job.request_id not in self._ended:
                # Also when Redis or the store is down: then there is nobody left to tell.
                with suppress(CasolaError):
                    self.jobs.cancel(self.tenant, job.request_id)

    def _pages(self) -> Iterator[Page | None]:
        deadline = time.monotonic() + self.seconds
        for number, job in enumerate(self.made, 1):
            left = max(0.0, deadline - time.monotonic())
            # While those before were read, much may have happened to this one.
            now = job if number == 1 else self.jobs.get(self.tenant, job.request_id)
            for page in self.jobs.read_along(now, seconds=left):
                yield None if page is None else (number, page)
            self._ended.add(job.request_id)

    def _check_connection(self) -> None:
        if self.connection is not None and is_closed(self.connection):
            raise Conflict("The client went away.")


def is_closed(connection: Any) -> bool:
    """Whether the other side of a socket has closed it; what it may have sent stays unread."""
    # A plain socket of the system: gevent's would wait until there is something to read.
    try:
        raw = _socket.socket(fileno=os.dup(connection.fileno()))
    except OSError:
        return True
    try:
        return raw.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        raw.close()
