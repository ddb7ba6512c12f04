"""The end of files and uploads: each has entries that say when it is to be looked at.

A look removes what has expired, and what has no ``about.json``: that was begun and never finished,
or its deletion was interrupted. So an entry comes before the first byte of what it is about, and a
crash at any moment leaves nothing behind for good. Finding what is due costs a listing of the
entries of the past hours, however many files there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import structlog

from casola_ocr.errors import ObjectNotFound
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.times import now_ms

log = structlog.get_logger(__name__)

#: Longer than it takes from a file's first byte in the store to its ``about.json``.
UNFINISHED_MS = 3_600_000
#: Longer than a deletion takes.
DELETION_MS = 60_000


def look_at(store: ObjectStore, tenant: str, kind: str, name: str, *, when_ms: int) -> None:
    """Have this file or upload looked at, at `when_ms` or soon after it."""
    store.put(keys.expiry(when_ms, tenant, kind, name), b"")


def remove(store: ObjectStore, tenant: str, kind: str, name: str) -> None:
    """Remove a file or upload; it stops to exist before its bytes go.

    Raises:
        StoreUnavailable: repeat it; what was begun is completed by `tend` in any case.
    """
    entry = keys.expiry(now_ms() + DELETION_MS, tenant, kind, name)
    store.put(entry, b"")
    store.delete([keys.about(tenant, kind, name)])
    store.delete(store.list(keys.kept_prefix(tenant, kind, name)))
    store.delete([entry])


def tend(store: ObjectStore, now: int | None = None) -> Iterator[int]:
    """Remove what is due at `now` (ms since 1970). Yields after each look; safe to repeat.

    Raises:
        StoreUnavailable: nothing is lost; what was not looked at stays due.
    """
    now = now_ms() if now is None else now
    last = keys.expiries_prefix(now)
    for hour in sorted(store.folders(keys.EXPIRIES_PREFIX)):
        prefix = f"{keys.EXPIRIES_PREFIX}{hour}/"
        if prefix > last:
            return
        for entry in store.list(prefix):
            when_ms, tenant, kind, name = keys.parse_expiry(entry)
            if when_ms > now:
                continue
            _look(store, tenant, kind, name, now)
            store.delete([entry])
            yield 1


def _look(store: ObjectStore, tenant: str, kind: str, name: str, now: int) -> None:
    try:
        expires_at = json.loads(store.get(keys.about(tenant, kind, name)))["expires_at"]
    except ObjectNotFound:
        expires_at = 0
    except (ValueError, KeyError, TypeError):
        log.exception("what is known of a file is damaged", action="about_unreadable", name=name)
        return
    if expires_at is None or expires_at > now:
        # Another entry is there for that time.
        return
    store.delete([keys.about(tenant, kind, name)])
    store.delete(store.list(keys.kept_prefix(tenant, kind, name)))
    if expires_at:
        log.info("a file has expired", action="file_expired", tenant=tenant, kind=kind, name=name)
