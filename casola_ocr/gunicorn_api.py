"""The API under gunicorn: ``python -m casola_ocr.gunicorn_api``, started by ``casola-ocr api``.

gunicorn's own command puts the current folder first on the import path and runs the
gunicorn.conf.py that it finds there: an `api` folder of somebody else's project would be served.

A process of its own, which imports little: gevent patches the standard library in each worker,
and what holds unpatched sockets or TLS contexts by then stays unpatched.
"""

from __future__ import annotations

import json
import logging
import re
import resource
import ssl
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from socket import socket
from typing import Any

import gevent
from gevent.threadpool import ThreadPool
from gunicorn import util
from gunicorn.app.base import BaseApplication
from gunicorn.http.unreader import SocketUnreader

from casola_ocr.errors import MalformedRequest
from casola_ocr.memory import give_large_blocks_back
from casola_ocr.settings import Settings, load_settings

#: How long open requests may take to end when the API is stopped.
GRACE_SECONDS = 10
#: Longer than the idle times of common proxies, which would else meet a closing connection.
KEEP_ALIVE_SECONDS = 75
#: How long nothing may come of a body. Longer than `KEEP_ALIVE_SECONDS`, which ends what waits for
#: a request: a phone that lost its network would else keep its connection and its memory for ever.
SILENCE_SECONDS = 90
#: How long a client may take to agree on TLS.
HANDSHAKE_SECONDS = 10
#: Open files that a process wants: each waiting request is one.
OPEN_FILES = 65_536
#: Searches that one process works on at once; more wait.
SEARCHES = 4
#: Bytes of a request's first line: its address may name a hundred jobs to follow. gunicorn's most.
REQUEST_LINE_BYTES = 8190
_QUOTED = re.compile("['\"]")
_MEMORY = Path("/dev/shm")  # noqa: S108 - gunicorn's heartbeat files must not meet a disk


def options(settings: Settings) -> dict[str, object]:
    """What gunicorn is told."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return {
        "bind": f"{host}:{settings.port}",
        "workers": settings.api_workers,
        "worker_class": "gevent",
        "worker_connections": 4000,
        "limit_request_line": REQUEST_LINE_BYTES,
        # gunicorn would let any client on this machine, or behind a proxy here, set SCRIPT_NAME.
        "forwarder_headers": "",
        "timeout": max(180, settings.sync_timeout_seconds + 60),
        "graceful_timeout": GRACE_SECONDS,
        "keepalive": KEEP_ALIVE_SECONDS,
        "ssl_context": shake_hands,
        "certfile": settings.tls_cert or None,
        "keyfile": settings.tls_key or settings.tls_cert or None,
        "loglevel": "warning",
        "control_socket_disable": True,
        "worker_tmp_dir": str(_MEMORY) if _MEMORY.is_dir() else None,
    }


def shake_hands(_: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Gunicorn's context for TLS, whose handshakes end in time, and quietly when they fail.

    gevent would print a stack trace for each client that does not trust us or speaks plain HTTP,
    and wait without end for one that says nothing.
    """
    from gevent import GreenletExit

    context = default()
    wrap = context.wrap_socket

    def wrapped(plain: socket, **options: Any) -> ssl.SSLSocket:
        plain.settimeout(HANDSHAKE_SECONDS)
        try:
            made = wrap(plain, **options)
        except OSError as error:
            raise GreenletExit from error
        made.settimeout(None)
        return made

    context.wrap_socket = wrapped  # type: ignore[assignment] # gevent calls it
    return context


class Application(BaseApplication):  # type: ignore[misc] # gunicorn ships no types
    """Loads the API in each worker, after gevent patched it."""

    def load_config(self) -> None:
        for name, value in options(load_settings()).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        store_beside()
        search_beside()
        logging.getLogger("gunicorn.error").addFilter(discreet)
        util.write_error = write_problem
        SocketUnreader.chunk = in_time(SocketUnreader.chunk)
        # By name: the domain does not import the rooms around it.
        return import_module("api.app").wsgi()


def discreet(record: logging.LogRecord) -> bool:
    """Take out of what gunicorn logs what it repeats of a request: it may hold a token or a link.

    That is quoted in what it says of requests that it cannot read, and the address of one that
    failed while it was answered.
    """
    said = str(record.msg)
    if said.startswith("Invalid request"):
        record.msg = _QUOTED.split(said)[0].rstrip(": ")
    elif said.startswith("Error handling request"):
        record.msg, record.args = "Error handling request", ()
    return True


def in_time(read: Callable[..., bytes]) -> Callable[..., bytes]:
    """Gunicorn's way to read what comes next from a client, which has to come within a time.

    Raises:
        TimeoutError: nothing came.
    """

    def wrapped(unreader: SocketUnreader, size_hint: int | None = None) -> bytes:
        with gevent.Timeout(SILENCE_SECONDS, TimeoutError("nothing came")):
            return read(unreader, size_hint)

    return wrapped


def write_problem(client: socket, status: int, reason: str, _: str) -> None:
    """Answer what gunicorn cannot read, such as a line that is too long, as the API answers errors.

    Not with gunicorn's own sentence: it may repeat an address with a secret in it.
    """
    problems = import_module("api.problems")
    told = problems.described(MalformedRequest(f"The request cannot be read: {reason}."))
    body = json.dumps(told | {"status": status}).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\n"
        f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(client, head.encode("latin-1") + body)


def store_beside() -> None:
    """Let other requests go on while one waits for the disk, which gevent does not see to.

    Syncs that run side by side share a commit of the file system's journal, too.
    """
    _put_beside("casola_ocr.objects.directory", gevent.get_hub().threadpool)


def search_beside() -> None:
    """Let other requests go on during a search, which neither SQLite nor our own steps interrupt.

    Threads of their own: searches that take long must not keep the disk's syncs waiting.
    """
    _put_beside("casola_ocr.search.indexes", ThreadPool(SEARCHES))


def _put_beside(module: str, pool: ThreadPool) -> None:
    """Run on these threads what the module runs by its function ``beside``."""

    def beside(work: Callable[[], Any]) -> Any:
        found, error = pool.apply(_outcome, (work,))
        if error is not None:
            raise error
        return found

    import_module(module).beside = beside  # type: ignore[attr-defined]


def _outcome(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """Without raising: gevent's pool prints a stack trace of each error that it passes on."""
    try:
        return work(), None
    except Exception as error:  # noqa: BLE001 - raised again by who asked
        return None, error


def allow_open_files() -> None:
    """Raise this process's limit of open files as far as it may; many shells begin with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    allow_open_files()
    give_large_blocks_back()
    Application().run()
