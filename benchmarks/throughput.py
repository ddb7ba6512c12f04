"""Pages a second of the service, of its engine alone, and of rapidocr_api, on the same pages.

    python -m benchmarks.throughput CORPUS [--pages 24] [--model auto] [--processes 1]
        [--threads 2] [--report FILE]

Needs `pip install rapidocr_api`. The pages are single pictures (JPEG, PNG), taken in turn from each
kind. Each side reads some of them, then the next side reads the same ones, so that a machine whose
speed changes favours none. A side gets several pages at once (`IN_FLIGHT`), each in a request:

- service: `casola-ocr serve`, synchronous jobs,
- engine: the same number of processes and threads, which open the same bytes and read them,
- rapidocr_api: its server with one and with two worker processes, whose threads it chooses; the
  ratio is to the faster one.

CER: see benchmarks/scores.py; over pages with a truth. What was refused counts as an empty text.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.accuracy import scores_of
from benchmarks.common import console, errors, figures_table, parser, write_report
from benchmarks.documents import open_picture
from benchmarks.readers import pool_of
from benchmarks.scores import mean
from benchmarks.serving import Server, casola, rapidocr_api
from casola_ocr.corpus import Entry, read_manifest
from casola_ocr.languages import AUTO
from casola_ocr.sample import sample_image
from casola_ocr.settings import load_settings
from workers.engines import make_engine
from workers.engines.base import Engine

#: Requests at once: enough that no process waits for the next page.
IN_FLIGHT = 4
#: Pages of a side's turn.
TURN_PAGES = 6
API_WORKERS = (1, 2)


@dataclass
class Side:
    """One who reads pages; `read` returns the text of one, at once on several threads."""

    name: str
    read: Callable[[bytes], str]
    pool: Executor
    seconds: float = 0.0
    texts: list[str] = field(default_factory=list)

    def warm(self) -> None:
        """Let every process read the sample."""
        list(self.pool.map(self.read, [sample_image()] * IN_FLIGHT))

    def turn(self, pages: Sequence[bytes]) -> None:
        begun = time.perf_counter()
        self.texts += self.pool.map(self.read, pages)
        self.seconds += time.perf_counter() - begun


def chosen_pages(entries: Sequence[Entry], count: int) -> list[Entry]:
    """So many single pictures, one of each kind in turn."""
    kinds: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.path.suffix in (".jpg", ".png"):
            kinds[entry.kind].append(entry)
    rounds = max(map(len, kinds.values()), default=0)
    return [
        members[place] for place in range(rounds) for members in kinds.values()
        if place < len(members)
    ][:count]  # fmt: skip


def served(server: Server, model: str) -> Callable[[bytes], str]:
    def read(page: bytes) -> str:
        answer = server.client.post(
            "/api/v1/jobs",
            files={"file": page},
            data={"model": model},
            headers={"Prefer": "wait=600"},
        )
        if answer.status_code != 200 or not answer.json()["page_results"]:
            return _refused("the service", answer)
        return str(answer.json()["page_results"][0]["text"])

    return read


def api(server: Server) -> Callable[[bytes], str]:
    def read(page: bytes) -> str:
        answer = server.client.post("/ocr", files={"image_file": page})
        if answer.status_code != 200:
            return _refused("rapidocr_api", answer)
        return "\n".join(line["rec_txt"] for line in answer.json().values())

    return read


def _refused(name: str, answer: httpx.Response) -> str:
    errors.print(f"{name}: {answer.status_code} {answer.text[:200]}", markup=False)
    return ""


#: Of a process of the bare engine, made by `_start`.
_engine: Engine


def _start(model: str, threads: int) -> None:
    global _engine
    _engine = make_engine(model, threads)


def _read(page: bytes) -> str:
    return _engine.read(open_picture(page), page=1, attempt=1, language=AUTO).text


def main() -> None:
    settings = load_settings()
    arguments = parser(__doc__)
    arguments.add_argument("corpus", type=Path)
    arguments.add_argument("--pages", type=int, default=24)
    arguments.add_argument("--model", choices=("auto", "pp-ocrv6"), default="auto")
    arguments.add_argument("--processes", type=int, default=settings.cpu_workers)
    arguments.add_argument("--threads", type=int, default=settings.cpu_threads)
    chosen = arguments.parse_args()
    entries = chosen_pages(read_manifest(chosen.corpus), chosen.pages)
    pages = [entry.path.read_bytes() for entry in entries]

    with ExitStack() as stack:
        clients = stack.enter_context(ThreadPoolExecutor(IN_FLIGHT))
        crew = stack.enter_context(pool_of(chosen.processes, _start, chosen.model, chosen.threads))
        ours = stack.enter_context(
            casola(cpu_workers=str(chosen.processes), cpu_threads=str(chosen.threads))
        )
        service = Side("service", served(ours, chosen.model), clients)
        engine = Side("engine", _read, crew)
        peers = [
            Side(f"rapidocr_api, {workers} worker(s)", api(server), clients)
            for workers in API_WORKERS
            for server in [stack.enter_context(rapidocr_api(workers))]
        ]
        sides = [service, engine, *peers]
        for side in sides:
            side.warm()
        for at in range(0, len(pages), TURN_PAGES):
            for side in sides:
                side.turn(pages[at : at + TURN_PAGES])

    fastest = min(peers, key=lambda side: side.seconds)
    table = figures_table(
        f"{len(pages)} pages, {chosen.model}, {chosen.processes} × {chosen.threads}",
        ("side", "pages/s", "service is", "CER"),
    )
    figures = {}
    for side in sides:
        speed, ratio = len(pages) / side.seconds, side.seconds / service.seconds
        known = [
            pair for pair in zip(entries, side.texts, strict=True) if pair[0].truth is not None
        ]
        cer = mean([scores_of(entry, text) for entry, text in known]).cer
        note = " (its best)" if side is fastest else ""
        table.add_row(side.name + note, f"{speed:.3f}", f"{ratio:.2f} ×", f"{cer:.3f}")
        figures[side.name] = {"pages_per_second": speed, "service_is": ratio, "cer": cer}
    console.print(table)
    write_report(
        chosen.report,
        {
            "model": chosen.model,
            "processes": chosen.processes,
            "threads": chosen.threads,
            "pages": [entry.name for entry in entries],
            "sides": figures,
        },
    )


if __name__ == "__main__":
    main()
