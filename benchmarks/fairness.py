"""What a long queue of one tenant costs another one.

    python -m benchmarks.fairness [--queue 10000] [--page-ms 20] [--repeats 5] [--report FILE]

A running service with two worker children and the marker engine. Tenant B submits ten one-page
files in one request and waits for all of them (`Prefer: wait`): first on the idle service, in each
lane, then while tenant A has `--queue` pages waiting, half of them in one-page jobs, half in one
document. A's queue is filled up to its length before every measurement. The time is that of B's
whole request, and the ratio that of the medians. For each of A's lanes a service is started anew.

The aim is a ratio of at most 3 where B's lane is as urgent as A's or more. Where B's lane is the
less urgent one, the ratio says only that B does not starve.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from benchmarks.common import console, figures_table, parser, write_report
from benchmarks.running import LOOK_SECONDS, Running, multipart, png, running_service, tiff

LANES = ("bulk", "interactive")
CHILDREN = 2
PAGES = 10
#: Files of one of A's requests.
BATCH = 500
AIM = 3.0
#: Frames of A's document at most; larger files are refused.
MOST_FRAMES = 5_000


@dataclass
class Row:
    """B's requests of one lane behind A's queue of one lane; seconds."""

    a: str
    b: str
    alone: list[float]
    behind: list[float]
    #: A's pages that waited when each of B's requests began, and A's pages a second meanwhile.
    waiting: list[int]
    a_rate: float

    @property
    def ratio(self) -> float:
        return statistics.median(self.behind) / statistics.median(self.alone)

    @property
    def equal(self) -> bool:
        return self.a == self.b or self.b == "interactive"


def request_seconds(client: httpx.Client, lane: str, page_ms: int) -> float:
    """B's request, from its first byte to the answer that all its pages were read."""
    files = [png(60_000 + n, page_ms) for n in range(PAGES)]
    body, headers = multipart(files, lane=lane)
    begun = time.perf_counter()
    answer = client.post("/api/v1/jobs", content=body, headers={**headers, "Prefer": "wait=600"})
    seconds = time.perf_counter() - begun
    assert answer.status_code == 200, answer.text
    assert answer.json()["counts"]["completed"] == PAGES, answer.text
    return seconds


def submit(client: httpx.Client, body: bytes, headers: dict[str, str]) -> None:
    answer = client.post("/api/v1/jobs", content=body, headers=headers)
    assert answer.status_code == 202, f"{answer.status_code} {answer.text[:500]}"


def fill(running: Running, client: httpx.Client, batch: tuple[bytes, dict[str, str]], most: int):
    """Submit one-page jobs of A until so many of its pages wait."""
    while running.pending("a") < most:
        submit(client, *batch)


def queue_document(running: Running, client: httpx.Client, lane: str, frames: int, page_ms: int):
    """Submit A's document and wait until it was opened and its pages count."""
    submit(client, *multipart([tiff(1, frames, page_ms)], lane=lane))
    while running.pending("a") < frames * 0.9:
        time.sleep(LOOK_SECONDS)


def measure(running: Running, a: str, queue: int, page_ms: int, repeats: int) -> Iterator[Row]:
    """Both lanes of B, alone and behind A's queue in the lane `a`."""
    with running.client("a") as ours, running.client("b") as theirs:
        alone: dict[str, list[float]] = {lane: [] for lane in LANES}
        request_seconds(theirs, "bulk", page_ms)
        for _ in range(repeats):
            for lane in LANES:
                alone[lane].append(request_seconds(theirs, lane, page_ms))
        begun = time.monotonic()
        queue_document(running, ours, a, min(queue // 2, MOST_FRAMES), page_ms)
        batch = multipart([png(2, page_ms)] * min(BATCH, queue // 2), lane=a)
        fill(running, ours, batch, queue)
        seconds = time.monotonic() - begun
        print(f"{running.pending('a')} pages of A wait after {seconds:.0f} s", file=sys.stderr)
        for lane in LANES:
            behind, waiting, read, spent = [], [], 0, 0.0
            for _ in range(repeats):
                fill(running, ours, batch, queue)
                waiting.append(running.pending("a"))
                behind.append(request_seconds(theirs, lane, page_ms))
                read += waiting[-1] - running.pending("a")
                spent += behind[-1]
            yield Row(a, lane, alone[lane], behind, waiting, read / spent)


def show(rows: list[Row]) -> None:
    columns = ["A's lane, B's lane", "A waits", "B alone s", "B behind A s", "ratio", "aim",
               "A meanwhile pages/s"]  # fmt: skip
    table = figures_table(f"{PAGES} pages of B: median (least–most)", columns)
    for row in rows:
        met = "met" if row.ratio <= AIM else "MISSED"
        table.add_row(
            f"{row.a}, {row.b}", f"{min(row.waiting):,}", spread(row.alone), spread(row.behind),
            f"{row.ratio:.2f}", f"≤ {AIM:g} {met}" if row.equal else "B ends", f"{row.a_rate:.1f}",
        )  # fmt: skip
    console.print(table)


def spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})"


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--queue", type=int, default=10_000, help="pages of A that wait")
    arguments.add_argument("--page-ms", type=int, default=20, help="work of a page")
    arguments.add_argument("--repeats", type=int, default=5)
    chosen = arguments.parse_args()
    rows: list[Row] = []
    for a in LANES:
        with running_service(["a", "b"], CHILDREN) as running:
            rows += measure(running, a, chosen.queue, chosen.page_ms, chosen.repeats)
    show(rows)
    write_report(chosen.report, {"rows": [figures(row) for row in rows], **vars_of(chosen)})


def figures(row: Row) -> dict[str, Any]:
    return {**asdict(row), "ratio": row.ratio}


def vars_of(chosen: Any) -> dict[str, Any]:
    return {"queue": chosen.queue, "page_ms": chosen.page_ms, "children": CHILDREN}


if __name__ == "__main__":
    main()
