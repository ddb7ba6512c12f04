"""What is set up in each API process before the application is loaded."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock, patch

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from gunicorn.workers.base import Worker

from casola_ocr import gunicorn_api
from casola_ocr.settings import Settings

SCRIPT = """
import gevent.monkey
gevent.monkey.patch_all()
import os, pathlib, sys, gevent
from casola_ocr import gunicorn_api
from casola_ocr.errors import StoreUnavailable
from casola_ocr.objects.directory import DirectoryStore

lock = gevent.monkey.get_original("_thread", "allocate_lock")()
lock.acquire()
store = DirectoryStore(pathlib.Path(sys.argv[1]))
store.check()
# A sync that ends only when another greenlet lets it, and holds its thread meanwhile.
def sync(descriptor):
    assert lock.acquire(timeout=10)
    lock.release()
os.fsync = sync
gunicorn_api.store_beside()
waiting = gevent.spawn(store.put, "a/x", b"1")
gevent.spawn(lock.release)
waiting.get()
assert store.get("a/x") == b"1"
# What goes wrong on the other thread is told here, and on no other way.
try:
    store.put("a", b"1")
    raise AssertionError
except StoreUnavailable:
    pass
# Folders are closed at once, not when gevent's loop comes round.
before = len(os.listdir("/proc/self/fd"))
for number in range(50):
    store.put(f"b/{number}/x", b"1")
assert len(os.listdir("/proc/self/fd")) <= before
"""

SEARCH = """
import gevent.monkey
gevent.monkey.patch_all()
import gevent, pathlib, sys
from casola_ocr import gunicorn_api
from casola_ocr.errors import SearchUnavailable
from casola_ocr.library import Wanted
from casola_ocr.search import indexes
from casola_ocr.search.index import Document
from tests.unit.test_search_index import job

folder = indexes.Indexes(pathlib.Path(sys.argv[1]))
gunicorn_api.search_beside()
try:
    folder.cursors("acme", Wanted(text="word"), 9, None)
    raise AssertionError
except SearchUnavailable:
    folder.save(indexes.State())
with folder.writing("acme") as index:
    index.replace([Document(job=job(1), text="a word")])

lock, parse = gevent.monkey.get_original("_thread", "allocate_lock")(), indexes.parse
lock.acquire()
# A question that goes on only when another greenlet lets it, and holds its thread meanwhile.
indexes.parse = lambda text: parse(text) if lock.acquire(timeout=10) else 1 / 0
finding = gevent.spawn(folder.cursors, "acme", Wanted(text="word"), 9, None)
gevent.spawn(lock.release)
assert len(finding.get()) == 1
showing = gevent.spawn(folder.snippets, "acme", "word", [job(1)])
gevent.spawn(lock.release)
assert showing.get()[job(1).request_id].text == "a word"
"""

SILENCE = """
import gevent.monkey
gevent.monkey.patch_all()
import gevent, socket
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader
from casola_ocr import gunicorn_api

gunicorn_api.SILENCE_SECONDS = 0.5
SocketUnreader.chunk = gunicorn_api.in_time(SocketUnreader.chunk)
server, client = socket.socketpair()
client.sendall(b"POST / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 9\\r\\n\\r\\nabc")
body = next(RequestParser(Config(), server, ("127.0.0.1", 1))).body

# Slow is not silent: each piece has its own time.
def send() -> None:
    for letter in b"def":
        gevent.sleep(0.3)
        client.sendall(bytes([letter]))

sending = gevent.spawn(send)
try:
    body.read(9)
    raise AssertionError
except TimeoutError:
    assert sending.dead
"""


def test_a_client_that_falls_silent_in_its_body_is_not_waited_for_without_end() -> None:
    ran = subprocess.run([sys.executable, "-c", SILENCE], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_no_client_says_where_the_application_is() -> None:
    config = Config()
    for name, value in gunicorn_api.options(Settings()).items():
        config.set(name, value)
    request = (
        b"GET /api/v1/library HTTP/1.1\r\nHost: a\r\nSCRIPT_NAME: /api\r\nPATH_INFO: /x\r\n\r\n"
    )
    read = next(RequestParser(config, iter([request]), ("127.0.0.1", 1)))
    assert (read.path, [name for name, _ in read.headers]) == ("/api/v1/library", ["HOST"])


@pytest.mark.parametrize(
    ("line", "header", "told"),
    [
        (b"GET /files/SECRET", b"Host: a", "Invalid HTTP request line"),
        (b"GET / HTTP/1.1", b"Authorization Bearer SECRET", "Invalid HTTP Header"),
        (b"GET / HTTP/1.1", b"Bearer SECRET: a", "Invalid HTTP header name"),
        (b"GET / HTTP/1.1", b"Expect: SECRET'", "Unable to comply with expectation"),
    ],
)
def test_a_request_that_cannot_be_read_is_not_repeated_in_the_log(
    caplog: pytest.LogCaptureFixture, line: bytes, header: bytes, told: str
) -> None:
    with pytest.raises(ParseException) as error:
        list(RequestParser(Config(), iter([line + b"\r\n" + header + b"\r\n\r\n"]), ("::1", 1)))
    assert _logged(caplog, None, error.value) == f"Invalid request from ip=::1: {told}"


def test_the_address_of_a_request_that_failed_is_not_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = SimpleNamespace(method="GET", uri="/files/SECRET")
    assert _logged(caplog, asked, OSError("away")) == "Error handling request"


def _logged(caplog: pytest.LogCaptureFixture, asked: object, error: Exception) -> str:
    """What gunicorn's worker logs of an error, as it stands in the log of the API."""
    log = logging.getLogger("gunicorn.error")
    worker = Mock(log=Mock(warning=log.warning, exception=log.exception), cfg=Config())
    log.addFilter(gunicorn_api.discreet)
    try:
        with patch("gunicorn.workers.base.default_environ", return_value={}):
            Worker.handle_error(worker, asked, Mock(), ("::1", 1), error)
    finally:
        log.removeFilter(gunicorn_api.discreet)
    (record,) = caplog.records
    return record.getMessage()


def test_a_sync_of_the_disk_lets_other_requests_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_search_lets_other_requests_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SEARCH, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
