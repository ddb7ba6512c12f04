"""`serve --tls`: https with a certificate of its own, from start to stop."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from casola_ocr.sample import sample_image, sample_text
from tests.running import RunningService

pytestmark = pytest.mark.e2e


def test_a_client_that_trusts_its_authority_is_served_and_no_other(
    make_service: Callable[..., RunningService],
) -> None:
    service = make_service(CASOLA_TLS="1")
    assert service.url.startswith("https://")
    with service.client() as client:
        answer = client.post(
            "/api/v1/jobs", files={"file": sample_image()}, headers={"Prefer": "wait=60"}
        )
        assert answer.json()["status"] == "completed"
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        httpx.get(f"{service.url}/healthz")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{service.port}/healthz")
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as silent:
        assert silent.recv(1) == b"", "who says nothing is not waited for"
    assert "Traceback" not in (service.data_dir / "logs" / "api.log").read_text()
    ca = service.ca_file.read_bytes()
    assert service.stop() == 0
    assert f"SSL_CERT_FILE={service.ca_file}" in service.log()
    service.start()
    assert service.ca_file.read_bytes() == ca


def test_the_command_line_trusts_its_own_machines_server(
    make_service: Callable[..., RunningService], tmp_path: Path
) -> None:
    service = make_service(CASOLA_TLS="1")
    (tmp_path / "page.png").write_bytes(sample_image())
    done = subprocess.run(
        [sys.executable, "-m", "casola_ocr.cli", "read", str(tmp_path / "page.png")],
        env={
            "PATH": os.environ["PATH"],
            "CASOLA_TLS": "1",
            "CASOLA_PORT": str(service.port),
            "CASOLA_DATA_DIR": str(service.data_dir),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert sample_text().split()[0] in done.stdout
