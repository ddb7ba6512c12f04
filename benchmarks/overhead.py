"""The gateway's overhead: what our path adds to a call whose engine takes no time.

    python -m benchmarks.overhead [--rounds 5] [--seconds 3] [--api-workers 1] [--report FILE]

A running service (so many API processes, Valkey, the directory store, a worker child for each core)
with an engine that reads a page in no time; the page has 100 kB. Clients wait for its text, each
with a connection of its own and one request after the other: by fal's `sync_mode`, OpenAI's chat
completions, and our own API with `Prefer: wait=`. Then 16 clients submit pages without waiting:
once while the workers read what comes, and once while they are held up by something else.

Everything runs on the same cores, the clients too, and other work on the machine shows at once. So
each figure is measured in several short rounds that take turns; the table has the best round by
its p50 and, in brackets, the median of the rounds' p50. The CPU time of a call is of all rounds: it
changes least with what else the machine does; 1000 over it is the most calls a second of one core.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from benchmarks.common import console, figures_table, pair, parser, percentile, write_report
from benchmarks.running import Running, multipart, png, running_service

TENANT = "overhead"
PAGE_BYTES = 100_000
CLIENTS = (1, 16, 64)
SUBMITTERS = 16
#: Processes whose CPU time is told.
PARTS = {"api-1": "API", "pages-1": "workers", "valkey": "Valkey"}
#: Calls that are made before any is counted.
WARM_CALLS = 20
#: Longer than all rounds of submissions together.
HOLD_MS = 60_000


@dataclass(frozen=True)
class Call:
    """A request as it is sent, and whether its answer is the right one."""

    path: str
    body: bytes
    headers: dict[str, str]
    is_right: Callable[[Any], bool]


def calls() -> dict[str, Call]:
    page = padded(png(1, 0))
    url = f"data:image/png;base64,{base64.b64encode(page).decode()}"
    image = {"type": "image_url", "image_url": {"url": url}}
    form, form_headers = multipart([page])
    json_type = {"Content-Type": "application/json"}
    return {
        "own API": Call(
            "/api/v1/jobs",
            form,
            {**form_headers, "Prefer": "wait=60"},
            lambda answer: answer["status"] == "completed",
        ),
        "fal, sync_mode": Call(
            "/fal/ocr",
            _json({"image_url": url, "sync_mode": True}),
            json_type,
            lambda answer: answer["status"] == "completed",
        ),
        "OpenAI chat": Call(
            "/v1/chat/completions",
            _json({"model": "auto", "messages": [{"role": "user", "content": [image]}]}),
            json_type,
            lambda answer: answer["choices"][0]["finish_reason"] == "stop",
        ),
    }


def padded(picture: bytes) -> bytes:
    """Bytes after a PNG's end are no part of the picture."""
    return picture + bytes(max(0, PAGE_BYTES - len(picture)))


async def load(running: Running, call: Call, clients: int, seconds: float) -> list[float]:
    """Milliseconds of each call while so many clients call without a pause."""
    headers = {"Authorization": f"Bearer {running.tokens[TENANT]}", **call.headers}
    took: list[float] = []

    async def client(session: aiohttp.ClientSession, until: float) -> None:
        while time.perf_counter() < until:
            begun = time.perf_counter()
            async with session.post(call.path, data=call.body) as answer:
                body = await answer.json()
            took.append((time.perf_counter() - begun) * 1000)
            if answer.status >= 300 or not call.is_right(body):
                raise AssertionError(f"{answer.status}: {str(body)[:300]}")

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(running.url, headers=headers, connector=connector) as session:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(client(session, until) for _ in range(clients)))
    return took


def cpu_seconds(running: Running) -> dict[str, float]:
    """CPU time of the processes so far, by what they are."""
    found = {}
    for name, told in PARTS.items():
        times = [process.cpu_times() for process in running.cluster.family(name)]
        found[told] = sum(time.user + time.system for time in times)
    return found


async def submissions(running: Running, seconds: float) -> tuple[float, list[float]]:
    """Submissions a second that nobody waits for, and the milliseconds of each."""
    body, headers = multipart([padded(png(2, 0))])
    call = Call(
        "/api/v1/jobs",
        body,
        headers,
        lambda job: job["status"] in ("queued", "processing", "completed"),
    )
    begun = time.perf_counter()
    took = await load(running, call, SUBMITTERS, seconds)
    return len(took) / (time.perf_counter() - begun), took


def held(running: Running, workers: int) -> list[str]:
    """Jobs that keep every worker busy."""
    with running.client(TENANT) as client:
        made = []
        for number in range(workers):
            body, headers = multipart([png(number, HOLD_MS)])
            made.append(client.post("/api/v1/jobs", content=body, headers=headers).json())
        names = [job["request_id"] for job in made]
        while any(
            client.get(f"/api/v1/jobs/{name}").json()["status"] == "queued" for name in names
        ):
            time.sleep(0.05)
        return names


def let_go(running: Running, names: list[str]) -> None:
    with running.client(TENANT) as client:
        for name in names:
            client.post(f"/api/v1/jobs/{name}/cancel").raise_for_status()
    running.until_idle()


def count(cost: dict[str, float], running: Running, before: dict[str, float], calls: int) -> None:
    cost["calls"] += calls
    for part, seconds in cpu_seconds(running).items():
        cost[part] += seconds - before[part]


def best(rounds: list[list[float]]) -> str:
    middles = [percentile(took, 0.5) for took in rounds]
    chosen = rounds[middles.index(min(middles))]
    return f"{pair(chosen, 1)} ({statistics.median(middles):.1f})"


def _json(values: Any) -> bytes:
    return json.dumps(values).encode()


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=3)
    arguments.add_argument("--api-workers", type=int, default=1)
    chosen = arguments.parse_args()
    cores = os.cpu_count() or 1
    kinds = calls()
    waited: dict[tuple[str, int], list[list[float]]] = {}
    rates: dict[str, list[float]] = {"while pages are read": [], "while workers are held up": []}
    tries: dict[str, list[list[float]]] = {name: [] for name in rates}
    costs: dict[str, dict[str, float]] = {name: defaultdict(float) for name in (*kinds, *rates)}
    settings = {"CASOLA_API_WORKERS": str(chosen.api_workers)}
    with running_service([TENANT], cores, settings) as running:
        for call in kinds.values():
            for _ in range(WARM_CALLS):
                asyncio.run(load(running, call, 1, 0.0001))
        for _ in range(chosen.rounds):
            for clients in CLIENTS:
                for name, call in kinds.items():
                    before = cpu_seconds(running)
                    took = asyncio.run(load(running, call, clients, chosen.seconds))
                    count(costs[name], running, before, len(took))
                    waited.setdefault((name, clients), []).append(took)
            for name in rates:
                holding = held(running, cores) if "held" in name else []
                before = cpu_seconds(running)
                rate, took = asyncio.run(submissions(running, chosen.seconds))
                rates[name].append(rate)
                tries[name].append(took)
                let_go(running, holding)
                count(costs[name], running, before, len(took))

    title = f"Waiting, p50/p99 in ms (median of the rounds' p50); {cores} cores"
    table = figures_table(title, ("", *(f"{clients} clients" for clients in CLIENTS)))
    for name in kinds:
        table.add_row(name, *(best(waited[name, clients]) for clients in CLIENTS))
    console.print(table)
    columns = ("", "best round, /s", "median round, /s", "p50/p99 of the best, ms")
    table = figures_table(
        f"Submissions of 100 kB by {SUBMITTERS} clients that do not wait", columns
    )
    for name, found in rates.items():
        top = tries[name][found.index(max(found))]
        table.add_row(name, f"{max(found):.0f}", f"{statistics.median(found):.0f}", pair(top, 1))
    console.print(table)
    table = figures_table("CPU time of a call, ms", ("", *PARTS.values()))
    for name, cost in costs.items():
        spent = (cost[part] * 1000 / cost["calls"] for part in PARTS.values())
        table.add_row(name, *(f"{milliseconds:.1f}" for milliseconds in spent))
    console.print(table)
    write_report(
        chosen.report,
        {
            "cpu seconds": costs,
            "waiting": {
                f"{name}, {clients}": [pair(took, 2) for took in rounds]
                for (name, clients), rounds in waited.items()
            },
            "submissions": rates,
        },
    )


if __name__ == "__main__":
    main()
