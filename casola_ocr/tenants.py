"""Tenants: who owns jobs, tokens and a library. Kept in the object store."""

from __future__ import annotations

import json
import re
import time

from casola_ocr.errors import Conflict, ObjectNotFound, Unprocessable
from casola_ocr.objects import ObjectStore, keys

#: The tenant of everybody who uses a loopback server on which no token exists.
LOCAL_TENANT = "local"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def valid_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


class Tenants:
    """The tenants of the service. Safe to share between threads."""

    def __init__(self, store: ObjectStore):
        self._store = store

    def create(self, name: str) -> None:
        """Make a tenant.

        Raises:
            Unprocessable: the name is not 1 to 40 of a-z, 0-9, ``_`` and ``-``.
            Conflict: it exists.
        """
        if not valid_name(name):
            raise Unprocessable("A tenant's name is 1 to 40 letters a-z, digits, '_' and '-'.")
        if self.exists(name):
            raise Conflict("This tenant exists.")
        body = {"name": name, "created_at": int(time.time() * 1000)}
        self._store.put(keys.tenant(name), json.dumps(body).encode())

    def exists(self, name: str) -> bool:
        try:
            self._store.get(keys.tenant(name))
        except ObjectNotFound:
            return False
        return True

    def list(self) -> list[str]:
        """The names of all tenants that were created, sorted."""
        suffix = "/tenant.json"
        return sorted(
            key.removeprefix(keys.TENANTS_PREFIX).removesuffix(suffix)
            for key in self._store.list(keys.TENANTS_PREFIX)
            if key.endswith(suffix)
        )
