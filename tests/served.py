"""The API around stubs, over real connections."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import make_server

from tests.api_stub import World, make_world


@dataclasses.dataclass
class Served:
    """The API around stubs on a port, and what it was asked."""

    world: World
    url: str
    #: Method, path with query, headers.
    asked: list[tuple[str, str, dict[str, str]]]

    @property
    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.asked]

    def known(self) -> list[str]:
        return list(self.world.jobs.known)


@contextmanager
def on_a_port(app: Any) -> Iterator[str]:
    """Serve a WSGI application on a free port until the end of the block: its URL."""

    def closed(environ: dict[str, Any], start: Any) -> Iterator[bytes]:
        # Werkzeug's server forgets to when the connection was lost.
        answer = app(environ, start)
        try:
            yield from answer
        finally:
            getattr(answer, "close", lambda: None)()

    server = make_server("127.0.0.1", 0, closed, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serve() -> Iterator[Served]:
    """On a free port of this machine, until the end of the block."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    world = make_world()
    asked: list[tuple[str, str, dict[str, str]]] = []

    def app(environ: dict[str, Any], start: Any) -> Any:
        headers = {key[5:]: value for key, value in environ.items() if key.startswith("HTTP_")}
        query = environ["QUERY_STRING"]
        path = environ["PATH_INFO"] + (f"?{query}" if query else "")
        asked.append((environ["REQUEST_METHOD"], path, headers))
        return world.client.application(environ, start)

    with on_a_port(app) as url:
        yield Served(world, url, asked)
