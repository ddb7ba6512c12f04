"""What each process of the service holds while it reads a PDF with its real engines.

    python -m benchmarks.memory [--pages 40] [--model auto] [--report FILE]

Starts `casola-ocr serve` as it comes (two children with two threads each on two cores), submits a
PDF of A4 pages full of text, which are drawn at 300 dpi, and looks at the resident memory of every
process five times a second until all are read. The most that a process may hold is 600 MB.
"""

from __future__ import annotations

import threading
import time

import psutil

from benchmarks.common import console, figures_table, parser, write_report
from benchmarks.large_pdf import PAPER, document
from benchmarks.service import name_of
from benchmarks.serving import casola
from casola_ocr.client import Client

MIB = 1024 * 1024
LOOK_SECONDS = 0.2


class Watch:
    """The resident MiB of every process below one: the most of all looks, and the last."""

    def __init__(self, pid: int):
        self._root = psutil.Process(pid)
        self._closed = threading.Event()
        self.most: dict[tuple[str, int], float] = {}
        self.last: dict[tuple[str, int], float] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            found = {}
            for process in [self._root, *self._root.children(recursive=True)]:
                try:
                    found[name_of(process), process.pid] = process.memory_info().rss / MIB
                except psutil.Error:
                    continue
            self.last = found
            for key, size in found.items():
                self.most[key] = max(size, self.most.get(key, 0))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--pages", type=int, default=40)
    arguments.add_argument("--model", default="auto")
    chosen = arguments.parse_args()
    content = document(chosen.pages, PAPER["a4"])
    with casola() as server, Client(str(server.client.base_url)) as client:
        watch = Watch(server.process.pid)
        begun = time.perf_counter()
        job = client.wait(client.submit(content, file_name="a4.pdf", model=chosen.model))
        seconds = time.perf_counter() - begun
        watch.close()
    console.print(f"{job.pages.done} of {job.pages.total} pages in {seconds:.0f} s")
    table = figures_table("resident memory, MiB", ["process", "pid", "peak", "at the end"])
    rows = [
        {"process": name, "pid": pid, "peak": size, "end": watch.last.get((name, pid))}
        for (name, pid), size in sorted(watch.most.items())
    ]
    for row in rows:
        end = row["end"]
        table.add_row(
            row["process"], str(row["pid"]), f"{row['peak']:.0f}",
            "–" if end is None else f"{end:.0f}",
        )  # fmt: skip
    console.print(table)
    write_report(chosen.report, {"seconds": seconds, "rows": rows})


if __name__ == "__main__":
    main()
