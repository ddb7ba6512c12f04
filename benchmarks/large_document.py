"""One very long document, and very many small ones.

    python -m benchmarks.large_document [--frames 2000] [--files 10000] [--page-ms 5]

A running service with two worker children and the marker engine, started anew for each of:
  - document: one TIFF of `--frames` small pages, drawn here,
  - requests: `--files` one-page PNGs in requests of 1,000,
  - one request: the same in a single request, with CASOLA_MAX_FILES_PER_REQUEST raised.
Measured from the first byte sent: until everything is accepted, until /pages/1 of the first job
answers with text (asked every 20 ms), and until every page is read. pages/s is over all of that.
Meanwhile another client asks for /healthz and Valkey for PING, 50 times a second each: how long
they had to wait is what everybody else had to. The resident memory of each process is sampled
twice a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import redis

from benchmarks.common import console, figures_table, parser, percentile, write_report
from benchmarks.running import (
    Running,
    Sampler,
    logged_errors,
    memory_rows,
    memory_table,
    multipart,
    png,
    restarts,
    running_service,
    tiff,
)

CHILDREN = 2
TENANT = "acme"
FILES_PER_REQUEST = 1_000
ASK_SECONDS = 0.02


@dataclass
class Probe:
    """Asks the same thing again and again, and keeps how many milliseconds each answer took."""

    ask: Callable[[], Any]
    spent: list[float] = field(default_factory=list)
    failed: int = 0
    _closed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(ASK_SECONDS):
            begun = time.perf_counter()
            try:
                self.ask()
            except (httpx.HTTPError, redis.RedisError):
                self.failed += 1
            self.spent.append((time.perf_counter() - begun) * 1000)


@dataclass
class Row:
    name: str
    pages: int
    megabytes: float
    accepted: float
    first_text: float
    total: float
    health: list[float]
    ping: list[float]
    failed_probes: int
    memory: list[dict[str, Any]]
    restarts: dict[str, int]
    logged: dict[str, int]

    @property
    def rate(self) -> float:
        return self.pages / self.total


def first_text(client: httpx.Client, ids: Sequence[str], begun: float, found: list[float]) -> None:
    """Note when the first page of the first job was read; `ids` is filled meanwhile."""
    while not found:
        if ids:
            answer = client.get(f"/api/v1/jobs/{ids[0]}/pages/1")
            if answer.status_code == 200:
                assert answer.json()["text"], answer.text
                found.append(time.perf_counter() - begun)
                return
            assert answer.status_code == 409, answer.text
        time.sleep(ASK_SECONDS)


def measure(
    running: Running,
    name: str,
    requests: Sequence[Sequence[bytes]],
    pages: int,
    **options: str,
) -> Row:
    """Submit the requests one after another and wait until all of it is read."""
    bodies = [multipart(files, lane="bulk", **options) for files in requests]
    raw = redis.Redis.from_url(f"{running.service.settings.redis_url.get_secret_value()}")
    with running.client(TENANT) as client, running.client(TENANT) as other:
        sampler = Sampler(running, every=0.5)
        probes = [Probe(lambda: other.get("/healthz")), Probe(raw.ping)]
        ids: list[str] = []
        found: list[float] = []
        begun = time.perf_counter()
        reader = threading.Thread(target=first_text, args=(client, ids, begun, found), daemon=True)
        reader.start()
        for content, headers in bodies:
            answer = client.post("/api/v1/jobs", content=content, headers=headers)
            assert answer.status_code == 202, f"{answer.status_code} {answer.text[:500]}"
            made = answer.json()
            jobs = made.get("jobs", [made])
            ids += [job["request_id"] for job in jobs]
        accepted = time.perf_counter() - begun
        running.until_idle()
        total = time.perf_counter() - begun
        reader.join()
        for probe in probes:
            probe.close()
        sampler.close()
        check(running, ids, pages)
    raw.close()
    return Row(
        name, pages, sum(len(content) for content, _ in bodies) / 1e6, accepted, found[0], total,
        probes[0].spent, probes[1].spent, sum(probe.failed for probe in probes),
        memory_rows(sampler.samples), restarts(running), dict(logged_errors(running.folder)),
    )  # fmt: skip


def check(running: Running, ids: Sequence[str], pages: int) -> None:
    """Every page was read."""
    done = 0
    for at in range(0, len(ids), 500):
        jobs = running.service.records.jobs(ids[at : at + 500])
        done += sum(job.pages.done for job in jobs if job)
    assert done == pages, f"{done} of {pages} pages were read"


def show(rows: Sequence[Row]) -> None:
    columns = ["what", "pages", "MB sent", "accepted s", "first text s", "all read s", "pages/s",
               "healthz ms p50/p99/most", "PING ms p50/p99/most"]  # fmt: skip
    table = figures_table("from the first byte sent", columns)
    for row in rows:
        table.add_row(
            row.name, f"{row.pages:,}", f"{row.megabytes:.1f}", f"{row.accepted:.2f}",
            f"{row.first_text:.2f}", f"{row.total:.1f}", f"{row.rate:.1f}",
            waits(row.health), waits(row.ping),
        )  # fmt: skip
    console.print(table)
    for row in rows:
        console.print(f"{row.name}:", highlight=False)
        console.print(memory_table(row.memory))
        for name in ("failed_probes", "restarts", "logged"):
            if getattr(row, name):
                console.print(f"{name}: {getattr(row, name)}", highlight=False)


def waits(spent: Sequence[float]) -> str:
    return f"{percentile(spent, 0.5):.1f}/{percentile(spent, 0.99):.0f}/{max(spent):.0f}"


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--frames", type=int, default=2_000)
    arguments.add_argument("--files", type=int, default=10_000)
    arguments.add_argument("--page-ms", type=int, default=5, help="work of a page")
    chosen = arguments.parse_args()
    rows: list[Row] = []
    begun = time.perf_counter()
    document = tiff(1, chosen.frames, chosen.page_ms)
    console.print(
        f"a TIFF of {chosen.frames:,} frames: {len(document) / 1e6:.1f} MB, "
        f"drawn in {time.perf_counter() - begun:.0f} s",
        highlight=False,
    )
    file = png(2, chosen.page_ms)
    several = [
        [file] * min(FILES_PER_REQUEST, chosen.files - at)
        for at in range(0, chosen.files, FILES_PER_REQUEST)
    ]
    raised = {"CASOLA_MAX_FILES_PER_REQUEST": str(max(chosen.files, FILES_PER_REQUEST))}
    for name, requests, pages, settings in (
        ("document", [[document]], chosen.frames, {}),
        (f"requests of {FILES_PER_REQUEST:,}", several, chosen.files, {}),
        ("one request", [[file] * chosen.files], chosen.files, raised),
    ):
        with running_service([TENANT], CHILDREN, settings) as running:
            rows.append(measure(running, name, requests, pages))
    show(rows)
    write_report(chosen.report, {"rows": [figures(row) for row in rows], "page_ms": chosen.page_ms})


def figures(row: Row) -> dict[str, Any]:
    values = {name: value for name, value in vars(row).items() if name not in ("health", "ping")}
    for name in ("health", "ping"):
        spent = getattr(row, name)
        values[f"{name}_ms"] = {
            "p50": percentile(spent, 0.5),
            "p99": percentile(spent, 0.99),
            "most": max(spent),
        }
    return {**values, "pages_per_second": row.rate}


if __name__ == "__main__":
    main()
