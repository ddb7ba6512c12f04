"""The service as separate processes, kept alive by the harness whatever happens to them."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.servers import valkey_command

ROOT = Path(__file__).parents[2]
#: As embedded.py: above them lie the ports of outgoing connections, and a client that reconnects
#: to one of those can end up connected to itself, after which no server can bind it.
PORTS = range(20_000, 32_000)
RESTART_SECONDS = 0.5
#: First readiness on two busy cores.
START_SECONDS = 120
#: gunicorn's grace for open requests, a page of some seconds, and some.
STOP_SECONDS = 40
API = ("api-1", "api-2")
#: Prefork workers, and those of the threads pool.
FORKED = ("pages-1", "pages-2")
THREADED = ("threads-1",)
PAGES = (*FORKED, *THREADED)
PREPARE = ("prepare-1",)
RECONCILERS = ("reconciler-1", "reconciler-2")
VALKEY = "valkey"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Spec:
    """A process to keep alive; its role is its name without the number."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]


@dataclass
class _Kept:
    spec: Spec
    process: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0
    starts: int = 0


def free_ports(count: int, source: random.Random) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        port = source.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def specs(
    folder: Path,
    ports: Sequence[int],
    settings: Mapping[str, str],
    preload: Mapping[str, Mapping[str, str]],
) -> list[Spec]:
    """Every process of the service: Valkey first. `ports` are Valkey's and the APIs'.

    `preload` holds further variables of single processes, by name.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CASOLA_", "AWS_"))
    }
    # The workers import the marker engine from `tests`, which is not installed.
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment |= {"PYTHONPATH": os.pathsep.join(paths), **settings}
    data = folder / "valkey"
    data.mkdir()
    made = [
        Spec(
            VALKEY,
            valkey_command(
                data, ports[0], "--appendfsync", "everysec", "--save", "", "--maxmemory", "512mb"
            ),
            dict(os.environ),
        )
    ]
    python = [sys.executable, "-P", "-m"]
    for name, port in zip(API, ports[1:], strict=True):
        own = {**environment, "CASOLA_PORT": str(port)}
        made.append(Spec(name, [*python, "casola_ocr.cli", "api"], own))
    commands = {
        **{name: ["tests.chaos.worker"] for name in FORKED},
        **{name: ["tests.chaos.worker", "threads"] for name in THREADED},
        **{name: ["casola_ocr.cli", "worker", "--role", "prepare"] for name in PREPARE},
        **{name: ["casola_ocr.cli", "reconcile"] for name in RECONCILERS},
    }
    for name, command in commands.items():
        own = {**environment, **preload.get(name, {})}
        made.append(Spec(name, [*python, *command], own))
    return made


class Cluster:
    """Runs the specs; `close` ends all of it. Methods may be called from any thread."""

    def __init__(self, processes: Sequence[Spec], logs: Path):
        logs.mkdir(parents=True)
        self._logs = logs
        self._kept = {spec.name: _Kept(spec) for spec in processes}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        # One thread starts all: PR_SET_PDEATHSIG means the death of the thread that forked.
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._keeper.start()

    def close(self) -> None:
        """Stop everything, Valkey last; what does not end by itself is killed."""
        self._ending.set()
        self._keeper.join()

    def names(self) -> list[str]:
        return list(self._kept)

    def leader(self, name: str) -> psutil.Process | None:
        """The process as it was started; None between a death and the restart."""
        with self._lock:
            process = self._kept[name].process
            if process is None or process.poll() is not None:
                return None
        try:
            return psutil.Process(process.pid)
        except psutil.NoSuchProcess:
            return None

    def children(self, name: str) -> list[psutil.Process]:
        leader = self.leader(name)
        try:
            return leader.children(recursive=True) if leader else []
        except psutil.NoSuchProcess:
            return []

    def family(self, name: str) -> list[psutil.Process]:
        leader = self.leader(name)
        return [leader, *self.children(name)] if leader else []

    def starts(self) -> dict[str, int]:
        with self._lock:
            return {name: kept.starts for name, kept in self._kept.items()}

    def signal_group(self, name: str, number: int) -> None:
        leader = self.leader(name)
        if leader is not None:
            with suppress(ProcessLookupError):
                os.killpg(leader.pid, number)

    def terminate(self, name: str, seconds: float) -> bool:
        """Ask a process to end; False when it had to be killed. It is started again."""
        leader = self.leader(name)
        if leader is None:
            return True
        with suppress(psutil.NoSuchProcess):
            leader.terminate()
        deadline = time.monotonic() + seconds
        while self.leader(name) == leader:
            if time.monotonic() > deadline:
                self.signal_group(name, signal.SIGKILL)
                return False
            time.sleep(0.05)
        return True

    def _keep(self) -> None:
        while not self._ending.wait(0.05):
            with self._lock:
                for kept in self._kept.values():
                    self._tick(kept)
        for rank in ([n for n in self._kept if n != VALKEY], [VALKEY]):
            self._end([self._kept[name].process for name in rank if name in self._kept])

    def _tick(self, kept: _Kept) -> None:
        now = time.monotonic()
        if kept.process is not None and kept.process.poll() is not None:
            # As a container would: nothing of it is left when it starts again.
            _kill_group(kept.process.pid)
            kept.process, kept.start_at = None, now + RESTART_SECONDS
        if kept.process is None and kept.start_at <= now:
            parent = os.getpid()
            with (self._logs / f"{kept.spec.name}.log").open("ab") as log:
                kept.process = subprocess.Popen(
                    kept.spec.command,
                    env=dict(kept.spec.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._logs,
                    start_new_session=True,
                    preexec_fn=lambda: _die_with_harness(parent),
                )
            kept.starts += 1

    def _end(self, processes: Sequence[subprocess.Popen[bytes] | None]) -> None:
        running = [process for process in processes if process is not None]
        for process in running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=max(0.0, deadline - time.monotonic()))
            _kill_group(process.pid)
            process.wait()


def wait_until_ready(cluster: Cluster, urls: Sequence[str], logs: Path) -> float:
    """Seconds until every API said that a page can be read."""
    begun = time.monotonic()
    missing = list(urls)
    while missing:
        if time.monotonic() - begun > START_SECONDS:
            tails = "\n".join(
                f"--- {file.name}\n{file.read_text(errors='replace')[-1500:]}"
                for file in sorted(logs.glob("*.log"))
            )
            raise AssertionError(f"not ready: {missing}, starts: {cluster.starts()}\n{tails}")
        missing = [url for url in missing if not ready(url)]
        time.sleep(0.2)
    return time.monotonic() - begun


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _die_with_harness(parent: int) -> None:
    """Before exec: be killed when the harness is gone, however it went."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
