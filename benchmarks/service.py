"""The running service beside the bare engine, in the same run.

    python -m benchmarks.service [--corpus ../shared/corpus] [--calls 40] [--pages 20]

Starts `casola-ocr serve` in a folder of its own, and prints
  - the time to readiness and the resident memory of each process at rest,
  - what a synchronous call adds to the bare engine's call on the same image (p50, p99),
  - pages/s of the service over pages/s of the bare engine with the same processes and threads.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from casola_ocr import documents
from casola_ocr.sample import sample_image
from casola_ocr.settings import load_settings
from tests.pages import as_bytes, draw_page
from workers.engines import make_engine

ENGINE = "pp-ocrv6"
#: Calls that are made before any is counted.
WARM_CALLS = 2
#: Pages of one turn, when service and bare engine take turns.
TURN_PAGES = 4
console = Console()


def pages_to_read(corpus: Path | None, count: int) -> list[bytes]:
    if corpus is None:
        lines = [f"Line {i} of a page that was drawn for this benchmark" for i in range(30)]
        return [
            as_bytes(draw_page(lines, noise=0.03, seed=seed), "JPEG", quality=85)
            for seed in range(count)
        ]
    rows = map(json.loads, (corpus / "manifest.jsonl").read_text().splitlines())
    names = [r["file"] for r in rows if r["pages"] == 1 and r["file"].endswith((".jpg", ".png"))]
    step = max(1, len(names) // count)
    return [(corpus / name).read_bytes() for name in names[::step][:count]]


def open_image(data: bytes):
    media_type = documents.sniff(data[: documents.HEAD_BYTES])
    return documents.open_page(BytesIO(data), media_type, 1, max_pixels=100_000_000)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def bare_worker(threads: int, ready, queue, done) -> None:
    """A process of the bare engine: takes bytes, reads them, as a worker child would."""
    engine = make_engine(ENGINE, threads)
    ready.release()
    while (data := queue.get()) is not None:
        engine.read(open_image(data), page=1, attempt=1, language="auto")
        done.release()


class BareCrew:
    """As many processes of the bare engine as the service has worker children."""

    def __init__(self, processes: int, threads: int):
        context = multiprocessing.get_context("spawn")
        ready, self._done = context.Semaphore(0), context.Semaphore(0)
        self._queue = context.Queue()
        arguments = (threads, ready, self._queue, self._done)
        self._crew = [context.Process(target=bare_worker, args=arguments) for _ in range(processes)]
        for process in self._crew:
            process.start()
        for _ in self._crew:
            ready.acquire()

    def seconds(self, pages: list[bytes]) -> float:
        begun = time.perf_counter()
        for page in pages:
            self._queue.put(page)
        for _ in pages:
            self._done.acquire()
        return time.perf_counter() - begun

    def stop(self) -> None:
        for _ in self._crew:
            self._queue.put(None)
        for process in self._crew:
            process.join()


def service_seconds(client: httpx.Client, pages: list[bytes]) -> float:
    begun = time.perf_counter()
    files = [("file", (f"{n}.jpg", page)) for n, page in enumerate(pages)]
    answer = client.post("/api/v1/jobs", files=files, headers={"Prefer": "wait=600"})
    seconds = time.perf_counter() - begun
    assert answer.status_code == 200, answer.text
    assert answer.json()["counts"]["completed"] == len(pages), answer.text
    return seconds


def paired_calls(
    client: httpx.Client, image: bytes, calls: int, threads: int
) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds of calls of the service, of the engine inside them, and of the bare engine.

    The two take turns, so that a machine whose speed changes does not favour one.
    """
    engine = make_engine(ENGINE, threads)
    wholes, inside, bare = [], [], []
    for turn in range(calls + WARM_CALLS):
        begun = time.perf_counter()
        answer = client.post("/api/v1/jobs", files={"file": image}, headers={"Prefer": "wait=60"})
        whole = (time.perf_counter() - begun) * 1000
        begun = time.perf_counter()
        engine.read(open_image(image), page=1, attempt=1, language="auto")
        alone = (time.perf_counter() - begun) * 1000
        if turn >= WARM_CALLS:
            wholes.append(whole)
            inside.append(answer.json()["page_results"][0]["seconds"] * 1000)
            bare.append(alone)
    return wholes, inside, bare


def name_of(process: psutil.Process) -> str:
    line = " ".join(process.cmdline())
    for words, name in (
        (("valkey",), "valkey"),
        (("worker", "pages"), "pages worker"),
        (("worker", "prepare"), "prepare worker"),
        (("reconcile",), "reconciler"),
        (("gunicorn",), "api"),
        (("serve",), "supervisor"),
    ):
        if all(word in line for word in words):
            return name
    return line[:40]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--pages", type=int, default=20)
    chosen = parser.parse_args()
    settings = load_settings()
    pages = pages_to_read(chosen.corpus, chosen.pages)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "CASOLA_PORT": str(port), "CASOLA_DATA_DIR": folder}
        environment |= {"CASOLA_SYNC_TIMEOUT_SECONDS": "600"}
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "casola_ocr.cli", "serve"],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=700) as client:
                while True:
                    try:
                        if client.get("/readyz").status_code == 200:
                            break
                    except httpx.HTTPError:
                        pass
                    time.sleep(0.05)
                start_seconds = time.perf_counter() - begun
                time.sleep(2)
                root = psutil.Process(process.pid)
                family = [root, *root.children(recursive=True)]
                memory = [(name_of(p), p.pid, p.memory_info().rss / 1e6) for p in family]
                wholes, engines, bare = paired_calls(
                    client, sample_image(), chosen.calls, settings.cpu_threads
                )
                served = alone = 0.0
                crew = BareCrew(settings.cpu_workers, settings.cpu_threads)
                for at in range(0, len(pages), TURN_PAGES):
                    served += service_seconds(client, pages[at : at + TURN_PAGES])
                    alone += crew.seconds(pages[at : at + TURN_PAGES])
                crew.stop()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)

    table = Table("figure", "value")
    table.add_row("cores, children × threads", f"{os.cpu_count()}, {settings.cpu_workers} × "
                  f"{settings.cpu_threads}")  # fmt: skip
    table.add_row("time to ready", f"{start_seconds:.1f} s")
    for share, label in ((0.5, "p50"), (0.99, "p99")):
        table.add_row(f"sync call {label}", f"{percentile(wholes, share):.0f} ms")
        table.add_row(f"bare engine call {label}", f"{percentile(bare, share):.0f} ms")
    inner = [whole - engine for whole, engine in zip(wholes, engines, strict=True)]
    pairs = [whole - alone for whole, alone in zip(wholes, bare, strict=True)]
    table.add_row("added to the bare call, median of pairs", f"{statistics.median(pairs):.1f} ms")
    table.add_row("added around its own engine time, p50 / p99",
                  f"{percentile(inner, 0.5):.1f} / {percentile(inner, 0.99):.1f} ms")  # fmt: skip
    table.add_row(f"pages/s served, {len(pages)} pages", f"{len(pages) / served:.3f}")
    table.add_row("pages/s bare", f"{len(pages) / alone:.3f}")
    table.add_row("ratio", f"{alone / served:.3f}")
    console.print(table)
    rest = Table("process", "pid", "RSS at rest, MB")
    for name, pid, megabytes in memory:
        rest.add_row(name, str(pid), f"{megabytes:.0f}")
    console.print(rest)


if __name__ == "__main__":
    main()
