"""A line to a server that breaks: connections are cut after so many bytes of answer."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 4096


@dataclass
class Line:
    """`cuts` has, for each of the next connections, the bytes of answer after which it breaks.

    A cut of 0 loses the answer to a request that the server has carried out.
    """

    url: str = ""
    cuts: list[int] = field(default_factory=list)
    connections: int = 0


@contextmanager
def cutting(upstream: str) -> Iterator[Line]:
    """A line to the server at this URL."""
    host, port = upstream.removeprefix("http://").split(":")
    line = Line()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            line.connections += 1
            left = line.cuts.pop(0) if line.cuts else None
            with socket.create_connection((host, int(port))) as server:
                there = threading.Thread(target=_copy, args=(self.request, server), daemon=True)
                there.start()
                with suppress(OSError):
                    while chunk := server.recv(_CHUNK):
                        if left is not None and len(chunk) >= left:
                            self.request.sendall(chunk[:left])
                            break
                        left = None if left is None else left - len(chunk)
                        self.request.sendall(chunk)
                for end in (self.request, server):
                    with suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                there.join()

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        line.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield line
        finally:
            server.shutdown()
            thread.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
