"""The key pair with which webhooks are signed as fal signs them; one for the whole service.

It lies in the object store, so that a restart changes nothing and every process has it. The first
process that needs it makes it; should two do so at once there are two, and receivers find both.
"""

from __future__ import annotations

import base64
import secrets
import threading
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from casola_ocr.objects import ObjectStore, keys


class FalKey:
    """Signs with ED25519. Safe to share between threads and greenlets.

    All methods raise `StoreUnavailable`.
    """

    def __init__(self, store: ObjectStore):
        self._store = store
        self._lock = threading.Lock()
        self._key: Ed25519PrivateKey | None = None

    def sign(self, message: bytes) -> bytes:
        """The signature with the first of the keys."""
        with self._lock:
            key = self._key
        if key is None:
            key = self._stored()[0][1]
            with self._lock:
                self._key = key
        return key.sign(message)

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JSON Web Key Set (RFC 7517, RFC 8037); made at first use."""
        return {
            "keys": [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "use": "sig",
                    "alg": "EdDSA",
                    "kid": key_id,
                    "x": _encoded(key.public_key().public_bytes_raw()),
                }
                for key_id, key in self._stored()
            ]
        }

    def _stored(self) -> list[tuple[str, Ed25519PrivateKey]]:
        found = sorted(self._store.list(keys.FAL_KEYS_PREFIX))
        if not found:
            made = Ed25519PrivateKey.generate()
            self._store.put(keys.fal_key(secrets.token_hex(8)), made.private_bytes_raw())
            found = sorted(self._store.list(keys.FAL_KEYS_PREFIX))
        return [
            (name.rpartition("/")[2], Ed25519PrivateKey.from_private_bytes(self._store.get(name)))
            for name in found
        ]


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
