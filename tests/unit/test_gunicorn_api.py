"""What is set up in each API process before the application is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gunicorn.config import Config
from gunicorn.http.parser import RequestParser

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


def test_no_client_says_where_the_application_is() -> None:
    config = Config()
    for name, value in gunicorn_api.options(Settings()).items():
        config.set(name, value)
    request = (
        b"GET /api/v1/library HTTP/1.1\r\nHost: a\r\nSCRIPT_NAME: /api\r\nPATH_INFO: /x\r\n\r\n"
    )
    read = next(RequestParser(config, iter([request]), ("127.0.0.1", 1)))
    assert (read.path, [name for name, _ in read.headers]) == ("/api/v1/library", ["HOST"])


def test_a_sync_of_the_disk_lets_other_requests_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_search_lets_other_requests_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SEARCH, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
