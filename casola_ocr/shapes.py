"""What our own API answers: public shapes, to which types hold the code that writes them.

The JSON Schema of a result and the OpenAPI document are drawn from them; the text below a field is
its description there. A field may be added at any time; none changes its meaning or goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, NotRequired

from pydantic import ConfigDict, Field, with_config
from pydantic.fields import FieldInfo

# Python 3.11's own does not tell pydantic which fields are required.
from typing_extensions import TypedDict

from casola_ocr.ids import BATCH_ID, REQUEST_ID, UPLOAD_ID
from casola_ocr.model import MODES, TEXT_LAYERS, JobStatus, Lane


def one_of(words: Iterable[str]) -> FieldInfo:
    """Says of a text that it is one of these words."""
    made: FieldInfo = Field(json_schema_extra={"enum": [str(word) for word in words]})
    return made


#: RFC 3339 with a Z, milliseconds.
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
RequestId = Annotated[str, Field(pattern=f"^{REQUEST_ID}$")]
#: In what is asked: one that is not of the form does not exist, and is answered so.
SomeRequestId = Annotated[str, Field(json_schema_extra={"pattern": f"^{REQUEST_ID}$"})]
BatchId = Annotated[str, Field(pattern=f"^{BATCH_ID}$")]
UploadId = Annotated[str, Field(pattern=f"^{UPLOAD_ID}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]

Status = Annotated[str, one_of(JobStatus)]
LaneName = Annotated[str, one_of(Lane)]
TextLayer = Annotated[str, one_of(TEXT_LAYERS)]
Mode = Annotated[str, one_of(MODES)]

#: Fields have their descriptions below them.
DESCRIBED = ConfigDict(use_attribute_docstrings=True)


def example_of(value: object) -> ConfigDict:
    """The configuration of a shape with an example."""
    return ConfigDict(**DESCRIBED, json_schema_extra={"examples": [value]})  # type: ignore[list-item]


_ID = "01KB5Q2Z6F8WJX3T7N9YV4CHGD"
EXAMPLE_JOB = {
    "request_id": f"req_{_ID}",
    "status": "completed",
    "model": "auto",
    "engine": "pp-ocrv6",
    "language": "auto",
    "languages_found": ["de", "en"],
    "file_name": "scan.pdf",
    "media_type": "application/pdf",
    "batch_id": None,
    "batch_position": None,
    "lane": "interactive",
    "pages": {"total": 2, "done": 2, "failed": 0},
    "queue_position": None,
    "eta_seconds": None,
    "words": 412,
    "confidence": 0.97,
    "created_at": "2026-11-25T12:00:00.000Z",
    "started_at": "2026-11-25T12:00:00.120Z",
    "finished_at": "2026-11-25T12:00:02.340Z",
    "expires_at": None,
    "run": 1,
    "size": 184_320,
    "pages_selected": None,
    "text_layer": "ignore",
    "mode": "document",
    "prompt": None,
    "fallback": False,
    "origin": None,
    "error": None,
    "links": {
        "self": f"/api/v1/jobs/req_{_ID}",
        "result": f"/api/v1/jobs/req_{_ID}/result",
        "events": f"/api/v1/jobs/req_{_ID}/events",
    },
}
_CURSOR = f"1764072000000/req_{_ID}"


@with_config(DESCRIBED)
class Counts(TypedDict):
    """Pages of a job."""

    total: Count
    """The chosen pages; 0 until the document was opened."""
    done: Count
    failed: Count


@with_config(DESCRIBED)
class Failure(TypedDict):
    """Why a job or a page failed."""

    code: str
    """One of the codes in docs/errors.md."""
    detail: str


@with_config(DESCRIBED)
class Links(TypedDict):
    """Where a job, its result and its events are."""

    self: str
    result: str
    events: str


@with_config(example_of(EXAMPLE_JOB))
class Job(TypedDict):
    """One document that was submitted once."""

    request_id: RequestId
    status: Status
    """`completed`: every page is terminal and at least one was read; `pages.failed` above 0 tells a
    partial result. `failed`: no page could be read."""
    model: str
    """What was asked for: an engine's name, or `auto`."""
    engine: str
    """The engine that reads the pages."""
    language: str
    """What was asked for: `auto`, or ISO 639-1 codes with commas between them."""
    languages_found: list[str]
    """Codes of the languages that its pages are in, that of the most words first, at most five;
    empty until it ended, and where the text does not tell."""
    file_name: str
    media_type: str | None
    """Found in the bytes; null while the document is still a URL."""
    batch_id: BatchId | None
    batch_position: Count | None
    """Its place in the batch, the first is 0."""
    lane: LaneName
    pages: Counts
    queue_position: Count | None
    """Steps that workers take before this job's first one; null in lists, and once it began."""
    eta_seconds: Annotated[float, Field(ge=0)] | None
    """When it may have ended, as measured; null in lists, and where nothing was measured yet."""
    words: Count | None
    confidence: Share | None
    """Mean of its pages by words; null where no engine gave one."""
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    expires_at: Time | None
    """When it will be deleted."""
    run: Annotated[int, Field(ge=1)]
    """1, and one more for each retry of failed pages."""
    size: Count
    """Bytes of the document."""
    pages_selected: str | None
    """Such as `1-5,8`; null = the format's usual ones."""
    text_layer: TextLayer
    mode: Mode
    prompt: str | None
    fallback: bool
    """Whether another engine may read a page that this one cannot be trusted with."""
    origin: str | None
    """The foreign endpoint that made it, such as `fal:fal-ai/got-ocr/v2`; null = our own API."""
    error: Failure | None
    links: Links


@with_config(ConfigDict(**DESCRIBED, json_schema_extra={"required": ["request_id"]}))
class SparseJob(Job):
    """What `fields` leaves of a job."""


@with_config(DESCRIBED)
class BatchCounts(TypedDict):
    """Jobs of a batch by status."""

    total: Count
    queued: Count
    processing: Count
    completed: Count
    failed: Count
    cancelled: Count


@with_config(
    example_of(
        {
            "batch_id": f"batch_{_ID}",
            "status": "processing",
            "created_at": "2026-11-25T12:00:00.000Z",
            "counts": {
                "total": 1,
                "queued": 0,
                "processing": 0,
                "completed": 1,
                "failed": 0,
                "cancelled": 0,
            },
            "jobs": [EXAMPLE_JOB],
        }
    )
)
class Batch(TypedDict):
    """Jobs that were submitted together."""

    batch_id: BatchId
    status: Annotated[str, one_of(["processing", "completed"])]
    """`completed`: all of its jobs have ended, however."""
    created_at: Time
    counts: BatchCounts
    jobs: list[Job | SparseJob]


@with_config(DESCRIBED)
class Snippet(TypedDict):
    """Where a job was found."""

    source: Annotated[str, one_of(["text", "file_name"])]
    page: int | None
    """The page's number; null where that is not known, and of a file's name."""
    text: str
    """Plain text."""
    marks: list[list[Count]]
    """Start and end of what was looked for, in Unicode code points of `text`."""


@with_config(example_of({"data": [EXAMPLE_JOB], "has_more": True, "next": _CURSOR}))
class Library(TypedDict):
    """Some of a tenant's jobs, newest first."""

    data: list[Job | SparseJob]
    has_more: bool
    next: str | None
    """What `after` takes for the jobs that follow."""
    snippets: NotRequired[dict[RequestId, Snippet]]
    """Of a search by text: where each job was found."""
    complete: NotRequired[bool]
    """Of a search by text: false while the index is being made, or nobody keeps it."""


@with_config(DESCRIBED)
class EngineLanguage(TypedDict):
    """A language that an engine can ever read."""

    code: str
    """ISO 639-1 where there is one."""
    name: str
    works: bool
    """Whether every live worker with the engine can read it."""


@with_config(DESCRIBED)
class Engine(TypedDict):
    """What reads pages; its name is what `model` takes."""

    name: str
    live: bool
    """Whether a live worker runs it; of `auto`, whether any engine is live."""
    version: str | None
    about: str
    languages: list[EngineLanguage]
    modes: list[str]
    prompt: bool
    """Whether it takes a `prompt`."""


@with_config(
    example_of(
        {
            "data": [
                {
                    "name": "tesseract",
                    "live": True,
                    "version": "tesseract 5.3.0",
                    "about": "CPU: clean scans and print",
                    "languages": [{"code": "en", "name": "English", "works": True}],
                    "modes": ["document", "text"],
                    "prompt": False,
                }
            ]
        }
    )
)
class Engines(TypedDict):
    """Every engine that this version knows, `auto` first."""

    data: list[Engine]


@with_config(
    example_of(
        {
            "counted_at": "2026-11-25T12:00:00.000Z",
            "jobs": 12, "pages": 80, "files": 1, "bytes": 9_400_000,
        }
    )
)  # fmt: skip
class OwnUsage(TypedDict):
    """What the caller's tenant keeps, pictures and results with it."""

    counted_at: Time | None
    """null before the first time."""
    jobs: Count
    pages: Count
    files: Count
    bytes: Count


@with_config(DESCRIBED)
class DeadPage(TypedDict):
    """A page that failed."""

    page: Annotated[int, Field(ge=1)]
    code: str
    attempts: Count


@with_config(DESCRIBED)
class DeadLetter(TypedDict):
    """A job with pages that failed through our fault. Its contents are not told."""

    request_id: RequestId
    tenant: str
    engine: str
    failed_at: Time
    code: str
    """Of the job's own error; empty when some of its pages were read."""
    pages: list[DeadPage]


@with_config(
    example_of(
        {
            "data": [
                {
                    "request_id": f"req_{_ID}",
                    "tenant": "acme",
                    "engine": "pp-ocrv6",
                    "failed_at": "2026-11-25T12:00:02.340Z",
                    "code": "",
                    "pages": [{"page": 2, "code": "page_timeout", "attempts": 3}],
                }
            ],
            "has_more": False,
            "next": None,
        }
    )
)
class DeadLetters(TypedDict):
    """Jobs of all tenants that need an operator, newest first."""

    data: list[DeadLetter]
    has_more: bool
    next: str | None


@with_config(example_of({"request_id": f"req_{_ID}", "status": "queued"}))
class Revived(TypedDict):
    """A dead letter whose pages are read again."""

    request_id: RequestId
    status: Status


@with_config(DESCRIBED)
class Deleted(TypedDict):
    """What came of deleting one of several jobs; `code` and `detail` say why it was not."""

    request_id: str
    deleted: bool
    code: NotRequired[str]
    detail: NotRequired[str]


@with_config(example_of({"data": [{"request_id": f"req_{_ID}", "deleted": True}]}))
class Deletions(TypedDict):
    """What came of each, in the order that they were named."""

    data: list[Deleted]


_UPLOAD = {
    "upload_id": f"upload_{_ID}",
    "file_name": "book.pdf",
    "created_at": "2026-11-25T12:00:00.000Z",
    "expires_at": "2026-11-26T12:00:00.000Z",
}


@with_config(example_of({**_UPLOAD, "uploaded": True}))
class Upload(TypedDict):
    """A document that reaches the store before it is submitted."""

    upload_id: UploadId
    uploaded: bool
    """Whether its bytes have come."""
    file_name: str
    created_at: Time
    expires_at: Time


@with_config(
    example_of(
        {
            **_UPLOAD,
            "url": "https://ocr.example/api/v1/upload-content",
            "fields": {"policy": "eyJ0ZW5hbnQiOiJhY21lIn0"},
            "form_expires_at": "2026-11-25T13:00:00.000Z",
            "max_bytes": 20_000_000,
        }
    )
)
class UploadForm(TypedDict):
    """An upload with the form that its bytes are sent with."""

    upload_id: UploadId
    url: str
    """Where the form is posted to: every one of `fields`, then the part `file`."""
    fields: dict[str, str]
    form_expires_at: Time
    max_bytes: Count
    file_name: str
    created_at: Time
    expires_at: Time


@with_config(DESCRIBED)
class Problem(TypedDict):
    """Why a request was not served (RFC 9457)."""

    type: str
    """`urn:casola:error:` and the code."""
    title: str
    """The same for every problem with this code."""
    status: Annotated[int, Field(ge=400, le=599)]
    code: str
    """Stable; docs/errors.md lists all."""
    detail: str
    """What was wrong with this request."""
    advice: str
    """What to do next."""
    retryable: bool
    """Whether the same request can succeed later."""


@with_config(DESCRIBED)
class Part(TypedDict):
    """A part of the service."""

    ready: bool
    detail: str | None
    """What is missing."""


@with_config(example_of({"ready": True, "parts": {"store": {"ready": True, "detail": None}}}))
class Readiness(TypedDict):
    """Whether a page can be read."""

    ready: bool
    parts: dict[str, Part]


@with_config(example_of({"status": "ok"}))
class Health(TypedDict):
    """This process lives."""

    status: str
