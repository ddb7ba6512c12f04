"""What the server tells, as frozen records. A page result is the domain's own `PageResult`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import httpx
import pydantic_core
from pydantic import TypeAdapter, ValidationError

from casola_ocr.client.errors import ClientError, JobCancelled, JobFailed, NotCasola, refusal
from casola_ocr.client.sources import Source
from casola_ocr.model import JobError, JobStatus, PageCounts
from casola_ocr.pages import PAGE_RESULT, PageResult

_Record = TypeVar("_Record")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A document submitted once, as it stood when the server was asked.

    `confidence` is 0..1, or None where no engine gave one. `queue_position` and `eta_seconds` are
    told of a job that was looked at alone and has not begun, or not ended. `pages.total` is 0 until
    the document was opened.
    """

    request_id: str
    status: JobStatus
    file_name: str
    #: What was asked for, and the engine that reads.
    model: str
    engine: str
    language: str
    #: Codes of the languages that its pages are in, once it ended, that of the most words first.
    languages_found: tuple[str, ...] = ()
    pages: PageCounts
    words: int | None
    confidence: float | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    error: JobError | None
    batch_id: str | None
    batch_position: int | None
    lane: str
    queue_position: int | None
    eta_seconds: float | None
    #: 1, and one more for each retry of failed pages.
    run: int
    #: Bytes of the document; 0 while it is a URL that was not downloaded yet.
    size: int
    media_type: str | None
    pages_selected: str | None
    text_layer: str
    mode: str
    prompt: str | None
    fallback: bool
    origin: str | None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.status.terminal

    def check_read(self) -> None:
        """Do nothing for a job that has a result.

        Raises:
            JobCancelled, JobFailed: it ended without one.
        """
        if self.status is JobStatus.CANCELLED:
            raise JobCancelled(self)
        if self.status is JobStatus.FAILED:
            raise JobFailed(self)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Jobs that were submitted together, in their order."""

    batch_id: str
    created_at: datetime
    jobs: tuple[Job, ...]

    @property
    def ended(self) -> bool:
        """Whether every job has ended."""
        return all(job.ended for job in self.jobs)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was read of a document: `text` is its pages' text, with a form feed between them."""

    job: Job
    text: str
    pages: tuple[PageResult, ...]

    @property
    def failed_pages(self) -> tuple[PageResult, ...]:
        """Pages that could not be read; the `error` of each says why."""
        return tuple(page for page in self.pages if page.error is not None)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What came of one of several documents: a `result`, or the `error` why there is none."""

    source: Source
    result: Result | None = None
    error: ClientError | OSError | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a job.

    ``progress`` and ``finished`` have the `job` as it stands; ``page`` has the number of a page
    that is done, or `failed`.
    """

    kind: Literal["progress", "page", "finished"]
    request_id: str
    job: Job | None = None
    page: int | None = None
    failed: bool = False


@dataclass(frozen=True, kw_only=True)
class Language:
    """A language of an engine; it `works` where every live worker with the engine can read it."""

    code: str
    name: str
    works: bool


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine, or ``auto``, as the server has it now."""

    name: str
    live: bool
    version: str | None
    about: str
    languages: tuple[Language, ...]
    modes: tuple[str, ...]
    prompt: bool


@dataclass(frozen=True, kw_only=True)
class JobPage:
    """Jobs of the library; `next` is where it goes on."""

    data: tuple[Job, ...]
    next: str | None


@dataclass(frozen=True, kw_only=True)
class UploadForm:
    """Where a document's bytes go, and the fields of the form that stands for a token there."""

    upload_id: str
    url: str
    fields: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class EngineList:
    data: tuple[Engine, ...]


@dataclass(frozen=True, kw_only=True)
class _Body:
    text: str
    page_results: tuple[PageResult, ...]


JOB, BATCH, PAGE = TypeAdapter(Job), TypeAdapter(Batch), PAGE_RESULT
JOB_PAGE, ENGINES = TypeAdapter(JobPage), TypeAdapter(EngineList)
UPLOAD_FORM = TypeAdapter(UploadForm)
_BODY = TypeAdapter(_Body)


def address(job: Job | str) -> str:
    """The path of a job, given it or its ID."""
    return f"/api/v1/jobs/{quote(job if isinstance(job, str) else job.request_id, safe='')}"


def batch_address(batch: Batch | str) -> str:
    """As `address`, of a batch."""
    return f"/api/v1/batches/{quote(batch if isinstance(batch, str) else batch.batch_id, safe='')}"


def check(response: httpx.Response) -> httpx.Response:
    """The answer, if it brings what was asked for; its body was read.

    Raises:
        Refused: it does not; see `refusal`.
    """
    if response.status_code >= 300:
        raise refusal(response)
    return response


def parsed(kind: TypeAdapter[_Record], response: httpx.Response) -> _Record:
    """The record of an answer.

    Raises:
        Refused: it is a refusal.
        NotCasola: it is something else altogether.
    """
    check(response)
    try:
        return kind.validate_json(response.content)
    except ValidationError:
        raise NotCasola(response.status_code) from None


def parsed_result(response: httpx.Response) -> Result:
    """As `parsed`, of a job with its text and pages."""
    check(response)
    try:
        whole: Any = pydantic_core.from_json(response.content)
        body = _BODY.validate_python(whole)
        return Result(job=JOB.validate_python(whole), text=body.text, pages=body.page_results)
    except ValueError:
        raise NotCasola(response.status_code) from None
