"""Servers that are measured: ours as `casola-ocr serve` starts it, and others, on free ports."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tests.servers import free_ports, stop

#: The first start after an installation, on a busy machine.
_START_SECONDS = 120
#: How often a server is asked whether it is ready: the error of its start time.
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    client: httpx.Client
    process: subprocess.Popen[bytes]
    #: From its start.
    seconds_to_ready: float


@contextmanager
def casola(start_seconds: float = _START_SECONDS, **settings: str) -> Iterator[Server]:
    """The whole service in a folder of its own, with these settings (`cpu_workers`, …)."""
    with tempfile.TemporaryDirectory(prefix="bench-casola-") as folder:
        (port,) = free_ports(1)
        ours = {"port": str(port), "data_dir": folder, "sync_timeout_seconds": "600", **settings}
        environment = {f"CASOLA_{name.upper()}": value for name, value in ours.items()}
        command = [sys.executable, "-m", "casola_ocr.cli", "serve"]
        url = f"http://127.0.0.1:{port}"
        with _started(command, environment, url, "/readyz", start_seconds) as server:
            yield server


@contextmanager
def rapidocr_api(workers: int) -> Iterator[Server]:
    """The server of the package rapidocr_api, as its documentation starts it."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "rapidocr_api.main", "-ip", "127.0.0.1", "-p", str(port)]
    command += ["-workers", str(workers)]
    with _started(command, {}, f"http://127.0.0.1:{port}", "/") as server:
        yield server


@contextmanager
def _started(
    command: Sequence[str],
    environment: dict[str, str],
    url: str,
    ready: str,
    start_seconds: float = _START_SECONDS,
) -> Iterator[Server]:
    begun = time.perf_counter()
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=url, timeout=700, trust_env=False) as client:
            while not _answers(client, ready):
                assert process.poll() is None, f"{command} ended with {process.returncode}"
                assert time.perf_counter() - begun < start_seconds, f"{command} is not ready"
                time.sleep(_LOOK_SECONDS)
            yield Server(client, process, time.perf_counter() - begun)
    finally:
        stop(process, seconds=60)


def _answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False
