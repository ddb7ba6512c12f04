"""Sending one request to a receiver: one deadline, no redirects, never to a private address."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from casola_ocr import egress
from casola_ocr.errors import BadUrl, FetchFailed, FetchRefused, FetchTimeout
from casola_ocr.times import now_ms
from casola_ocr.webhooks.delivery import Try


class Sender:
    """Posts messages; connects as `casola_ocr.egress` says. Thread-safe, keeps no connection."""

    def __init__(self, *, timeout_seconds: float, allow_networks: Sequence[str] = ()):
        self._timeout_seconds = timeout_seconds
        self._allowed = egress.networks(allow_networks)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Try:
        """Send it, and read no more of the answer than its status."""
        at, begun = now_ms(), time.monotonic()
        status, error = self._post(url, headers, body, begun + self._timeout_seconds)
        seconds = round(time.monotonic() - begun, 3)
        return Try(at=at, seconds=seconds, status_code=status, error=error)

    def _post(
        self, url: str, headers: Mapping[str, str], body: bytes, deadline: float
    ) -> tuple[int | None, str]:
        try:
            target = egress.parse_url(url, self._allowed)
            sent = [
                (b"Host", target.netloc),
                (b"Content-Length", str(len(body)).encode()),
                (b"Connection", b"close"),
                *((name.encode(), value.encode()) for name, value in headers.items()),
            ]
            with (
                egress.failures(deadline),
                egress.connections(self._allowed, deadline) as pool,
                pool.stream(
                    "POST",
                    egress.target_of(target),
                    headers=sent,
                    content=body,
                    extensions={"timeout": egress.timeouts(deadline)},
                ) as answer,
            ):
                return answer.status, ""
        except (BadUrl, FetchRefused):
            return None, "refused"
        except FetchTimeout:
            return None, "timeout"
        except FetchFailed:
            return None, "timeout" if time.monotonic() >= deadline else "unreachable"
