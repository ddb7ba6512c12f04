"""Where the picture of a job's page is: an object of its own, or the source itself."""

from __future__ import annotations

from casola_ocr import documents
from casola_ocr.errors import ObjectNotFound
from casola_ocr.model import Job
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.selection import Selection


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
