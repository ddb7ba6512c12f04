"""A server for the client and its commands: answers as the API does, and as a test scripts it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, request

from casola_ocr.pages import PageResult
from tests.exported import document, exported, failed, job, line, page
from tests.served import on_a_port


@dataclass
class ReadServer:
    """Jobs by their idempotency key; a document's text is its own bytes after the PNG's head."""

    #: Answers for the next submissions: a status and the seconds of Retry-After.
    refuse: list[tuple[int, str]] = field(default_factory=list)
    #: Names of files whose second page fails, until it is read again.
    half: set[str] = field(default_factory=set)
    #: Names of files that are refused by their content.
    bad: set[str] = field(default_factory=set)
    #: Whether a job ends when it is waited for; else it never does.
    ends: bool = True
    #: Keys of jobs that were deleted.
    gone: set[str] = field(default_factory=set)
    #: Bytes after which the next export breaks off.
    cut: int = 0
    #: What is read of a document with this text.
    reads: Callable[[str], PageResult] = lambda text: page(line(text))
    url: str = ""
    posts: list[dict[str, Any]] = field(default_factory=list)
    retries: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    waited: threading.Event = field(default_factory=threading.Event)

    def app(self) -> Flask:
        app = Flask("read_server")
        app.add_url_rule("/api/v1/jobs", view_func=self.submit, methods=["POST"])
        app.add_url_rule("/api/v1/jobs/<name>", view_func=self.get)
        app.add_url_rule("/api/v1/jobs/<name>/retry", view_func=self.retry, methods=["POST"])
        app.add_url_rule("/api/v1/jobs/<name>/export", view_func=self.export)
        app.add_url_rule("/api/v1/jobs/<name>/result", view_func=self.export)
        return app

    def submit(self) -> Any:
        if self.refuse:
            status, seconds = self.refuse.pop(0)
            code = {429: "too_busy", 503: "unavailable"}[status]
            told = {"code": code, "detail": "busy", "retryable": True}
            return told, status, {"Retry-After": seconds}
        file, key = request.files["file"], request.headers["Idempotency-Key"]
        self.posts.append({"name": file.filename, "key": key, **request.form})
        if file.filename in self.bad:
            return {"code": "unsupported_format", "detail": "It looks like a web page."}, 415
        if key in self.gone:
            return {"code": "gone", "detail": "It was deleted."}, 410
        self.jobs.setdefault(key, self.job(key, str(file.filename), file.read()))
        self.in_flight += self.jobs[key]["status"] == "queued"
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return self.shown(key), 202

    def job(self, key: str, name: str, content: bytes) -> dict[str, Any]:
        pages = {"total": 2, "done": 1, "failed": 1} if name in self.half else {
            "total": 1, "done": 1, "failed": 0}  # fmt: skip
        told = {**job(file_name=name).to_dict(), "request_id": key, "status": "queued"}
        return {**told, "pages": pages, "text": content[8:].decode()}

    def shown(self, key: str) -> dict[str, Any]:
        return {name: value for name, value in self.jobs[key].items() if name != "text"}

    def get(self, name: str) -> Any:
        self.waited.set()
        if self.ends and self.jobs[name]["status"] == "queued":
            self.jobs[name]["status"] = "completed"
            self.in_flight -= 1
        return self.shown(name)

    def retry(self, name: str) -> Any:
        self.retries += 1
        self.half.discard(self.jobs[name]["file_name"])
        self.jobs[name].update(status="queued", pages={"total": 1, "done": 1, "failed": 0})
        self.in_flight += 1
        return self.shown(name), 202

    def export(self, name: str) -> Any:
        found = self.jobs[name]
        pages = [self.reads(found["text"])]
        if found["pages"]["failed"]:
            pages.append(failed(2))
        body = exported(request.args.get("format", "json"), document(pages))
        if self.cut:
            cut, self.cut = self.cut, 0
            return Response(iter([body[:cut]]), headers={"Content-Length": str(len(body))})
        return Response(body)


@contextmanager
def running(made: ReadServer | None = None) -> Iterator[ReadServer]:
    """The server on a port of its own, in a thread."""
    made = made or ReadServer()
    with on_a_port(made.app()) as made.url:
        yield made
