"""How soon a cancelled page leaves its worker.

    python -m benchmarks.cancel [--repeats 20] [--report FILE]

A running service whose worker reads one page at a time, started anew for each of:
  - prefork: the marker engine on pages of a minute, interrupted while it sleeps,
  - threads: the same in the threads pool,
  - pp-ocrv6: the real engine on dense pages of some seconds, which is interrupted when the native
    call that it is in returns.
A page is being read and another job waits. The first is cancelled at a random moment: `answered` is
the request's time, `freed` the time from its first byte until the worker has taken the other job.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import httpx

from benchmarks.common import console, figures_table, pair, parser, write_report
from benchmarks.running import Running, multipart, png, running_service
from tests.pages import as_bytes, draw_page

LONG_MS = 60_000
PATIENCE_SECONDS = 60.0
#: The error of the times that are measured here, which are tens of milliseconds and more.
LOOK_SECONDS = 0.002


@dataclass
class Row:
    name: str
    answered: list[float] = field(default_factory=list)
    freed: list[float] = field(default_factory=list)


def dense_page(number: int) -> bytes:
    lines = [f"Line {n} of page {number}: the quick brown fox jumps over it" for n in range(60)]
    return as_bytes(draw_page(lines, width=1600, noise=0.02, seed=number), "PNG")


def submit(client: httpx.Client, content: bytes) -> str:
    body, headers = multipart([content])
    answer = client.post("/api/v1/jobs", content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["request_id"])


def until_claimed(running: Running, request_id: str) -> float:
    """The moment at which the page was taken."""
    deadline = time.perf_counter() + PATIENCE_SECONDS
    while True:
        state = running.service.records.page_state(request_id, 1) or ""
        now = time.perf_counter()
        if state[:1] in ("r", "d"):
            return now
        assert now < deadline, "never taken"
        time.sleep(LOOK_SECONDS)


def measure(running: Running, name: str, draw: Callable[[int], bytes], repeats: int) -> Row:
    row, chance = Row(name), random.Random(1)
    with running.client("acme") as client:
        for number in range(repeats):
            first = submit(client, draw(number))
            until_claimed(running, first)
            second = submit(client, draw(number))
            # Anywhere between two of the worker's looks at its claims, and in an engine's calls.
            time.sleep(chance.random())
            begun = time.perf_counter()
            answer = client.post(f"/api/v1/jobs/{first}/cancel")
            row.answered.append((time.perf_counter() - begun) * 1000)
            assert answer.json()["status"] == "cancelled", answer.text
            row.freed.append((until_claimed(running, second) - begun) * 1000)
            client.post(f"/api/v1/jobs/{second}/cancel")
            running.until_idle()
    return row


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=20)
    chosen = arguments.parse_args()
    settings = {"CASOLA_SLOTS": "1", "CASOLA_CPU_THREADS": "2"}
    rows = []
    for worker in ("prefork", "threads", "pp-ocrv6"):
        draw = dense_page if worker == "pp-ocrv6" else lambda number: png(number, LONG_MS)
        with running_service(["acme"], 1, settings, worker) as running:
            rows.append(measure(running, worker, draw, chosen.repeats))
    columns = ["worker", "answered ms p50/p99", "freed ms p50/p99", "freed ms most"]
    table = figures_table(f"{chosen.repeats} cancelled pages each", columns)
    for row in rows:
        table.add_row(row.name, pair(row.answered, 0), pair(row.freed, 0), f"{max(row.freed):.0f}")
    console.print(table)
    write_report(chosen.report, {"rows": [asdict(row) for row in rows]})


if __name__ == "__main__":
    main()
