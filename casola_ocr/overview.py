"""How the service is doing, for those who look after it: queues, workers, engines, failures.

Read in one atomic step from the records, which forget it with everything else when they are wiped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from casola_ocr.engines import AUTO, list_engines
from casola_ocr.errors import DEAD_CODES, RecordsUnavailable, error_by_code
from casola_ocr.jobs import Jobs
from casola_ocr.publisher import PREPARE_POOL, pages_pool
from casola_ocr.records import Records
from casola_ocr.times import now_ms, timestamp


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Steps of one kind: pages of an engine, documents to open, or results to join."""

    #: As its Celery queue: ``pages.{engine}``, ``prepare`` or ``finish``.
    name: str
    #: That a worker may take now, and that are being worked on.
    waiting: int
    running: int
    #: Of one step, averaged over the last fifty; None before the first.
    seconds_per_step: float | None
    #: Since the job was submitted that waits longest; None when nothing waits.
    oldest_seconds: float | None
    #: Whether a live worker takes from it.
    served: bool


@dataclass(frozen=True, kw_only=True)
class WorkerChild:
    """A process that reads pages, opens documents or reconciles."""

    #: ``{host}:{pid}`` and, of workers, a name drawn at their start.
    name: str
    does: tuple[str, ...]
    seen_seconds: float


@dataclass(frozen=True, kw_only=True)
class Failures:
    """Pages, and documents that could not be opened, that failed for one reason lately."""

    code: str
    count: int
    meaning: str
    #: Whether the service is to blame, and not the document or the request.
    ours: bool


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What the records tell."""

    pages_per_second: float
    pending_pages: int
    pending_bytes: int
    dead_letters: int
    queues: tuple[Queue, ...]
    workers: tuple[WorkerChild, ...]
    #: Of the last day, the most frequent first.
    failures: tuple[Failures, ...]


def overview(jobs: Jobs, records: Records) -> dict[str, Any]:
    """The public shape, fixed by the API reference; never raises for a part that is down.

    What only the records can tell is None while they cannot be reached. Thread-safe.
    """
    parts = jobs.readiness()
    told: dict[str, Any] = {
        "at": timestamp(now_ms()),
        "ready": not any(parts.values()),
        "parts": {name: {"ready": not why, "detail": why} for name, why in parts.items()},
        "records": None,
        "activity": None,
        "engines": None,
    }
    try:
        activity = activity_of(records)
        told["records"] = records.usage()
        told["engines"] = _engines(records, activity)
    except RecordsUnavailable:
        return told
    return {**told, "activity": asdict(activity)}


def activity_of(records: Records) -> Activity:
    """What the records tell now.

    Raises:
        RecordsUnavailable: they cannot be reached.
    """
    raw = records.overview()
    workers = tuple(
        WorkerChild(name=name, does=_does(capabilities), seen_seconds=round(age / 1000, 1))
        for name, age, capabilities in raw["slots"]
    )
    queues = [_queue(name, pool, raw["now"], workers) for name, pool in raw["pools"].items()]
    failures = [
        Failures(
            code=code, count=count, meaning=error_by_code(code, "").detail, ours=code in DEAD_CODES
        )
        for code, count in raw["failures"].items()
    ]
    return Activity(
        pages_per_second=round(float(raw["rate"]), 2),
        pending_pages=raw["pending"],
        pending_bytes=raw["pending_bytes"],
        dead_letters=raw["dead"],
        queues=tuple(sorted(queues, key=lambda queue: queue.name)),
        workers=tuple(sorted(workers, key=lambda child: (child.does, child.name))),
        failures=tuple(sorted(failures, key=lambda failure: -failure.count)),
    )


def _queue(
    name: str, pool: Mapping[str, float], now: int, workers: tuple[WorkerChild, ...]
) -> Queue:
    pace, oldest = pool.get("pace"), pool.get("oldest")
    # Who opens documents also joins results.
    served = PREPARE_POOL if name == "finish" else name
    return Queue(
        name=name,
        waiting=int(pool["waiting"]),
        running=int(pool["running"]),
        seconds_per_step=None if pace is None else round(pace / 1000, 2),
        oldest_seconds=None if oldest is None else max(0.0, round((now - oldest) / 1000, 1)),
        served=any(served in map(_pool, child.does) for child in workers),
    )


def _does(capabilities: str) -> tuple[str, ...]:
    """``prepare``, ``reconcile`` and engines' names."""
    told = [word for word in capabilities.split(",") if not word.startswith(("version:", "reads:"))]
    return tuple(word.removeprefix("engine:") for word in told)


def _pool(does: str) -> str:
    return PREPARE_POOL if does == PREPARE_POOL else pages_pool(does)


def _engines(records: Records, activity: Activity) -> list[dict[str, Any]]:
    return [
        {
            "name": engine.name,
            "live": engine.live,
            "version": engine.version,
            "workers": sum(engine.name in child.does for child in activity.workers),
        }
        for engine in list_engines(records)
        if engine.name != AUTO
    ]
