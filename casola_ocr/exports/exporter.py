"""What a client can take home: an ended job in a format, a batch as a zip of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from casola_ocr.chunks import begun
from casola_ocr.errors import (
    CasolaError,
    Conflict,
    NoPageRead,
    ObjectNotFound,
    PictureMissing,
    UnknownFormat,
)
from casola_ocr.exports import FORMATS, ZIP, Document, Format, find_format
from casola_ocr.exports.archive import Archive, EntryNames, exported_name
from casola_ocr.jobs import Jobs
from casola_ocr.model import Batch, Job
from casola_ocr.objects import ObjectStore
from casola_ocr.pictures import stored_picture
from casola_ocr.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Export:
    """A file that is made while it is read; `media_type` as of a Content-Type header."""

    file_name: str
    media_type: str
    chunks: Iterator[bytes]


class Exporter:
    """Safe to share between threads and greenlets; each export is read by one of them."""

    def __init__(self, settings: Settings, store: ObjectStore, jobs: Jobs):
        self._store = store
        self._jobs = jobs
        self._max_pixels = settings.max_page_megapixels * 1_000_000

    def job(self, tenant: str, request_id: str, name: str) -> Export:
        """An ended job in the format of this name.

        What keeps it from being made is raised here, up to its first page.

        Raises:
            UnknownFormat: there is no such format.
            NotFound, Gone: there is no such job, or it was deleted.
            Conflict: the job has not ended.
            NoPageRead: it has ended without any page that could be read.
            PictureMissing: the format needs pictures and one is not there any more.
        """
        made = find_format(name)
        job, body = self._jobs.result(tenant, request_id)
        if not job.status.terminal:
            raise Conflict("The job has not ended; export it when its status says so.")
        if not job.pages.done:
            detail = job.error.detail if job.error else None
            raise NoPageRead(detail)
        return Export(
            file_name=exported_name(job.file_name, made.suffix),
            media_type=made.media_type,
            chunks=begun(made.write(self._document(job, body))),
        )

    def document(self, tenant: str, request_id: str) -> Document:
        """A job's pages, one after the other, with their pictures: what every format is made of.

        Raises:
            NotFound, Gone: there is no such job, or it was deleted.
        """
        return self._document(*self._jobs.result(tenant, request_id))

    def batch(self, tenant: str, batch_id: str, name: str, of: str) -> Export:
        """An ended batch as a zip with a document in the format `of` for each job.

        Jobs that failed, and pages that miss in others, are told in the entry ``errors.json``.

        Raises:
            UnknownFormat: the format `name` is not ``zip``, or `of` is none of a document.
            NotFound: there is no such batch.
            Conflict: some of its jobs have not ended.
        """
        if name != ZIP:
            raise UnknownFormat(f"'format' of a batch is one of: {ZIP}.")
        if of not in FORMATS:
            raise UnknownFormat(f"'of' is one of: {', '.join(FORMATS)}.")
        batch = self._jobs.batch(tenant, batch_id)
        open_jobs = sum(not job.status.terminal for job in batch.jobs)
        if open_jobs:
            raise Conflict(f"{open_jobs} jobs of the batch have not ended.")
        return Export(
            file_name=f"{batch_id}.zip",
            media_type="application/zip",
            chunks=begun(self._zipped(tenant, batch, FORMATS[of])),
        )

    def _zipped(self, tenant: str, batch: Batch, made: Format) -> Iterator[bytes]:
        archive, names = Archive(packed=made.packed), EntryNames()
        missing: list[dict[str, Any]] = []
        for job in batch.jobs:
            entry = names.name(job.file_name, made.suffix)
            try:
                export = self.job(tenant, job.request_id, made.name)
            except CasolaError as error:
                if error.retryable:
                    raise
                missing.append(_missing(job, None, error.code, error.detail))
                continue
            if job.pages.failed:
                detail = f"{job.pages.failed} of {job.pages.total} pages could not be read."
                missing.append(_missing(job, entry, NoPageRead.code, detail))
            yield from archive.entry(entry, export.chunks, job.finished_at or 0)
        yield from archive.end(missing)

    def _document(self, job: Job, body: Iterator[bytes]) -> Document:
        picture = partial(self._picture, job)
        return Document(job=job, body=body, picture=picture, max_pixels=self._max_pixels)

    def _picture(self, job: Job, page: int) -> tuple[bytes, str, int]:
        try:
            return stored_picture(self._store, job, page)
        except ObjectNotFound as error:
            raise PictureMissing(f"The picture of page {page} is not in the store.") from error


def _missing(job: Job, entry: str | None, code: str, detail: str) -> dict[str, Any]:
    return {
        "file_name": job.file_name,
        "request_id": job.request_id,
        "entry": entry,
        "pages": {"total": job.pages.total, "failed": job.pages.failed},
        "error": {"code": code, "detail": detail},
    }
