"""How much more of a tenant is accepted now: told beside answers, so that clients can pace."""

from __future__ import annotations

from dataclasses import dataclass

from casola_ocr.records import Records
from casola_ocr.settings import Settings

#: Pages a second below which nobody can tell when the waiting ones will have been read.
SLOWEST = 0.001


@dataclass(frozen=True, kw_only=True)
class Room:
    """Pages that may wait at once, and how many more may now.

    `seconds` is until all that waits has been read, at the rate of the last pages; None where no
    page was read lately.
    """

    limit: int
    left: int
    seconds: float | None


def room_of(records: Records, settings: Settings, tenant: str) -> Room:
    """The room of a tenant: its own quota, or the whole service's where less of that is left.

    Raises:
        RecordsUnavailable: nobody can tell.
    """
    all_pages, pages, all_rate, rate = records.room(tenant)
    return min(
        _room(settings.max_pending_pages, all_pages, all_rate),
        _room(settings.max_pending_pages_per_tenant, pages, rate),
        key=lambda room: room.left,
    )


def _room(limit: int, pages: int, rate: float) -> Room:
    seconds = pages / rate if rate > SLOWEST else None
    return Room(limit=limit, left=max(0, limit - pages), seconds=seconds if pages else 0.0)
