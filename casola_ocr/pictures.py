"""Where the picture of a job's page is: an object of its own, or the source itself."""

from __future__ import annotations

from collections.abc import Iterator

from casola_ocr import documents
from casola_ocr.errors import Gone, NotFound, ObjectNotFound, PictureMissing
from casola_ocr.jobs import Jobs
from casola_ocr.model import Job
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.selection import Selection
from casola_ocr.settings import Settings
from casola_ocr.thumbnail import Thumbnail, thumbnail

#: Longest side in pixels of a page that a person looks at, and of a thumbnail (twice of what is
#: shown, for dense screens).
PAGE_SIDE = 1600
PREVIEW_SIDE = 320


def stored_picture(store: ObjectStore, job: Job, number: int) -> tuple[bytes, str, int]:
    """A file that shows the page with this number, its media type, and its place in that file.

    Raises:
        ObjectNotFound: it is not in the store.
    """
    selection = Selection.parse(job.selection)
    if documents.is_single_picture(job.media_type, selection):
        return store.get(keys.source(job.tenant, job.request_id)), job.media_type, number
    position = selection.position(number)
    if position is None:
        raise ObjectNotFound
    return store.get(keys.page_image(job.tenant, job.request_id, position)), "image/png", 1


class Pictures:
    """Pictures for people: of a job's pages, and of a document before it is submitted.

    Safe to share between threads and greenlets.
    """

    def __init__(self, settings: Settings, store: ObjectStore, jobs: Jobs):
        self._max_pixels = settings.max_page_megapixels * 1_000_000
        self._store = store
        self._jobs = jobs

    def page(self, tenant: str, request_id: str, number: int, *, side: int = PAGE_SIDE) -> bytes:
        """A page of a job as WebP with at most `side` pixels each way.

        Raises:
            NotFound, Gone: there is no such job of this tenant.
            PictureMissing: the page has no picture, or not yet.
            DamagedDocument, TooManyPixels, Overloaded: as of `thumbnail`.
        """
        job = self._jobs.get(tenant, request_id)
        try:
            data, media_type, place = stored_picture(self._store, job, number)
        except ObjectNotFound as error:
            raise PictureMissing("There is no picture of this page.") from error
        made = thumbnail(data, media_type, page=place, side=side, max_pixels=self._max_pixels)
        return made.webp

    def preview(self, tenant: str, request_id: str) -> bytes:
        """The job's first page as a small WebP; made once and kept with the job.

        Raises:
            As `page`.
        """
        job = self._jobs.get(tenant, request_id)
        key = keys.preview(tenant, request_id)
        try:
            return self._store.get(key)
        except ObjectNotFound:
            first = Selection.parse(job.selection).number(1)
        webp = self.page(tenant, request_id, first, side=PREVIEW_SIDE)
        self._store.put(key, webp)
        try:
            self._jobs.get(tenant, request_id)
        except Gone:
            # Deleted meanwhile: nothing of it may be left.
            self._store.delete([key])
            raise
        return webp

    def source(self, tenant: str, request_id: str) -> tuple[Job, Iterator[bytes]]:
        """The document as it was submitted, in chunks.

        Raises:
            NotFound, Gone: there is no such job of this tenant, or its document never came.
        """
        job = self._jobs.get(tenant, request_id)
        try:
            return job, self._store.stream(keys.source(tenant, request_id))
        except ObjectNotFound as error:
            raise NotFound("There is no document of this job.") from error

    def before(self, head_and_rest: bytes) -> Thumbnail:
        """A document that is not submitted: its first page, and how many it has.

        Raises:
            EmptyFile, UnsupportedFormat: it is no document.
            PasswordNeeded, DamagedDocument, TooManyPixels, Overloaded: as of `thumbnail`.
        """
        media_type = documents.sniff(head_and_rest[: documents.HEAD_BYTES])
        return thumbnail(
            head_and_rest, media_type, page=1, side=PREVIEW_SIDE, max_pixels=self._max_pixels
        )
