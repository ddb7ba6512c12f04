"""What the running service costs: its start, its memory at rest, and what it adds to a page.

    python -m benchmarks.service [--calls 40] [--report FILE]

Starts `casola-ocr serve` in a folder of its own, and prints
  - the time to readiness and the resident memory of each process at rest,
  - what a synchronous call adds to the bare engine's call on the same image (p50, p99).
"""

from __future__ import annotations

import os
import statistics
import time

import httpx
import psutil

from benchmarks.common import console, figures_table, pair, parser, write_report
from benchmarks.documents import open_picture
from benchmarks.serving import casola
from casola_ocr.sample import sample_image
from casola_ocr.settings import load_settings
from workers.engines import make_engine

ENGINE = "pp-ocrv6"
#: Calls that are made before any is counted.
WARM_CALLS = 2
#: After it is ready.
REST_SECONDS = 2


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
        engine.read(open_picture(image), page=1, attempt=1, language="auto")
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
    arguments = parser(__doc__)
    arguments.add_argument("--calls", type=int, default=40)
    chosen = arguments.parse_args()
    settings = load_settings()

    with casola() as server:
        time.sleep(REST_SECONDS)
        root = psutil.Process(server.process.pid)
        family = [root, *root.children(recursive=True)]
        memory = [(name_of(p), p.pid, p.memory_info().rss / 1e6) for p in family]
        wholes, engines, bare = paired_calls(
            server.client, sample_image(), chosen.calls, settings.cpu_threads
        )

    added = [whole - alone for whole, alone in zip(wholes, bare, strict=True)]
    around = [whole - engine for whole, engine in zip(wholes, engines, strict=True)]
    rows = {
        "cores, children × threads": f"{os.cpu_count()}, {settings.cpu_workers} × "
        f"{settings.cpu_threads}",
        "time to ready, s": f"{server.seconds_to_ready:.1f}",
        "synchronous call p50/p99, ms": pair(wholes, 0),
        "bare engine call p50/p99, ms": pair(bare, 0),
        "added to the bare call, median of pairs, ms": f"{statistics.median(added):.1f}",
        "added around its own engine time p50/p99, ms": pair(around, 1),
    }
    table = figures_table(f"{chosen.calls} calls of {ENGINE} with the sample page", ("", "value"))
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)
    rest = figures_table("At rest", ("process", "pid", "RSS, MB"))
    for name, pid, megabytes in memory:
        rest.add_row(name, str(pid), f"{megabytes:.0f}")
    console.print(rest)
    write_report(chosen.report, {**rows, "memory": memory})


if __name__ == "__main__":
    main()
