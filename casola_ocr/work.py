"""What a worker does with jobs: take the next step of a pool, and prepare, read, finish or erase.

Each step is taken with a claim, done, and its outcome written with the claim's fence; one that runs
twice, or late, or beside itself, changes nothing. Nothing here raises: what went wrong becomes the
page's or the job's error, or the step is given back.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from io import BytesIO
from typing import BinaryIO, Protocol, cast

import structlog
from PIL import Image

from casola_ocr import documents, erasure, pictures, results
from casola_ocr.errors import (
    DEAD_CODES,
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
from casola_ocr.model import Claim, Job, JobError, JobStatus, Manifest, PageResult, now_ms
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.publisher import Publisher
from casola_ocr.records import Records
from casola_ocr.settings import Settings

log = structlog.get_logger(__name__)

#: A step that met an unavailable store is tried again after this long.
STORE_RETRY_MS = 2_000
#: A page whose engine failed is tried again after this long.
ENGINE_RETRY_MS = 500
#: A document with at most this many pages is finished by the worker that read its last page; a
#: longer one by a `prepare` worker, so that no engine waits while results are joined.
FINISH_INLINE_PAGES = 32
#: How long ended jobs keep their records when Redis is half as full as it may be.
CROWDED_SECONDS = 3600
#: Join results in memory up to this size, then on disk.
SPOOL_BYTES = 4 * 1024 * 1024


class Reader(Protocol):
    """What reads a page image; see workers/engines/base.py for the contract."""

    def read(self, image: Image.Image, *, page: int, attempt: int, language: str) -> PageResult: ...


class StepStopped(BaseException):
    """The claim was lost while its step ran: its job was cancelled, or the worker is to leave.

    Not an `Exception`, so that no handler of an engine's own takes it for a failure.
    """


class _Lost(Exception):
    """The claim was lost before its outcome was written: another attempt won, or the job ended."""


class Guard(Protocol):
    """Keeps claims alive, and stops what runs for a claim that was lost."""

    def hold(self, claim: Claim) -> AbstractContextManager[object]:
        """Send heartbeats for the claim while the context is open."""

    def begin(self, claim: Claim) -> AbstractContextManager[object]:
        """Wait until the page may be worked on; its decoding and reading are done in here.

        Raises:
            StepStopped: the claim was lost before that.
        """

    def interruptible(self, claim: Claim) -> AbstractContextManager[object]:
        """Let `StepStopped` be raised in here once the claim is lost."""


class Work:
    """The workers' verbs. One instance belongs to one worker child; not thread-safe.

    `owner` names the child; `many` tells that its process runs others beside it.
    """

    def __init__(
        self,
        settings: Settings,
        records: Records,
        store: ObjectStore,
        publisher: Publisher,
        *,
        owner: str,
        guard: Guard,
        engines: Mapping[str, Reader],
        many: bool = False,
    ):
        self._settings = settings
        self._records = records
        self._store = store
        self._publisher = publisher
        self._owner = owner
        self._guard = guard
        self._engines = engines
        self._many = many
        self._lease_ms = settings.lease_seconds * 1000
        self._fetcher = Fetcher(
            max_bytes=settings.max_file_bytes,
            timeout_seconds=settings.fetch_timeout_seconds,
            max_redirects=settings.fetch_max_redirects,
            allow_networks=settings.fetch_allow_networks,
        )

    def run(self, pool: str) -> bool:
        """Take the next step of a pool and do it; False when nothing waits there."""
        try:
            taken = self._records.take(
                pool,
                self._owner,
                lease_ms=self._lease_ms,
                max_attempts=self._settings.max_attempts,
                share=self._settings.tenant_share,
                many=self._many,
            )
        except RecordsUnavailable:
            # What waits is found again by the reconciler.
            log.warning("the records are not available", action="take_failed", pool=pool)
            return False
        self._publisher.publish(taken.hints)
        if taken.claim is None:
            return False
        self._do(taken.claim)
        return True

    def _do(self, claim: Claim) -> None:
        action = {"prepare": self._prepare, "finish": self._finish, "erase": self._erase}.get(
            claim.step, self._read_page
        )
        structlog.contextvars.bind_contextvars(request_id=claim.job.request_id, step=claim.step)
        try:
            with self._guard.hold(claim):
                try:
                    action(claim)
                except (StepStopped, _Lost):
                    log.info("the claim was lost", action="claim_lost")
                    # Its result stays: after a wipe of the records this very attempt may have been
                    # found in the store and made the winner.
                    self._remove_late(claim.job)
                except StoreUnavailable as error:
                    log.warning(
                        "the store is not available",
                        action="step_delayed",
                        reason=repr(error.__cause__),
                    )
                    self._records.release(claim, delay_ms=STORE_RETRY_MS, counts=False)
        except RecordsUnavailable:
            # The lease runs out and the reconciler offers the step again.
            log.warning("the records are not available", action="step_abandoned")
        except Exception:
            # The attempt is counted; when all are used up the step fails with a reason.
            log.exception("a step failed unexpectedly", action="step_failed")
        finally:
            structlog.contextvars.clear_contextvars()

    def _remove_late(self, job: Job) -> None:
        try:
            erasure.remove_late(self._store, job.tenant, job.request_id)
        except StoreUnavailable:
            log.warning(
                "what was written for a deleted job may be left; fsck removes it",
                action="late_bytes_left",
            )

    def _prepare(self, claim: Claim) -> None:
        job = claim.job
        try:
            manifest = self._manifest(job)
            if manifest is None:
                self._records.forget(job.request_id)
                return
            data, file_name = self._source(claim, manifest)
            self._open(replace(claim, job=replace(job, file_name=file_name)), data)
        except (StoreUnavailable, RecordsUnavailable):
            raise
        except CasolaError as error:
            log.info("the document was refused", action="document_refused", code=error.code)
            self._publisher.publish(
                self._records.reject(claim, JobError(code=error.code, detail=error.detail))
            )

    def _manifest(self, job: Job) -> Manifest | None:
        """The job's manifest; None when there is none: it was never accepted."""
        try:
            return Manifest.from_json(self._store.get(keys.manifest(job.tenant, job.request_id)))
        except ObjectNotFound:
            return None

    def _source(self, claim: Claim, manifest: Manifest) -> tuple[bytes, str]:
        job = claim.job
        key = keys.source(job.tenant, job.request_id)
        try:
            return self._store.get(key), job.file_name
        except ObjectNotFound:
            with self._guard.interruptible(claim):
                fetched = self._fetcher.fetch(manifest.url)
            documents.sniff(fetched.data[: documents.HEAD_BYTES])
            self._store.put(key, fetched.data)
            return fetched.data, fetched.file_name

    def _open(self, claim: Claim, data: bytes) -> None:
        job, limits = claim.job, self._settings
        max_pixels = limits.max_page_megapixels * 1_000_000
        media_type = documents.sniff(data[: documents.HEAD_BYTES])
        documents.check_header(BytesIO(data), media_type, max_pixels=max_pixels)
        single = documents.is_single_page(media_type)
        total = job.pages.total or (
            1
            if single
            else documents.count_pages(BytesIO(data), media_type, max_pages=limits.max_pages)
        )

        def opened(ready: int) -> bool:
            """Whether more pages are wanted from this claim."""
            answer, hints = self._records.opened(
                claim,
                total=total,
                ready=ready,
                media_type=media_type,
                file_name=job.file_name,
                size=len(data),
            )
            self._publisher.publish(hints)
            if answer == "lost":
                raise _Lost
            return answer == "more"

        if single:
            opened(1)
            return
        reader = documents.PageReader(BytesIO(data), media_type, max_pixels=max_pixels)
        for page in range(claim.ready + 1, total + 1):
            # A page that cannot be opened gets no image: its own attempt finds out and says why.
            with contextlib.suppress(DamagedDocument, TooManyPixels):
                with self._guard.interruptible(claim):
                    image = documents.encode_page(reader.page(page))
                self._store.put(keys.page_image(job.tenant, job.request_id, page), image)
            if not opened(page):
                return
            if page - claim.ready >= limits.window_pages:
                # Others' documents take their turn; the claim's progress is in the record.
                self._publisher.publish(self._records.release(claim, delay_ms=0, counts=False))
                return

    def _read_page(self, claim: Claim) -> None:
        job = claim.job
        try:
            engine = self._engines.get(job.engine)
            if engine is None:
                raise EngineFailed("This worker does not run the job's engine.")
            with self._guard.begin(claim):
                image = self._page_image(job, claim.page)
                result = self._ask(engine, image, claim)
        except ObjectNotFound:
            self._without_source(claim)
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
            with self._guard.interruptible(claim):
                return engine.read(
                    image, page=claim.page, attempt=claim.attempt, language=claim.job.language
                )
        except CasolaError:
            raise
        except Exception as error:
            raise EngineFailed() from error

    def _without_source(self, claim: Claim) -> None:
        """Nothing is there to be read: the job was never accepted, or its source was lost."""
        if self._manifest(claim.job) is None:
            self._records.forget(claim.job.request_id)
            return
        error = DamagedDocument("The document is not in the store any more.")
        self._settle(claim, error.code, _failure(claim, error))

    def _page_image(self, job: Job, page: int) -> Image.Image:
        """The page as the reader sees it: from its own image, or straight from the source."""
        data, media_type, number = pictures.stored_picture(self._store, job, page)
        max_pixels = self._settings.max_page_megapixels * 1_000_000
        return documents.open_page(BytesIO(data), media_type, number, max_pixels=max_pixels)

    def _settle(self, claim: Claim, outcome: str, result: PageResult) -> None:
        job = claim.job
        attempt = f"{claim.attempt}-{claim.fence}"
        key = keys.page_result(job.tenant, job.request_id, claim.page, attempt)
        self._store.put(key, result.to_json())
        settled = self._records.settle(
            claim,
            outcome,
            dead=outcome in DEAD_CODES,
            inline_pages=FINISH_INLINE_PAGES,
            lease_ms=self._lease_ms,
        )
        if settled is None:
            raise _Lost
        self._publisher.publish(settled.hints)
        if settled.finish is not None:
            self._do(settled.finish)

    def _finish(self, claim: Claim) -> None:
        job = self._records.get(claim.job.request_id)
        if job is None:
            raise _Lost
        states = results.winners(self._records.page_states(job.request_id))
        assembly = results.assemble(self._store, job, states)
        with _spool() as pages, _spool() as body:
            for page in assembly.pages():
                pages.write(page + b"\n")
            pages.seek(0)
            closed = _closed(job, assembly)
            assembly.write(closed, pages, body)
            body.seek(0)
            # Fences are never the same: if the claim holds now, the records were not lost since it
            # was made, and what was read of them is whole.
            if not self._records.heartbeat([claim], self._lease_ms)[0]:
                raise _Lost
            self._store.put(keys.text(job.tenant, job.request_id), assembly.text().encode())
            self._store.put(keys.result(job.tenant, job.request_id), body)
        ended_batch = self._records.close(claim, closed, keep_seconds=self._keep_seconds(closed))
        if ended_batch is None:
            raise _Lost
        marker = keys.marker(job.request_id, job.run)
        self._store.delete([marker, *([keys.inflight(ended_batch)] if ended_batch else [])])
        log.info(
            "the job ended",
            action="job_ended",
            status=closed.status.value,
            pages=closed.pages.total,
            failed=closed.pages.failed,
        )

    def _keep_seconds(self, job: Job) -> int:
        """How long the record of an ended job is kept: the store has all that it says."""
        keep, crowded = self._settings.record_seconds, self._settings.redis_memory_share / 2
        if job.pages.failed:
            # An operator may want to look at it.
            return keep
        return min(keep, CROWDED_SECONDS) if self._records.memory_share() > crowded else keep

    def _erase(self, claim: Claim) -> None:
        erasure.complete(self._records, self._store, claim)


def _closed(job: Job, assembly: results.Assembly) -> Job:
    status = JobStatus.COMPLETED if job.pages.done else JobStatus.FAILED
    if job.status is JobStatus.CANCELLED:
        status = job.status
    error = job.error
    if status is JobStatus.FAILED and error is None:
        # Of a single page the reason is the document's; of many, each page says its own.
        error = assembly.only_error or JobError(code=NoPageRead.code, detail=NoPageRead().detail)
    return replace(
        job,
        status=status,
        words=assembly.words if job.pages.done else None,
        confidence=assembly.confidence,
        finished_at=job.finished_at or now_ms(),
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
