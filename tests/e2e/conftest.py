"""The whole service, started by the README's command and used from outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

#: First readiness of a service on two busy cores; a healthy one takes a few seconds.
START_SECONDS = 90


@dataclass
class RunningService:
    """`casola-ocr serve` in a process of its own."""

    data_dir: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    start_seconds: float = START_SECONDS

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> RunningService:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("CASOLA_")
        }
        environment |= {
            "CASOLA_PORT": str(self.port),
            "CASOLA_DATA_DIR": str(self.data_dir),
            **self.environment,
        }
        with (self.data_dir.parent / f"serve-{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "casola_ocr.cli", "serve"],
                env=environment,
                stdout=log,
                stderr=log,
            )
        self.wait_until_ready()
        return self

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.start_seconds
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the service ended:\n{self.log()}")
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"the service did not become ready:\n{self.log()}")

    def log(self) -> str:
        own = self.data_dir.parent / f"serve-{self.port}.log"
        files = [own, *sorted((self.data_dir / "logs").glob("*.log"))]
        return "\n".join(
            f"--- {file.name}\n{file.read_text(errors='replace')[-3000:]}"
            for file in files
            if file.exists()
        )

    def stop(self) -> int:
        assert self.process is not None
        family = self.processes()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive, f"left behind: {[p.cmdline() for p in alive]}"
        return code

    def processes(self, *words: str) -> list[psutil.Process]:
        """Descendants whose command line holds all the words, parents first."""
        assert self.process is not None
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                line = " ".join(process.cmdline())
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            if all(word in line for word in words):
                found.append(process)
        return found

    def redis_url(self) -> str:
        """The embedded Valkey's URL, as its own children got it."""
        for process in self.processes("reconcile"):
            url = process.environ().get("CASOLA_REDIS_URL")
            if url:
                return url
        raise AssertionError("no reconciler is running")

    def client(self, token: str = "") -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, timeout=120, headers=headers)

    def finished(self, request_id: str, seconds: float = 120) -> dict[str, Any]:
        """The job once it is terminal; survives an API that is being restarted."""
        deadline = time.monotonic() + seconds
        job: dict[str, Any] = {}
        while time.monotonic() < deadline:
            try:
                answer = httpx.get(f"{self.url}/api/v1/jobs/{request_id}", timeout=5)
                job = answer.json() if answer.status_code == 200 else job
            except httpx.HTTPError:
                pass
            if job.get("status") in ("completed", "failed", "cancelled"):
                return job
            time.sleep(0.2)
        raise AssertionError(f"{request_id} did not end: {job}\n{self.log()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service for all tests that leave it as they found it."""
    running = RunningService(
        data_dir=tmp_path_factory.mktemp("service") / "data",
        port=free_port(),
        environment={
            "CASOLA_FETCH_ALLOW_NETWORKS": "127.0.0.1/32",
            "CASOLA_FETCH_TIMEOUT_SECONDS": "4",
        },
    )
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[Callable[..., RunningService]]:
    """Services of a test's own, to be killed at will."""
    made: list[RunningService] = []

    def make(**environment: str) -> RunningService:
        running = RunningService(
            data_dir=tmp_path / f"data{len(made)}",
            port=free_port(),
            # Short leases, so that a dead worker's page is given to another within seconds.
            environment={
                "CASOLA_LEASE_SECONDS": "4",
                "CASOLA_HEARTBEAT_SECONDS": "1",
                "CASOLA_RECONCILE_SECONDS": "0.5",
                **environment,
            },
        )
        made.append(running)
        return running.start()

    yield make
    for running in made:
        if running.process is not None and running.process.poll() is None:
            running.stop()
