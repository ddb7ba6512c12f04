"""The records of the domain: frozen, with the words of the glossary (docs/reference.md)."""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from ulid import ULID

#: Version of the manifest and of the record; a reader refuses what is newer than itself.
SCHEMA_VERSION = 2

#: What is done with the text that a document has inside.
TEXT_LAYERS = ("ignore", "prefer")

#: What a model that is told in words what to do is asked for: the page as Markdown with the places
#: of its parts, its text alone, or the figures on it.
MODES = ("document", "text", "figure")

_REQUEST_ID = re.compile(r"req_[0-9A-HJKMNP-TV-Z]{26}")
_TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_BATCH_ID = re.compile(r"batch_[0-9A-HJKMNP-TV-Z]{26}")


class NewerSchema(ValueError):
    """It was written by a newer version of the service."""


class JobStatus(StrEnum):
    """Where a job stands."""

    #: Accepted; no attempt has begun.
    QUEUED = "queued"
    #: At least one attempt has begun.
    PROCESSING = "processing"
    #: Every page is terminal and at least one was read.
    COMPLETED = "completed"
    #: No page could be read.
    FAILED = "failed"
    #: Stopped by its owner; finished pages stay readable.
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


class Lane(StrEnum):
    """How urgent a job is."""

    #: Somebody waits for it.
    INTERACTIVE = "interactive"
    #: Nobody waits.
    BULK = "bulk"


def new_request_id(seed: str = "") -> str:
    """A new ID; the same one for the same seed, so that one key cannot make two jobs."""
    return f"req_{_ulid(seed)}"


def new_batch_id(seed: str = "") -> str:
    return f"batch_{_ulid(seed)}"


def _ulid(seed: str) -> ULID:
    # Not derived from the time where there is a seed: the same request may come again any day.
    return ULID(hashlib.sha256(seed.encode()).digest()[:16]) if seed else ULID()


def is_request_id(text: str) -> bool:
    return _REQUEST_ID.fullmatch(text) is not None


def is_batch_id(text: str) -> bool:
    return _BATCH_ID.fullmatch(text) is not None


def is_cursor(text: str) -> bool:
    """Whether it is a place in a list: ``{ms since 1970, 13 digits}/{request ID}``."""
    milliseconds, _, request_id = text.partition("/")
    digits = milliseconds.isascii() and milliseconds.isdecimal()
    return digits and len(milliseconds) == 13 and is_request_id(request_id)


def is_tenant_name(text: str) -> bool:
    return _TENANT_NAME.fullmatch(text) is not None


def now_ms() -> int:
    """Milliseconds since 1970 by this machine's clock: for people to read, never for leases."""
    return int(time.time() * 1000)


def timestamp(milliseconds: int | None) -> str | None:
    """Milliseconds since 1970 (UTC) as RFC 3339 with a Z."""
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(rfc3339: str | None) -> int | None:
    """The inverse of `timestamp`."""
    if rfc3339 is None:
        return None
    return round(datetime.fromisoformat(rfc3339).timestamp() * 1000)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What to run and how: enough to run the job again when Redis is gone."""

    request_id: str
    tenant: str
    #: Name that the client gave the file; data, never a path.
    file_name: str
    #: Media type found in the bytes; empty while the document is still a URL.
    media_type: str
    #: Where to download the document from; empty when the source is in the store.
    url: str
    #: What the client asked for: an engine's name or ``auto``.
    model: str
    #: The engine that reads the pages.
    engine: str
    #: ``auto``, or ISO 639-1 codes with commas between them, the most important first.
    language: str
    lane: Lane
    batch_id: str
    #: Milliseconds since 1970.
    created_at: int
    #: When the job is to be deleted, in ms since 1970; 0 is never.
    expires_at: int = 0
    #: Bytes of the source; 0 while the document is still a URL.
    size: int = 0
    #: SHA-256 of what was submitted under an idempotency key; empty without one.
    fingerprint: str = ""
    #: Place in its batch, the first is 0.
    position: int = 0
    #: Pages that are wanted, such as ``1-5,8``; empty = the format's usual ones.
    selection: str = ""
    #: One of `TEXT_LAYERS`: ``prefer`` is to take a page's embedded text where it is plausible.
    text_layer: str = "ignore"
    #: One of `MODES`, and words of the client's own instead of the mode's; empty = none.
    mode: str = MODES[0]
    prompt: str = ""
    #: Whether another engine may read a page that this one cannot be trusted with.
    fallback: bool = False
    #: Opens an encrypted document. Kept here only: never in a record, a message or a log.
    password: str = field(default="", repr=False)
    version: int = SCHEMA_VERSION

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Read a stored manifest.

        Raises:
            NewerSchema: it was written by a newer version.
            ValueError: it is damaged.
        """
        values = json.loads(data)
        if not isinstance(values, dict):
            raise ValueError("not a manifest")
        if values.get("version", 0) > SCHEMA_VERSION:
            raise NewerSchema("manifest of an unknown version")
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        known["lane"] = Lane(known.get("lane", Lane.BULK))
        # Whatever misses was added since and has a default; what is written again is today's.
        known["version"] = SCHEMA_VERSION
        try:
            return cls(**known)
        except TypeError as error:
            raise ValueError("manifest misses a field") from error


@dataclass(frozen=True, kw_only=True)
class Marker:
    """What ``inflight/{id}`` says: whose work is unfinished, and what was decided since then.

    It exists as long as there is something to do: read, retry, or keep a cancelled job's pages;
    each run of a job has its own. A batch is accepted with the one marker that names all its jobs.
    """

    tenant: str
    #: Above 1 for a retry of failed pages, with what it asked for; as of the manifest.
    run: int = 1
    model: str = ""
    engine: str = ""
    mode: str = MODES[0]
    prompt: str = ""
    fallback: bool = False
    #: Milliseconds since 1970; 0 = not.
    cancelled_at: int = 0
    #: Request IDs of a batch.
    jobs: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Marker:
        """Read a stored marker; version 1 wrote only the tenant's name.

        Raises:
            ValueError: it is damaged.
        """
        values = json.loads(data) if data.startswith(b"{") else {"tenant": data.decode()}
        try:
            made = cls(**{**values, "jobs": tuple(values.get("jobs", ()))})
        except TypeError as error:
            raise ValueError("not a marker") from error
        if not is_tenant_name(made.tenant):
            raise ValueError("a marker without a tenant")
        return made


@dataclass(frozen=True, kw_only=True)
class PageCounts:
    """Pages of a job; `total` is 0 until the document was opened."""

    total: int
    done: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class JobError:
    """Why a job or a page failed: a code of `casola_ocr.errors` and a sentence."""

    code: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as its record tells it. Times are milliseconds since 1970."""

    request_id: str
    tenant: str
    status: JobStatus
    model: str
    engine: str
    language: str
    file_name: str
    media_type: str
    lane: Lane
    batch_id: str
    pages: PageCounts
    words: int | None
    #: 0..1, or None when no engine gave one.
    confidence: float | None
    created_at: int
    started_at: int | None
    finished_at: int | None
    error: JobError | None
    #: When the job will be deleted, or None.
    expires_at: int | None = None
    #: 1, and one more for each retry of failed pages.
    run: int = 1
    #: Bytes of the source.
    size: int = 0
    fingerprint: str = ""
    #: Place in its batch, the first is 0.
    position: int = 0
    #: As of the manifest.
    selection: str = ""
    text_layer: str = "ignore"
    mode: str = MODES[0]
    prompt: str = ""
    fallback: bool = False
    version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """The public shape of a job, fixed by the API reference."""
        base = f"/api/v1/jobs/{self.request_id}"
        return {
            "request_id": self.request_id,
            "status": self.status.value,
            "model": self.model,
            "engine": self.engine,
            "language": self.language,
            "file_name": self.file_name,
            "media_type": self.media_type or None,
            "batch_id": self.batch_id or None,
            "batch_position": self.position if self.batch_id else None,
            "lane": self.lane.value,
            "pages": asdict(self.pages),
            "words": self.words,
            "confidence": self.confidence,
            "created_at": timestamp(self.created_at),
            "started_at": timestamp(self.started_at),
            "finished_at": timestamp(self.finished_at),
            "expires_at": timestamp(self.expires_at),
            "run": self.run,
            "size": self.size,
            "pages_selected": self.selection or None,
            "text_layer": self.text_layer,
            "mode": self.mode,
            "prompt": self.prompt or None,
            "fallback": self.fallback,
            "error": asdict(self.error) if self.error else None,
            "links": {"self": base, "result": f"{base}/result", "events": f"{base}/events"},
        }


def queued_job(manifest: Manifest) -> Job:
    """A job that was accepted and of which nothing else is known yet."""
    return Job(
        request_id=manifest.request_id,
        tenant=manifest.tenant,
        status=JobStatus.QUEUED,
        model=manifest.model,
        engine=manifest.engine,
        language=manifest.language,
        file_name=manifest.file_name,
        media_type=manifest.media_type,
        lane=manifest.lane,
        batch_id=manifest.batch_id,
        pages=PageCounts(total=0, done=0, failed=0),
        words=None,
        confidence=None,
        created_at=manifest.created_at,
        started_at=None,
        finished_at=None,
        error=None,
        expires_at=manifest.expires_at or None,
        size=manifest.size,
        fingerprint=manifest.fingerprint,
        position=manifest.position,
        selection=manifest.selection,
        text_layer=manifest.text_layer,
        mode=manifest.mode,
        prompt=manifest.prompt,
        fallback=manifest.fallback,
    )


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Jobs that were submitted together."""

    batch_id: str
    tenant: str
    created_at: int
    jobs: tuple[Job, ...]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a job wants of an engine that can be told more than a language."""

    #: One of `MODES`.
    mode: str = MODES[0]
    #: Words of the client's own for the model, instead of a mode's; empty = none.
    prompt: str = ""
    lane: Lane = Lane.BULK
    #: Whether another engine may read a page that this one cannot be trusted with.
    fallback: bool = False


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to run one step of a job until the lease runs out.

    A step is ``prepare``, ``finish`` or the position of a page among the wanted ones. `fence` grows
    with every claim of the step; whatever is written with an older fence loses.
    """

    job: Job
    step: str
    attempt: int
    fence: int
    #: Pages whose image is in the store.
    ready: int = 0

    @property
    def page(self) -> int:
        return int(self.step)


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word of a line.

    `box` is x0, y0, x1, y1 in pixels of the page image, origin top left. `start` is the offset
    of the word's first character in the text of its line. `confidence` is calibrated where the
    engine has a calibration; `confidence_raw` is what the engine said.
    """

    text: str
    confidence: float | None
    start: int
    box: tuple[int, int, int, int] | None = None
    confidence_raw: float | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of text; `box` is x0, y0, x1, y1 in pixels of the page image, origin top left.

    Lines with the same `row` stand on one printed row, from left to right (from right to left where
    the script runs so). `block` is the index of the page's block that the line belongs to.
    """

    text: str
    confidence: float | None
    box: tuple[int, int, int, int]
    words: tuple[Word, ...] = ()
    block: int = 0
    row: int = 0


@dataclass(frozen=True, kw_only=True)
class Block:
    """Rows that belong together, such as a paragraph, a column or a table.

    `label` is ``text`` or ``table``, or what the engine calls it. `box` as of a line.
    """

    label: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Try:
    """One of several readings of a page within one attempt, and why it was not the last."""

    engine: str
    #: What was different about it, such as ``text``, ``n-gram 20/90`` or ``temperature 0.2``.
    how: str
    #: What was wrong with it; empty for the one whose text the page has.
    flags: tuple[str, ...] = ()
    confidence: float | None = None
    tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class PageResult:
    """What one attempt read on one page: the schema that every engine fills.

    `page` is the page's number in its document, the first is 1.
    `width` and `height` are the pixels of the page image, turned as the reader sees it (EXIF
    honoured). `rotation` is by how many degrees clockwise that image has to be turned before its
    text is upright; boxes are those of the image as it is. Confidences are 0..1, or None where the
    engine gives none; `confidence_raw` is the page's before calibration.
    """

    page: int
    width: int
    height: int
    text: str
    words: int
    confidence: float | None
    #: 5th percentile of the words' confidences.
    confidence_low: float | None
    engine: str
    engine_version: str
    attempts: int
    seconds: float
    lines: tuple[Line, ...]
    flags: tuple[str, ...] = ()
    language: str | None = None
    markdown: str | None = None
    blocks: tuple[Block, ...] = ()
    confidence_raw: float | None = None
    #: How sure a model is of the places and labels that it wrote into its text.
    confidence_layout: float | None = None
    rotation: int = 0
    #: All readings of the page by engines that try again by themselves, the last one last.
    tries: tuple[Try, ...] = ()
    error: JobError | None = field(default=None)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")).encode()
