"""Tokens: random secrets that name a tenant.

Only the SHA-256 of a token is kept: it is random, so a slow hash would buy nothing. Tokens live in
the object store, so that a wiped Redis does not lose them, under the hash itself: looking one up is
one read. An API process remembers what it looked up for `CACHE_SECONDS`; a revoked token works
that long at most. While the store does not answer, and nothing can be revoked either, what was
known goes on to hold for `OUTAGE_SECONDS`: jobs can be asked about during an outage.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from casola_ocr.errors import NotFound, ObjectNotFound, StoreUnavailable
from casola_ocr.objects import ObjectStore, keys

#: How long a lookup is remembered: a revoked token works at most this long.
CACHE_SECONDS = 5.0
#: How long it is used when the store cannot be asked again.
OUTAGE_SECONDS = 300.0
#: Lookups that are remembered; more are forgotten all at once.
CACHE_SIZE = 10_000

_PREFIX = "casola_"


@dataclass(frozen=True, kw_only=True)
class Token:
    """What is kept of a token. `id` is the beginning of its hash; times are ms since 1970."""

    id: str
    tenant: str
    label: str
    created_at: int
    revoked_at: int | None = None
    #: May also look after the service: tenants, tokens, and the dead letters of all.
    admin: bool = False


class Tokens:
    """The tokens of the service. Safe to share between threads and greenlets."""

    def __init__(self, store: ObjectStore):
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Token | None]] = {}
        self._any: tuple[float, bool] = (0.0, False)

    def create(self, tenant: str, label: str = "", *, admin: bool = False) -> tuple[str, Token]:
        """Make a token; the secret is returned here and nowhere else."""
        secret = _PREFIX + secrets.token_urlsafe(32)
        digest = _digest(secret)
        token = Token(
            id=digest[:12],
            tenant=tenant,
            label=label,
            created_at=int(time.time() * 1000),
            admin=admin,
        )
        self._store.put(keys.token(digest), json.dumps(asdict(token)).encode())
        return secret, token

    def list(self, tenant: str | None = None) -> list[Token]:
        """All tokens, or a tenant's, oldest first, revoked ones too."""
        found = [token for _, token in self._all() if tenant in (None, token.tenant)]
        return sorted(found, key=lambda token: token.created_at)

    def revoke(self, token_id: str) -> Token:
        """End a token's life; it is returned as it stands then.

        Raises:
            NotFound: no token has this ID.
        """
        for key, token in self._all():
            if token.id == token_id:
                revoked = replace(token, revoked_at=token.revoked_at or int(time.time() * 1000))
                self._store.put(key, json.dumps(asdict(revoked)).encode())
                return revoked
        raise NotFound("No token has this ID.")

    def find(self, secret: str) -> Token | None:
        """The valid token with this secret; None for an unknown or revoked one."""
        digest = _digest(secret)
        now = time.monotonic()
        with self._lock:
            remembered = self._known.get(digest)
        if remembered and remembered[0] > now:
            return remembered[1]
        try:
            stored = Token(**json.loads(self._store.get(keys.token(digest))))
            token = None if stored.revoked_at else stored
        except ObjectNotFound:
            token = None
        except StoreUnavailable:
            if remembered is None or remembered[0] + OUTAGE_SECONDS < now:
                raise
            return remembered[1]
        with self._lock:
            if len(self._known) >= CACHE_SIZE:
                self._known.clear()
            self._known[digest] = (now + CACHE_SECONDS, token)
        return token

    def any(self) -> bool:
        """Whether a token was ever made: from then on every request needs one."""
        now = time.monotonic()
        with self._lock:
            until, answer = self._any
        # Tokens are never removed, so a yes stays a yes.
        if answer or until > now:
            return answer
        try:
            answer = next(iter(self._store.list(keys.TOKENS_PREFIX)), None) is not None
        except StoreUnavailable:
            if until == 0.0 or until + OUTAGE_SECONDS < now:
                raise
            return answer
        with self._lock:
            self._any = (now + CACHE_SECONDS, answer)
        return answer

    def _all(self) -> Iterator[tuple[str, Token]]:
        for key in self._store.list(keys.TOKENS_PREFIX):
            yield key, Token(**json.loads(self._store.get(key)))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
