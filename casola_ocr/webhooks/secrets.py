"""The secrets of tenants with which their webhooks are signed.

Each is an object of its own in the store: two processes that make a tenant's first one at the same
time make two, and messages carry a signature of each. So does rotating: the old one signs beside
the new one until its time is over. They cannot be kept as hashes, for they sign.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from dataclasses import asdict, dataclass, replace

from casola_ocr.errors import ObjectNotFound
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.times import now_ms

#: Bytes of a secret; Standard Webhooks wants 24 to 64.
SECRET_BYTES = 32
#: How long a process remembers a tenant's secrets: a rotation is noticed at most this late.
CACHE_SECONDS = 5.0
#: Tenants that are remembered; more are forgotten all at once.
CACHE_SIZE = 1_000

_PREFIX = "whsec_"


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A secret of a tenant. Times are milliseconds since 1970."""

    secret_id: str
    #: ``whsec_`` and base64, as Standard Webhooks writes it.
    secret: str
    created_at: int
    #: When it stops to sign; None = it is not replaced.
    expires_at: int | None = None

    def __repr__(self) -> str:
        return f"Secret({self.secret_id})"

    @property
    def key(self) -> bytes:
        return base64.b64decode(self.secret.removeprefix(_PREFIX))

    def is_valid(self, now: int) -> bool:
        return self.expires_at is None or self.expires_at > now


class Secrets:
    """The secrets of all tenants. Safe to share between threads and greenlets.

    All methods raise `StoreUnavailable`.
    """

    def __init__(self, store: ObjectStore):
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, list[Secret]]] = {}

    def valid(self, tenant: str) -> list[Secret]:
        """The secrets that sign a tenant's messages now, the newest first; made at first use."""
        now = time.monotonic()
        with self._lock:
            remembered = self._known.get(tenant)
        if remembered is None or remembered[0] <= now:
            remembered = now + CACHE_SECONDS, self._stored(tenant) or [self._make(tenant)]
            with self._lock:
                if len(self._known) >= CACHE_SIZE:
                    self._known.clear()
                self._known[tenant] = remembered
        return [secret for secret in remembered[1] if secret.is_valid(now_ms())]

    def rotate(self, tenant: str, *, keep_seconds: float) -> list[Secret]:
        """Make a new secret; the ones before sign beside it for `keep_seconds`. As `valid`.

        Interrupted, it may leave a new secret beside old ones without an end: both sign, and
        rotating again mends it.
        """
        before = self._stored(tenant)
        made = self._make(tenant)
        until = now_ms() + int(keep_seconds * 1000)
        for old in before:
            ends = until if old.expires_at is None else min(until, old.expires_at)
            self._put(tenant, replace(old, expires_at=ends))
        with self._lock:
            self._known.pop(tenant, None)
        kept = [secret for secret in self._stored(tenant) if secret.is_valid(now_ms())]
        over = {old.secret_id for old in before} - {secret.secret_id for secret in kept}
        self._store.delete([keys.webhook_secret(tenant, secret_id) for secret_id in over])
        return kept or [made]

    def _make(self, tenant: str) -> Secret:
        made = Secret(
            secret_id=secrets.token_hex(8),
            secret=_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode(),
            created_at=now_ms(),
        )
        self._put(tenant, made)
        return made

    def _put(self, tenant: str, secret: Secret) -> None:
        key = keys.webhook_secret(tenant, secret.secret_id)
        self._store.put(key, json.dumps(asdict(secret)).encode())

    def _stored(self, tenant: str) -> list[Secret]:
        """All that are in the store, the newest first."""
        found = []
        for key in self._store.list(keys.webhook_secrets_prefix(tenant)):
            try:
                found.append(Secret(**json.loads(self._store.get(key))))
            except ObjectNotFound:
                # Its time was over, and a rotation removed it.
                continue
        return sorted(found, key=_age, reverse=True)


def _age(secret: Secret) -> tuple[bool, int, str]:
    # Clocks of two machines differ: what replaced the others is the newest.
    return secret.expires_at is None, secret.created_at, secret.secret_id
