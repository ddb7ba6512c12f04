"""Lending: a page that one DeepSeek-OCR cannot be trusted with is read by the other one too.

Only where a live worker runs that one. The page waits in its pool, and what was read so far in the
store; whoever reads the page next compares the two. When nobody takes the page in time, or whoever
took it fails, it is back in its own pool and is read there once more, and not lent again.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from casola_ocr.engines import other_version
from casola_ocr.errors import ObjectNotFound
from casola_ocr.model import Claim
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.pages import PAGE_RESULT, PageResult
from casola_ocr.publisher import Publisher, pages_pool
from casola_ocr.records import Records
from casola_ocr.settings import Settings
from casola_ocr.text.flags import FALLBACK
from casola_ocr.text.generated_page import distrust

log = structlog.get_logger(__name__)


class Lending:
    """Who a page can be lent to, lending it, and what was read before. Safe to share."""

    def __init__(
        self, settings: Settings, records: Records, store: ObjectStore, publisher: Publisher
    ):
        self._settings = settings
        self._records = records
        self._store = store
        self._publisher = publisher

    def earlier(self, claim: Claim) -> PageResult | None:
        """What the job's own engine read before the claimed page was lent; None if it was not."""
        if not claim.lent:
            return None
        try:
            return PAGE_RESULT.validate_json(self._store.get(_key(claim)))
        except ObjectNotFound:
            return None

    def borrower(self, claim: Claim) -> str | None:
        """The engine that can be asked next about a page that was not lent yet.

        None for the last attempt: what was read is not to be lost with the borrower.
        """
        job = claim.job
        if claim.attempt >= self._settings.max_attempts:
            return None
        return other_version(self._records, job.engine, mode=job.mode, prompt=job.prompt)

    def lend(self, claim: Claim, engine: str, read: PageResult) -> bool:
        """Lend the page; False when the claim was lost."""
        self._store.put(_key(claim), read.to_json())
        # Longer than a page may take it is not waited for.
        wait_ms = self._settings.page_timeout_seconds * 1000
        hints = self._records.lend(claim, pages_pool(engine), wait_ms=wait_ms)
        if hints is None:
            return False
        log.info("the page was lent", action="page_lent", to=engine, flags=list(read.flags))
        self._publisher.publish(hints)
        return True


def better(earlier: PageResult, read: PageResult, *, engine: str) -> PageResult:
    """The reading of a page that can be trusted more, with the tries of both.

    `engine` is the one that was asked for: another one's reading is flagged.
    """
    best = min(read, earlier, key=distrust)
    other = best.engine != engine and FALLBACK not in best.flags
    return replace(
        best,
        attempts=read.attempts,
        seconds=round(earlier.seconds + read.seconds, 3),
        flags=(FALLBACK, *best.flags) if other else best.flags,
        tries=(*earlier.tries, *read.tries),
    )


def _key(claim: Claim) -> str:
    job = claim.job
    return keys.lent_reading(job.tenant, job.request_id, claim.page, job.run)
