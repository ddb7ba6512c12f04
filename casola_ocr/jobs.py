"""What a client can ask of jobs: submit, get, wait, result, cancel, retry, delete, library.

The verbs of the workers are in `work`; what repairs a loss is in `recovery`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from casola_ocr import engines, erasure, recovery, results
from casola_ocr.errors import (
    CasolaError,
    Conflict,
    Gone,
    NotFound,
    ObjectNotFound,
    RecordsUnavailable,
    StartTimeout,
    StoreUnavailable,
)
from casola_ocr.following import Event, Following
from casola_ocr.ids import is_batch_id, is_cursor, is_request_id
from casola_ocr.library import EVERYTHING, Wanted, find
from casola_ocr.model import Batch, Job, JobStatus, Manifest, Marker, queued_job
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.prompts import checked_prompt
from casola_ocr.publisher import Publisher
from casola_ocr.records import Records
from casola_ocr.recovery import registration
from casola_ocr.repeats import Tries
from casola_ocr.room import Room, room_of
from casola_ocr.search.indexes import Indexes
from casola_ocr.settings import Settings
from casola_ocr.side_by_side import at_once
from casola_ocr.submission import (
    RECORDS_FULL,
    NewDocument,
    Options,
    Submissions,
    check_memory,
    fingerprint_of,
    limits,
)
from casola_ocr.tenants import LOCAL_TENANT, Tenants
from casola_ocr.times import now_ms
from casola_ocr.waiters import Waiters

__all__ = ["Event", "Jobs", "NewDocument", "Options"]


class Jobs(Following):
    """The client's verbs; those that wait are `Following`'s, those that read `Outcomes`'.

    Safe to share between threads and greenlets.

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
        self._waiters = Waiters(settings.max_waiters, LOCAL_TENANT if settings.loopback else "")
        self._tries = Tries(records)
        self._indexes = Indexes(settings.search_folder)
        #: Request ID → where each of some found jobs matches a text; and whether all are found.
        self.snippets = self._indexes.snippets
        self.search_is_complete = self._indexes.complete

    def submit(self, tenant: str, documents: Sequence[NewDocument], options: Options) -> list[Job]:
        """As `submit_or_find`, for those to whom it does not matter what was there."""
        return self.submit_or_find(tenant, documents, options)[0]

    def submit_or_find(
        self,
        tenant: str,
        documents: Sequence[NewDocument],
        options: Options,
        *,
        attempt: int | None = None,
    ) -> tuple[list[Job], bool]:
        """Accept documents, all or none; more than one become a batch.

        Told with the jobs is whether they were there already: of an earlier submission with the
        same idempotency key, or of an earlier try of the same SDK. `attempt` is the number of the
        try where the client tells it, the first is 0: a later one is given the jobs of an earlier
        one with the same documents and options that still run or were read just now.

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
        tried = "" if attempt is None else fingerprint_of(documents, options)
        if attempt and (before := self._tries.before(tenant, tried)):
            return list(before), True
        ids, found_again, new = self._submissions.submit(tenant, documents, options)
        made = [queued_job(item.manifest, item.pages) for item in new]
        accepted = made or self._accepted(tenant, ids)
        if tried:
            self._tries.remember(tenant, tried, accepted)
        return accepted, found_again

    def _accepted(self, tenant: str, ids: Sequence[str]) -> list[Job]:
        """The jobs of a submission that another request may have made before.

        Raises:
            Gone: one of them was deleted.
        """
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

    def holder(self, job: Job) -> str:
        """Who reads along: another value once a later try of an SDK got this job, see `Tries`."""
        return self._tries.holder(job)

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

    def noted(
        self, tenant: str, request_id: str, *, whole: bool = True
    ) -> tuple[Mapping[str, Any], list[Job]]:
        """What was noted when this job was submitted, and all jobs of that submission, in order.

        Without `whole`, those of them that still exist.

        Raises:
            NotFound: there is no such job, or nothing was noted with it.
            Gone: one of the jobs was deleted; without `whole`, all of them.
        """
        first = self.get(tenant, request_id)
        manifest = results.stored_manifest(self._store, tenant, request_id)
        if manifest is None or not manifest.note:
            raise NotFound()
        if len(manifest.noted_jobs) == 1:
            return manifest.note, [first]
        found = self.existing(tenant, manifest.noted_jobs)
        if not found or (whole and len(found) < len(manifest.noted_jobs)):
            raise Gone("A part of it was deleted.")
        return manifest.note, found

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

    def cancel(self, tenant: str, request_id: str) -> Job:
        """Stop a job; finished pages stay readable. A job that ended stays as it is."""
        self._cancel(self.get(tenant, request_id))
        return self.get(tenant, request_id)

    def cancel_batch(self, tenant: str, batch_id: str) -> Batch:
        """Stop every job of a batch that has not ended."""
        for job in self.batch(tenant, batch_id).jobs:
            self._cancel(job)
        return self.batch(tenant, batch_id)

    def cancel_late(self, request_id: str) -> None:
        """Stop a job that was to be begun by now and was not; its error says so."""
        job = self._records.get(request_id)
        if job is not None and job.status is JobStatus.QUEUED:
            self._cancel(job, StartTimeout.code)
        else:
            # Changes nothing, but it need not be found again.
            self._records.cancel(request_id, now_ms(), StartTimeout.code)

    def _cancel(self, job: Job, error: str = "") -> None:
        if job.status.terminal and job.status is not JobStatus.CANCELLED:
            return
        cancelled_at = now_ms()
        outcome, hints = self._records.cancel(job.request_id, cancelled_at, error)
        if outcome == "unknown" and not job.status.terminal:
            # The records were lost a moment ago, and the job is still to be found again.
            self._recover(job)
            outcome, hints = self._records.cancel(job.request_id, cancelled_at, error)
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
        jobs = tuple(self.existing(tenant, ids))
        created_at = min((job.created_at for job in jobs), default=found.created_at if found else 0)
        return Batch(batch_id=batch_id, tenant=tenant, created_at=created_at, jobs=jobs)

    def delete_many(self, tenant: str, request_ids: Sequence[str]) -> dict[str, CasolaError | None]:
        """Delete jobs one after the other; why each was not, or None."""
        outcomes: dict[str, CasolaError | None] = {}
        for request_id in request_ids:
            try:
                self.delete(tenant, request_id)
                outcomes[request_id] = None
            except CasolaError as error:
                outcomes[request_id] = error
        return outcomes

    def delete_batch(self, tenant: str, batch_id: str) -> None:
        """Delete every job of a batch, and so the batch. Repeat it when it was interrupted.

        Raises:
            NotFound: there is no such batch (any more), or it is another tenant's.
        """
        for job in self.batch(tenant, batch_id).jobs:
            self.delete(tenant, job.request_id)

    def library(
        self, tenant: str, limit: int, after: str | None, wanted: Wanted = EVERYTHING
    ) -> tuple[list[Job], str | None]:
        """Wanted jobs, newest first, older than the cursor `after`; and the next cursor, if any.

        The work of one call is bounded: it may find fewer than `limit`, or none, and more follow.

        Raises:
            NotFound: the cursor is none of ours.
            SearchUnavailable: a text is wanted, and there is no index yet.
            SearchTimeout: looking for it takes too long.
        """
        if after is not None and not is_cursor(after):
            raise NotFound("The cursor 'after' is not one that this server gave.")
        cursors = partial(self._records.library, tenant)
        if wanted.text:
            cursors = partial(self._indexes.cursors, tenant, wanted)
        return find(
            wanted,
            limit,
            after,
            cursors=cursors,
            # An index may be a moment behind: what is told is always what exists now.
            jobs=partial(self.existing, tenant),
            narrowed=bool(wanted.text),
        )

    def existing(self, tenant: str, ids: Sequence[str]) -> list[Job]:
        """The jobs with these IDs; one whose record has gone from Redis is read from the store."""
        jobs = dict(zip(ids, self._records.jobs(ids), strict=True))
        gone = [request_id for request_id, job in jobs.items() if job is None]
        if gone:
            # A record that is no job says that it was deleted: its bytes may be about to go.
            known = self._records.known(gone)
            gone = [name for name, there in zip(gone, known, strict=True) if not there]
            stored = at_once(partial(self._stored, tenant), gone)
            jobs.update(zip(gone, stored, strict=True))
        found = (jobs[request_id] for request_id in ids)
        return [job for job in found if job is not None and job.tenant == tenant]

    def _stored(self, tenant: str, request_id: str) -> Job | None:
        # Long lists are mostly of what ended long ago, for which one read is enough.
        if ended := results.stored_job(self._store, tenant, request_id):
            return ended
        with suppress(Gone):
            return self._without_record(tenant, request_id)
        return None

    def _tidy(self, job: Job, run: int, status: JobStatus | None = None) -> None:
        """Remove the marker of a run whose result, of this status, is in the store."""
        stored = results.stored_job(self._store, job.tenant, job.request_id)
        if stored is None or stored.run < run:
            return
        if stored.run > run or status in (None, stored.status):
            self._store.delete([keys.marker(job.request_id, run)])

    def room(self, tenant: str) -> Room:
        """How much more of this tenant is accepted now."""
        return room_of(self._records, self._settings, tenant)

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
