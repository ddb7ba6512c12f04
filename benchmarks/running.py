"""A running service for benchmarks: every process of one machine, the marker engine, tenants.

The engine of tests/chaos stands in for PP-OCRv6: a page says how many milliseconds of work it is,
and the worker sleeps that long. What is measured is the service around the engine.
"""

from __future__ import annotations

import io
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import httpx
import psutil
import redis
from rich.table import Table

from benchmarks.common import figures_table
from casola_ocr.service import Service
from casola_ocr.settings import Settings
from tests.chaos import marker
from tests.chaos.cluster import (
    API,
    VALKEY,
    Cluster,
    Spec,
    free_ports,
    specs,
    wait_until_ready,
)
from tests.chaos.marker import Marker

#: As `casola-ocr serve` runs them; the cluster of the chaos tests has more.
NAMES = (VALKEY, "api-1", "prepare-1", "reconciler-1")
TERMINAL = ("completed", "failed", "cancelled")
MIB = 1024 * 1024
#: How often a condition is looked at that ends a measurement of seconds: its error.
LOOK_SECONDS = 0.05
#: What to look for in logs, as JSON lines or as Python prints it.
LOGGED = {"error": '"level": "error"', "warning": '"level": "warning"', "traceback": "Traceback"}


@dataclass
class Running:
    """A service that is ready, and ways into it that do not go through its API."""

    url: str
    folder: Path
    cluster: Cluster
    service: Service
    raw: redis.Redis
    tokens: dict[str, str]

    def client(self, tenant: str, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.tokens[tenant]}"}
        options = {"timeout": 900, **options}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, **options)

    def pending(self, tenant: str = "*") -> int:
        """Pages that were accepted and are not terminal."""
        return int(str(self.raw.hget("casola:pending", tenant) or 0))

    def until_idle(self, seconds: float = 3600) -> float | None:
        """Seconds until nothing is pending and no marker is left; None when that took too long."""
        begun = time.monotonic()
        while self.pending() or self.inflight():
            if time.monotonic() - begun > seconds:
                return None
            time.sleep(LOOK_SECONDS)
        return time.monotonic() - begun

    def inflight(self) -> int:
        """Markers of unfinished jobs and batches in the directory store."""
        folder = self.folder / "objects" / "inflight"
        return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


@contextmanager
def running_service(
    tenants: Sequence[str],
    children: int,
    settings: Mapping[str, str] | None = None,
    worker: Literal["prefork", "threads", "pp-ocrv6"] = "prefork",
) -> Iterator[Running]:
    """Start everything in a folder of its own and end it again, whatever happens.

    Each tenant gets a token before the API first asks whether there is any. The pages worker runs
    the marker engine in one of the two pools, or the real one. The folder with its logs is kept
    when the measurement fails.
    """
    folder = Path(tempfile.mkdtemp(prefix="bench-service-"))
    with ExitStack() as stack:
        ports = free_ports(1 + len(API), random.Random())
        redis_url = f"redis://127.0.0.1:{ports[0]}/0"
        environment = {
            "CASOLA_REDIS_URL": redis_url,
            "CASOLA_OBJECT_STORE": (folder / "objects").as_uri(),
            "CASOLA_CPU_WORKERS": str(children),
            "CASOLA_CPU_THREADS": "1",
            **(settings or {}),
        }
        store_settings = Settings(
            redis_url=redis_url, object_store=environment["CASOLA_OBJECT_STORE"]
        )
        service = Service.open(store_settings)
        stack.callback(service.records.close_connections)
        tokens = {}
        for name in tenants:
            service.tenants.create(name)
            tokens[name], _ = service.tokens.create(name)
        pages = "threads-1" if worker == "threads" else "pages-1"
        made = [
            spec for spec in specs(folder, ports, environment, {}) if spec.name in (*NAMES, pages)
        ]
        if worker == "pp-ocrv6":
            made = [_real(spec) if spec.name == pages else spec for spec in made]
        cluster = Cluster(made, folder / "logs")
        stack.callback(cluster.close)
        url = f"http://127.0.0.1:{ports[1]}"
        wait_until_ready(cluster, [url], folder / "logs")
        raw = redis.Redis.from_url(redis_url, decode_responses=True)
        stack.callback(raw.close)
        yield Running(url, folder, cluster, service, raw, tokens)
    shutil.rmtree(folder)


def _real(spec: Spec) -> Spec:
    """The same worker as anybody starts it."""
    command = [sys.executable, "-P", "-m", "casola_ocr.cli", "worker", "--role", "pages"]
    return replace(spec, command=command)


def png(document: int, milliseconds: int) -> bytes:
    """A page that is so much work."""
    buffer = io.BytesIO()
    marker.draw(Marker(document, 1, milliseconds, False)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def tiff(document: int, pages: int, milliseconds: int) -> bytes:
    """A document of so many pages."""
    frames = (
        marker.draw(Marker(document, page, milliseconds, False)) for page in range(1, pages + 1)
    )
    buffer = io.BytesIO()
    next(frames).save(
        buffer, "TIFF", save_all=True, append_images=frames, compression="tiff_adobe_deflate"
    )
    return buffer.getvalue()


def multipart(files: Sequence[bytes], **fields: str) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a submission, made once to be sent often."""
    named = [("file", (f"{n}.bin", content)) for n, content in enumerate(files)]
    request = httpx.Request("POST", "http://localhost/", files=named, data=fields)
    return request.read(), {"Content-Type": request.headers["Content-Type"]}


@dataclass
class Sample:
    at: float
    #: (process, pid) → resident bytes.
    resident: dict[tuple[str, int], int]
    used_memory: int
    pending: int
    inflight: int


@dataclass
class Sampler:
    """Looks at every process and at Valkey each `every` seconds, until `close`."""

    running: Running
    every: float = 2.0
    samples: list[Sample] = field(default_factory=list)
    _closed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._begun = time.monotonic()
        self._look()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self._look()

    def now(self) -> float:
        return time.monotonic() - self._begun

    def _run(self) -> None:
        while not self._closed.wait(self.every):
            self._look()

    def _look(self) -> None:
        resident = {}
        for name in self.running.cluster.names():
            leader = self.running.cluster.leader(name)
            for process in self.running.cluster.family(name):
                try:
                    size = process.memory_info().rss
                except psutil.Error:
                    continue
                resident[name if process == leader else f"{name} child", process.pid] = size
        used = int(self.running.raw.info("memory")["used_memory"])
        self.samples.append(
            Sample(self.now(), resident, used, self.running.pending(), self.running.inflight())
        )


def memory_rows(samples: Sequence[Sample], share: float = 0.2, until: float = 0) -> list[dict]:
    """For each process, and for what Valkey uses: start, after `share` of the run, peak, end.

    The run ends at `until`, the last sample by default; MiB.
    """
    last = until or samples[-1].at
    seen = [sample for sample in samples if sample.at <= last + 0.1]
    early = next(sample for sample in seen if sample.at >= share * last)
    tracks: dict[tuple[str, int], list[tuple[float, int]]] = {}
    for sample in seen:
        for key, size in sample.resident.items():
            tracks.setdefault(key, []).append((sample.at, size))
        tracks.setdefault(("valkey used_memory", 0), []).append((sample.at, sample.used_memory))
    rows = []
    for (name, pid), track in sorted(tracks.items()):
        sizes = [size for _, size in track]
        # A process that was started later has its first sample instead.
        at_share = next((size for at, size in track if at >= early.at), sizes[-1])
        figures = {"start": sizes[0], "early": at_share, "peak": max(sizes), "end": sizes[-1]}
        row: dict[str, Any] = {"process": name, "pid": pid}
        row |= {key: round(size / MIB, 1) for key, size in figures.items()}
        row["growth"] = round((sizes[-1] - at_share) / MIB, 1)
        rows.append(row)
    return rows


def memory_table(rows: Sequence[dict], share: float = 0.2) -> Table:
    names = ("start", f"after {share:.0%}", "peak", "end", f"growth from {share:.0%}")
    table = figures_table("resident memory, MiB", ["process", "pid", *names])
    for row in rows:
        cells = [f"{row[key]:.1f}" for key in ("start", "early", "peak", "end", "growth")]
        table.add_row(row["process"], str(row["pid"] or "–"), *cells)
    return table


def restarts(running: Running) -> dict[str, int]:
    """Processes that were started more than once: none should be."""
    return {name: n for name, n in running.cluster.starts().items() if n > 1}


def logged_errors(folder: Path) -> Counter[str]:
    """How often each process logged an error, a warning or a traceback."""
    found: Counter[str] = Counter()
    for file in sorted((folder / "logs").glob("*.log")):
        with file.open(errors="replace") as lines:
            for line in lines:
                for kind, words in LOGGED.items():
                    if words in line:
                        found[f"{file.stem}: {kind}"] += 1
    return found
