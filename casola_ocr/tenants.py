"""Tenants: who owns jobs, tokens and a library. Kept in the object store."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from casola_ocr.errors import Conflict, NotFound, ObjectNotFound, Unprocessable
from casola_ocr.model import is_tenant_name
from casola_ocr.objects import ObjectStore, keys

#: The tenant of everybody who uses a loopback server on which no token exists.
LOCAL_TENANT = "local"

#: How long a tenant's settings are remembered by a process.
CACHE_SECONDS = 30.0


class Tenants:
    """The tenants of the service. Safe to share between threads."""

    def __init__(self, store: ObjectStore):
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, float | None]] = {}

    def create(self, name: str) -> None:
        """Make a tenant.

        Raises:
            Unprocessable: the name is not 1 to 40 of a-z, 0-9, ``_`` and ``-``.
            Conflict: it exists.
        """
        if not is_tenant_name(name):
            raise Unprocessable("A tenant's name is 1 to 40 letters a-z, digits, '_' and '-'.")
        if self.exists(name):
            raise Conflict("This tenant exists.")
        body = {"name": name, "created_at": int(time.time() * 1000)}
        self._store.put(keys.tenant(name), json.dumps(body).encode())

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

    def retention_days(self, name: str) -> float | None:
        """After how many days this tenant's jobs are deleted; None = as the service's setting.

        Remembered for `CACHE_SECONDS`.
        """
        now = time.monotonic()
        with self._lock:
            remembered = self._known.get(name)
        if remembered and remembered[0] > now:
            return remembered[1]
        days = (self._values(name) or {}).get("retention_days")
        with self._lock:
            self._known[name] = (now + CACHE_SECONDS, days)
        return days

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

    def _values(self, name: str) -> dict[str, Any] | None:
        try:
            values: dict[str, Any] = json.loads(self._store.get(keys.tenant(name)))
        except ObjectNotFound:
            return None
        return values
