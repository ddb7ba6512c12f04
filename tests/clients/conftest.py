"""What all clients' tests share; the running service itself is `service` of ``tests/conftest``."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.pages import as_bytes, draw_page
from tests.pdfs import make_pdf, text_page
from tests.running import RunningService, free_port

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)


def data_url(content: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def small_page(*lines: str) -> bytes:
    """A PNG with a few printed lines, which an engine reads within a second."""
    return as_bytes(draw_page(lines, width=620, font_size=32))


@pytest.fixture(scope="session")
def hello() -> bytes:
    """A page that says ``Hello client``."""
    return small_page("Hello client")


@pytest.fixture(scope="session")
def three_pages() -> bytes:
    """A PDF whose pages say ``Alpha page``, ``Bravo page`` and ``Charlie page``."""
    words = ("Alpha", "Bravo", "Charlie")
    return make_pdf([text_page([f"{word} page"], size=(300, 100), points=24) for word in words])


@dataclass
class WebServer:
    """Documents that the service can download: `put` one and get its address."""

    port: int
    documents: dict[str, bytes] = field(default_factory=dict)
    #: Paths that were asked for, in order.
    asked: list[str] = field(default_factory=list)

    def put(self, name: str, content: bytes) -> str:
        self.documents[f"/{name}"] = content
        return f"http://127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="session")
def web() -> Iterator[WebServer]:
    """A web server on this machine, which the tests' service may download from."""
    made: list[WebServer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made[0].asked.append(self.path)
            content = made[0].documents.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.append(WebServer(port=server.server_port))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made[0]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """As `casola-ocr serve --tls` starts it, on which fal's clients insist."""
    running = RunningService(
        data_dir=tmp_path_factory.mktemp("secure") / "data",
        port=free_port(),
        environment={
            "CASOLA_TLS": "1",
            "CASOLA_FETCH_ALLOW_NETWORKS": "127.0.0.1/32",
            "CASOLA_CORS_ORIGINS": "https://app.example.com",
            "CASOLA_WEBHOOK_PAUSE_SECONDS": "0.2",
        },
    )
    try:
        running.start()
        yield running
    finally:
        running.stop()
