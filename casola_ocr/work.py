"""What a worker does with jobs: take the next step of a pool, and prepare, read, finish or erase.

Each step is taken with a claim, done, and its outcome written with the claim's fence; one that runs
twice, or late, or beside itself, changes nothing. Nothing here raises: what went wrong becomes the
page's or the job's error, or the step is given back.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from typing import BinaryIO, Protocol, cast

import structlog
from PIL import Image

from casola_ocr import erasure, opening, results
from casola_ocr.engines import AUTO
from casola_ocr.errors import (
    DEAD_CODES,
    CasolaError,
    DamagedDocument,
    EngineFailed,
    NoPageRead,
    ObjectNotFound,
    RecordsUnavailable,
    StoreUnavailable,
    Unavailable,
)
from casola_ocr.guard import Guard, StepLost, StepStopped
from casola_ocr.lending import Lending, better
from casola_ocr.model import Claim, Job, JobError, JobStatus, Wishes
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.opening import Kept
from casola_ocr.pages import PageResult
from casola_ocr.preparing import Preparing
from casola_ocr.publisher import Publisher, engine_of
from casola_ocr.records import Records
from casola_ocr.selection import Selection
from casola_ocr.settings import Settings
from casola_ocr.text.flags import UNTRUSTED
from casola_ocr.times import now_ms

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

    def read(
        self, image: Image.Image, *, page: int, attempt: int, language: str, wishes: Wishes
    ) -> PageResult: ...


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
        self._max_pixels = settings.max_page_megapixels * 1_000_000
        self._lending = Lending(settings, records, store, publisher)
        self._preparing = Preparing(settings, records, store, publisher, guard)

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
        steps = {
            "prepare": self._preparing.prepare,
            "finish": self._finish,
            "erase": self._erase,
        }
        action = steps.get(claim.step, self._read_page)
        structlog.contextvars.bind_contextvars(request_id=claim.job.request_id, step=claim.step)
        try:
            with self._guard.hold(claim):
                try:
                    action(claim)
                except (StepStopped, StepLost):
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

    def _read_page(self, claim: Claim) -> None:
        job = claim.job
        try:
            engine = self._engines.get(engine_of(claim.pool))
            if engine is None:
                raise EngineFailed("This worker does not run the job's engine.")
            with self._guard.begin(claim):
                found = opening.find_page(
                    self._store, job, claim.page, attempt=claim.attempt, max_pixels=self._max_pixels
                )
                read = found if isinstance(found, Kept) else self._ask(engine, found, claim)
        except ObjectNotFound:
            self._without_source(claim)
        except EngineFailed as error:
            log.warning("the engine failed", action="engine_failed", reason=repr(error.__cause__))
            if claim.attempt < self._settings.max_attempts:
                self._records.release(claim, delay_ms=ENGINE_RETRY_MS, counts=True)
                return
            self._settle(claim, error.code, _failure(claim, error))
        except Unavailable:
            raise
        except CasolaError as error:
            self._settle(claim, error.code, _failure(claim, error))
        else:
            if read is not None:
                self._settle(claim, "done", read)

    def _ask(self, engine: Reader, page: opening.Picture, claim: Claim) -> Kept | None:
        """What is read on the page; None when another engine is to read it too."""
        job = claim.job
        earlier = self._lending.earlier(claim)
        if earlier is not None:
            read = self._read_again(engine, page, claim, earlier)
            return _kept(page.flagged(better(earlier, read, engine=job.engine)))
        wishes = _wishes(job)
        borrower = self._lending.borrower(claim)
        if borrower:
            # A CPU engine comes after the borrower.
            wishes = replace(wishes, fallback=False)
        read = self._read(engine, page, claim, wishes)
        if borrower and UNTRUSTED.intersection(read.flags):
            if not self._lending.lend(claim, borrower, read):
                raise StepLost
            return None
        return _kept(page.flagged(read))

    def _read_again(
        self, engine: Reader, page: opening.Picture, claim: Claim, earlier: PageResult
    ) -> PageResult:
        """Read a page that was lent; what cannot be read now has been before."""
        try:
            return self._read(engine, page, claim, _wishes(claim.job))
        except CasolaError as error:
            if isinstance(error, EngineFailed) and claim.attempt < self._settings.max_attempts:
                raise
            log.warning(
                "the page was read before, and is not again",
                action="lent_page_failed",
                code=error.code,
            )
        return replace(earlier, attempts=claim.attempt, seconds=0.0, tries=())

    def _read(
        self, engine: Reader, page: opening.Picture, claim: Claim, wishes: Wishes
    ) -> PageResult:
        try:
            with self._guard.interruptible(claim):
                return engine.read(
                    page.image,
                    page=Selection.parse(claim.job.selection).number(claim.page),
                    attempt=claim.attempt,
                    language=claim.job.language,
                    wishes=wishes,
                )
        except CasolaError:
            raise
        except Exception as error:
            raise EngineFailed() from error

    def _without_source(self, claim: Claim) -> None:
        """Nothing is there to be read: the job was never accepted, or its source was lost."""
        job = claim.job
        if results.stored_manifest(self._store, job.tenant, job.request_id) is None:
            self._records.forget(job.request_id)
            return
        error = DamagedDocument("The document is not in the store any more.")
        self._settle(claim, error.code, _failure(claim, error))

    def _settle(self, claim: Claim, outcome: str, read: Kept) -> None:
        job = claim.job
        attempt = f"{claim.attempt}-{claim.fence}"
        key = keys.page_result(job.tenant, job.request_id, claim.page, attempt)
        self._store.put(key, read.body)
        settled = self._records.settle(
            claim,
            outcome,
            dead=outcome in DEAD_CODES,
            inline_pages=FINISH_INLINE_PAGES,
            lease_ms=self._lease_ms,
            words=read.words,
            confidence=read.confidence,
        )
        if settled is None:
            raise StepLost
        self._publisher.publish(settled.hints)
        if settled.finish is not None:
            self._do(settled.finish)

    def _finish(self, claim: Claim) -> None:
        job = self._records.get(claim.job.request_id)
        if job is None:
            raise StepLost
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
                raise StepLost
            objects: list[tuple[str, bytes | BinaryIO]] = [
                (keys.text(job.tenant, job.request_id), assembly.text().encode()),
                (keys.result(job.tenant, job.request_id), body),
            ]
            if job.hook:
                # Before the result: whoever finds that knows that the receiver will be told.
                owed = keys.owed(job.tenant, job.hook, job.request_id, job.run)
                objects.insert(0, (owed, b""))
            self._store.put_all(objects)
        ended_batch = self._records.close(claim, closed, keep_seconds=self._keep_seconds(closed))
        if ended_batch is None:
            raise StepLost
        marker = keys.marker(job.request_id, job.run)
        self._store.delete([marker, *([keys.inflight(ended_batch)] if ended_batch else [])])
        if job.hook:
            self._records.schedule.add(job.tenant, job.hook, [f"{job.request_id}-{job.run}"])
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


def _wishes(job: Job) -> Wishes:
    # Who leaves the choice of the engine to the service leaves it for every page.
    fallback = job.fallback or job.model == AUTO
    return Wishes(mode=job.mode, prompt=job.prompt, lane=job.lane, fallback=fallback)


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
        languages_found=assembly.languages,
        finished_at=job.finished_at or now_ms(),
        error=error,
    )


def _failure(claim: Claim, error: CasolaError) -> Kept:
    failed = results.failed_page(
        claim.job,
        claim.page,
        attempts=claim.attempt,
        error=JobError(code=error.code, detail=error.detail),
    )
    return _kept(failed)


def _kept(result: PageResult) -> Kept:
    return Kept(body=result.to_json(), words=result.words, confidence=result.confidence)


def _spool() -> BinaryIO:
    return cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES))
