"""A service without anything behind it: the client's verbs in memory, each call recorded."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

from flask.testing import FlaskClient

from api.app import create_app
from casola_ocr.dead import DeadLetter
from casola_ocr.engines import EngineInfo, list_engines, takes_prompt
from casola_ocr.errands import Errands
from casola_ocr.errors import (
    CasolaError,
    Conflict,
    Gone,
    NotFound,
    Overloaded,
    StoreUnavailable,
    WaitTimeout,
    error_by_code,
)
from casola_ocr.exports.exporter import Exporter
from casola_ocr.files import Files
from casola_ocr.ids import new_batch_id, new_request_id
from casola_ocr.jobs import Event, NewDocument, Options
from casola_ocr.library import EVERYTHING, Wanted
from casola_ocr.links import FileLinks
from casola_ocr.model import Batch, Job, JobError, JobStatus, PageCounts
from casola_ocr.pages import PageResult
from casola_ocr.records import Records
from casola_ocr.repeats import Answers
from casola_ocr.room import Room
from casola_ocr.search.snippets import Snippet
from casola_ocr.settings import Settings
from casola_ocr.signing import Signer
from casola_ocr.sources import Sources
from casola_ocr.tenants import Tenants
from casola_ocr.testing import MemoryStore
from casola_ocr.tokens import Token
from casola_ocr.uploads import Uploads

#: The first bytes of a PNG; the stub sniffs nothing.
CONTENT = b"\x89PNG\r\n\x1a\n"
DATA_URL = f"data:image/png;base64,{base64.b64encode(CONTENT).decode()}"
CREATED_AT = 1_760_000_000_000


@dataclass
class StubTokens:
    """`Tokens` with its secrets in the open; `down` is an object store that does not answer."""

    secrets: dict[str, str] = field(default_factory=dict)
    admins: set[str] = field(default_factory=set)
    down: bool = False
    asked: list[str] = field(default_factory=list)

    def any(self) -> bool:
        if self.down:
            raise StoreUnavailable()
        return bool(self.secrets)

    def find(self, secret: str) -> Token | None:
        if self.down:
            raise StoreUnavailable()
        self.asked.append(secret)
        tenant = self.secrets.get(secret)
        admin = secret in self.admins
        return tenant and Token(id="t", tenant=tenant, label="", created_at=0, admin=admin)


@dataclass
class StubJobs:
    """`Jobs` with its records in a dict. A job ends when it is waited for, as `ends` tells."""

    #: How each job stands once somebody waited; the last one is for all that follow.
    ends: list[JobStatus] = field(default_factory=lambda: [JobStatus.COMPLETED])
    error: JobError | None = None
    texts: list[str] = field(default_factory=lambda: ["Grüße"])
    engines: tuple[str, ...] = ("pp-ocrv6", "tesseract")
    parts: dict[str, str | None] = field(default_factory=lambda: {"records": None, "store": None})
    #: Whether no request may wait any more.
    full: bool = False
    #: What the result of each job holds.
    pages: list[PageResult] = field(default_factory=list)
    #: Whether what is submitted was there already.
    replays: bool = False
    #: What is told to whoever follows a job.
    happens: list[Event | None] = field(default_factory=list)
    #: Raised by `submit` when set.
    refuse: Exception | None = None
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    sources: list[bytes | None] = field(default_factory=list)
    documents: list[NewDocument] = field(default_factory=list)
    options: Options | None = None
    known: dict[str, Job] = field(default_factory=dict)
    #: First job → what was noted, and the jobs that were submitted together.
    notes: dict[str, tuple[Mapping[str, Any], list[str]]] = field(default_factory=dict)

    def submit(self, tenant: str, documents: Sequence[NewDocument], options: Options) -> list[Job]:
        return self.submit_or_find(tenant, documents, options)[0]

    def submit_or_find(
        self,
        tenant: str,
        documents: Sequence[NewDocument],
        options: Options,
        *,
        attempt: int | None = None,
    ) -> tuple[list[Job], bool]:
        self.calls.append(("submit", tenant, *([] if attempt is None else [attempt])))
        if self.refuse is not None:
            raise self.refuse
        self.documents, self.options = list(documents), options
        self.sources = [_content(document.source) for document in documents]
        batch_id = new_batch_id() if len(documents) > 1 else ""
        made = [self._job(tenant, document, options, batch_id) for document in documents]
        self.known.update({job.request_id: job for job in made})
        self.notes[made[0].request_id] = options.note, [job.request_id for job in made]
        return made, self.replays

    def get(self, tenant: str, request_id: str) -> Job:
        self.calls.append(("get", tenant, request_id))
        job = self.known.get(request_id)
        if job is None or job.tenant != tenant:
            raise NotFound()
        return job

    def holder(self, job: Job) -> str:
        return ""

    def noted(
        self, tenant: str, request_id: str, *, whole: bool = True
    ) -> tuple[Mapping[str, Any], list[Job]]:
        first = self.get(tenant, request_id)
        note, names = self.notes.get(request_id, ({}, []))
        if not note:
            raise NotFound()
        found = [self.known[name] for name in names if name in self.known]
        if whole and len(found) < len(names):
            raise Gone()
        return note, found or [first]

    def look(self, tenant: str, request_id: str) -> Job:
        job = self.get(tenant, request_id)
        return self.placed(job)

    def placed(self, job: Job) -> Job:
        return replace(job, queue_position=3, eta_seconds=1.5) if not job.started_at else job

    def events(
        self, tenant: str, request_id: str, after: str = "", *, seconds: float
    ) -> Iterator[Event | None]:
        self.calls.append(("events", request_id, after, seconds))
        self.get(tenant, request_id)
        return iter(self.happens)

    def pages_told(self, tenant: str, request_id: str) -> list[Event]:
        self.get(tenant, request_id)
        return [event for event in self.happens if event and event.kind == "page"]

    def events_of_many(
        self, tenant: str, request_ids: Sequence[str], *, seconds: float
    ) -> Iterator[Event | None]:
        self.calls.append(("events_of_many", *request_ids))
        for request_id in request_ids:
            self.get(tenant, request_id)
        return iter(self.happens)

    def wait(self, job: Job, seconds: float) -> Job:
        request_id = job.request_id
        self.calls.append(("wait", request_id, seconds))
        job = self.get(job.tenant, request_id)
        if seconds > 0 and not job.status.terminal:
            status = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
            self.known[request_id] = self.ended(job, status)
        return self.known[request_id]

    def result(self, tenant: str, request_id: str) -> tuple[Job, Iterator[bytes]]:
        job = self.get(tenant, request_id)
        return job, self.result_of(job)

    def result_of(self, job: Job) -> Iterator[bytes]:
        pages = [json.loads(page.to_json()) for page in self.pages]
        body = {**job.to_dict(), "text": self.texts[0], "page_results": pages}
        whole = json.dumps(body, ensure_ascii=False).encode()
        return iter([whole[:10], whole[10:]])

    def text(self, job: Job) -> str:
        return self.texts[list(self.known).index(job.request_id) % len(self.texts)]

    def read_along(self, job: Job, *, seconds: float) -> Iterator[dict[str, Any] | None]:
        job = self.wait(job, seconds)
        if not job.status.terminal:
            raise WaitTimeout()
        if job.status is JobStatus.CANCELLED:
            raise Conflict("The request was cancelled.")
        if job.error is not None:
            raise error_by_code(job.error.code, job.error.detail)
        made_up = {"page": 1, "text": self.text(job), "words": 1, "confidence": None}
        yield from [json.loads(page.to_json()) for page in self.pages] or [made_up]

    def page(self, tenant: str, request_id: str, page: int) -> bytes:
        job = self.get(tenant, request_id)
        if page != 1:
            raise NotFound("The document has no page with this number.")
        if not job.status.terminal:
            raise Conflict("The page is not finished yet.")
        return json.dumps({"page": page, "text": self.texts[0]}, ensure_ascii=False).encode()

    def cancel(self, tenant: str, request_id: str) -> Job:
        self.calls.append(("cancel", request_id))
        job = self.get(tenant, request_id)
        if not job.status.terminal:
            self.known[request_id] = self.ended(job, JobStatus.CANCELLED)
        return self.known[request_id]

    def batch(self, tenant: str, batch_id: str) -> Batch:
        found = tuple(job for job in self.known.values() if job.batch_id == batch_id != "")
        if not found or found[0].tenant != tenant:
            raise NotFound()
        return Batch(batch_id=batch_id, tenant=tenant, created_at=CREATED_AT, jobs=found)

    def library(
        self, tenant: str, limit: int, after: str | None, wanted: Wanted = EVERYTHING
    ) -> tuple[list[Job], str | None]:
        self.calls.append(
            ("library", tenant, limit, after, *([] if wanted == EVERYTHING else [wanted]))
        )
        mine = [job for job in reversed(self.known.values()) if job.tenant == tenant]
        if after is not None:
            mine = mine[[job.request_id for job in mine].index(after) + 1 :]
        return mine[:limit], mine[limit - 1].request_id if len(mine) > limit else None

    def snippets(self, tenant: str, text: str, jobs: Sequence[Job]) -> dict[str, Snippet]:
        marks = ((0, len(text)),)
        made = Snippet(source="text", page=2, text=f"{text} <b>", marks=marks)
        return {job.request_id: made for job in jobs[:1]}

    def search_is_complete(self) -> bool:
        return True

    def check_seats(self, tenant: str) -> None:
        if self.full:
            raise Overloaded()

    def cancel_batch(self, tenant: str, batch_id: str) -> Batch:
        for job in self.batch(tenant, batch_id).jobs:
            self.cancel(tenant, job.request_id)
        return self.batch(tenant, batch_id)

    def retry(self, tenant: str, request_id: str, model: str = "", **wishes: Any) -> Job:
        named = {name: value for name, value in wishes.items() if value is not None}
        self.calls.append(("retry", request_id, model, *([named] if named else [])))
        return self.get(tenant, request_id)

    def delete(self, tenant: str, request_id: str) -> None:
        self.calls.append(("delete", request_id))
        self.get(tenant, request_id)

    def delete_many(self, tenant: str, request_ids: Sequence[str]) -> dict[str, CasolaError | None]:
        self.calls.append(("delete_many", *request_ids))
        return {name: None if name in self.known else NotFound() for name in request_ids}

    def delete_batch(self, tenant: str, batch_id: str) -> None:
        for job in self.batch(tenant, batch_id).jobs:
            self.delete(tenant, job.request_id)

    def room(self, tenant: str) -> Room:
        return Room(limit=100, left=100 - len(self.known), seconds=61.5)

    def live_engines(self) -> tuple[str, ...]:
        return self.engines

    def takes_prompt(self, model: str) -> bool:
        return takes_prompt(self._records(), model)

    def list_engines(self) -> tuple[EngineInfo, ...]:
        return list_engines(self._records())

    def _records(self) -> Records:
        told = {f"engine:{name}" for name in self.engines}
        return cast(Records, SimpleNamespace(capabilities=lambda **_: told))

    def readiness(self) -> dict[str, str | None]:
        return self.parts

    def ended(self, job: Job, status: JobStatus) -> Job:
        return replace(
            job,
            status=status,
            started_at=CREATED_AT + 500,
            finished_at=CREATED_AT + 2000 if status.terminal else None,
            pages=replace(job.pages, done=int(status is JobStatus.COMPLETED)),
            words=2 if status is JobStatus.COMPLETED else None,
            languages_found=("de", "en") if status is JobStatus.COMPLETED else (),
            error=self.error if status is JobStatus.FAILED else None,
        )

    def _job(self, tenant: str, document: NewDocument, options: Options, batch_id: str) -> Job:
        return Job(
            request_id=new_request_id(),
            tenant=tenant,
            status=JobStatus.QUEUED,
            model=options.model,
            engine="pp-ocrv6",
            language=options.language,
            file_name=document.file_name,
            media_type="image/png",
            lane=options.lane,
            batch_id=batch_id,
            pages=PageCounts(total=1, done=0, failed=0),
            words=None,
            confidence=None,
            created_at=CREATED_AT,
            started_at=None,
            finished_at=None,
            error=None,
            origin=options.origin,
        )


@dataclass
class StubDead:
    """`DeadLetters` with its list in the open."""

    letters: list[DeadLetter] = field(default_factory=list)
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def list(self, limit: int, after: int | None) -> tuple[list[DeadLetter], int | None]:
        self.calls.append(("list", limit, after))
        return self.letters[:limit], None

    def retry(self, request_id: str, model: str = "") -> None:
        self.calls.append(("retry", request_id, model))

    def drop(self, request_id: str) -> None:
        self.calls.append(("drop", request_id))
        if not any(letter.request_id == request_id for letter in self.letters):
            raise NotFound()


@dataclass
class StubRecords:
    """What `Records` remembers by name."""

    kept: dict[str, Sequence[str]] = field(default_factory=dict)

    def recall(self, name: str) -> Sequence[str]:
        return self.kept.get(name, ())

    def recollect(self, name: str, request_ids: Sequence[str], *, seconds: int) -> None:
        self.kept[name] = request_ids

    def reserve(self, request_id: str, nonce: str) -> bool:
        return True

    def unreserve(self, request_id: str, nonce: str) -> None:
        return


@dataclass
class World:
    """The application around the stubs."""

    client: FlaskClient
    jobs: StubJobs
    tokens: StubTokens
    dead: StubDead
    #: Where the exports look for pictures.
    store: MemoryStore


def make_world(**settings: Any) -> World:
    jobs, tokens, dead = StubJobs(), StubTokens(), StubDead()
    made = Settings(**settings)
    store = MemoryStore()
    exports = Exporter(made, store, cast(Any, jobs))
    files, signer = Files(made, store), Signer(store)
    links = FileLinks(signer, files)
    service = SimpleNamespace(
        settings=made, jobs=jobs, tokens=tokens, dead=dead, exports=exports,
        files=files, links=links, sources=Sources(made, files, links), signer=signer,
        uploads=Uploads(made, store, signer),
        errands=Errands(made, cast(Any, StubRecords()), store, files, Tenants(store)),
        answers=Answers(cast(Any, StubRecords()), store),
    )  # fmt: skip
    return World(create_app(made, cast(Any, service)).test_client(), jobs, tokens, dead, store)


def form(content: bytes, name: str = "a", **fields: str) -> dict[str, Any]:
    """Arguments for a post of a form with a file; the test client's own leave large ones open."""
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields.items()
    ]
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = b"".join([*parts, head.encode(), content, b"\r\n--x--\r\n"])
    return {"data": body, "content_type": "multipart/form-data; boundary=x"}


def _content(source: bytes | BinaryIO | None) -> bytes | None:
    return source if source is None or isinstance(source, bytes) else source.read()
