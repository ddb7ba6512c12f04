"""A thousand clients that wait at once, and submissions beside them.

    python -m benchmarks.waiting [--clients 1000] [--seconds 20] [--report FILE]

A running service (one API process, one worker child with the marker engine) whose worker is busy
with pages that take longer than the measurement, so that everything submitted waits behind them.
Then clients wait, one way after the other:
  - `events`: each follows one of a hundred queued jobs by server-sent events,
  - `long poll`: each asks for such a job with `?wait=`,
  - `sync`: each submits a page of its own with `Prefer: wait=`.
While they wait, one client submits pages one after the other (100 kB each, not waiting), as fast as
they are answered: their latency is compared with that before anybody waited. The API's resident
memory, its threads and open files, and Valkey's connections are read at the end of each. Then the
long pages are cancelled and every client must hear of its job's end: `woken` is the time from the
moment the worker goes on until the last one did.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import httpx
import psutil

from benchmarks.common import console, figures_table, pair, parser, write_report
from benchmarks.running import Running, multipart, png, running_service
from tests.waiting import until

TENANT = "waiting"
#: Jobs that are followed by several clients each.
JOBS = 100
#: Bytes of a submitted page.
PAGE_BYTES = 100_000
#: The pages that keep the worker busy: together longer than all of the measurement.
HOLD_MS, HOLDS = 60_000, 5
#: How long the clients get to connect before anything is measured.
CONNECT_SECONDS = 120.0
PATIENCE_SECONDS = 240

Client = Callable[[aiohttp.ClientSession, int, "Crowd"], Awaitable[None]]


@dataclass
class Crowd:
    """Clients of one kind: how many wait, how many were told the end, and what went wrong."""

    jobs: list[str]
    waiting: int = 0
    ended: int = 0
    errors: list[str] = field(default_factory=list)


async def follow(session: aiohttp.ClientSession, number: int, crowd: Crowd) -> None:
    request_id = crowd.jobs[number % len(crowd.jobs)]
    async with session.get(f"/api/v1/jobs/{request_id}/events") as answer:
        answer.raise_for_status()
        crowd.waiting += 1
        async for line in answer.content:
            if line.startswith(b"event: finished"):
                crowd.ended += 1
                return
    crowd.errors.append("the stream ended early")


async def poll(session: aiohttp.ClientSession, number: int, crowd: Crowd) -> None:
    request_id = crowd.jobs[number % len(crowd.jobs)]
    crowd.waiting += 1
    async with session.get(f"/api/v1/jobs/{request_id}?wait={PATIENCE_SECONDS}") as answer:
        job = await answer.json()
    _count(crowd, job)


async def submit_and_wait(session: aiohttp.ClientSession, number: int, crowd: Crowd) -> None:
    body, headers = page(number)
    crowd.waiting += 1
    headers = {**headers, "Prefer": f"wait={PATIENCE_SECONDS}"}
    async with session.post("/api/v1/jobs", data=body, headers=headers) as answer:
        job = await answer.json()
    _count(crowd, job)


def _count(crowd: Crowd, job: dict[str, Any]) -> None:
    if job.get("status") == "completed":
        crowd.ended += 1
    else:
        crowd.errors.append(str(job.get("code") or job.get("status")))


KINDS: dict[str, Client] = {"events": follow, "long poll": poll, "sync": submit_and_wait}


def page(number: int, milliseconds: int = 0) -> tuple[bytes, dict[str, str]]:
    """The body of a submission; filled up to `PAGE_BYTES` after the picture's end."""
    picture = png(number % 4096, milliseconds)
    return multipart([picture + bytes(max(0, PAGE_BYTES - len(picture)))])


@dataclass
class Submitter:
    """Submits one page after the other until it is closed."""

    running: Running
    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    _closed: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Submitter:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        body, headers = page(7)
        with self.running.client(TENANT) as client:
            while not self._closed.is_set():
                begun = time.perf_counter()
                answer = client.post("/api/v1/jobs", content=body, headers=headers)
                self.seconds.append(time.perf_counter() - begun)
                self.refused += answer.status_code != 202


def milliseconds(submitter: Submitter) -> str:
    return pair([second * 1000 for second in submitter.seconds], 1)


def held(running: Running, client: httpx.Client) -> list[str]:
    """Keep the worker busy; returns the jobs that do, one after the other."""
    held_by = []
    for number in range(HOLDS):
        body, headers = page(number, HOLD_MS)
        answer = client.post("/api/v1/jobs", content=body, headers=headers)
        held_by.append(answer.json()["request_id"])
    first = f"/api/v1/jobs/{held_by[0]}"
    until(lambda: client.get(first).json()["status"] == "processing", "the worker is busy")
    return held_by


def let_go(client: httpx.Client, held_by: list[str]) -> None:
    """The one that is read last: what is cancelled while it waits is never begun."""
    for request_id in reversed(held_by):
        client.post(f"/api/v1/jobs/{request_id}/cancel")


def queued(client: httpx.Client) -> list[str]:
    found = []
    for number in range(JOBS):
        body, headers = page(number)
        answer = client.post("/api/v1/jobs", content=body, headers=headers)
        found.append(answer.json()["request_id"])
    return found


async def measure(running: Running, kind: str, clients: int, seconds: float) -> dict[str, Any]:
    with running.client(TENANT) as client:
        holding = await asyncio.to_thread(held, running, client)
        crowd = Crowd(await asyncio.to_thread(queued, client))
        headers = {"Authorization": f"Bearer {running.tokens[TENANT]}"}
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS + 60)
        async with aiohttp.ClientSession(
            running.url, headers=headers, connector=connector, timeout=timeout
        ) as session:
            begun = time.perf_counter()
            tasks = [
                asyncio.ensure_future(KINDS[kind](session, number, crowd))
                for number in range(clients)
            ]
            deadline = begun + CONNECT_SECONDS
            while connections(running) < clients and time.perf_counter() < deadline:
                await asyncio.sleep(0.1)
            # Long polls and synchronous submissions are accepted once they are open.
            await asyncio.sleep(2)
            connected = time.perf_counter() - begun
            with Submitter(running) as submitter:
                await asyncio.sleep(seconds)
            rest = resources(running)
            await asyncio.to_thread(let_go, client, holding)
            begun = time.perf_counter()
            await asyncio.gather(*tasks, return_exceptions=True)
            woken = time.perf_counter() - begun
    failed = [repr(task.exception()) for task in tasks if task.exception()]
    running.until_idle()
    return {
        "clients": clients,
        "told the end": crowd.ended,
        "errors": sorted({*crowd.errors, *failed})[:3],
        "all connected, s": round(connected, 1),
        "woken, s": round(woken, 1),
        "submits p50/p99, ms": milliseconds(submitter),
        "submits/s": round(len(submitter.seconds) / seconds, 1),
        "submits refused": submitter.refused,
        **rest,
    }


def api(running: Running) -> list[psutil.Process]:
    return running.cluster.family("api-1")


def connections(running: Running) -> int:
    port = int(running.url.rpartition(":")[2])
    return sum(
        1
        for process in api(running)
        for found in process.net_connections("tcp")
        if found.status == psutil.CONN_ESTABLISHED and found.laddr.port == port
    )


def resources(running: Running) -> dict[str, Any]:
    family = api(running)
    return {
        "API RSS, MB": round(sum(p.memory_info().rss for p in family) / 1e6),
        "API threads": sum(p.num_threads() for p in family),
        "API open files": sum(p.num_fds() for p in family),
        "Valkey connections": len(running.raw.client_list()),
    }


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--clients", type=int, default=1000)
    arguments.add_argument("--seconds", type=float, default=20)
    chosen = arguments.parse_args()
    settings = {
        "CASOLA_SYNC_TIMEOUT_SECONDS": str(PATIENCE_SECONDS),
        "CASOLA_PAGE_TIMEOUT_SECONDS": "600",
    }
    with running_service([TENANT], 1, settings) as running:
        with running.client(TENANT) as client:
            holding = held(running, client)
            with Submitter(running) as quiet:
                time.sleep(chosen.seconds)
            let_go(client, holding)
        running.until_idle()
        nobody = {
            "clients": 0,
            "submits p50/p99, ms": milliseconds(quiet),
            "submits/s": round(len(quiet.seconds) / chosen.seconds, 1),
            "submits refused": quiet.refused,
            **resources(running),
        }
        figures = {"nobody": nobody}
        for kind in KINDS:
            figures[kind] = asyncio.run(measure(running, kind, chosen.clients, chosen.seconds))
    table = figures_table(f"{chosen.clients} clients wait; {os.cpu_count()} cores", ("", *figures))
    for name in figures["events"]:
        table.add_row(name, *(str(figures[kind].get(name, "–")) for kind in figures))
    console.print(table)
    write_report(chosen.report, figures)


if __name__ == "__main__":
    main()
