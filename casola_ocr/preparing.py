"""The step `prepare`: download a document, open it, and store its pages window by window."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from io import BytesIO

import structlog

from casola_ocr import documents, opening, results
from casola_ocr.errors import (
    CasolaError,
    DamagedDocument,
    ObjectNotFound,
    TooManyPixels,
    Unavailable,
)
from casola_ocr.fetch import Fetcher
from casola_ocr.guard import Guard, StepLost
from casola_ocr.model import Claim, Job, JobError, Manifest
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.publisher import Publisher
from casola_ocr.records import Records
from casola_ocr.selection import Selection
from casola_ocr.settings import Settings

log = structlog.get_logger(__name__)

#: A document whose pages are slow to open is given back after this long, for others' turn and for
#: the step's time limit: what was opened is in the record.
PREPARE_SECONDS = 20.0


class Preparing:
    """Prepares documents for the worker child that it belongs to; not thread-safe."""

    def __init__(
        self,
        settings: Settings,
        records: Records,
        store: ObjectStore,
        publisher: Publisher,
        guard: Guard,
    ):
        self._settings = settings
        self._records = records
        self._store = store
        self._publisher = publisher
        self._guard = guard
        self._max_pixels = settings.max_page_megapixels * 1_000_000
        self._fetcher = Fetcher(
            max_bytes=settings.max_file_bytes,
            timeout_seconds=settings.fetch_timeout_seconds,
            max_redirects=settings.fetch_max_redirects,
            allow_networks=settings.fetch_allow_networks,
        )

    def prepare(self, claim: Claim) -> None:
        """Do the step as far as it goes now; a document that cannot be opened is rejected.

        Raises:
            StepLost: the claim was lost.
            StoreUnavailable, RecordsUnavailable: nothing is decided.
        """
        job = claim.job
        try:
            manifest = results.stored_manifest(self._store, job.tenant, job.request_id)
            if manifest is None:
                # It was never accepted.
                self._records.forget(job.request_id)
                return
            data, file_name = self._source(claim, manifest)
            found = replace(claim, job=replace(job, file_name=file_name))
            self._open(found, data, manifest.password)
        except Unavailable:
            raise
        except CasolaError as error:
            log.info("the document was refused", action="document_refused", code=error.code)
            self._publisher.publish(
                self._records.reject(claim, JobError(code=error.code, detail=error.detail))
            )

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

    def _open(self, claim: Claim, data: bytes, password: str) -> None:
        job, limits = claim.job, self._settings
        media_type = documents.sniff(data[: documents.HEAD_BYTES])
        documents.check_header(BytesIO(data), media_type, max_pixels=self._max_pixels)
        job = replace(job, media_type=media_type, size=len(data))
        if documents.is_single_picture(media_type, Selection.parse(job.selection)):
            self._tell(claim, job, total=1, ready=1)
            return
        begun = time.monotonic()
        with opening.open_pages(job, data, max_pixels=self._max_pixels, password=password) as pages:
            total = job.pages.total or pages.count(limits.max_pages)
            for page in range(claim.ready + 1, total + 1):
                # What an attempt was at that ended without a word is left to its own attempt.
                if claim.attempt == 1 or page > claim.ready + 1:
                    self._store_page(claim, pages, page)
                if not self._tell(claim, job, total=total, ready=page):
                    return
                slow = time.monotonic() - begun > PREPARE_SECONDS
                if slow or page - claim.ready >= limits.window_pages:
                    # Others' documents take their turn; the claim's progress is in the record.
                    self._publisher.publish(self._records.release(claim, delay_ms=0, counts=False))
                    return

    def _store_page(self, claim: Claim, pages: opening.JobPages, page: int) -> None:
        job = claim.job
        # A page that cannot be opened gets no image: its own attempt finds out and says why.
        with contextlib.suppress(DamagedDocument, TooManyPixels):
            with self._guard.interruptible(claim):
                image, note = pages.page(page)
                encoded = documents.encode_page(image)
            if note is not None:
                # First: who finds the image takes this for all that there is.
                self._store.put(keys.page_note(job.tenant, job.request_id, page), note)
            self._store.put(keys.page_image(job.tenant, job.request_id, page), encoded)

    def _tell(self, claim: Claim, job: Job, *, total: int, ready: int) -> bool:
        """Tell how far the document is opened; answers whether more is wanted from this claim."""
        answer, hints = self._records.opened(
            claim,
            total=total,
            ready=ready,
            media_type=job.media_type,
            file_name=job.file_name,
            size=job.size,
        )
        self._publisher.publish(hints)
        if answer == "lost":
            raise StepLost
        return answer == "more"
