"""The wanted pages of a job's document: their images, and the text that they have inside.

Pages go by their position among the wanted ones; see `casola_ocr.selection`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO

import structlog
from PIL import Image

from casola_ocr import documents
from casola_ocr.errors import DamagedDocument, NoSuchPages, ObjectNotFound, TooManyPages
from casola_ocr.model import Job
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.pages import PageResult
from casola_ocr.results import stored_manifest
from casola_ocr.selection import Selection
from casola_ocr.text.page import build_page
from casola_ocr.text.upright import Upright

log = structlog.get_logger(__name__)

#: The option `text_layer` that asks for embedded text.
PREFER = "prefer"
#: The engine named by a result that no engine read.
TEXT_LAYER_ENGINE = "text-layer"
#: Flag: the text is the one that the document has inside.
TAKEN = "text_layer"
#: Flag: the document has text inside that is not what the page shows, so the picture was read.
REFUSED = "text_layer_refused"

_REFUSED_NOTE = json.dumps({"refused": True}).encode()


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A page image that an engine is to read; `refused` tells that embedded text was not taken."""

    image: Image.Image
    refused: bool = False

    def flagged(self, result: PageResult) -> PageResult:
        """What an engine read on it, with what is to be known besides."""
        return replace(result, flags=(*result.flags, REFUSED)) if self.refused else result


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A page's result as it is stored, and what is told of it."""

    body: bytes
    words: int
    confidence: float | None


class JobPages:
    """The wanted pages of an opened document. Not thread-safe."""

    def __init__(self, document: documents.Document, job: Job):
        self._document = document
        self._selection = Selection.parse(job.selection)
        self._language = job.language
        self._prefer = job.text_layer == PREFER

    def count(self, most: int) -> int:
        """How many pages are wanted.

        Raises:
            NoSuchPages: none of them exists.
            TooManyPages: more than `most`.
            DamagedDocument: the document has no readable page.
        """
        pages = self._document.count(self._selection.number(most + 1))
        wanted = self._selection.count(pages)
        if wanted > most:
            raise TooManyPages(
                f"More than {most} pages are to be read, the limit of this server for a document."
            )
        if wanted == 0:
            plural = "page" if pages == 1 else "pages"
            raise NoSuchPages(
                f"The document has {pages} {plural}, and none of '{self._selection}'."
            )
        return wanted

    def page(self, position: int) -> tuple[Image.Image, bytes | None]:
        """A page's image, and a note about its own text where that was asked for and is some.

        The note is kept beside the image: a whole page result, or that the text was refused.

        Raises:
            DamagedDocument, TooManyPixels: this page cannot be opened; others may.
        """
        number = self._selection.number(position)
        image = self._document.page(number)
        return image, self._note(number, image) if self._prefer else None

    def _note(self, number: int, image: Image.Image) -> bytes | None:
        begun = time.monotonic()
        try:
            embedded = self._document.text(number, image.size)
        except DamagedDocument:
            # The picture is there all the same.
            return _REFUSED_NOTE
        lines = embedded.lines(image.size)
        if not lines:
            return None
        if not documents.is_plausible(embedded, lines, image):
            return _REFUSED_NOTE
        return build_page(
            lines,
            page=number,
            upright=Upright(image.size),
            engine=TEXT_LAYER_ENGINE,
            engine_version=embedded.version,
            attempts=1,
            seconds=time.monotonic() - begun,
            asked=self._language,
            flags=(TAKEN,),
        ).to_json()


@contextmanager
def open_pages(job: Job, data: bytes, *, max_pixels: int, password: str) -> Iterator[JobPages]:
    """Open a job's document, of the type that the job says.

    Raises:
        PasswordNeeded, WrongPassword, DamagedDocument: it cannot be opened.
    """
    with documents.open_document(
        data, job.media_type, max_pixels=max_pixels, password=password
    ) as document:
        yield JobPages(document, job)


def find_page(
    store: ObjectStore, job: Job, position: int, *, attempt: int, max_pixels: int
) -> Picture | Kept:
    """A page as it was prepared, else opened now: its image, or the result made of its own text.

    Raises:
        ObjectNotFound: the source is gone.
        PasswordNeeded, WrongPassword, DamagedDocument, TooManyPixels: it cannot be opened.
    """
    source = keys.source(job.tenant, job.request_id)
    if documents.is_single_picture(job.media_type, Selection.parse(job.selection)):
        data = BytesIO(store.get(source))
        page = documents.open_page(data, job.media_type, position, max_pixels=max_pixels)
        return Picture(image=page)
    note = _stored_note(store, job, position)
    if note and note != _REFUSED_NOTE:
        return _result(note, attempt)
    try:
        data = BytesIO(store.get(keys.page_image(job.tenant, job.request_id, position)))
        page = documents.open_page(data, "image/png", 1, max_pixels=max_pixels)
        return Picture(image=page, refused=note is not None)
    except ObjectNotFound:
        # It could not be opened while preparing; trying again gives the reason.
        log.info("the page has no image", action="page_image_missing")
    manifest = stored_manifest(store, job.tenant, job.request_id)
    password = manifest.password if manifest else ""
    with open_pages(job, store.get(source), max_pixels=max_pixels, password=password) as pages:
        page, note = pages.page(position)
    # For those who want to see it next to its text.
    store.put(keys.page_image(job.tenant, job.request_id, position), documents.encode_page(page))
    if note and note != _REFUSED_NOTE:
        return _result(note, attempt)
    return Picture(image=page, refused=note is not None)


def _stored_note(store: ObjectStore, job: Job, position: int) -> bytes | None:
    if job.text_layer != PREFER:
        return None
    try:
        return store.get(keys.page_note(job.tenant, job.request_id, position))
    except ObjectNotFound:
        return None


def _result(note: bytes, attempt: int) -> Kept:
    values = {**json.loads(note), "attempts": attempt}
    body = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
    return Kept(body=body, words=values["words"], confidence=values["confidence"])
