"""What our client is made of: both kinds alike, nothing of the server, usable from anywhere."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import subprocess
import sys
import threading
from pathlib import Path

from casola_ocr import client as package
from casola_ocr import shapes
from casola_ocr.client import AsyncClient, Client
from casola_ocr.client.events import EventReader
from casola_ocr.client.results import Job
from casola_ocr.client.verbs import Verbs
from tests.api_stub import CONTENT
from tests.served import Served


def test_events_are_made_of_bytes_however_they_are_cut() -> None:
    stream = (
        'retry: 2000\n\n: ping\n\nid: 5-0\nevent: page\ndata: {"a": "\u2028ü"}\n\n'
        "data: one\r\ndata:two\r\n\r\nevent: left\ndata: o"
    ).encode()
    whole = EventReader().feed(stream)
    assert [(found.event, found.data, found.id) for found in whole] == [
        ("page", '{"a": "\u2028ü"}', "5-0"), ("message", "one\ntwo", ""),
    ]  # fmt: skip
    reader = EventReader()
    single = [found for byte in stream for found in reader.feed(bytes([byte]))]
    assert single == whole


def test_both_clients_have_the_same_verbs() -> None:
    verbs = {name for name in vars(Verbs) if not name.startswith("_")}
    assert verbs == {name for name in vars(Client) if not name.startswith("_")}
    for name in verbs:
        own, shared = getattr(Client, name), getattr(AsyncClient, name)
        assert inspect.signature(own).parameters == inspect.signature(shared).parameters, name
        assert own.__doc__ == shared.__doc__ != None, name  # noqa: E711 - a chain


def test_a_job_has_all_that_the_server_tells() -> None:
    assert {field.name for field in dataclasses.fields(Job)} == {*shapes.Job.__annotations__} - {
        "links"
    }


def test_records_are_frozen_and_exported_names_exist() -> None:
    for name in package.__all__:
        found = getattr(package, name)
        if dataclasses.is_dataclass(found):
            assert found.__dataclass_params__.frozen, name  # type: ignore[attr-defined]


def test_importing_the_client_brings_no_server_with_it() -> None:
    heavy = ["flask", "celery", "kombu", "redis", "boto3", "numpy", "PIL", "rapidocr", "gevent",
             "onnxruntime", "openvino", "pypdfium2", "structlog", "typer", "pydantic_settings",
             "casola_ocr.settings", "casola_ocr.jobs", "casola_ocr.exports"]  # fmt: skip
    code = f"import sys, casola_ocr.client; print(sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_many_threads_share_a_client(served: Served) -> None:
    with Client(served.url) as client:
        results: list[str] = []
        threads = [
            threading.Thread(target=lambda: results.append(client.read(CONTENT).text))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == ["Grüße"] * 8


def test_the_sync_client_works_inside_of_a_running_loop(served: Served) -> None:
    async def main() -> list[str]:
        with Client(served.url) as client:
            client.submit(CONTENT)
            return [job.request_id for job in client.library()]

    assert asyncio.run(main()) == served.known()
