"""What a request holds while it waits: nothing of what it brought."""

from __future__ import annotations

import base64
import json
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from casola_ocr.errors import Overloaded
from casola_ocr.objects.directory import DirectoryStore
from casola_ocr.service import Service
from casola_ocr.settings import Settings
from tests.waiting import until
from tests.world import PNG, ListPublisher

pytestmark = pytest.mark.valkey

DOCUMENT_BYTES = 4_000_000


def own(url: str) -> tuple[str, Any]:
    return "/api/v1/jobs", {"url": url}


def chat(url: str) -> tuple[str, Any]:
    content = [{"type": "image_url", "image_url": {"url": url}}]
    asked = {"model": "auto", "messages": [{"role": "user", "content": content}]}
    return "/v1/chat/completions", asked


def responses(url: str) -> tuple[str, Any]:
    content = [{"type": "input_image", "image_url": url}]
    return "/v1/responses", {"model": "auto", "input": [{"role": "user", "content": content}]}


def fal(url: str) -> tuple[str, Any]:
    return "/fal/ocr", {"image_url": url, "sync_mode": True}


def mistral(url: str) -> tuple[str, Any]:
    return "/mistral/v1/ocr", {"document": {"type": "image_url", "image_url": url}}


def someone_waits(service: Service) -> bool:
    """Whether the only seat is taken."""
    try:
        service.jobs.check_seats("local")
    except Overloaded:
        return True
    return False


@pytest.fixture
def service(valkey: str, tmp_path: Path) -> Iterator[Service]:
    settings = Settings(redis_url=valkey, sync_timeout_seconds=60, max_waiters=1)
    made = Service.open(settings, ListPublisher(), DirectoryStore(tmp_path / "store"))
    made.records.pulse("worker", ["engine:pp-ocrv6", "prepare"])
    yield made
    made.records.close_connections()


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("surface", [own, chat, responses, fal, mistral])
def test_a_request_that_waits_holds_neither_its_body_nor_its_document(
    service: Service, tmp_path: Path, traced: None, surface: Callable[[str], tuple[str, Any]]
) -> None:
    client = create_app(service.settings, service).test_client()
    body = tmp_path / "body.json"

    def held_while_waiting(document: bytes) -> int:
        path, asked = surface(f"data:image/png;base64,{base64.b64encode(document).decode()}")
        body.write_text(json.dumps(asked))
        del asked
        # Not given as bytes: the test's own client would hold them.
        with body.open("rb") as sent:
            waiting = threading.Thread(
                target=client.post,
                args=[path],
                kwargs={
                    "input_stream": sent,
                    "content_length": body.stat().st_size,
                    "content_type": "application/json",
                    "headers": {"Prefer": "wait=60"},
                },
            )
            before = tracemalloc.get_traced_memory()[0]
            waiting.start()
            until(lambda: someone_waits(service), "the request waits")
            held = tracemalloc.get_traced_memory()[0] - before
            (newest,) = service.records.library("local", 1, None)
            service.jobs.cancel("local", newest.rpartition("/")[2])
            waiting.join()
        return held

    held_while_waiting(PNG)
    assert held_while_waiting(PNG + bytes(DOCUMENT_BYTES)) < DOCUMENT_BYTES / 4
