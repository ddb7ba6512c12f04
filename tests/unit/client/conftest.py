"""Our client, of both kinds, over real connections to the API around stubs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from casola_ocr.client import patience
from tests.api_stub import CONTENT
from tests.both_clients import KINDS, Either
from tests.served import Served, serve


@pytest.fixture
def served() -> Iterator[Served]:
    with serve() as made:
        yield made


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def client(kind: Any, served: Served) -> Either:
    return Either(kind, served.url)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSE_SECONDS", 0.01)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.png"
    path.write_bytes(CONTENT)
    return path
