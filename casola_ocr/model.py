"""The records of the domain: jobs and their documents, frozen."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from casola_ocr.ids import is_tenant_name
from casola_ocr.times import timestamp

if TYPE_CHECKING:
    from casola_ocr import shapes

#: Version of the manifest and of the record; a reader refuses what is newer than itself.
SCHEMA_VERSION = 2

#: What is done with the text that a document has inside.
TEXT_LAYERS = ("ignore", "prefer")

#: What a model that is told in words what to do is asked for: the page as Markdown with the places
#: of its parts, its text alone, or the figures on it.
MODES = ("document", "text", "figure")

#: How a webhook is signed and what it says: Standard Webhooks with ids and counts, or as fal does.
WEBHOOK_STYLES = ("standard", "fal")


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


@dataclass(frozen=True)
class Webhook:
    """Where a job's end is to be told."""

    #: It may hold a secret of the client's: kept in the manifest, never in a record or a log.
    url: str = field(repr=False)
    #: One of `WEBHOOK_STYLES`.
    style: str = WEBHOOK_STYLES[0]

    @property
    def hostname(self) -> str:
        """The host, which holds no secret."""
        return urlsplit(self.url).hostname or ""

    @property
    def host(self) -> str:
        """A hash of host and port: what waits for the same receiver, as a part of keys."""
        return hashlib.sha256(urlsplit(self.url).netloc.lower().encode()).hexdigest()[:16]


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
    webhook: Webhook | None = None
    #: Which foreign endpoint made the job, such as ``fal:fal-ai/got-ocr/v2``; empty = our own.
    origin: str = ""
    #: What that endpoint wants to find again, as JSON values; only of the first of the jobs that
    #: were submitted together, and then with the IDs of all of them.
    note: dict[str, Any] = field(default_factory=dict)
    noted_jobs: tuple[str, ...] = ()
    #: When the job is cancelled unless its work has begun, in ms since 1970; 0 = never.
    start_by: int = 0
    version: int = SCHEMA_VERSION

    @property
    def hook(self) -> str:
        """The host of the webhook; empty without one."""
        return self.webhook.host if self.webhook else ""

    def to_json(self) -> bytes:
        return json.dumps(vars(self), ensure_ascii=False, default=asdict).encode()

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
            if known.get("webhook") is not None:
                known["webhook"] = Webhook(**known["webhook"])
            known["noted_jobs"] = tuple(known.get("noted_jobs", ()))
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
        return json.dumps(vars(self)).encode()

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

    def to_dict(self) -> shapes.Counts:
        return {"total": self.total, "done": self.done, "failed": self.failed}


@dataclass(frozen=True, kw_only=True)
class JobError:
    """Why a job or a page failed: a code of `casola_ocr.errors` and a sentence."""

    code: str
    detail: str

    def to_dict(self) -> shapes.Failure:
        return {"code": self.code, "detail": self.detail}


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
    origin: str = ""
    #: As of the manifest; a job that was read back from its result has none.
    hook: str = ""
    #: Codes of the languages of its pages once it ended, that of the most words first.
    languages_found: tuple[str, ...] = ()
    version: int = SCHEMA_VERSION
    #: Of one that was looked at: steps that are taken before its first one, and seconds until it
    #: may have ended; None = not looked at, not so, or not known.
    queue_position: int | None = None
    eta_seconds: float | None = None

    def is_in(self, language: str) -> bool:
        """Whether it is in this language: see `languages`. A code without a script takes all."""
        return any(f"{code}-".startswith(f"{language}-") for code in self.languages)

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of those that were found, else of those that were asked for, or ``auto``."""
        return self.languages_found or tuple(self.language.split(","))

    def to_dict(self) -> shapes.Job:
        """The public shape of a job."""
        base = f"/api/v1/jobs/{self.request_id}"
        return {
            "request_id": self.request_id,
            "status": self.status.value,
            "model": self.model,
            "engine": self.engine,
            "language": self.language,
            "languages_found": list(self.languages_found),
            "file_name": self.file_name,
            "media_type": self.media_type or None,
            "batch_id": self.batch_id or None,
            "batch_position": self.position if self.batch_id else None,
            "lane": self.lane.value,
            "pages": self.pages.to_dict(),
            "queue_position": self.queue_position,
            "eta_seconds": self.eta_seconds,
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
            "origin": self.origin or None,
            "error": self.error.to_dict() if self.error else None,
            "links": {"self": base, "result": f"{base}/result", "events": f"{base}/events"},
        }


def queued_job(manifest: Manifest, pages: int = 0) -> Job:
    """A job that was accepted and of which nothing else is known yet than how many pages it has."""
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
        pages=PageCounts(total=pages, done=0, failed=0),
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
        origin=manifest.origin,
        hook=manifest.hook,
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
    #: Where the step was taken.
    pool: str = ""
    #: Whether a page of the job was lent to another pool in this run.
    lent: bool = False

    @property
    def page(self) -> int:
        return int(self.step)
