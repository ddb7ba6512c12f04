"""The running service does what its OpenAPI document says, as others' tools find."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import RunningService

pytestmark = pytest.mark.e2e

CONFIG = Path(__file__).parents[1] / "schemathesis.toml"


def test_schemathesis_finds_nothing(
    make_service: Callable[..., RunningService], tmp_path: Path
) -> None:
    service = make_service(CASOLA_SYNC_TIMEOUT_SECONDS="2", CASOLA_FETCH_TIMEOUT_SECONDS="2")
    token = service.token("acme", "--admin")
    found = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run",
         f"{service.url}/api/v1/openapi.json"],
        env={**os.environ, "TOKEN": token}, cwd=tmp_path,
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout.partition("= FAILURES =")[2] or found.stdout
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in found.stdout, found.stdout[-2_000:]
    with service.client(token) as client:
        assert client.get("/api/v1/library").status_code == 200, "the token must still be good"
        assert client.get("/readyz").status_code == 200
