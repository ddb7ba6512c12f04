"""What a worker does with jobs: prepare, read a page, finish.

Each verb takes IDs, claims its step, does it, and writes the outcome with the claim's fence; a
verb that runs twice, or late, or beside itself, changes nothing. None raises: what went wrong
becomes the page's or the job's error, or the step is given back and the reconciler publishes it.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from io import BytesIO
from typing import BinaryIO, Protocol, cast

import structlog
from PIL import Image

from casola_ocr import documents, results
from casola_ocr.errors import (
    CasolaError,
    DamagedDocument,
    EngineFailed,
    NoPageRead,
    ObjectNotFound,
    RecordsUnavailable,
    StoreUnavailable,
    TooManyPixels,
)
from casola_ocr.fetch import Fetcher
from casola_ocr.model import Claim, Job, JobError, JobStatus, Manifest, PageResult
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.publisher import Publisher, pages_queue
from casola_ocr.records import Records, Refused
from casola_ocr.settings import Settings

log = structlog.get_logger(__name__)

#: A step that met an unavailable store is tried again after this long.
STORE_RETRY_MS = 2_000
#: A page whose engine failed is tried again after this long.
ENGINE_RETRY_MS = 500
#: A document with at most this many pages is finished by the worker that read its last page; a
#: longer one by a `prepare` worker, so that no engine waits while results are joined.
FINISH_INLINE_PAGES = 32
#: Join results in memory up to this size, then on disk.
SPOOL_BYTES = 4 * 1024 * 1024


class Reader(Protocol):
    """What reads a page image; see workers/engines/base.py for the contract."""

    def read(self, image: Image.Image, *, page: int, attempt: int, language: str) -> PageResult: ...


Hold = Callable[[Claim], AbstractContextManager[object]]


class Work:
    """The workers' verbs. One instance belongs to one worker child; not thread-safe.

    `owner` names the child. `hold` keeps a claim alive while its context is open.
    """

    def __init__(
        self,
        settings: Settings,
        records: Records,
        store: ObjectStore,
        publisher: Publisher,
        *,
        owner: str,
        hold: Hold,
    ):
        self._settings = settings
        self._records = records
        self._store = store
        self._publisher = publisher
        self._owner = owner
        self._hold = hold
        self._fetcher = Fetcher(
            max_bytes=settings.max_file_bytes,
            timeout_seconds=settings.fetch_timeout_seconds,
            max_redirects=settings.fetch_max_redirects,
            allow_networks=settings.fetch_allow_networks,
        )

    def prepare(self, request_id: str) -> None:
        """Download and open a document, and store its page images window by window."""
        self._run(request_id, "prepare", self._prepare)

    def read_page(self, request_id: str, page: int, engines: dict[str, Reader]) -> None:
        """Read one page with the engine of its job."""
        self._run(request_id, str(page), lambda claim: self._read_page(claim, engines))

    def finish(self, request_id: str) -> None:
        """Join the pages' results and close the job."""
        self._run(request_id, "finish", self._finish)

    def _run(self, request_id: str, step: str, action: Callable[[Claim], None]) -> None:
        structlog.contextvars.bind_contextvars(request_id=request_id, step=step)
        try:
            claim = self._claim(request_id, step)
            if claim is None:
                return
            with self._hold(claim):
                try:
                    action(claim)
                except StoreUnavailable as error:
                    log.warning(
                        "the store is not available",
                        action="step_delayed",
                        reason=repr(error.__cause__),
                    )
                    self._records.release(claim, delay_ms=STORE_RETRY_MS, counts=False)
        except RecordsUnavailable:
            # The lease runs out and the reconciler publishes the step again.
            log.warning("the records are not available", action="step_abandoned")
        except Exception:
            # The attempt is counted; when all are used up the step fails with a reason.
            log.exception("a step failed unexpectedly", action="step_failed")
        finally:
            structlog.contextvars.clear_contextvars()

    def _claim(self, request_id: str, step: str) -> Claim | None:
        claim = self._records.claim(
            request_id,
            step,
            self._owner,
            lease_ms=self._settings.lease_seconds * 1000,
            # Finishing is never given up: it depends on nothing but the store.
            max_attempts=0 if step == "finish" else self._settings.max_attempts,
        )
        if isinstance(claim, Refused):
            if claim.why == "exhausted":
                log.error("all attempts are used up", action="attempts_exhausted")
            self._publisher.publish(request_id, claim.publish, claim.pages_queue)
            return None
        return claim

    def _prepare(self, claim: Claim) -> None:
        job = claim.job
        try:
            manifest_url = self._manifest_url(job)
            if manifest_url is None:
                self._records.forget(job.request_id)
                return
            data, file_name = self._source(job, manifest_url)
            self._open(replace(claim, job=replace(job, file_name=file_name)), data)
        except (StoreUnavailable, RecordsUnavailable):
            raise
        except CasolaError as error:
            log.info("the document was refused", action="document_refused", code=error.code)
            steps = self._records.reject(claim, JobError(code=error.code, detail=error.detail))
            if steps is not None:
                self._publish(job, steps)

    def _manifest_url(self, job: Job) -> str | None:
        """The URL in the job's manifest; None when there is no manifest: it was never accepted."""
        try:
            return Manifest.from_json(
                self._store.get(keys.manifest(job.tenant, job.request_id))
            ).url
        except ObjectNotFound:
            return None

    def _source(self, job: Job, url: str) -> tuple[bytes, str]:
        key = keys.source(job.tenant, job.request_id)
        try:
            return self._store.get(key), job.file_name
        except ObjectNotFound:
            fetched = self._fetcher.fetch(url)
            documents.sniff(fetched.data[: documents.HEAD_BYTES])
            self._store.put(key, fetched.data)
            return fetched.data, fetched.file_name

    def _open(self, claim: Claim, data: bytes) -> None:
        job, limits = claim.job, self._settings
        max_pixels = limits.max_page_megapixels * 1_000_000
        media_type = documents.sniff(data[: documents.HEAD_BYTES])
        documents.check_header(BytesIO(data), media_type, max_pixels=max_pixels)
        single = documents.is_single_page(media_type)
        total = (
            1
            if single
            else documents.count_pages(BytesIO(data), media_type, max_pages=limits.max_pages)
        )

        def opened(ready: int) -> bool:
            steps = self._records.opened(
                claim, total=total, ready=ready, media_type=media_type, file_name=job.file_name
            )
            self._publish(job, steps or ())
            return steps is not None

        if single:
            opened(1)
            return
        reader = documents.PageReader(BytesIO(data), media_type, max_pixels=max_pixels)
        for page in range(claim.ready + 1, total + 1):
            # A page that cannot be opened gets no image: its own attempt finds out and says why.
            with contextlib.suppress(DamagedDocument, TooManyPixels):
                self._store.put(
                    keys.page_image(job.tenant, job.request_id, page),
                    documents.encode_page(reader.page(page)),
                )
            if not opened(page):
                return

    def _read_page(self, claim: Claim, engines: dict[str, Reader]) -> None:
        job = claim.job
        try:
            engine = engines.get(job.engine)
            if engine is None:
                raise EngineFailed("This worker does not run the job's engine.")
            image = self._page_image(job, claim.page)
            result = self._ask(engine, image, claim)
        except ObjectNotFound:
            self._records.forget(job.request_id)
            return
        except EngineFailed as error:
            log.warning("the engine failed", action="engine_failed", reason=repr(error.__cause__))
            if claim.attempt < self._settings.max_attempts:
                self._records.release(claim, delay_ms=ENGINE_RETRY_MS, counts=True)
                return
            self._settle(claim, error.code, _failure(claim, error))
        except (StoreUnavailable, RecordsUnavailable):
            raise
        except CasolaError as error:
            self._settle(claim, error.code, _failure(claim, error))
        else:
            self._settle(claim, "done", result)

    def _ask(self, engine: Reader, image: Image.Image, claim: Claim) -> PageResult:
        try:
            return engine.read(
                image, page=claim.page, attempt=claim.attempt, language=claim.job.language
            )
        except CasolaError:
            raise
        except Exception as error:
            raise EngineFailed() from error

    def _page_image(self, job: Job, page: int) -> Image.Image:
        """The page as the reader sees it: from its own image, or straight from the source."""
        max_pixels = self._settings.max_page_megapixels * 1_000_000
        if not documents.is_single_page(job.media_type):
            try:
                data = self._store.get(keys.page_image(job.tenant, job.request_id, page))
                return documents.open_page(BytesIO(data), "image/png", 1, max_pixels=max_pixels)
            except ObjectNotFound:
                # It could not be opened while preparing; trying again gives the reason.
                log.info("the page has no image", action="page_image_missing")
        data = self._store.get(keys.source(job.tenant, job.request_id))
        return documents.open_page(BytesIO(data), job.media_type, page, max_pixels=max_pixels)

    def _settle(self, claim: Claim, outcome: str, result: PageResult) -> None:
        job = claim.job
        attempt = f"{claim.attempt}-{claim.fence}"
        self._store.put(
            keys.page_result(job.tenant, job.request_id, claim.page, attempt), result.to_json()
        )
        steps = self._records.settle(claim, outcome)
        if steps is None:
            log.info("another attempt won, or the job ended", action="attempt_lost")
            return
        self._publish(job, [step for step in steps if step != "finish"])
        if "finish" in steps:
            if job.pages.total <= FINISH_INLINE_PAGES:
                self.finish(job.request_id)
            else:
                self._publish(job, ["finish"])

    def _finish(self, claim: Claim) -> None:
        job = claim.job
        states = results.winners(self._records.page_states(job.request_id))
        assembly = results.assemble(self._store, job, states)
        with _spool() as pages, _spool() as body:
            for page in assembly.pages():
                pages.write(page + b"\n")
            pages.seek(0)
            closed = _closed(job, assembly)
            assembly.write(closed, pages, body)
            body.seek(0)
            self._store.put(keys.text(job.tenant, job.request_id), assembly.text().encode())
            self._store.put(keys.result(job.tenant, job.request_id), body)
        if self._records.close(closed, claim.fence):
            self._store.delete([keys.inflight(job.request_id)])
            log.info(
                "the job ended",
                action="job_ended",
                request_id=job.request_id,
                status=closed.status.value,
                pages=closed.pages.total,
                failed=closed.pages.failed,
            )

    def _publish(self, job: Job, steps: Iterable[str]) -> None:
        self._publisher.publish(
            job.request_id, steps, pages_queue(job.engine, job.lane, job.tenant)
        )


def _closed(job: Job, assembly: results.Assembly) -> Job:
    status = JobStatus.COMPLETED if job.pages.done else JobStatus.FAILED
    error = job.error
    if status is JobStatus.FAILED and error is None:
        # Of a single page the reason is the document's; of many, each page says its own.
        error = assembly.only_error or JobError(code=NoPageRead.code, detail=NoPageRead().detail)
    return replace(
        job,
        status=status,
        words=assembly.words if job.pages.done else None,
        confidence=assembly.confidence,
        finished_at=int(time.time() * 1000),
        error=error,
    )


def _failure(claim: Claim, error: CasolaError) -> PageResult:
    return results.failed_page(
        claim.job,
        claim.page,
        attempts=claim.attempt,
        error=JobError(code=error.code, detail=error.detail),
    )


def _spool() -> BinaryIO:
    return cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES))
