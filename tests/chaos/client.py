"""A client that does what clients are told to: it tries again what may be tried again."""

from __future__ import annotations

import random
import threading
import time
from typing import Any, NamedTuple

import httpx

from tests.chaos.ledger import Findings, Ledger

#: How long one request is tried again before its client gives up, which is a violation.
PATIENCE_SECONDS = 240
#: An answer takes at most this long; longer than the longest `Prefer: wait` of the harness.
TIMEOUT_SECONDS = 30
#: A refused connection is tried again soon: a killed API is back within seconds.
RECONNECT_SECONDS = 0.3
#: A client that is told to wait longer comes back all the same, to have load after every fault.
LONGEST_PAUSE_SECONDS = 10.0
_RETRIED = (429, 502, 503, 504)
#: No byte of the request was received.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout)


class Answer(NamedTuple):
    """The last answer, and how often the one before was lost or left the outcome open."""

    response: httpx.Response
    lost: int

    @property
    def status(self) -> int:
        return self.response.status_code


class Client:
    """Asks any of the API's processes. Safe to share between threads."""

    def __init__(self, urls: list[str], ledger: Ledger, findings: Findings, seed: int):
        self._urls = urls
        self._ledger = ledger
        self._findings = findings
        self._source = random.Random(seed)
        self._lock = threading.Lock()
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=32)
        self._http = httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False, limits=limits)

    def close(self) -> None:
        self._http.close()

    def request(self, method: str, path: str, **options: Any) -> Answer | None:
        """The answer that is final; None when there was none in time."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        lost = 0
        verb = f"{method} {path.split('?')[0].split('/req_')[0]}"
        while time.monotonic() < deadline:
            with self._lock:
                url, jitter = self._source.choice(self._urls), self._source.random()
            try:
                response = self._http.request(method, f"{url}{path}", **options)
            except httpx.HTTPError as error:
                self._ledger.count(f"retried: {type(error).__name__}")
                lost += not isinstance(error, _UNSENT)
                time.sleep(RECONNECT_SECONDS * (1 + jitter))
                continue
            status = response.status_code
            self._ledger.count(f"answer: {verb} {status}")
            pause = response.headers.get("Retry-After", "")
            if status in _RETRIED or (status == 409 and pause):
                self._ledger.count(f"retried: {status} {_code(response)}".strip())
                if not pause and status in (429, 503):
                    self._ledger.count(f"no Retry-After: {status}")
                lost += status >= 500
                # As told or a little later; the jitter keeps clients from coming back together.
                time.sleep(min(LONGEST_PAUSE_SECONDS, float(pause or 1)) * (1 + jitter / 2))
                continue
            if status >= 500:
                self._findings.add(
                    "an error that a client may not repeat",
                    f"{method} {path}: {status} {response.text}",
                )
            return Answer(response, lost)
        self._findings.add("no answer in time", f"{method} {path}, {PATIENCE_SECONDS} s")
        return None


def _code(response: httpx.Response) -> str:
    try:
        return str(response.json()["code"])
    except (ValueError, KeyError, TypeError):
        return ""
