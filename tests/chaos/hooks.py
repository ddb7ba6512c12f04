"""The receiver of webhooks: it fails now and then, and remembers what it took."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Longer than the time-out that the service is given for one request.
HANG_SECONDS = 4.0
#: How the first request about a run of a job is answered, and how often of 100.
_FIRST = {"take": 55, "500": 20, "hang": 10, "redirect": 5, "drop": 10}


@dataclass(frozen=True)
class Told:
    """What was taken about a run of a job."""

    run: int
    status: str
    headers: dict[str, str]
    body: bytes


class HookServer:
    """Answers in threads of its own; `close` ends it."""

    def __init__(self, seed: int):
        self._seed = seed
        self._lock = threading.Lock()
        self._seen: Counter[str] = Counter()
        self._told: dict[str, list[Told]] = defaultdict(list)
        self._ending = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.receive(self, body)

            def log_message(self, format: str, *arguments: Any) -> None:
                return

        class Quiet(ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                return

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def receive(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        delivery = handler.headers["webhook-id"]
        with self._lock:
            self._seen[delivery] += 1
            first = self._seen[delivery] == 1
        kinds = random.Random(f"{self._seed}/{delivery}").choices([*_FIRST], [*_FIRST.values()])
        how = kinds[0] if first else "take"
        if how == "hang":
            self._ending.wait(HANG_SECONDS)
        elif how in ("500", "redirect"):
            handler.send_response(500 if how == "500" else 302)
            handler.send_header("Location", self.url)
            handler.end_headers()
        elif how == "take":
            data = json.loads(body)["data"]
            told = Told(data["run"], data["status"], dict(handler.headers), body)
            with self._lock:
                self._told[data["request_id"]].append(told)
            handler.send_response(204)
            handler.end_headers()

    def told(self, request_id: str) -> list[Told]:
        """Everything that was taken about a job."""
        with self._lock:
            return list(self._told[request_id])

    def counts(self) -> dict[str, int]:
        with self._lock:
            taken = [told for found in self._told.values() for told in found]
            return {
                "webhooks taken": len(taken),
                "webhooks taken more than once": len(taken)
                - len({told.headers["webhook-id"] for told in taken}),
            }

    def close(self) -> None:
        self._ending.set()
        self._server.shutdown()
        self._server.server_close()
