"""Joining page results into one: only the pages' text is held in memory, not their boxes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from casola_ocr.errors import ObjectNotFound, Unavailable, error_by_code
from casola_ocr.model import (
    MODES,
    Job,
    JobError,
    JobStatus,
    Lane,
    Manifest,
    NewerSchema,
    PageCounts,
)
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.pages import PageResult
from casola_ocr.selection import Selection
from casola_ocr.side_by_side import AT_ONCE, each
from casola_ocr.times import milliseconds

#: Languages that are told of a job at most: a page that was misread makes one up now and then.
MOST_LANGUAGES_FOUND = 5
#: Between the pages of a joined text.
PAGE_BREAK = "\f"
#: Where a stored result goes on after the job's own fields; no escaped string can hold it.
_PAGES_BEGIN = b',"page_results":['


def winners(states: Mapping[int, str]) -> dict[int, str]:
    """Position → the state of each page that is terminal (``d:…`` or ``f:…``)."""
    return {page: state for page, state in states.items() if state[:2] in ("d:", "f:")}


def page_json(store: ObjectStore, job: Job, position: int, state: str) -> bytes:
    """The stored result of a terminal page; made up from its state where no attempt left one."""
    attempt = state.split(":")[1]
    try:
        return store.get(keys.page_result(job.tenant, job.request_id, position, attempt))
    except ObjectNotFound:
        code = state.split(":")[2] if state.startswith("f:") else "internal_error"
        return failed_page(
            job, position, attempts=int(attempt.split("-")[0]), error=error_of(code)
        ).to_json()


def error_of(code: str, detail: str = "") -> JobError:
    error = error_by_code(code, detail)
    return JobError(code=code, detail=error.detail)


def failed_page(job: Job, position: int, *, attempts: int, error: JobError) -> PageResult:
    """The result of a page that could not be read."""
    return PageResult(
        page=Selection.parse(job.selection).number(position),
        width=0,
        height=0,
        text="",
        words=0,
        confidence=None,
        confidence_low=None,
        engine=job.engine,
        engine_version="",
        attempts=attempts,
        seconds=0.0,
        lines=(),
        flags=("failed",),
        error=error,
    )


@dataclass
class Assembly:
    """The result of a job being joined; its words, confidence and languages come with its pages."""

    store: ObjectStore
    job: Job
    states: Mapping[int, str]
    words: int = 0
    #: Why the page failed, when the document has only one.
    only_error: JobError | None = None
    _texts: list[str] = field(default_factory=list)
    _weighted: float = 0.0
    _weights: int = 0
    _languages: Counter[str] = field(default_factory=Counter)

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of its pages' languages, that of the most words first."""
        return tuple(code for code, _ in self._languages.most_common(MOST_LANGUAGES_FOUND))

    @property
    def confidence(self) -> float | None:
        """Mean of the pages' confidences, weighted by their words."""
        return round(self._weighted / self._weights, 4) if self._weights else None

    def pages(self) -> Iterator[bytes]:
        """Each terminal page's JSON, in the order of the pages."""
        for data in self._fetched():
            values = json.loads(data)
            self._texts.append(values["text"])
            if values["error"] and self.job.pages.total == 1:
                self.only_error = JobError(**values["error"])
            self.words += values["words"]
            if values["confidence"] is not None and values["words"]:
                self._weighted += values["confidence"] * values["words"]
                self._weights += values["words"]
            if values.get("language") and values["words"]:
                # Some that were read earlier name all the languages that were asked for.
                for code in values["language"].split(","):
                    self._languages[code] += values["words"]
            yield data

    def _fetched(self) -> Iterator[bytes]:
        """Each page's stored bytes, in the order of the pages; some at once, never all."""
        pages = sorted(self.states)

        def fetch(page: int) -> bytes:
            return page_json(self.store, self.job, page, self.states[page])

        # From a far store, one after the other, five thousand pages take minutes.
        return each(fetch, pages) if len(pages) > AT_ONCE else map(fetch, pages)

    def text(self) -> str:
        """All pages' text, joined by form feeds."""
        if not self._texts:
            for _ in self.pages():
                continue
        return PAGE_BREAK.join(self._texts)

    def chunks(self, job: Job | None = None) -> Iterator[bytes]:
        """The body of ``/result``: the job, its page results, and the text."""
        head = json.dumps((job or self.job).to_dict(), ensure_ascii=False)[:-1]
        yield head.encode() + _PAGES_BEGIN
        for index, page in enumerate(self.pages()):
            yield (b"," if index else b"") + page
        yield b'],"text":' + json.dumps(self.text(), ensure_ascii=False).encode() + b"}"

    def write(self, job: Job, pages: IO[bytes], out: IO[bytes]) -> None:
        """Write the body whose page results were spooled to `pages` before, each on a line."""
        head = json.dumps(job.to_dict(), ensure_ascii=False)[:-1]
        out.write(head.encode() + _PAGES_BEGIN)
        for index, page in enumerate(pages):
            out.write((b"," if index else b"") + page.rstrip(b"\n"))
        out.write(b'],"text":' + json.dumps(self.text(), ensure_ascii=False).encode() + b"}")


def assemble(store: ObjectStore, job: Job, states: Mapping[int, str]) -> Assembly:
    return Assembly(store=store, job=job, states=states)


def stored_job(store: ObjectStore, tenant: str, request_id: str) -> Job | None:
    """A job that ended, from the head of its stored result; None when there is none."""
    try:
        chunks = store.stream(keys.result(tenant, request_id))
        with closing_chunks(chunks):
            head = next(chunks, b"").split(_PAGES_BEGIN, 1)[0]
        values = json.loads(head + b"}")
    except (ObjectNotFound, ValueError):
        return None
    error = values["error"]
    return Job(
        request_id=request_id,
        tenant=tenant,
        status=JobStatus(values["status"]),
        model=values["model"],
        engine=values["engine"],
        language=values["language"],
        file_name=values["file_name"],
        media_type=values["media_type"] or "",
        lane=Lane(values.get("lane", Lane.BULK)),
        batch_id=values["batch_id"] or "",
        pages=PageCounts(**values["pages"]),
        words=values["words"],
        confidence=values["confidence"],
        created_at=milliseconds(values["created_at"]) or 0,
        started_at=milliseconds(values["started_at"]),
        finished_at=milliseconds(values["finished_at"]),
        expires_at=milliseconds(values.get("expires_at")),
        run=values.get("run", 1),
        size=values.get("size", 0),
        position=values.get("batch_position") or 0,
        selection=values.get("pages_selected") or "",
        text_layer=values.get("text_layer", "ignore"),
        mode=values.get("mode", MODES[0]),
        prompt=values.get("prompt") or "",
        fallback=values.get("fallback", False),
        origin=values.get("origin") or "",
        # It misses where the job ended before it was kept.
        languages_found=tuple(values.get("languages_found", ())),
        error=JobError(**error) if error else None,
    )


def stored_manifest(store: ObjectStore, tenant: str, request_id: str) -> Manifest | None:
    """The manifest of a job; None when there is none.

    One that is damaged is none: a put that failed may leave it behind, and then nothing was
    accepted.

    Raises:
        Unavailable: a newer version of the service wrote it.
    """
    try:
        return Manifest.from_json(store.get(keys.manifest(tenant, request_id)))
    except ObjectNotFound:
        return None
    except NewerSchema as error:
        raise Unavailable("The job belongs to a newer version of the service.") from error
    except ValueError:
        return None


def stored_page(store: ObjectStore, job: Job, page: int) -> bytes | None:
    """The page with this number in its document, of a job whose record is gone.

    A page that was tried once has one result; which of several won is in the job's result.
    """
    position = Selection.parse(job.selection).position(page)
    if position is None:
        return None
    prefix = keys.page_prefix(job.tenant, job.request_id, position)
    attempts = [key for key in store.list(prefix) if keys.parse_page_result(key)]
    if len(attempts) == 1:
        return store.get(attempts[0])
    try:
        values = json.loads(store.get(keys.result(job.tenant, job.request_id)))
    except ObjectNotFound:
        return None
    for result in values["page_results"]:
        if result["page"] == page:
            return json.dumps(result, ensure_ascii=False).encode()
    return None


def failures(
    store: ObjectStore, job: Job, states: Mapping[int, str]
) -> Iterator[tuple[int, str, int]]:
    """Number in the document, error code and attempts of each page that failed.

    From the store without `states`.
    """
    if states:
        selection = Selection.parse(job.selection)
        for position, state in sorted(states.items()):
            if state.startswith("f:"):
                _, attempt, code = state.split(":")
                yield selection.number(position), code, int(attempt.partition("-")[0])
        return
    try:
        values = json.loads(store.get(keys.result(job.tenant, job.request_id)))
    except ObjectNotFound:
        return
    for result in values["page_results"]:
        if result["error"]:
            yield result["page"], result["error"]["code"], result["attempts"]


@contextmanager
def closing_chunks(chunks: Iterator[bytes]) -> Iterator[None]:
    """Close a stream of which only the beginning is read."""
    try:
        yield
    finally:
        if isinstance(chunks, Generator):
            chunks.close()
