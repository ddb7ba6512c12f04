"""Five times as much work as the service can do, for as long as asked.

    python -m benchmarks.overload [--seconds 600] [--factor 5] [--page-ms 50] [--report FILE]

A running service with two worker children, the marker engine and small quotas, so that admission
has to act. First its capacity is measured: pages that become terminal each second while the queue
is full, for `--capacity-seconds`. Then the load:
  - five bulk tenants with 32 clients in all offer `--factor` times the capacity in an open loop:
    each client's submissions (batches of 1 to 40 small PNGs) are due at random moments, whatever
    became of those before. A client that is refused is silent for as long as Retry-After says;
    what is due meanwhile is held back, and lost to the service. A client has one request open at
    a time; what is due while it waits for an answer is sent afterwards, `late`.
  - one interactive tenant sends a page a second with `Prefer: wait=30`, also whatever became of
    those before; its latency is from the first byte to the text.
Every two seconds the resident memory of each process, Valkey's used_memory, the pages that wait,
and the markers in the directory store are sampled. At the end the load stops, everything accepted
is awaited, and each accepted job is looked up: LOST is a job that has neither a record that ended
nor a result in the store. Latencies are those of answered requests; the refused ones are counted
beside them. The memory after a fifth of the load is compared with that at its end.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil

from benchmarks.common import console, figures_table, parser, percentile, write_report
from benchmarks.running import (
    LOOK_SECONDS,
    Running,
    Sampler,
    logged_errors,
    memory_rows,
    memory_table,
    multipart,
    png,
    restarts,
    running_service,
)
from casola_ocr.objects import keys

CHILDREN = 2
BULK = [f"bulk-{n}" for n in range(5)]
INTERACTIVE = "interactive"
#: Bulk clients; each is one connection.
CLIENTS = 32
#: Files of a bulk submission, chosen at random.
SIZES = (1, 5, 10, 20, 40)
QUOTA = {"CASOLA_MAX_PENDING_PAGES": "2000", "CASOLA_MAX_PENDING_PAGES_PER_TENANT": "500"}
WAIT_SECONDS = 30
INTERACTIVE_EVERY = 1.0
#: Longest time that the accepted work may need once the load stopped.
DRAIN_SECONDS = 600
#: Answers of a request that is to be sent again later.
REFUSALS = (429, 503)
LOOKED_UP = 500


@dataclass
class Outcome:
    """What became of the load. The IDs of what was accepted grow with the capacity alone."""

    pages: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    retry_after: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    accepted: list[tuple[str, str]] = field(default_factory=list)
    #: Second of the load → latency of an interactive page; of all, and of bulk submissions.
    interactive: list[tuple[float, float]] = field(default_factory=list)
    submissions: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Body:
    files: int
    content: bytes
    headers: dict[str, str]


def bodies(page_ms: int, lane: str, sizes: Sequence[int]) -> list[Body]:
    return [Body(n, *multipart([png(n, page_ms)] * n, lane=lane)) for n in sizes]


def measure_capacity(running: Running, page_ms: int, seconds: float) -> float:
    """Pages a second with a full queue."""
    body = bodies(page_ms, "bulk", [40])[0]
    with running.client(BULK[0]) as client:
        done = ended = 0.0
        begun = time.monotonic()
        warm = 5.0
        submitted = 0
        while time.monotonic() - begun < warm + seconds:
            while running.pending() < 200:
                answer = client.post("/api/v1/jobs", content=body.content, headers=body.headers)
                assert answer.status_code == 202, answer.text
                submitted += body.files
            if not ended and time.monotonic() - begun > warm:
                done, ended = submitted - running.pending(), time.monotonic()
            time.sleep(LOOK_SECONDS)
        rate = (submitted - running.pending() - done) / (time.monotonic() - ended)
    running.until_idle()
    return rate


async def load(running: Running, chosen: Any, rate: float, outcome: Outcome) -> None:
    """Offer `rate` bulk pages a second, and the interactive ones, until the time is over."""
    made = bodies(chosen.page_ms, "bulk", SIZES)
    mean = sum(body.files for body in made) / len(made)
    until = time.monotonic() + chosen.seconds
    source = random.Random(chosen.seed)
    limits = httpx.Limits(max_connections=CLIENTS + 64, max_keepalive_connections=CLIENTS + 64)
    async with httpx.AsyncClient(
        base_url=running.url, limits=limits, timeout=120, trust_env=False
    ) as client:
        tasks = [
            asyncio.create_task(
                bulk_client(
                    client, running.tokens[BULK[n % len(BULK)]], BULK[n % len(BULK)], made,
                    mean * CLIENTS / rate, until, random.Random(source.random()), outcome,
                )
            )
            for n in range(CLIENTS)
        ]  # fmt: skip
        tasks.append(asyncio.create_task(interactive_client(client, running, until, outcome)))
        await asyncio.gather(*tasks)


async def bulk_client(
    client: httpx.AsyncClient,
    token: str,
    tenant: str,
    made: Sequence[Body],
    every: float,
    until: float,
    source: random.Random,
    outcome: Outcome,
) -> None:
    due = time.monotonic() + source.expovariate(1 / every)
    silent_until = 0.0
    while due < until:
        body = source.choice(made)
        outcome.pages["offered"] += body.files
        pause = due - time.monotonic()
        if due < silent_until:
            outcome.pages["held back"] += body.files
        else:
            if pause > 0:
                await asyncio.sleep(pause)
            elif pause < -every:
                outcome.requests["late"] += 1
            begun = time.monotonic()
            answer = await post(client, token, body, {}, outcome)
            outcome.submissions.append(time.monotonic() - begun)
            if answer is not None and answer.status_code in REFUSALS:
                silent_until = time.monotonic() + note_refusal(answer, body.files, outcome)
            elif answer is not None:
                note_accepted(answer, tenant, body.files, outcome)
        due += source.expovariate(1 / every)


async def interactive_client(
    client: httpx.AsyncClient, running: Running, until: float, outcome: Outcome
) -> None:
    """A page each second, however long the ones before take."""
    body = bodies(20, "interactive", [1])[0]
    begun = due = time.monotonic()
    open_requests: set[asyncio.Task[None]] = set()
    token = running.tokens[INTERACTIVE]
    silent_until = 0.0

    async def one() -> None:
        nonlocal silent_until
        sent = time.monotonic()
        answer = await post(client, token, body, {"Prefer": f"wait={WAIT_SECONDS}"}, outcome)
        seconds = time.monotonic() - sent
        if answer is None:
            outcome.requests["interactive: no answer"] += 1
        elif answer.status_code in REFUSALS:
            outcome.requests[f"interactive: {answer.status_code}"] += 1
            silent_until = time.monotonic() + note_refusal(answer, 1, outcome)
        else:
            name = {200: "interactive: text", 202: "interactive: not in time"}
            outcome.requests[name.get(answer.status_code, f"{answer.status_code}")] += 1
            note_accepted(answer, INTERACTIVE, 1, outcome)
            outcome.interactive.append((sent - begun, seconds))

    while due < until:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        outcome.pages["offered"] += 1
        outcome.requests["interactive: due"] += 1
        if time.monotonic() < silent_until:
            outcome.pages["held back"] += 1
            outcome.requests["interactive: held back"] += 1
        else:
            task = asyncio.create_task(one())
            open_requests.add(task)
            task.add_done_callback(open_requests.discard)
        due += INTERACTIVE_EVERY
    await asyncio.gather(*open_requests)


async def post(
    client: httpx.AsyncClient, token: str, body: Body, headers: dict[str, str], outcome: Outcome
) -> httpx.Response | None:
    """The answer; None when there was none, and the outcome is open."""
    outcome.requests["sent"] += 1
    headers = {"Authorization": f"Bearer {token}", **body.headers, **headers}
    try:
        return await client.post("/api/v1/jobs", content=body.content, headers=headers)
    except httpx.HTTPError as error:
        outcome.requests[f"no answer: {type(error).__name__}"] += 1
        outcome.pages["no answer"] += body.files
        return None


def note_refusal(answer: httpx.Response, files: int, outcome: Outcome) -> float:
    """Count it; the seconds for which its client is to be silent."""
    outcome.pages[f"refused {answer.status_code} {answer.json()['code']}"] += files
    outcome.requests[f"{answer.status_code}"] += 1
    seconds = float(answer.headers["Retry-After"])
    outcome.retry_after[answer.status_code].append(seconds)
    return seconds


def note_accepted(answer: httpx.Response, tenant: str, files: int, outcome: Outcome) -> None:
    if answer.status_code not in (200, 202):
        outcome.pages[f"wrong {answer.status_code}"] += files
        outcome.requests[f"{answer.status_code}: {answer.text[:200]}"] += 1
        return
    outcome.pages["accepted"] += files
    body = answer.json()
    ids = [job["request_id"] for job in body["jobs"]] if "jobs" in body else [body["request_id"]]
    assert len(ids) == files, answer.text[:500]
    outcome.accepted += [(tenant, request_id) for request_id in ids]


def look_up(running: Running, accepted: Sequence[tuple[str, str]]) -> Counter[str]:
    """What became of each accepted job: its status in the records, and whether a result exists."""
    found: Counter[str] = Counter()
    for at in range(0, len(accepted), LOOKED_UP):
        part = accepted[at : at + LOOKED_UP]
        jobs = running.service.records.jobs([request_id for _, request_id in part])
        for (tenant, request_id), job in zip(part, jobs, strict=True):
            stored = running.service.store.exists(keys.result(tenant, request_id))
            if job is None or not job.status.terminal or not stored:
                found["LOST"] += 1
            else:
                found[job.status.value] += 1
    return found


def library(running: Running) -> int:
    """Jobs that the records know, told to a client or not."""
    return sum(int(running.raw.zcard(f"lib:{tenant}")) for tenant in (*BULK, INTERACTIVE))


def show_load(outcome: Outcome, figures: dict[str, Any]) -> None:
    table = figures_table("the load", ["what", "pages", "pages/s"])
    seconds = figures["seconds"]
    for name, pages in [*outcome.pages.items(), *figures["ended"].items()]:
        table.add_row(name, f"{pages:,}", f"{pages / seconds:.1f}")
    table.add_row("LOST", f"{figures['ended'].get('LOST', 0):,}", "")
    table.add_row("accepted without an answer", f"{figures['untold']:,}", "")
    console.print(table)
    table = figures_table("requests", ["what", "requests"])
    for name, count in sorted(outcome.requests.items()):
        table.add_row(name, f"{count:,}")
    console.print(table)
    columns = ["status", "refusals", "least", "p50", "p90", "most"]
    table = figures_table("Retry-After, seconds", columns)
    for status, values in sorted(outcome.retry_after.items()):
        shown = (min(values), percentile(values, 0.5), percentile(values, 0.9), max(values))
        table.add_row(str(status), f"{len(values):,}", *(f"{value:.0f}" for value in shown))
    console.print(table)


def show_latency(outcome: Outcome, seconds: float) -> None:
    columns = ["part of the load", "answers", "p50", "p90", "p99", "most"]
    table = figures_table("latency, seconds", columns)
    parts = [
        (f"interactive, fifth {n + 1}", within(outcome, n * seconds / 5, (n + 1) * seconds / 5))
        for n in range(5)
    ]
    parts.append(("interactive, all", [latency for _, latency in outcome.interactive]))
    parts.append(("bulk submission, refused or not", outcome.submissions))
    for name, values in parts:
        if values:
            shown = [*(percentile(values, share) for share in (0.5, 0.9, 0.99)), max(values)]
            table.add_row(name, f"{len(values):,}", *(f"{value:.2f}" for value in shown))
    console.print(table)


def within(outcome: Outcome, begin: float, end: float) -> list[float]:
    return [latency for at, latency in outcome.interactive if begin <= at < end]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=600)
    arguments.add_argument("--factor", type=float, default=5)
    arguments.add_argument("--page-ms", type=int, default=50, help="work of a bulk page")
    arguments.add_argument("--capacity-seconds", type=float, default=20)
    arguments.add_argument("--seed", type=int, default=1)
    chosen = arguments.parse_args()
    outcome = Outcome()
    with running_service([*BULK, INTERACTIVE], CHILDREN, QUOTA) as running:
        capacity = measure_capacity(running, chosen.page_ms, chosen.capacity_seconds)
        before = library(running)
        print(f"capacity: {capacity:.1f} pages/s", file=sys.stderr)
        sampler = Sampler(running)
        ours, begun = psutil.Process(), sampler.now()
        cpu = sum(ours.cpu_times()[:2])
        asyncio.run(load(running, chosen, capacity * chosen.factor, outcome))
        seconds = sampler.now() - begun
        busy = (sum(ours.cpu_times()[:2]) - cpu) / seconds
        drained = running.until_idle(DRAIN_SECONDS)
        sampler.close()
        ended = look_up(running, outcome.accepted)
        figures: dict[str, Any] = {
            "capacity": capacity,
            "seconds": seconds,
            "drain_seconds": drained,
            "ended": dict(ended),
            "untold": library(running) - before - len(outcome.accepted),
            "most_pending": max(sample.pending for sample in sampler.samples),
            "most_inflight": max(sample.inflight for sample in sampler.samples),
            "left": {"pending": running.pending(), "inflight": running.inflight()},
            "restarts": restarts(running),
            "logged": dict(logged_errors(running.folder)),
            "generator": {"cpu": busy, "rss_mib": ours.memory_info().rss / 2**20},
        }
    memory = memory_rows(sampler.samples, until=seconds)
    show_load(outcome, figures)
    show_latency(outcome, seconds)
    console.print(memory_table(memory))
    for name, value in figures.items():
        console.print(f"{name}: {value}", highlight=False)
    report = {
        **figures,
        "pages": dict(outcome.pages),
        "requests": dict(outcome.requests),
        "retry_after": {str(status): sorted(v) for status, v in outcome.retry_after.items()},
        "interactive": outcome.interactive,
        "memory": memory,
        "samples": [
            {"at": s.at, "used_memory": s.used_memory, "pending": s.pending, "inflight": s.inflight}
            for s in sampler.samples
        ],
    }
    write_report(chosen.report, report)
    if ended["LOST"] or drained is None:
        sys.exit(1)


if __name__ == "__main__":
    main()
