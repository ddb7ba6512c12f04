"""The whole service, started by the README's command and used from outside."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

#: First readiness of a service on two busy cores; a healthy one takes a few seconds.
START_SECONDS = 90
#: Several times as long as the API remembers a token.
REFUSED_SECONDS = 30


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
        scheme = "https" if self.environment.get("CASOLA_TLS") else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        """What a client has to trust of a service with CASOLA_TLS."""
        return self.data_dir / "tls" / "ca.pem"

    @property
    def verify(self) -> ssl.SSLContext | bool:
        return ssl.create_default_context(cafile=self.ca_file) if self.ca_file.exists() else True

    def start(self) -> RunningService:
        environment = self._clean() | {"CASOLA_PORT": str(self.port), **self.environment}
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
                if (
                    httpx.get(f"{self.url}/readyz", timeout=5, verify=self.verify).status_code
                    == 200
                ):
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

    def command(self, *arguments: str) -> str:
        """What a command of ours prints that works on this service's data."""
        return subprocess.run(
            [sys.executable, "-m", "casola_ocr.cli", *arguments],
            env=self._clean(), capture_output=True, text=True, timeout=60, check=True,
        ).stdout  # fmt: skip

    def token(self, tenant: str, *more: str) -> str:
        """A token of a new tenant, once nobody is answered any more without one."""
        self.command("tenants", "create", tenant)
        printed = self.command("tokens", "create", "--tenant", tenant, *more)
        self.wait_until_refused()
        (found,) = [word for word in printed.split() if word.startswith("casola_")]
        return found

    def wait_until_refused(self, token: str = "") -> None:
        """The API remembers for some seconds which tokens are good, and that none was needed."""
        deadline = time.monotonic() + REFUSED_SECONDS
        with self.client(token) as client:
            while client.get("/api/v1/library?limit=1").status_code != 401:
                assert time.monotonic() < deadline, "the token is still taken"
                time.sleep(0.2)

    def _clean(self) -> dict[str, str]:
        """The environment of a process of ours, without what is set for others."""
        others = {
            name: value for name, value in os.environ.items() if not name.startswith("CASOLA_")
        }
        return others | {"CASOLA_DATA_DIR": str(self.data_dir)}

    def client(self, token: str = "") -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, timeout=120, headers=headers, verify=self.verify)

    def finished(self, request_id: str, seconds: float = 120) -> dict[str, Any]:
        """The job once it is terminal; survives an API that is being restarted."""
        deadline = time.monotonic() + seconds
        job: dict[str, Any] = {}
        while time.monotonic() < deadline:
            try:
                answer = httpx.get(
                    f"{self.url}/api/v1/jobs/{request_id}", timeout=5, verify=self.verify
                )
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
