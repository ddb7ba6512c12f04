"""What a client can ask of jobs: submit, get, wait, result, cancel, retry, delete, library.

The verbs of the workers are in `work`; what repairs a loss is in `recovery`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain, islice

from casola_ocr import engines, erasure, recovery, results
from casola_ocr.errors import (
    CasolaError,
    Conflict,
    Gone,
    NotFound,
    ObjectNotFound,
    Overloaded,
    RecordsUnavailable,
    StoreUnavailable,
)
from casola_ocr.model import (
    Batch,
    Job,
    JobStatus,
    Manifest,
    Marker,
    is_batch_id,
    is_cursor,
    is_request_id,
    now_ms,
    queued_job,
)
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.prompts import checked_prompt
from casola_ocr.publisher import Publisher
from casola_ocr.records import Records
from casola_ocr.recovery import registration
from casola_ocr.selection import Selection
from casola_ocr.settings import Settings
from casola_ocr.submission import (
    RECORDS_FULL,
    NewDocument,
    Options,
    Submissions,
    check_memory,
    limits,
)
from casola_ocr.tenants import Tenants
from casola_ocr.waiters import Waiters

__all__ = ["Jobs", "NewDocument", "Options"]

#: What a request is told that found no seat to wait on.
WAITERS_RETRY_SECONDS = 2


class Jobs:
    """The client's verbs. Safe to share between threads and greenlets.

    Every verb takes the tenant first; a job of another tenant is answered like an unknown one.
    All raise `RecordsUnavailable` or `StoreUnavailable` when Redis or the store is down.
    """

    def __init__(
        self,
        settings: Settings,
        records: Records,
        store: ObjectStore,
        publisher: Publisher,
        tenants: Tenants | None = None,
    ):
        self._settings = settings
        self._records = records
        self._store = store
        self._publisher = publisher
        self._submissions = Submissions(
            settings, records, store, publisher, tenants or Tenants(store)
        )
        self._waiters = Waiters(settings.max_waiters)

    def submit(self, tenant: str, documents: Sequence[NewDocument], options: Options) -> list[Job]:
        """Accept documents, all or none; more than one become a batch.

        When it returns, the submission is committed in the store: it survives the loss of Redis.

        Raises:
            NoFile, EmptyFile, FileTooLarge, UnsupportedFormat, DamagedDocument, TooManyPixels,
            BadUrl, FetchRefused: a document is not acceptable; with several, the detail names it.
            UnknownModel, UnknownLanguage, LanguageNotInstalled, EngineUnavailable: nobody can read
                it as asked.
            BadSelection, MalformedRequest: the pages, the use of embedded text, or a mode or prompt
                that the model does not take.
            TooBusy, Overloaded: too much waits already.
            InProgress, KeyReused, Gone: the idempotency key is in use, was used for another
            submission, or its job was deleted.
        """
        ids = self._submissions.submit(tenant, documents, options)
        try:
            jobs = self._records.jobs(ids)
        except RecordsUnavailable:
            # It is accepted all the same, and has to be answered so.
            jobs = [None] * len(ids)
        made = [
            job or self._without_record(tenant, found) for found, job in zip(ids, jobs, strict=True)
        ]
        if None in made:
            raise Gone("The job was deleted while it was submitted again.")
        for job in made:
            if job and job.status.terminal and not job.batch_id:
                # Repeated by a request that was overtaken: it left the marker once more.
                self._tidy(job, 1)
        return [job for job in made if job]

    def get(self, tenant: str, request_id: str) -> Job:
        """The job as it stands.

        Raises:
            NotFound: there is no such job, or it is another tenant's.
            Gone: it was deleted.
        """
        if not is_request_id(request_id):
            raise NotFound()
        try:
            job = self._records.get(request_id) or self._without_record(tenant, request_id)
        except RecordsUnavailable:
            # What has ended can be read without Redis.
            job = self._ended(tenant, request_id)
            if job is None:
                raise
        if job is None or job.tenant != tenant:
            raise NotFound()
        return job

    def _without_record(self, tenant: str, request_id: str) -> Job | None:
        """A job that Redis does not know: it ended long ago, or Redis was wiped a moment ago."""
        manifest = results.stored_manifest(self._store, tenant, request_id)
        if manifest is None:
            if erasure.is_erased(self._store, tenant, request_id):
                raise Gone()
            return None
        ended = results.stored_job(self._store, tenant, request_id)
        run = ended.run + 1 if ended else 1
        if self._is_committed(manifest, run):
            return replace(queued_job(manifest), run=run)
        return ended

    def _is_committed(self, manifest: Manifest, run: int) -> bool:
        """Whether this run of a job was accepted and has not ended."""
        if self._store.exists(keys.marker(manifest.request_id, run)):
            return True
        batch_id = manifest.batch_id if run == 1 else ""
        return bool(batch_id) and self._store.exists(keys.inflight(batch_id))

    def _ended(self, tenant: str, request_id: str) -> Job | None:
        """A job with which nothing is to be done any more, from the store."""
        ended = results.stored_job(self._store, tenant, request_id)
        if ended is None or self._store.exists(keys.marker(request_id, ended.run + 1)):
            return None
        return ended

    def wait(self, tenant: str, request_id: str, seconds: float) -> Job:
        """The job once it is terminal, or as it stands after `seconds`.

        When too many wait already it is answered at once as it stands.
        """
        job = self.get(tenant, request_id)
        if job.status.terminal or seconds <= 0:
            return job
        with self._waiters.seat() as seated:
            if not seated:
                return job
            self._records.wait(request_id, seconds)
        return self.get(tenant, request_id)

    def check_seats(self) -> None:
        """For surfaces that can only wait: refuse before anything is accepted.

        Raises:
            Overloaded: too many requests wait already.
        """
        if self._waiters.full():
            raise Overloaded(
                "Too many requests wait for their results.",
                retry_after_seconds=WAITERS_RETRY_SECONDS,
            )

    def result(self, tenant: str, request_id: str) -> tuple[Job, Iterator[bytes]]:
        """The job and the body of its result as chunks of JSON; partial while it runs."""
        job = self.get(tenant, request_id)
        if self._is_kept(job):
            with self._still_there(job):
                return job, self._store.stream(keys.result(tenant, request_id))
        return job, _begun(self._assembly(job).chunks())

    def text(self, tenant: str, request_id: str) -> str:
        """The text of all pages that were read, joined by form feeds."""
        job = self.get(tenant, request_id)
        if self._is_kept(job):
            with self._still_there(job):
                return self._store.get(keys.text(tenant, request_id)).decode()
        return self._assembly(job).text()

    @contextmanager
    def _still_there(self, job: Job) -> Iterator[None]:
        """Tell `Gone` of a job that was deleted after it was looked up."""
        try:
            yield
        except ObjectNotFound:
            self.get(job.tenant, job.request_id)
            raise

    def _is_kept(self, job: Job) -> bool:
        """Whether the stored result is of this run: of a cancelled job it may still be joined."""
        if job.status is not JobStatus.CANCELLED:
            return job.status.terminal
        stored = results.stored_job(self._store, job.tenant, job.request_id)
        return stored is not None and stored.run == job.run

    def _assembly(self, job: Job) -> results.Assembly:
        states = self._records.page_states(job.request_id)
        return results.assemble(self._store, job, results.winners(states))

    def page(self, tenant: str, request_id: str, page: int) -> bytes:
        """A page's result as JSON; a failed page's carries its error.

        `page` is the number of the page in its document, whatever was selected.

        Raises:
            NotFound: the document has no such page, or it was not asked for.
            Conflict: the page is not finished yet.
        """
        job = self.get(tenant, request_id)
        position = Selection.parse(job.selection).position(page)
        if not position or position < 1 or 0 < job.pages.total < position:
            raise NotFound("The job has no page with this number.")
        try:
            state = self._records.page_state(request_id, position)
        except RecordsUnavailable:
            if not job.status.terminal:
                raise
            state = None
        found = results.winners({position: state} if state else {})
        if position in found:
            return results.page_json(self._store, job, position, found[position])
        if job.status.terminal:
            stored = results.stored_page(self._store, job, page)
            if stored is not None:
                return stored
            raise NotFound("This page was not read before the job ended.")
        raise Conflict("The page is not finished yet.")

    def cancel(self, tenant: str, request_id: str) -> Job:
        """Stop a job; finished pages stay readable. A job that ended stays as it is."""
        self._cancel(self.get(tenant, request_id))
        return self.get(tenant, request_id)

    def cancel_batch(self, tenant: str, batch_id: str) -> Batch:
        """Stop every job of a batch that has not ended."""
        for job in self.batch(tenant, batch_id).jobs:
            self._cancel(job)
        return self.batch(tenant, batch_id)

    def _cancel(self, job: Job) -> None:
        if job.status.terminal and job.status is not JobStatus.CANCELLED:
            return
        cancelled_at = now_ms()
        outcome, hints = self._records.cancel(job.request_id, cancelled_at)
        if outcome == "unknown" and not job.status.terminal:
            # The records were lost a moment ago, and the job is still to be found again.
            self._recover(job)
            outcome, hints = self._records.cancel(job.request_id, cancelled_at)
            if outcome == "unknown":
                raise RecordsUnavailable(retry_after_seconds=2)
        if outcome in ("ok", "again"):
            # Only after the records decided: whoever finds this marker knows that cancelling won.
            marker = Marker(
                tenant=job.tenant,
                run=job.run,
                model=job.model,
                engine=job.engine,
                mode=job.mode,
                prompt=job.prompt,
                fallback=job.fallback,
                cancelled_at=cancelled_at,
            )
            self._store.put(keys.marker(job.request_id, job.run), marker.to_json())
            # Again: if the records were lost in between, the job may have been found unmarked.
            hints = self._records.cancel(job.request_id, cancelled_at)[1] or hints
            self._publisher.publish(hints)
            # A worker may have kept what was read, and removed the marker, before it was written.
            self._tidy(job, job.run, JobStatus.CANCELLED)

    def _recover(self, job: Job) -> None:
        manifest = results.stored_manifest(self._store, job.tenant, job.request_id)
        if manifest is None:
            raise NotFound()
        recovery.recover_one(self._settings, self._records, self._store, self._publisher, manifest)

    def retry(
        self,
        tenant: str,
        request_id: str,
        model: str = "",
        *,
        mode: str | None = None,
        prompt: str | None = None,
        fallback: bool | None = None,
    ) -> Job:
        """Read the failed pages of an ended job again, otherwise where something else is named.

        A job that is being read already is answered as it stands.

        Raises:
            Conflict: no page of it failed, or it was cancelled.
            MalformedRequest: the model does not take the mode or the prompt.
            UnknownModel, UnknownLanguage, LanguageNotInstalled, EngineUnavailable: nobody can read
                it with that model.
            TooBusy, Overloaded: too much waits already.
        """
        job = self.get(tenant, request_id)
        if not job.status.terminal:
            return job
        if job.status is JobStatus.CANCELLED or not (job.pages.failed or job.error):
            raise Conflict("No page of this job failed, so there is nothing to read again.")
        model = model or job.model
        mode = job.mode if mode is None else mode
        prompt = job.prompt if prompt is None else checked_prompt(prompt)
        marker = Marker(
            tenant=tenant,
            run=job.run + 1,
            model=model,
            engine=engines.choose_engine(
                self._records, model, job.language, mode=mode, prompt=prompt
            ),
            mode=mode,
            prompt=prompt,
            fallback=job.fallback if fallback is None else fallback,
        )
        manifest = results.stored_manifest(self._store, tenant, request_id)
        if manifest is None:
            raise NotFound()
        manifest = replace(
            manifest,
            media_type=job.media_type,
            file_name=job.file_name,
            size=job.size,
            # Under this it stands in the library.
            created_at=job.created_at,
        )
        item = registration(self._store, self._records, manifest, marker)
        if job.pages.total:
            item = replace(item, pages=job.pages.total)
        check_memory(self._records, self._settings)
        self._records.admit(
            tenant, pages=job.pages.failed or 1, size=job.size, limits=limits(self._settings)
        )
        self._store.put(keys.marker(request_id, marker.run), marker.to_json())
        hints = self._records.submit(tenant, [item], window=self._settings.window_pages)
        self._publisher.publish(hints)
        return self.get(tenant, request_id)

    def delete(self, tenant: str, request_id: str) -> None:
        """Remove every byte of a job, running or ended. Deleting again changes nothing.

        Raises:
            NotFound: there is no such job, or it is another tenant's.
        """
        try:
            self.get(tenant, request_id)
        except Gone:
            return
        late_ms = self._settings.lease_seconds * 1000
        erasure.erase(self._records, self._store, tenant, request_id, late_ms=late_ms)

    def batch(self, tenant: str, batch_id: str) -> Batch:
        """The jobs that were submitted together and still exist.

        Raises:
            NotFound: there is no such batch, or it is another tenant's.
        """
        if not is_batch_id(batch_id):
            raise NotFound()
        found = self._records.batch(batch_id)
        ids = found.request_ids if found else ()
        owner = found.tenant if found else ""
        if found is None or not found.whole:
            # After a loss of the records the marker knows all jobs that have not ended together.
            try:
                marker = Marker.from_json(self._store.get(keys.inflight(batch_id)))
            except (ObjectNotFound, ValueError):
                marker = None
            if marker is not None:
                ids, owner = marker.jobs, marker.tenant
        if owner != tenant:
            raise NotFound()
        jobs = tuple(self._jobs(tenant, ids))
        created_at = min((job.created_at for job in jobs), default=found.created_at if found else 0)
        return Batch(batch_id=batch_id, tenant=tenant, created_at=created_at, jobs=jobs)

    def library(self, tenant: str, limit: int, after: str | None) -> tuple[list[Job], str | None]:
        """Jobs, newest first, older than the cursor `after`; and the next cursor, if any."""
        if after is not None and not is_cursor(after):
            raise NotFound("The cursor 'after' is not one that this server gave.")
        found = self._records.library(tenant, limit + 1, after)
        following = found[limit - 1] if len(found) > limit else None
        return self._jobs(tenant, [cursor.partition("/")[2] for cursor in found[:limit]]), following

    def _jobs(self, tenant: str, ids: Sequence[str]) -> list[Job]:
        """The jobs with these IDs; one whose record has gone from Redis is read from the store."""
        found = []
        for request_id, job in zip(ids, self._records.jobs(ids), strict=True):
            # A deleted one is no longer part of anything.
            with suppress(Gone):
                found.append(
                    job
                    # Long lists are mostly of what ended long ago, for which one read is enough.
                    or results.stored_job(self._store, tenant, request_id)
                    or self._without_record(tenant, request_id)
                )
        return [job for job in found if job is not None]

    def _tidy(self, job: Job, run: int, status: JobStatus | None = None) -> None:
        """Remove the marker of a run whose result, of this status, is in the store."""
        stored = results.stored_job(self._store, job.tenant, job.request_id)
        if stored is None or stored.run < run:
            return
        if stored.run > run or status in (None, stored.status):
            self._store.delete([keys.marker(job.request_id, run)])

    def live_engines(self) -> tuple[str, ...]:
        """Engines that a live worker runs, the one that ``auto`` takes first."""
        return engines.live_engines(self._records)

    def takes_prompt(self, model: str) -> bool:
        """Whether the engine that would read for this model now takes a client's prompt.

        Raises:
            UnknownModel, EngineUnavailable: none would read.
        """
        return engines.takes_prompt(self._records, model)

    def list_engines(self) -> tuple[engines.EngineInfo, ...]:
        """Every engine with what it can read here, ``auto`` first."""
        return engines.list_engines(self._records)

    def readiness(self) -> dict[str, str | None]:
        """Part → None when it is ready, else a sentence that says what is missing."""
        parts: dict[str, str | None] = {}
        capabilities: set[str] = set()
        try:
            capabilities = self._records.capabilities()
            self._records.check()
            full = self._records.memory_share() > self._settings.redis_memory_share
            parts["records"] = RECORDS_FULL if full else None
        except CasolaError as error:
            parts["records"] = error.detail
        try:
            self._store.check()
            parts["store"] = None
        except StoreUnavailable as error:
            parts["store"] = error.detail
        engines = any(name.startswith("engine:") for name in capabilities)
        parts["engine"] = None if engines else "No live worker can read a page."
        parts["prepare"] = (
            None if "prepare" in capabilities else "No live worker can open documents."
        )
        parts["reconciler"] = (
            None if "reconcile" in capabilities else "The reconciler is not running."
        )
        return parts


def _begun(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same chunks, up to the first page already read: a store that is down is told at once."""
    return chain(list(islice(chunks, 2)), chunks)
