"""What a waiting page costs the records, from a hundred of them to a million.

    python -m benchmarks.queue_scale [--most 1000000] [--samples 200] [--report FILE]

On a Valkey of its own, durable as the embedded one, through `casola_ocr.records.Records` alone; no
engine, store, or worker takes part. Pages wait in three shapes:
  - jobs: one-page jobs of 100 tenants,
  - documents: documents of 5,000 pages, registered unopened, then prepared up to the window, as
    workers do,
  - known: the same with their length known at registration, as for a retry: every page may be
    taken at once.
At each power of ten:
  - bytes per page: used_memory less that of the empty server, over the pages that wait,
  - submit, take + settle, cancel: milliseconds of the calls in this process, network and JSON
    included (a take + settle is two calls); `server` is the part of one take + settle that the
    server spent in scripts, from INFO commandstats. Each call is undone before the next, untimed,
    so that the queue keeps its length. A submit is one document of the shape. `opened` is the
    call with which `prepare` hands over one more page.
  - sweep: one sweep of the reconciler, with nothing lost.
  - overview: what the operator's page asks the records every few seconds.
  - fill s, submit 1,000: how long it took to get there, and one submit of a thousand jobs, during
    which the server does nothing else.
Then what the records keep of a 5,000-page document whose pages are read, and of an ended job.
Nothing else may run on the machine if the p99 is to mean anything.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import redis

from benchmarks.common import (
    console,
    figures_table,
    own_valkey,
    pair,
    parser,
    percentile,
    write_report,
)
from casola_ocr.ids import new_request_id
from casola_ocr.model import Claim, JobStatus, Lane, Manifest
from casola_ocr.publisher import PREPARE_POOL, pages_pool
from casola_ocr.records import Records, Registration
from casola_ocr.settings import Settings
from casola_ocr.times import now_ms
from casola_ocr.work import FINISH_INLINE_PAGES

SHAPES = ("jobs", "documents", "known")
ENGINE = "pp-ocrv6"
POOL = pages_pool(ENGINE)
TENANTS = [f"tenant-{n:02}" for n in range(100)]
OWNER = "benchmark:1"
DOCUMENT_PAGES = 5_000
#: Registrations of one submit while the queue is filled, as a large batch has them.
FILL = 1_000
SWEEPS = 20
CANCELS = 20
#: Between two looks at memory that buffers are still leaving.
SETTLE_SECONDS = 0.5
LEASE_MS = Settings.model_fields["lease_seconds"].default * 1000
MAX_ATTEMPTS = Settings.model_fields["max_attempts"].default
SHARE = Settings.model_fields["tenant_share"].default
WINDOW = Settings.model_fields["window_pages"].default
KEEP_SECONDS = int(Settings.model_fields["record_days"].default * 86_400)


@dataclass
class Row:
    """One size of one shape; times in milliseconds."""

    shape: str
    pages: int
    jobs: int
    used_bytes: int
    fill_seconds: float
    #: Of `FILL` jobs at once.
    submit_many: list[float]
    submit: list[float]
    take_settle: list[float]
    server: float
    opened: list[float]
    cancel: list[float]
    sweep: list[float]
    overview: list[float]

    @property
    def bytes_per_page(self) -> float:
        return self.used_bytes / self.pages


def manifest(tenant: str, *, media_type: str, number: int) -> Manifest:
    return Manifest(
        request_id=new_request_id(),
        tenant=tenant,
        file_name=f"scan-{number:07}.{media_type.removeprefix('image/')}",
        media_type=media_type,
        url="",
        model="auto",
        engine=ENGINE,
        language="auto",
        lane=Lane.BULK,
        batch_id="",
        created_at=now_ms(),
        size=123_456,
    )


def registration(shape: str, number: int, pages: int = DOCUMENT_PAGES) -> Registration:
    tenant = TENANTS[number % len(TENANTS)]
    if shape == "jobs":
        return Registration(
            manifest=manifest(tenant, media_type="image/png", number=number), pages=1
        )
    made = manifest(tenant, media_type="image/tiff", number=number)
    return Registration(manifest=made, pages=0 if shape == "documents" else pages)


def submit(records: Records, items: list[Registration]) -> None:
    records.submit(items[0].manifest.tenant, items, window=WINDOW)


def take(records: Records, pool: str) -> Claim:
    claim = records.take(
        pool, OWNER, lease_ms=LEASE_MS, max_attempts=MAX_ATTEMPTS, share=SHARE
    ).claim
    assert claim is not None, f"nothing waits in {pool}"
    return claim


def settle(records: Records, claim: Claim) -> Claim | None:
    """Settle as read; the claim of ``finish`` when it was the job's last page."""
    settled = records.settle(
        claim, "done", dead=False, inline_pages=FINISH_INLINE_PAGES, lease_ms=LEASE_MS
    )
    assert settled is not None
    return settled.finish


def prepare(records: Records, pages: int, spent: list[float]) -> None:
    """Open the next document in the pool page by page until enough is ready, as a worker does."""
    claim = take(records, PREPARE_POOL)
    for ready in range(claim.ready + 1, pages + 1):
        begun = time.perf_counter()
        answer, _ = records.opened(
            claim,
            total=pages,
            ready=ready,
            media_type="image/tiff",
            file_name="a.tiff",
            size=123_456,
        )
        spent.append((time.perf_counter() - begun) * 1000)
        if answer != "more":
            return
    raise AssertionError("the document neither ended nor was parked")


def fill(records: Records, shape: str, first: int, count: int, pages: int) -> list[float]:
    """Register `count` jobs more, each tenant's together, and prepare what has to be.

    Returns the milliseconds of each submit of `FILL` jobs.
    """
    spent: list[float] = []
    for tenant in range(len(TENANTS)):
        start = first + (tenant - first) % len(TENANTS)
        numbers = range(start, first + count, len(TENANTS))
        for at in range(0, len(numbers), FILL):
            items = [registration(shape, number, pages) for number in numbers[at : at + FILL]]
            timed(lambda items=items: submit(records, items), spent if len(items) == FILL else [])
    if shape == "documents":
        for _ in range(count):
            prepare(records, pages, [])
    return spent


def used_memory(raw: redis.Redis) -> int:
    """Once it is steady: buffers of the calls before are given back within some seconds."""
    last = 0
    for _ in range(40):
        now = int(raw.info("memory")["used_memory"])
        if abs(now - last) < max(2_000, now // 2_000):
            return now
        last = now
        time.sleep(SETTLE_SECONDS)
    return last


@contextmanager
def server_ms(raw: redis.Redis, spent: list[float]) -> Iterator[None]:
    """Append the milliseconds that the server spent in scripts inside."""
    before = script_ms(raw)
    yield
    spent.append(script_ms(raw) - before)


def script_ms(raw: redis.Redis) -> float:
    stats = raw.info("commandstats").get("cmdstat_evalsha", {"usec": 0})
    return float(stats["usec"]) / 1000


def timed(call: Callable[[], Any], spent: list[float]) -> Any:
    begun = time.perf_counter()
    answer = call()
    spent.append((time.perf_counter() - begun) * 1000)
    return answer


def time_calls(records: Records, raw: redis.Redis, row: Row, pages: int, samples: int) -> None:
    """Fill in the row's times; the queue is as long afterwards as before, but for what was read."""
    number = row.jobs
    for _ in range(min(samples, row.pages)):
        item = registration(row.shape, number, pages)
        timed(lambda item=item: submit(records, [item]), row.submit)
        records.forget(item.manifest.request_id)
    server: list[float] = []
    for _ in range(min(samples, row.pages // 2)):
        spent: list[float] = []
        with server_ms(raw, server):
            claim = timed(lambda: take(records, POOL), spent)
            finish = timed(lambda claim=claim: settle(records, claim), spent)
        row.take_settle.append(sum(spent))
        if finish is not None:
            close(records, finish)
            records.forget(claim.job.request_id)
            submit(records, [registration(row.shape, number, pages)])
        elif raw.hget("casola:waiting", PREPARE_POOL):
            prepare(records, pages, row.opened)
    row.server = percentile(server, 0.5)
    for _ in range(min(CANCELS, row.jobs) if row.shape == "jobs" else 0):
        # The newest, at the end of its tenant's list.
        item = registration(row.shape, number, pages)
        submit(records, [item])
        timed(lambda item=item: records.cancel(item.manifest.request_id, now_ms()), row.cancel)
        records.forget(item.manifest.request_id)
    for _ in range(SWEEPS):
        timed(lambda: records.sweep(max_attempts=MAX_ATTEMPTS), row.sweep)
        timed(records.overview, row.overview)


def close(records: Records, finish: Claim) -> None:
    job = replace(
        finish.job, status=JobStatus.COMPLETED, words=250, confidence=0.97, finished_at=now_ms()
    )
    assert records.close(finish, job, keep_seconds=KEEP_SECONDS) is not None


def measure(
    records: Records, raw: redis.Redis, shape: str, sizes: list[int], empty: int, samples: int
) -> Iterator[Row]:
    raw.flushall()
    jobs = 0
    for size in sizes:
        pages = 1 if shape == "jobs" else min(size, DOCUMENT_PAGES)
        if shape != "jobs":
            # Documents of another length than before: begin again.
            raw.flushall()
            jobs = 0
        begun = time.perf_counter()
        submits = fill(records, shape, jobs, size // pages - jobs, pages)
        jobs = size // pages
        seconds = time.perf_counter() - begun
        waiting = int(raw.hget("casola:pending", "*") or 0)
        assert waiting == size, (waiting, size)
        used = used_memory(raw) - empty
        row = Row(shape, size, jobs, used, seconds, submits, [], [], 0.0, [], [], [], [])
        time_calls(records, raw, row, pages, samples)
        yield row


def read_document(records: Records, raw: redis.Redis) -> dict[str, float]:
    """Read a whole document; bytes that the records keep of it, by key."""
    raw.flushall()
    item = registration("known", 0)
    submit(records, [item])
    key = f"job:{item.manifest.request_id}"
    for _ in range(DOCUMENT_PAGES):
        settle(records, take(records, POOL))
    found = {
        "pages hash": raw.memory_usage(f"{key}:pages", samples=0),
        "events": raw.memory_usage(f"ev:{item.manifest.request_id}", samples=0) or 0,
        "record": raw.memory_usage(key, samples=0),
    }
    return {name: float(value or 0) for name, value in found.items()}


def waiting_job(records: Records, raw: redis.Redis, empty: int) -> dict[str, float]:
    """Bytes of one one-page job while it waits, by key, and once it has ended; means of 10,000."""
    raw.flushall()
    count = 10_000
    fill(records, "jobs", 0, count, 1)
    sample = next(raw.scan_iter("job:*")).removeprefix("job:")
    tenant = str(raw.hget(f"job:{sample}", "tenant"))
    mine = raw.zcard(f"lib:{tenant}")
    found = {
        "record": float(raw.memory_usage(f"job:{sample}", samples=0) or 0),
        "events": float(raw.memory_usage(f"ev:{sample}", samples=0) or 0),
        "in the library": float(raw.memory_usage(f"lib:{tenant}", samples=0) or 0) / mine,
        "in the tenant's list": float(
            raw.memory_usage(f"wait:{POOL}:bulk:{tenant}", samples=0) or 0
        ) / mine,
        "all of it while it waits": (used_memory(raw) - empty) / count,
    }  # fmt: skip
    for _ in range(count):
        finish = settle(records, take(records, POOL))
        assert finish is not None
        close(records, finish)
    found["all of it once it ended"] = (used_memory(raw) - empty) / count
    return found


def show(rows: list[Row]) -> None:
    columns = ["shape", "pages", "jobs", "MB", "B/page", "submit", "take+settle", "server",
               "opened", "cancel", "sweep", "overview", "fill s", f"submit {FILL:,}"]  # fmt: skip
    table = figures_table("what waits; times are ms, p50/p99", columns)
    for row in rows:
        table.add_row(
            row.shape, f"{row.pages:,}", f"{row.jobs:,}", f"{row.used_bytes / 1e6:.2f}",
            f"{row.bytes_per_page:,.1f}", pair(row.submit), pair(row.take_settle),
            f"{row.server:.3f}", pair(row.opened), pair(row.cancel), pair(row.sweep),
            pair(row.overview),
            f"{row.fill_seconds:.1f}", pair(row.submit_many, 0),
        )  # fmt: skip
    console.print(table)


def show_parts(title: str, parts: dict[str, float], pages: int = 1) -> None:
    table = figures_table(title, ["key", "bytes", *(["bytes/page"] if pages > 1 else [])])
    for name, size in parts.items():
        table.add_row(name, f"{size:,.0f}", *([f"{size / pages:.1f}"] if pages > 1 else []))
    console.print(table)


def summary(row: Row) -> dict[str, Any]:
    lists = {name: value for name, value in asdict(row).items() if isinstance(value, list)}
    rest = {name: value for name, value in asdict(row).items() if name not in lists}
    times = {
        name: {
            "p50": percentile(values, 0.5),
            "p99": percentile(values, 0.99),
            "samples": len(values),
        }
        for name, values in lists.items()
        if values
    }
    return {**rest, "bytes_per_page": row.bytes_per_page, "milliseconds": times}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--most", type=int, default=1_000_000, help="pages of the longest queue")
    arguments.add_argument("--samples", type=int, default=200)
    arguments.add_argument("--shapes", default=",".join(SHAPES))
    chosen = arguments.parse_args()
    sizes = [10**power for power in range(2, 10) if 10**power <= chosen.most]
    rows: list[Row] = []
    with own_valkey() as url:
        records, raw = Records(url), redis.Redis.from_url(url, decode_responses=True)
        # Every command was used once before the empty server is measured: the server keeps a
        # histogram for each.
        for shape in SHAPES:
            for _ in measure(records, raw, shape, [100], 0, 20):
                pass
        read_document(records, raw)
        raw.flushall()
        empty = used_memory(raw)
        for shape in chosen.shapes.split(","):
            for row in measure(records, raw, shape, sizes, empty, chosen.samples):
                rows.append(row)
                print(f"{shape}: {row.pages:,} pages in {row.fill_seconds:.1f} s", file=sys.stderr)
        document = read_document(records, raw)
        job = waiting_job(records, raw, empty)
        records.close_connections()
        raw.close()
    show(rows)
    show_parts(f"a {DOCUMENT_PAGES:,}-page document, every page read", document, DOCUMENT_PAGES)
    show_parts("a one-page job", job)
    write_report(
        chosen.report, {"rows": [summary(row) for row in rows], "document": document, "job": job}
    )


if __name__ == "__main__":
    main()
