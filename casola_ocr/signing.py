"""Sealed notes: what this server wrote into a link; many may read it, nobody can change it.

A seal is HMAC-SHA256 with a random key that lies in the object store, so that every API process
knows it and a restart changes nothing. The first process that needs one makes it; should two do so
at once there are two, and both hold. A note names its key. To end all links that were ever given
out, remove the keys under ``signing/`` and restart the API.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import threading
from collections.abc import Mapping
from typing import Any

from casola_ocr.errors import ObjectNotFound
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.times import now_ms

KEY_BYTES = 32
#: Longest note that is looked at, in characters.
MAX_LENGTH = 2000
#: Keys that are remembered; there is hardly ever more than one.
MAX_KEYS = 100

_NOTE = re.compile(r"([A-Za-z0-9]{16})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})")


class Signer:
    """Seals notes and reads them. Safe to share between threads and greenlets."""

    def __init__(self, store: ObjectStore):
        self._store = store
        self._lock = threading.Lock()
        self._keys: dict[str, bytes] = {}
        self._own = ""

    def seal(self, kind: str, values: Mapping[str, str | int], *, expires_at: int) -> str:
        """A note that can stand in a path or query; `expires_at` is in ms since 1970.

        What it says can be read by whoever has it. One of another `kind` is not mistaken for it.
        """
        key_id, key = self._key()
        note = {**values, "kind": kind, "expires_at": expires_at}
        body = _encoded(json.dumps(note, ensure_ascii=False, separators=(",", ":")).encode())
        return f"{key_id}.{body}.{_signature(key, key_id, body)}"

    def unseal(self, kind: str, note: str) -> dict[str, Any] | None:
        """What was sealed; None for anything else. Whether it `is_over` is the caller's to ask."""
        match = _NOTE.fullmatch(note) if len(note) <= MAX_LENGTH else None
        if match is None:
            return None
        key_id, body, signature = match.groups()
        key = self._known(key_id)
        if key is None or not hmac.compare_digest(signature, _signature(key, key_id, body)):
            return None
        values: dict[str, Any] = json.loads(_decoded(body))
        return values if values["kind"] == kind else None

    def _key(self) -> tuple[str, bytes]:
        """The key that seals: the first one that there is, or a new one."""
        if not self._own:
            found = sorted(self._store.list(keys.SIGNING_PREFIX))
            key_id = found[0].rpartition("/")[2] if found else secrets.token_hex(8)
            if not found:
                self._store.put(keys.signing(key_id), secrets.token_bytes(KEY_BYTES))
            self._own = key_id
        key = self._known(self._own)
        if key is None:
            raise RuntimeError("a signing key was removed while the service ran")
        return self._own, key

    def _known(self, key_id: str) -> bytes | None:
        with self._lock:
            key = self._keys.get(key_id)
        if key is None:
            try:
                key = self._store.get(keys.signing(key_id))
            except ObjectNotFound:
                return None
            with self._lock:
                if len(self._keys) >= MAX_KEYS:
                    self._keys.clear()
                self._keys[key_id] = key
        return key


def is_over(values: Mapping[str, Any]) -> bool:
    """Whether the time of an unsealed note is over."""
    return bool(values["expires_at"] <= now_ms())


def _signature(key: bytes, key_id: str, body: str) -> str:
    return _encoded(hmac.digest(key, f"{key_id}.{body}".encode(), hashlib.sha256))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
