"""Tenants: who owns jobs, tokens and a library. Kept in the object store."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import Any

from casola_ocr.errors import Conflict, NotFound, ObjectNotFound, Unprocessable
from casola_ocr.ids import is_tenant_name
from casola_ocr.objects import ObjectStore, keys

#: The tenant of everybody who uses a loopback server on which no token exists.
LOCAL_TENANT = "local"

#: How long a tenant's settings are remembered by a process.
CACHE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A tenant as it was created; `created_at` is ms since 1970."""

    name: str
    created_at: int
    #: Its jobs are deleted after so many days; None = as the service's setting, 0 = never.
    retention_days: float | None = None


class Tenants:
    """The tenants of the service. Safe to share between threads."""

    def __init__(self, store: ObjectStore):
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, float | None]] = {}

    def create(self, name: str) -> Tenant:
        """Make a tenant.

        Raises:
            Unprocessable: the name is not 1 to 40 of a-z, 0-9, ``_`` and ``-``.
            Conflict: it exists.
        """
        if not is_tenant_name(name):
            raise Unprocessable("A tenant's name is 1 to 40 letters a-z, digits, '_' and '-'.")
        if self.exists(name):
            raise Conflict("This tenant exists.")
        made = Tenant(name=name, created_at=int(time.time() * 1000))
        body = {"name": name, "created_at": made.created_at}
        self._store.put(keys.tenant(name), json.dumps(body).encode())
        return made

    def get(self, name: str) -> Tenant:
        """A tenant as it stands in the store.

        Raises:
            NotFound: there is no such tenant.
        """
        values = self._values(name) if is_tenant_name(name) else None
        if values is None:
            raise NotFound("There is no such tenant.")
        return Tenant(
            name=name,
            created_at=values["created_at"],
            retention_days=values.get("retention_days"),
        )

    def set_retention(self, name: str, days: float | None) -> None:
        """Delete this tenant's new jobs after so many days; 0 keeps them, None = as the service.

        Raises:
            NotFound: there is no such tenant.
        """
        values = self._values(name)
        if values is None:
            raise NotFound("There is no such tenant.")
        values["retention_days"] = days
        self._store.put(keys.tenant(name), json.dumps(values).encode())

    def retention_seconds(self, name: str, default_days: float) -> float:
        """How long what this tenant makes is kept; 0 = until it is deleted.

        `default_days`, the service's setting, holds where the tenant has no retention of its own,
        which is remembered for `CACHE_SECONDS`.
        """
        days = self._retention_days(name)
        return (default_days if days is None else days) * 86_400

    def exists(self, name: str) -> bool:
        return self._values(name) is not None

    def list(self) -> list[str]:
        """The names of all tenants that were created, sorted."""
        suffix = "/tenant.json"
        return sorted(
            key.removeprefix(keys.TENANTS_PREFIX).removesuffix(suffix)
            for key in self._store.list(keys.TENANTS_PREFIX)
            if key.endswith(suffix)
        )

    def _retention_days(self, name: str) -> float | None:
        now = time.monotonic()
        with self._lock:
            remembered = self._known.get(name)
        if remembered and remembered[0] > now:
            return remembered[1]
        days = (self._values(name) or {}).get("retention_days")
        with self._lock:
            self._known[name] = (now + CACHE_SECONDS, days)
        return days

    def _values(self, name: str) -> dict[str, Any] | None:
        try:
            values: dict[str, Any] = json.loads(self._store.get(keys.tenant(name)))
        except ObjectNotFound:
            return None
        return values
