"""What each tenant keeps, counted from the store itself.

The store is the truth about what is kept, and nothing else knows its bytes; to list all of it takes
a while, so the reconciler counts beside its other work, and the last result is kept in the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from casola_ocr.errors import ObjectNotFound
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.times import now_ms, timestamp


@dataclass(kw_only=True)
class Usage:
    """What a tenant keeps; `bytes` are those of every object below its folder."""

    jobs: int = 0
    #: With a result; a page that two attempts have read counts once.
    pages: int = 0
    #: Files and uploads that are kept for later requests.
    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Counted:
    """The usage of every tenant that keeps something, and when it was counted: ms since 1970."""

    counted_at: int | None = None
    tenants: dict[str, Usage] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The public shape, fixed by the API reference."""
        return {
            "counted_at": timestamp(self.counted_at),
            "data": [{"tenant": name, **asdict(usage)} for name, usage in self.tenants.items()],
        }

    def of(self, tenant: str) -> dict[str, Any]:
        """What one tenant keeps; the public shape, fixed by the API reference."""
        return {
            "counted_at": timestamp(self.counted_at),
            **asdict(self.tenants.get(tenant, Usage())),
        }


def count(store: ObjectStore) -> Iterator[int]:
    """Count what every tenant keeps, and keep the result. Yields after each object.

    Raises:
        StoreUnavailable: nothing was kept.
    """
    found: dict[str, Usage] = {}
    for tenant in store.folders(keys.TENANTS_PREFIX):
        usage = found[tenant] = Usage()
        folder = ""
        for key, size in store.sizes(keys.tenant_prefix(tenant)):
            usage.bytes += size
            if keys.is_manifest(key):
                usage.jobs += 1
            elif keys.parse_page_result(key):
                # Attempts of one page follow each other.
                usage.pages += key.rpartition("/")[0] != folder
                folder = key.rpartition("/")[0]
            elif key.endswith("/about.json"):
                usage.files += 1
            yield 1
    told = {tenant: asdict(usage) for tenant, usage in found.items()}
    store.put(keys.USAGE, json.dumps({"counted_at": now_ms(), "tenants": told}).encode())


def counted(store: ObjectStore) -> Counted:
    """What was counted last; nothing before the first time.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    try:
        kept = json.loads(store.get(keys.USAGE))
    except ObjectNotFound:
        return Counted()
    tenants = {tenant: Usage(**usage) for tenant, usage in kept["tenants"].items()}
    return Counted(counted_at=kept["counted_at"], tenants=tenants)
