"""A receiver of webhooks that answers in every good and bad way."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


@dataclass(frozen=True)
class Received:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver(ThreadingHTTPServer):
    """Answers as the path says: ``/ok``, ``/500``, ``/410``, ``/redirect`` or ``/hang``.

    ``/twice-500`` fails twice for each body, and then takes it; ``/once-hang`` hangs once.
    ``/rubbish`` speaks no HTTP, and ``/drip`` sends its header byte by byte.
    """

    daemon_threads = True
    #: Many at once come to a receiver that hangs.
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[Received] = []
        self.seen: Counter[bytes] = Counter()
        self.stop = threading.Event()
        self._lock = threading.Lock()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def note(self, received: Received) -> int:
        """Keep it; how often its body came so far."""
        with self._lock:
            self.received.append(received)
            self.seen[received.body] += 1
            return self.seen[received.body]

    def wait(self, wanted: Callable[[list[Received]], Any], seconds: float = 30) -> Any:
        """What `wanted` finds among what was received, as soon as it finds something."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self._lock:
                found = wanted(list(self.received))
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(f"not received, but {[one.path for one in self.received]}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def log_message(self, *args: Any) -> None:
        """Tests look at `received`."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        times = self.server.note(Received(self.path, dict(self.headers), body))
        self.close_connection = True
        with contextlib.suppress(OSError):
            self._answer(self.path.partition("?")[0].strip("/"), times)

    def do_GET(self) -> None:
        self.server.note(Received(self.path, dict(self.headers), b""))
        self._send(200)

    def _answer(self, how: str, times: int) -> None:
        if how == "hang" or (how == "once-hang" and times == 1):
            self.server.stop.wait(60)
        elif how == "rubbish":
            self.wfile.write(b"\0\0 not http\r\n\r\n")
        elif how == "drip":
            while not self.server.stop.wait(0.05):
                self.wfile.write(b"H")
        elif how == "redirect":
            self._send(302, Location="/ok")
        elif how == "twice-500":
            self._send(500 if times <= 2 else 200)
        else:
            self._send(int(how) if how.isdecimal() else 200)

    def _send(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")


def verify_fal(keys: list[dict[str, str]], received: Received, body: bytes) -> bool:
    """Whether fal's signature over this body is of one of these public keys."""
    parts = [received.headers[f"X-Fal-Webhook-{name}"] for name in
             ("Request-Id", "User-Id", "Timestamp")]  # fmt: skip
    signed = "\n".join([*parts, hashlib.sha256(body).hexdigest()]).encode()
    signature = bytes.fromhex(received.headers["X-Fal-Webhook-Signature"])
    (key,) = keys
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
    try:
        public.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


@contextlib.contextmanager
def running_receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.stop.set()
        receiver.shutdown()
        thread.join()
        receiver.server_close()
