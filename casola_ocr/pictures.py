"""Where the picture of a job's page is: an object of its own, or the source itself."""

from __future__ import annotations

import structlog

from casola_ocr import documents
from casola_ocr.errors import ObjectNotFound
from casola_ocr.model import Job
from casola_ocr.objects import ObjectStore, keys

log = structlog.get_logger(__name__)


def stored_picture(store: ObjectStore, job: Job, page: int) -> tuple[bytes, str, int]:
    """A file that shows the page, its media type, and the page's number in that file.

    Raises:
        ObjectNotFound: neither the page's image nor the source is in the store.
    """
    if not documents.is_single_page(job.media_type):
        try:
            return store.get(keys.page_image(job.tenant, job.request_id, page)), "image/png", 1
        except ObjectNotFound:
            # It could not be opened while preparing; trying again gives the reason.
            log.info("the page has no image", action="page_image_missing")
    return store.get(keys.source(job.tenant, job.request_id)), job.media_type, page
