"""A client of a Casola OCR server, to be used from anywhere: it needs httpx and pydantic only.

    with Client("http://127.0.0.1:8080") as client:
        print(client.read("scan.pdf").text)

`Client` and `AsyncClient` have the same verbs. ``docs/python-client.md`` shows them.
"""

from casola_ocr.client.clients import AsyncClient, Client
from casola_ocr.client.errors import (
    Busy,
    ClientError,
    JobCancelled,
    JobFailed,
    NotCasola,
    NotFound,
    NotReached,
    Refused,
    StillRunning,
    Unauthorized,
)
from casola_ocr.client.options import Filters, Options
from casola_ocr.client.results import Batch, Engine, Event, Job, Language, Reading, Result
from casola_ocr.client.sources import Source
from casola_ocr.model import JobError, JobStatus, PageCounts
from casola_ocr.pages import Block, Line, PageResult, Word

__all__ = [
    "AsyncClient",
    "Batch",
    "Block",
    "Busy",
    "Client",
    "ClientError",
    "Engine",
    "Event",
    "Filters",
    "Job",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "JobStatus",
    "Language",
    "Line",
    "NotCasola",
    "NotFound",
    "NotReached",
    "Options",
    "PageCounts",
    "PageResult",
    "Reading",
    "Refused",
    "Result",
    "Source",
    "StillRunning",
    "Unauthorized",
    "Word",
]
