"""What a client can ask of jobs: submit, get, wait, result, cancel, library.

The verbs of the workers are in `work`; what repairs a loss is in `recovery`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import BinaryIO

import structlog

from casola_ocr import documents, results
from casola_ocr.documents.names import clean_file_name
from casola_ocr.errors import (
    CasolaError,
    Conflict,
    EmptyFile,
    EngineUnavailable,
    FileTooLarge,
    NoFile,
    NotFound,
    ObjectNotFound,
    StoreUnavailable,
    UnknownLanguage,
    UnknownModel,
)
from casola_ocr.fetch import validate_url
from casola_ocr.model import (
    Batch,
    Job,
    JobStatus,
    Lane,
    Manifest,
    is_batch_id,
    is_request_id,
    new_batch_id,
    new_request_id,
)
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.publisher import Publisher, pages_queue
from casola_ocr.records import Records, Registration
from casola_ocr.settings import Settings

log = structlog.get_logger(__name__)

#: Every engine that this version knows, the one that ``auto`` prefers first.
ENGINES = ("deepseek-ocr-v2", "deepseek-ocr", "pp-ocrv6", "tesseract")

#: Languages that a client may name. The engines that read them are another matter.
LANGUAGES = {
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "de": "german",
    "it": "italian",
    "pt": "portuguese",
    "ru": "russian",
    "ja": "japanese",
    "ko": "korean",
    "zh": "chinese",
}

#: Languages whose script an engine's alphabet does not have: it would answer with garbage.
UNREADABLE = {"pp-ocrv6": {"ko", "ru"}}


@dataclass(frozen=True, kw_only=True)
class NewDocument:
    """A document to submit: its bytes, or a URL that a worker downloads when `source` is None."""

    file_name: str
    source: bytes | BinaryIO | None
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the documents of one submission are to be read."""

    model: str = "auto"
    language: str = "auto"
    lane: Lane = Lane.INTERACTIVE


class Jobs:
    """The client's verbs. Safe to share between threads and greenlets.

    Every verb takes the tenant first; a job of another tenant is answered like an unknown one.
    All raise `RecordsUnavailable` or `StoreUnavailable` when Redis or the store is down.
    """

    def __init__(
        self, settings: Settings, records: Records, store: ObjectStore, publisher: Publisher
    ):
        self._settings = settings
        self._records = records
        self._store = store
        self._publisher = publisher

    def submit(self, tenant: str, documents: Sequence[NewDocument], options: Options) -> list[Job]:
        """Accept documents, all or none; more than one become a batch.

        When it returns, source and manifest are in the store: the jobs survive the loss of Redis.

        Raises:
            NoFile, EmptyFile, FileTooLarge, UnsupportedFormat, DamagedDocument, TooManyPixels,
            BadUrl, FetchRefused: a document is not acceptable; with several, the detail names it.
            UnknownModel, UnknownLanguage, EngineUnavailable: nobody can read it as asked.
            TooBusy: too many pages wait already.
        """
        if not documents:
            raise NoFile()
        language = _language(options.language)
        engine = self._engine(options.model)
        if language in UNREADABLE.get(engine, ()):
            raise UnknownLanguage(f"The engine {engine} cannot read this language's script.")
        batch_id = new_batch_id() if len(documents) > 1 else ""
        now = int(time.time() * 1000)
        accepted = []
        for document in documents:
            media_type = self._check(document, named=len(documents) > 1)
            manifest = Manifest(
                request_id=new_request_id(),
                tenant=tenant,
                file_name=clean_file_name(document.file_name),
                media_type=media_type,
                url=document.url if document.source is None else "",
                model=options.model,
                engine=engine,
                language=language,
                lane=options.lane,
                batch_id=batch_id,
                created_at=now,
            )
            accepted.append((manifest, document))
        registrations = [
            Registration(manifest=manifest, pages=_pages_known(manifest.media_type))
            for manifest, _ in accepted
        ]
        try:
            for manifest, document in accepted:
                self._keep(manifest, document)
            publish = self._records.submit(
                registrations,
                window=self._settings.window_pages,
                max_total=self._settings.max_pending_pages,
                max_tenant=self._settings.max_pending_pages_per_tenant,
            )
        except CasolaError:
            self._discard([manifest for manifest, _ in accepted])
            raise
        queues = {m.request_id: pages_queue(m.engine, m.lane, m.tenant) for m, _ in accepted}
        for request_id, step in publish:
            self._publisher.publish(request_id, [step], queues[request_id])
        log.info(
            "jobs were accepted",
            action="jobs_accepted",
            tenant=tenant,
            request_ids=list(queues),
            batch_id=batch_id or None,
        )
        return self._records.jobs(list(queues))

    def get(self, tenant: str, request_id: str) -> Job:
        """The job as it stands.

        Raises:
            NotFound: there is no such job, or it is another tenant's.
        """
        job = self._records.get(request_id) if is_request_id(request_id) else None
        if job is None and is_request_id(request_id):
            job = results.stored_job(self._store, tenant, request_id)
        if job is None or job.tenant != tenant:
            raise NotFound()
        return job

    def wait(self, tenant: str, request_id: str, seconds: float) -> Job:
        """The job once it is terminal, or as it stands after `seconds`."""
        job = self.get(tenant, request_id)
        if job.status.terminal or seconds <= 0:
            return job
        self._records.wait(request_id, seconds)
        return self.get(tenant, request_id)

    def result(self, tenant: str, request_id: str) -> tuple[Job, Iterator[bytes]]:
        """The job and the body of its result as chunks of JSON; partial while it runs."""
        job = self.get(tenant, request_id)
        if job.status in (JobStatus.COMPLETED, JobStatus.FAILED):
            return job, self._store.stream(keys.result(tenant, request_id))
        winners = results.winners(self._records.page_states(request_id))
        return job, results.assemble(self._store, job, winners).chunks()

    def text(self, tenant: str, request_id: str) -> str:
        """The text of all pages that were read, joined by form feeds."""
        job = self.get(tenant, request_id)
        try:
            return self._store.get(keys.text(tenant, request_id)).decode()
        except ObjectNotFound:
            winners = results.winners(self._records.page_states(request_id))
            return results.assemble(self._store, job, winners).text()

    def page(self, tenant: str, request_id: str, page: int) -> bytes:
        """A page's result as JSON; a failed page's carries its error.

        Raises:
            NotFound: the document has no such page.
            Conflict: the page is not finished yet.
        """
        job = self.get(tenant, request_id)
        if page < 1 or (job.pages.total and page > job.pages.total):
            raise NotFound("The document has no page with this number.")
        state = self._records.page_state(request_id, page)
        found = results.winners({page: state} if state else {})
        if page in found:
            return results.page_json(self._store, job, page, found[page])
        if job.status.terminal:
            stored = results.stored_page(self._store, tenant, request_id, page)
            if stored is not None:
                return stored
            raise NotFound("This page was not read before the job ended.")
        raise Conflict("The page is not finished yet.")

    def cancel(self, tenant: str, request_id: str) -> Job:
        """Stop a job; finished pages stay readable. A terminal job stays as it is."""
        job = self.get(tenant, request_id)
        if not job.status.terminal:
            ended = replace(job, status=JobStatus.CANCELLED, finished_at=int(time.time() * 1000))
            self._records.close(ended, fence=None)
            self._store.delete([keys.inflight(request_id)])
        return self.get(tenant, request_id)

    def batch(self, tenant: str, batch_id: str) -> Batch:
        """The jobs that were submitted together.

        Raises:
            NotFound: there is no such batch, or it is another tenant's.
        """
        found = self._records.batch(batch_id) if is_batch_id(batch_id) else None
        if found is None or found[0] != tenant:
            raise NotFound()
        _, created_at, ids = found
        jobs = tuple(self._records.jobs(ids))
        return Batch(batch_id=batch_id, tenant=tenant, created_at=created_at, jobs=jobs)

    def library(self, tenant: str, limit: int, after: str | None) -> tuple[list[Job], str | None]:
        """Jobs, newest first, older than the cursor `after`; and the next cursor, if any."""
        if after is not None and not is_request_id(after):
            raise NotFound("The cursor 'after' is not one that this server gave.")
        ids = self._records.library(tenant, limit + 1, after)
        following = ids[limit - 1] if len(ids) > limit else None
        return self._records.jobs(ids[:limit]), following

    def live_engines(self) -> tuple[str, ...]:
        """Engines that a live worker runs, the one that ``auto`` takes first."""
        capabilities = self._records.capabilities()
        return tuple(name for name in ENGINES if f"engine:{name}" in capabilities)

    def readiness(self) -> dict[str, str | None]:
        """Part → None when it is ready, else a sentence that says what is missing."""
        parts: dict[str, str | None] = {}
        capabilities: set[str] = set()
        try:
            capabilities = self._records.capabilities()
            parts["records"] = None
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

    def _engine(self, model: str) -> str:
        live = self.live_engines()
        listed = ", ".join(("auto", *live)) if live else "none"
        if model not in ("auto", *ENGINES):
            raise UnknownModel(f"No model has this name. Models that are live now: {listed}.")
        if model == "auto" and live:
            return live[0]
        if model in live:
            return model
        raise EngineUnavailable(
            f"No live worker runs this model. Models that are live now: {listed}.",
            retry_after_seconds=5,
        )

    def _check(self, document: NewDocument, *, named: bool) -> str:
        """The media type found in the bytes; empty for a URL."""
        try:
            if document.source is None:
                validate_url(document.url, allow_networks=self._settings.fetch_allow_networks)
                return ""
            file = _as_file(document.source)
            size = file.seek(0, 2)
            file.seek(0)
            if size == 0:
                raise EmptyFile()
            if size > self._settings.max_file_bytes:
                raise FileTooLarge(
                    f"The file has {size / 1e6:.1f} MB; the limit is "
                    f"{self._settings.max_file_mb} MB."
                )
            media_type = documents.sniff(file.read(documents.HEAD_BYTES))
            file.seek(0)
            documents.check_header(
                file, media_type, max_pixels=self._settings.max_page_megapixels * 1_000_000
            )
            file.seek(0)
            return media_type
        except CasolaError as error:
            if named:
                raise type(error)(
                    f"{clean_file_name(document.file_name)}: {error.detail}"
                ) from error
            raise

    def _keep(self, manifest: Manifest, document: NewDocument) -> None:
        tenant, request_id = manifest.tenant, manifest.request_id
        if document.source is not None:
            self._store.put(keys.source(tenant, request_id), document.source)
        self._store.put(keys.manifest(tenant, request_id), manifest.to_json())
        # Last, because recovery follows the markers: what a marker names is complete.
        self._store.put(keys.inflight(request_id), tenant.encode())

    def _discard(self, manifests: Sequence[Manifest]) -> None:
        """Leave nothing of a submission that was not accepted."""
        try:
            for manifest in manifests:
                tenant, request_id = manifest.tenant, manifest.request_id
                self._store.delete(
                    [
                        keys.inflight(request_id),
                        keys.manifest(tenant, request_id),
                        keys.source(tenant, request_id),
                    ]
                )
        except StoreUnavailable:
            log.warning(
                "a refused submission left objects behind; recovery will run or remove them",
                action="discard_failed",
                request_ids=[manifest.request_id for manifest in manifests],
            )


def _as_file(source: bytes | BinaryIO) -> BinaryIO:
    return BytesIO(source) if isinstance(source, bytes) else source


def _pages_known(media_type: str) -> int:
    """1 for a plain image, whose source is its page image; 0 for what has to be opened first."""
    return 1 if media_type and documents.is_single_page(media_type) else 0


def _language(asked: str) -> str:
    name = asked.strip().lower()
    if name == "auto" or name in LANGUAGES:
        return name
    for code, english in LANGUAGES.items():
        if name == english:
            return code
    known = ", ".join(["auto", *LANGUAGES])
    raise UnknownLanguage(f"This language is not known. Known are: {known}.")
